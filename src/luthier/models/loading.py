"""What libraries raise while they read a model folder, as one line that names the folder."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from luthier.errors import EngineError, LuthierError

LONGEST = 300  # characters of a library's own words
POOLER = ("pooler.",)  # of encoders whose states are read: it makes something else of them, and is often not stored
_NAMED = 3  # tensors of those that are wrong
_NUMBER = re.compile(r"\.\d+(?=\.|$)")


@contextmanager
def loading(folder: Path | str, part: str, advice: str = "give a complete transformers folder") -> Iterator[None]:
    """Around the loading of one part of a model (`model`, `tokenizer`, `adapter`, `chat template`).

    transformers, safetensors, PEFT, tokenizers, torch and Jinja share no error class, so whatever they raise becomes EngineError here.
    """
    try:
        with warnings.catch_warnings():
            # PEFT only warns where an adapter has no weights for some layers of its base.
            warnings.filterwarnings("error", message=".*[Mm]issing adapter keys.*")
            yield
    except LuthierError:
        raise
    except Exception as problem:
        raise EngineError(f"{folder}: the {part} cannot be loaded: {reason(problem)}; {advice}") from problem


def load_module(source: Any, folder: Path, *, without: tuple[str, ...] = (), **told: Any) -> Any:
    """The module that a class of transformers makes of a folder, all of whose weights are the folder's: the library fills what a folder lacks with
    random numbers, and leaves out layers that config.json does not count.

    without: beginnings of the names of parts that are not used, and may be lacking. told: of `from_pretrained`. Raises EngineError.
    """
    with loading(folder, "model"):
        module, found = source.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True, **told
        )
    kind = module.config.model_type
    unfit = [f"{name} as {_shape(stored)} in place of {_shape(wanted)}" for name, stored, wanted in sorted(found["mismatched_keys"])]
    if unfit:
        raise EngineError(
            f"{folder}: the weights hold {_listed(unfit)}, which config.json describes; give the config.json of these weights"
        )
    lacking = sorted(name for name in found["missing_keys"] if not name.startswith(without))
    if lacking:
        raise EngineError(
            f"{folder}: the weights lack {_listed(lacking)} of the {kind} model that config.json describes; give the whole folder"
        )
    inside = f"{module.base_model_prefix}."  # where the folder has a head and the module none
    layers = {_NUMBER.sub(".#", name.removeprefix(inside)) for name, _ in module.named_parameters()}
    beyond = sorted(name for name in found["unexpected_keys"] if _NUMBER.sub(".#", name.removeprefix(inside)) in layers)
    if beyond:
        raise EngineError(
            f"{folder}: the weights hold {_listed(beyond)}, layers that config.json does not count; give the config.json of these weights"
        )
    return module


def _shape(size: Collection[int]) -> str:
    return "x".join(map(str, size))


def _listed(names: Collection[str]) -> str:
    some = ", ".join(list(names)[:_NAMED])
    return f"{some} and {len(names) - _NAMED} other tensors" if len(names) > _NAMED else some


def reason(problem: BaseException) -> str:
    """The first line of a library's error, or its class where it has no words."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    told = f"{lines[0]} {lines[1]}" if len(lines) > 1 and lines[0].endswith(":") else lines[0] if lines else type(problem).__name__
    return (told if len(told) <= LONGEST else told[:LONGEST] + " …").rstrip(".")
