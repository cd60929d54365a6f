"""Any description of APIs a person may have, by its name: an OpenAPI file, an MCP listing, a Python module, or what the index ships."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from luthier.errors import MissingFileError
from luthier.packages import BOTOCORE, GOOGLE_DISCOVERY, Wheel, fetch_wheel, file_sha256
from luthier.records import Tool
from luthier.synthesize.tools import importers
from luthier.synthesize.tools.importers.documents import load_document

MODULE = "module:"
BUILTIN: tuple[Wheel, ...] = (BOTOCORE, GOOGLE_DISCOVERY)


def import_apis(specs: Sequence[str], builtin: bool = False) -> Iterator[Tool]:
    """Tools of each spec (a file, or `module:NAME`), then those of the cloud services in `BUILTIN`.

    Raises MissingFileError or ToolSpecError with the spec and the place in it.
    """
    for spec in specs:
        yield from _import(spec)
    if builtin:
        yield from importers.import_botocore(fetch_wheel(BOTOCORE))
        yield from importers.import_google(fetch_wheel(GOOGLE_DISCOVERY))


def api_hashes(specs: Sequence[str], builtin: bool = False) -> dict[str, str]:
    """What identifies the inputs: the SHA-256 of every file. Raises MissingFileError."""
    hashes = {wheel.label: wheel.sha256 for wheel in BUILTIN} if builtin else {}
    for spec in specs:
        if not spec.startswith(MODULE) and not Path(spec).is_file():
            raise MissingFileError(f"{spec}: no such file; --api takes an OpenAPI file, an MCP tools/list file, or module:NAME")
        hashes[spec] = "an imported module" if spec.startswith(MODULE) else file_sha256(Path(spec))
    return hashes


def _import(spec: str) -> Iterator[Tool]:
    if spec.startswith(MODULE):
        return importers.import_python(spec.removeprefix(MODULE))
    document = load_document(Path(spec))
    read = importers.listed_tools if importers.holds_tools(document) else importers.openapi_tools
    return read(document, Path(spec))
