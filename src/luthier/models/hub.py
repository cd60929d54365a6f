"""Models, adapters and embedders of the Hugging Face hub by name, `ORG/NAME[@revision]`: with its cache, its token, and none of its code.

`HF_ENDPOINT` names another hub; offline (`HF_HUB_OFFLINE`, `luthier --offline`) the cache alone is read. Only safetensors and what describes them
are fetched: no pickles, no Python files.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from luthier.errors import MissingFileError
from luthier.models.loading import reason
from luthier.records.hub import Named, dataset_named

PATTERNS = ("*.json", "*.jinja", "*.safetensors", "*.model", "*.txt", "*.md")
LEFT = ("original/*", "consolidated*", "onnx/*", "openvino/*", "*.py", "runs/*")
COMMIT = re.compile(r"[0-9a-f]{40}")


class Fetched(NamedTuple):
    """What a name of the hub means now: the name with the commit, and the folder in the cache of the hub."""

    label: str
    folder: Path


def hub_named(text: str | Path) -> Named | None:
    """The repository of the hub that a name means; None where there is such a file or folder here, or it looks like a path."""
    if Path(text).exists() or str(text).lower().endswith((".gguf", ".safetensors", ".bin")):
        return None
    named = dataset_named(text)
    return None if named is None or named.split is not None else named


@cache
def fetch(named: Named, kind: str = "model") -> Fetched:
    """The repository's files, those that are missing fetched. kind: what it is wanted as, for what is said.

    Raises MissingFileError with what the hub says: no such repository or revision, gated, too many requests, broken off, out of reach.
    """
    from huggingface_hub import constants, snapshot_download

    offline = bool(constants.HF_HUB_OFFLINE)
    try:
        folder = Path(
            snapshot_download(
                named.name,
                revision=named.revision,
                allow_patterns=list(PATTERNS),
                ignore_patterns=list(LEFT),
                local_files_only=offline,
                tqdm_class=_bar(),
            )
        )
    except Exception as problem:  # the hub's client, httpx and the disk share no class
        raise MissingFileError(
            f"{named} is no folder here, and as {_article(kind)} of the hub {_told(problem, named, offline)}"
        ) from problem
    commit = folder.name if COMMIT.fullmatch(folder.name) else named.revision
    return Fetched(f"{named.name}@{commit}", folder)


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _told(problem: Exception, named: Named, offline: bool) -> str:
    """What stands in the way, and the cure."""
    from huggingface_hub import errors

    answers = [getattr(getattr(each, "response", None), "status_code", None) for each in _chain(problem)]
    status = next((each for each in answers if each is not None), None)
    known: list[tuple[bool, str]] = [
        (
            isinstance(problem, errors.GatedRepoError) or status == 403,
            "it is gated: ask for access on its page, and give a token (hf auth login, or HF_TOKEN)",
        ),
        (isinstance(problem, errors.RevisionNotFoundError), f"it has no revision {named.revision}; leave it out, or give another"),
        (
            isinstance(problem, errors.RepositoryNotFoundError) or status in (401, 404),
            "there is none of this name, or it is private; mend the name, or give a token (hf auth login, or HF_TOKEN)",
        ),
        (status == 429, "it cannot be had now: too many requests (429); wait a little, or give a token (HF_TOKEN)"),
        (status is not None, f"it cannot be had: the hub answers {status}; try again later"),
        (offline, "it is not in the cache, and nothing is fetched offline; leave --offline and HF_HUB_OFFLINE out"),
        (isinstance(problem, errors.LocalEntryNotFoundError), f"it cannot be had: the hub cannot be reached ({_cause(problem)})"),
    ]
    return next((words for fits, words in known if fits), f"it broke off ({_cause(problem)}); the same command fetches the rest")


def told_of_push(problem: Exception) -> str:
    """What stands in the way of a push, and the cure."""
    answers = [getattr(getattr(each, "response", None), "status_code", None) for each in _chain(problem)]
    status = next((each for each in answers if each is not None), None)
    if status in (401, 403):
        return f"the hub answers {status}; give a token that may write there (hf auth login, or HF_TOKEN)"
    return f"the hub answers {status}; try again later" if status is not None else _cause(problem)


def _cause(problem: Exception) -> str:
    """The innermost reason, in one line."""
    return " ".join(reason(list(_chain(problem))[-1]).split())


def _chain(problem: BaseException) -> Iterator[BaseException]:
    """The problem, and what it came from."""
    each: BaseException | None = problem
    while each is not None:
        yield each
        each = each.__cause__


def _bar() -> Callable[..., Any]:
    """The hub's own bars on a terminal; none elsewhere."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **{**more, "disable": not sys.stderr.isatty() or bool(more.get("disable"))})

    return Bar
