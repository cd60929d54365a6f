"""What an adapter brings besides weights of its own: another tokenizer, another chat template, rows for tokens that its base has not.

Trainers save a tokenizer beside what they train, Luthier among them. One that reads and writes as the base's does is passed over, so that what the base's
template alone tells (its marks of what the assistant says) is kept; another one is what the adapter was trained with, and is used wherever the adapter is.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

from luthier.models.chat_template import without_markers
from luthier.models.loading import loading

VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
TEMPLATE = "chat_template.jinja"
_ENDS = ("bos_token", "eos_token", "unk_token")
_said: set[str] = set()


class Reading(NamedTuple):
    """tokenizer: with the chat template that goes with it. own: whether it is the adapter's, and not the base's; the template may be the adapter's anyway."""

    tokenizer: Any
    own: bool


def has_tokenizer(folder: Path) -> bool:
    """Whether a whole tokenizer lies in a folder."""
    return (folder / "tokenizer_config.json").is_file() and any((folder / name).is_file() for name in VOCABULARIES)


def reading_of(folder: Path, adapter: Path | str | None = None) -> Reading:
    """The tokenizer of a model, with its chat template: the adapter's where it brings others than the base's, which is said once. Raises EngineError."""
    place = None if adapter is None else Path(adapter)
    if place is None or not has_tokenizer(place):
        return Reading(_with_template(_load(folder), folder, None if place is None else _template_beside(place), place), own=False)
    found = _load(place)
    if not has_tokenizer(folder):
        return Reading(found, own=True)
    base = _load(folder)
    if _reads_alike(base, found):
        return Reading(_with_template(base, folder, found.chat_template, place), own=False)
    _say(place, "tokenizer", folder)
    if _same_template(base.chat_template, found.chat_template):
        found.chat_template = base.chat_template
    else:
        _say(place, "chat template", folder)
    return Reading(found, own=True)


def needs_rows(vocabulary: int, reading: Reading) -> bool:
    """Whether an adapter's tokenizer has tokens beyond the rows of its base. vocabulary: the rows."""
    return reading.own and len(reading.tokenizer) > vocabulary


def fit_rows(module: Any, folder: Path, adapter: Path | str) -> list[int]:
    """Give a base the rows that an adapter was trained with, as PEFT's auto classes do; the tokens whose rows are new. These are the mean of the others
    where the adapter does not hold them, which is said. Raises EngineError."""
    import torch

    had, place = int(module.get_input_embeddings().weight.shape[0]), Path(adapter)
    with loading(adapter, "adapter", f"give a PEFT adapter of {folder}"):
        stored = _stored_rows(module, place)
    wanted = stored.rows
    if wanted is None:
        reading = reading_of(folder, place) if has_tokenizer(place) else None
        wanted = len(reading.tokenizer) if reading is not None and needs_rows(had, reading) else had
    if wanted == had:
        return []
    lost = [name for name in _ends_of(module) if name not in stored.held] if wanted > had else []
    more = f"; the adapter does not hold the new ones of the {' and the '.join(lost)}, which are the mean of the others" if lost else ""
    logging.getLogger("luthier").warning("%s: has rows of %d tokens, and %s of %d, which is fitted%s", adapter, wanted, folder, had, more)
    module.resize_token_embeddings(wanted, mean_resizing=False)
    with torch.no_grad():
        for end in _ends_of(module).values() if wanted > had else ():
            end.weight[had:] = end.weight[:had].float().mean(0).to(end.weight.dtype)
    return list(range(had, wanted))


def _load(folder: Path) -> Any:
    from transformers import AutoTokenizer

    with loading(folder, "tokenizer"):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _template_beside(adapter: Path) -> str | None:
    """The template of an adapter that has no tokenizer."""
    file = adapter / TEMPLATE
    with loading(adapter, "chat template", "mend or remove it"):
        return file.read_text(encoding="utf-8") if file.is_file() else None


def _with_template(tokenizer: Any, folder: Path, template: Any, adapter: Path | None) -> Any:
    """A base's tokenizer with an adapter's template, where that is another."""
    if adapter is not None and not _same_template(tokenizer.chat_template, template):
        _say(adapter, "chat template", folder)
        tokenizer.chat_template = template
    return tokenizer


def _same_template(base: Any, found: Any) -> bool:
    """Whether an adapter's template renders as the base's: it has none, or the same but for marks."""
    return found is None or _bare(found) == _bare(base)


def _bare(template: Any) -> Any:
    if isinstance(template, dict):
        return {name: _bare(text) for name, text in template.items()}
    return None if template is None else without_markers(template).strip()


def _reads_alike(base: Any, found: Any) -> bool:
    """Whether two tokenizers make the same tokens of a text and the same text of tokens, whatever they fill up and cut off with."""
    if any(getattr(base, name) != getattr(found, name) for name in _ENDS) or base.get_vocab() != found.get_vocab():
        return False
    inner = [getattr(one, "backend_tokenizer", None) for one in (base, found)]
    if None in inner:
        return True
    for one in inner:
        one.no_padding()  # type: ignore[union-attr]  # both are set anew at each call
        one.no_truncation()  # type: ignore[union-attr]
    return bool(inner[0].to_str() == inner[1].to_str())  # type: ignore[union-attr]


class _Stored(NamedTuple):
    """rows: of tokens in an adapter's file, None where it holds none; held: the ends of the model, of `_ends_of`, that it holds whole."""

    rows: int | None
    held: set[str]


def _ends_of(module: Any) -> dict[str, Any]:
    """Where a model has rows of tokens; once, where both are the same."""
    ends = {"embedding": module.get_input_embeddings(), "output": module.get_output_embeddings()}
    tied = ends["output"] is None or ends["output"].weight is ends["embedding"].weight
    return {name: end for name, end in ends.items() if end is not None and not (tied and name == "output")}


def _stored_rows(module: Any, adapter: Path) -> _Stored:
    """What an adapter's file holds of them."""
    from safetensors import safe_open

    file, found = adapter / "adapter_model.safetensors", _Stored(None, set())
    if not file.is_file():
        return found
    names = {place: name for name, end in _ends_of(module).items() for place, part in module.named_modules() if part is end}
    tied = [place for place, part in module.named_modules() if part is module.get_output_embeddings()]
    names |= {place: "embedding" for place in tied if "output" not in names.values()}
    with safe_open(file, "pt") as held:
        for key in held.keys():  # noqa: SIM118  # no mapping
            place, _, part = key.removeprefix("base_model.model.").partition(".lora_")
            whole, _, last = place.rpartition(".")
            owner = whole.removesuffix(".base_layer").removesuffix(".modules_to_save")
            if not part and last == "weight" and owner in names:
                found.held.add(names[owner])
                found = found._replace(rows=int(held.get_slice(key).get_shape()[0]))
            elif place in names and part.startswith(("embedding_A", "B")):
                found = found._replace(rows=int(held.get_slice(key).get_shape()[1 if part.startswith("embedding_A") else 0]))
    return found


def _say(adapter: Path, part: str, folder: Path) -> None:
    told = f"{adapter}: its own {part} is used, which is not that of {folder}"
    if told not in _said:
        _said.add(told)
        logging.getLogger("luthier").warning("%s", told)
