"""The pool of the cloud services' operations, read from their packages once: linted and without duplicates it stays in the cache.

Its key is the packages' hashes, the code that reads them and the libraries that judge them, so another version of any makes it anew.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from luthier.errors import LuthierError
from luthier.packages import cache_folder
from luthier.records import JSON, Tool
from luthier.records.files import read_rows, write_jsonl
from luthier.synthesize.tools.apis import BUILTIN, import_apis
from luthier.synthesize.tools.pool import ToolPool, build_pool, tool_from_row, tool_row

FOLDER = "tools"
_COUNTED = ("rejected", "sources")


class ShippedPool(NamedTuple):
    """The pool, and how many operations were read of which package."""

    pool: ToolPool
    sources: Counter[str]


def shipped_pool() -> ShippedPool:
    """From the cache, or from the packages, which are fetched where they are not there. A file that cannot be read is made anew, and a cache that
    cannot be written costs time only. Raises FetchError."""
    path = cache_folder() / FOLDER / f"{_key()}.jsonl.gz"
    try:
        return _kept(path)
    except (LuthierError, OSError, EOFError, ValueError, TypeError, KeyError):
        made = _made()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(path, chain([_account(made)], map(tool_row, made.pool)))
        for old in set(path.parent.glob("*.jsonl.gz")) - {path}:
            old.unlink(missing_ok=True)
    except (LuthierError, OSError):
        return made
    return made


def _made() -> ShippedPool:
    sources: Counter[str] = Counter()

    def counted() -> Iterator[Tool]:
        for tool in import_apis((), True):
            sources[package_of(tool)] += 1
            yield tool

    return ShippedPool(build_pool(counted()), sources)


def package_of(tool: Tool) -> str:
    """Where a tool came from, without its service."""
    return tool.source.rsplit(": ", 1)[0]


def _account(made: ShippedPool) -> JSON:
    pool = made.pool
    return {
        "tools": len(pool),
        "rejected": dict(pool.rejected),
        "duplicates": pool.duplicates,
        "near_duplicates": pool.near_duplicates,
        "sources": dict(made.sources),
    }


def _kept(path: Path) -> ShippedPool:
    rows = read_rows(path)
    _, told = next(rows, (0, {}))
    tools = tuple(tool_from_row(row, path, line) for line, row in rows)
    if len(tools) != told["tools"]:
        raise ValueError(f"{path}: {len(tools)} tools of {told['tools']}")
    rejected, sources = (Counter({str(name): int(count) for name, count in told[one].items()}) for one in _COUNTED)
    return ShippedPool(ToolPool(tools, rejected, int(told["duplicates"]), int(told["near_duplicates"])), sources)


@cache
def _key() -> str:
    here = Path(__file__).parent
    code = [*(here / "importers").glob("*.py"), *(here / f"{name}.py" for name in ("apis", "lint", "pool", "similarity"))]
    code += (here.parents[1] / "records").glob("*.py")
    digest = hashlib.sha256("".join(wheel.sha256 for wheel in BUILTIN).encode())
    digest.update(" ".join(version(package) for package in ("llguidance", "jsonschema")).encode())
    for path in sorted(code):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]
