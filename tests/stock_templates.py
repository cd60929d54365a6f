"""The chat templates that TRL ships as they stand on the hub, and small random models of several architectures to use them with."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

CORPUS = (
    "You are a helpful assistant. What is the weather in Lisbon on Tuesday? Please say which day. It will rain.",
    'Book a table for 12 people at 19:30. {"name": "get_weather", "arguments": {"city": "Lisbon", "days": 3}} Weather of a city.',
    "user assistant system tool model function functions respond with a JSON for a function call with its proper arguments",
)
STOCK = (
    "qwen2_5",
    "qwen3",
    "qwen3_6",
    "llama3",
    "llama3_1",
    "llama3_2",
    "gemma",
    "gemma3",
    "gemma4",
    "phi3",
    "glm4moe",
    "gptoss",
    "deepseekv3",
    "lfm2",
)
_SYSTEM_LAST = (
    "{%- if messages[0].role == 'system' %}{%- set system = messages[0].content %}{%- set turns = messages[1:] %}"
    "{%- else %}{%- set turns = messages %}{%- endif %}{{- bos_token }}"
)
_ALTERNATE = (
    "{%- set ns = namespace(index=0) %}{%- for m in turns %}"
    "{%- if not (m.role == 'tool' or (m.tool_calls is defined and m.tool_calls is not none)) %}"
    "{%- if (m.role == 'user') != (ns.index % 2 == 0) %}{{- raise_exception('conversation roles must alternate') }}{%- endif %}"
    "{%- set ns.index = ns.index + 1 %}{%- endif %}{%- endfor %}"
)
_NINE = "raise_exception('Tool call IDs should be alphanumeric strings with length 9!')"
_MISTRAL = (
    _SYSTEM_LAST
    + "{%- set asked = turns | selectattr('role', 'equalto', 'user') | list %}"
    + _ALTERNATE
    + "{%- for m in turns %}{%- if m.role == 'user' %}"
    "{%- if tools and m == asked[-1] %}{{- '[AVAILABLE_TOOLS]GAP' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{%- endif %}"
    "{%- if loop.last and system is defined %}{{- '[INST]GAP' + system + '\\n\\n' + m.content + '[/INST]' }}"
    "{%- else %}{{- '[INST]GAP' + m.content + '[/INST]' }}{%- endif %}"
    "{%- elif m.tool_calls is defined and m.tool_calls is not none %}{{- '[TOOL_CALLS]GAP[' }}{%- for call in m.tool_calls %}"
    "{%- set out = call.function|tojson %}{{- out[:-1] }}"
    f"{{%- if not call.id is defined or call.id|length != 9 %}}{{{{- {_NINE} }}}}{{%- endif %}}"
    "{{- ', \"id\": \"' + call.id + '\"}' }}{{- ', ' if not loop.last else ']' + eos_token }}{%- endfor %}"
    "{%- elif m.role == 'assistant' %}{{- 'GAP' + m.content + eos_token }}"
    "{%- elif m.role == 'tool' %}{{- '[TOOL_RESULTS]GAP{\"content\": ' + m.content|string + ', ' }}"
    f"{{%- if not m.tool_call_id is defined or m.tool_call_id|length != 9 %}}{{{{- {_NINE} }}}}{{%- endif %}}"
    "{{- '\"call_id\": \"' + m.tool_call_id + '\"}[/TOOL_RESULTS]' }}"
    "{%- else %}{{- raise_exception('Only user and assistant roles are supported') }}{%- endif %}{%- endfor %}"
)
MISTRALS = {
    "mistral_v3": _MISTRAL.replace("GAP", " "),
    "mistral_nemo": _MISTRAL.replace("GAP", ""),
    "mistral_small": (
        "{{- bos_token }}{%- if messages[0].role == 'system' %}{%- set system = messages[0].content %}{%- set turns = messages[1:] %}"
        "{%- else %}{%- set system = 'You are Mistral Small.' %}{%- set turns = messages %}{%- endif %}"
        "{{- '[SYSTEM_PROMPT]' + system + '[/SYSTEM_PROMPT]' }}"
        "{%- if tools %}{{- '[AVAILABLE_TOOLS]' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{%- endif %}"
        "{%- for m in turns %}{%- if m.role == 'user' %}{{- '[INST]' + m.content + '[/INST]' }}"
        "{%- elif m.role == 'assistant' and m.tool_calls %}{%- if m.content %}{{- m.content }}{%- endif %}{%- for call in m.tool_calls %}"
        f"{{%- if not call.id is defined or call.id|length != 9 %}}{{{{- {_NINE} }}}}{{%- endif %}}"
        "{%- set arguments = call.function.arguments if call.function.arguments is string else call.function.arguments|tojson %}"
        "{{- '[TOOL_CALLS]' + call.function.name + '[ARGS]' + arguments }}{%- endfor %}{{- eos_token }}"
        "{%- elif m.role == 'assistant' %}{{- m.content + eos_token }}"
        "{%- elif m.role == 'tool' %}{{- '[TOOL_RESULTS]' + m.content + '[/TOOL_RESULTS]' }}"
        "{%- else %}{{- raise_exception('Only user, system and assistant roles are supported') }}{%- endif %}{%- endfor %}"
    ),
}
"""What Mistral's templates do that others do not: ids of nine signs, whole functions as JSON, the system turn before the last user's, tools there too."""
UNKNOWN_TO_TRL = ("llama3_1", "llama3_2", "gemma4")  # no training template
_SPECIAL = re.compile(r"<\|[^|>'\"{}\s]*\|>|<｜[^｜>]*｜>|<[a-z_]+_of_turn>|<turn\|>|<\|turn>|<sop>|\[gMASK\]|<\|tool_call>|<tool_call\|>")


_OF_MISTRAL = re.compile(r"\[/?[A-Z_]+\]")


@cache
def stock(name: str) -> str:
    """The text of a template."""
    if name in MISTRALS:
        return MISTRALS[name]
    import trl

    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


@cache
def _trained() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = sorted({"<s>", "</s>", "<|im_start|>", "<|im_end|>", *(token for name in STOCK for token in _SPECIAL.findall(stock(name)))})
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=special, initial_alphabet=alphabet, min_frequency=1, show_progress=False)
    bpe.train_from_iterator(CORPUS, trainer)
    return bpe.to_str(), special


def tokenizer_with(template: str) -> Any:
    """A byte-level tokenizer in which every special token of every stock template is one token."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    text, special = _trained()
    special = [*special, *sorted({token for token in _OF_MISTRAL.findall(template) if template in MISTRALS.values()})]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(text),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        additional_special_tokens=[token for token in special if token not in ("<s>", "</s>")],
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = template
    return tokenizer


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 12},
    "gemma2": {"head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": 32},
    "phi3": {"pad_token_id": 0},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "output_router_logits": True, "router_aux_loss_coef": 0.5},
}


def write_architecture(kind: str, folder: Path) -> Path:
    """A model of two layers, 48 wide, in float32, with the tokenizer and no template."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tokenizer_with("")
    settings = {
        "vocab_size": len(tokenizer) + 24,  # padded, as most are; and classes of transformers add tokens of their own
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.2,
    } | ARCHITECTURES[kind]
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings)).float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
