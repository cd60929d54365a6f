"""From a GGUF file to a transformers folder: de-quantised to bf16 safetensors, with the fast tokenizer, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luthier.models.known import storing
from luthier.models.loading import loading
from luthier.packages import cache_folder, is_kept, publish_folder
from luthier.records.fingerprints import fingerprint

SAME = 0.1  # relative difference below which two quantised matrices are one: 4 to 6 bits are off by 0.02 to 0.08


def convert(
    source: Path,
    folder: Path,
    *,
    context: int | None = None,
    stop_tokens: tuple[str, ...] = (),
    template: str | None = None,
    digits: bool = False,
) -> None:
    """Write the model of a GGUF file as a folder, about half a minute and 5 bytes of memory a weight.

    context: tokens, the file's own by default. stop_tokens: that end an answer, beside the tokenizer's. template: a chat template instead of
    the file's. digits: see `KnownModel`. Raises EngineError where transformers cannot read the file.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name, "local_files_only": True}
    with loading(source, "model", "give a GGUF file of a model that transformers knows"):
        model = AutoModelForCausalLM.from_pretrained(**place, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16)
    with loading(source, "tokenizer", "give a GGUF file with its tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(**place)
    if digits:
        _part_digits(tokenizer)
    tokenizer.model_max_length = context or model.config.max_position_embeddings
    if template is not None:
        tokenizer.chat_template = template
    tie_output(model)
    stop = list(dict.fromkeys(tokenizer.convert_tokens_to_ids(token) for token in (*stop_tokens, tokenizer.eos_token) if token))
    model.generation_config.update(eos_token_id=stop, pad_token_id=tokenizer.pad_token_id, do_sample=False)
    model.config._name_or_path = ""
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)


def converted(source: Path) -> Path:
    """The folder of any GGUF file in the cache, made on first use. Raises EngineError, FetchError where the cache cannot be written."""
    target = cache_folder() / "models" / f"gguf-{fingerprint(source)[:16]}"
    if not is_kept(target):
        with storing(target) as scratch:
            convert(source, scratch / "model")
            publish_folder(scratch / "model", target)
    return target


def tie_output(model: Any) -> bool:
    """Give a model back the one matrix that quantisation made two of; whether it had been one.

    The output matrix is kept, since llama.cpp gives it more bits than the embedding (Q8_0 to Q5_0, Q6_K to Q4_K).
    """
    embedding, output = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    if embedding is output or embedding.shape != output.shape:
        return False
    rows = slice(None, None, max(1, len(output) // 4096))  # a sample tells as much
    known, other = output[rows].detach().float(), embedding[rows].detach().float()
    if float((known - other).norm() / known.norm()) >= SAME:
        return False
    model.set_input_embeddings(type(model.get_input_embeddings()).from_pretrained(output.detach(), freeze=False))
    model.config.tie_word_embeddings = True
    model.tie_weights()
    return True


def _part_digits(tokenizer: Any) -> None:
    """The GGUF mapping has no entry for this model's pre-tokenizer, so digits would be grouped and spaces split wrongly."""
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    byte_level = ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), byte_level])
