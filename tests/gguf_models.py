"""A small random Qwen2 as a GGUF file whose one matrix was quantised twice, as llama.cpp does with tied models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WIDTH, LAYERS, HEADS, INNER = 64, 2, 4, 96
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write_gguf(path: Path, *, seed: int = 0, same: bool = True) -> dict[str, Any]:
    """Write the file; gives its embedding and output matrices. same: they are one, in 5 and in 8 bits."""
    import gguf
    import numpy as np

    random = np.random.default_rng(seed)
    tokens, merges = vocabulary()
    writer = gguf.GGUFWriter(str(path), "qwen2")
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_chat_template(TEMPLATE)

    def drawn(*shape: int) -> Any:
        return random.normal(0, 0.2, shape).astype(np.float32)

    def add(name: str, tensor: Any, kind: Any = gguf.GGMLQuantizationType.F32) -> None:
        data = tensor if kind == gguf.GGMLQuantizationType.F32 else gguf.quants.quantize(tensor, kind)
        writer.add_tensor(name, data, raw_dtype=kind)

    embedding = drawn(len(tokens), WIDTH)
    output = embedding if same else drawn(len(tokens), WIDTH)
    add("token_embd.weight", embedding, gguf.GGMLQuantizationType.Q5_0)
    add("output.weight", output, gguf.GGMLQuantizationType.Q8_0)
    add("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH), "attn_v": (WIDTH, WIDTH), "attn_output": (WIDTH, WIDTH)}
    shapes |= {"ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER)}
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            add(f"blk.{layer}.{name}.weight", drawn(*shape), gguf.GGMLQuantizationType.Q8_0)
        for name in ("attn_q", "attn_k", "attn_v"):
            add(f"blk.{layer}.{name}.bias", drawn(WIDTH))
        for name in ("attn_norm", "ffn_norm"):
            add(f"blk.{layer}.{name}.weight", np.ones(WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {"embedding": embedding, "output": output}


def vocabulary() -> tuple[list[str], list[str]]:
    """Every byte, a few merges, and the special tokens."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = ["t h", "th e", "Ġ the", "1 2"]
    return [*letters, *(merge.replace(" ", "") for merge in merges), *SPECIAL], merges
