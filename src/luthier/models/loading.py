"""What libraries raise while they read a model folder, as one line that names the folder."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from luthier.errors import EngineError, LuthierError

LONGEST = 300  # characters of a library's own words


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


def reason(problem: BaseException) -> str:
    """The first line of a library's error, or its class where it has no words."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    told = f"{lines[0]} {lines[1]}" if len(lines) > 1 and lines[0].endswith(":") else lines[0] if lines else type(problem).__name__
    return (told if len(told) <= LONGEST else told[:LONGEST] + " …").rstrip(".")
