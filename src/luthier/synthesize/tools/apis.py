"""Any description of APIs a person may have, by its name: an OpenAPI file, an MCP listing, a Python module, or what the index ships."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from luthier.errors import MissingFileError, SettingsError
from luthier.packages import BOTOCORE, GOOGLE_DISCOVERY, Wheel, fetch_wheel
from luthier.records import Tool
from luthier.synthesize.tools import importers
from luthier.synthesize.tools.importers.documents import load_document
from luthier.synthesize.tools.importers.python import imported

MODULE, SERVER = "module:", "mcp:"
SAMPLE = "sample"  # the API that ships with the package, where no other is given
_SAMPLE = Path(__file__).parent / "data" / "library_desk.yaml"
BUILTIN: tuple[Wheel, ...] = (BOTOCORE, GOOGLE_DISCOVERY)


def import_apis(specs: Sequence[str], builtin: bool = False) -> Iterator[Tool]:
    """Tools of each spec (a file, `module:NAME`, or `sample`), then those of the cloud services in `BUILTIN`.

    Raises MissingFileError or ToolSpecError with the spec and the place in it.
    """
    for spec in specs:
        yield from _import(spec)
    if builtin:
        yield from importers.import_botocore(fetch_wheel(BOTOCORE))
        yield from importers.import_google(fetch_wheel(GOOGLE_DISCOVERY))


def api_reads(specs: Sequence[str], builtin: bool = False) -> list[tuple[str, Path]]:
    """The files behind the specs, by the specs' names: of a module its own, where it has one. Raises MissingFileError, ToolSpecError."""
    found = [(spec, path) for spec in specs if (path := _file(spec)) is not None]
    return found + ([(wheel.label, fetch_wheel(wheel)) for wheel in BUILTIN] if builtin else [])


def _file(spec: str) -> Path | None:
    if spec.startswith(SERVER):
        raise SettingsError(
            f"{spec}: a live server may answer differently each time; keep its tools with `luthier tools import {spec} --out pool.jsonl`"
        )
    if spec.startswith(MODULE):
        module = imported(spec.removeprefix(MODULE))
        return Path(module.__file__) if module.__file__ else None
    if spec == SAMPLE and not Path(spec).is_file():
        return _SAMPLE
    if not Path(spec).is_file():
        raise MissingFileError(f"{spec}: no such file; an API is an OpenAPI file, a list of tools such as MCP's, a pool, or module:NAME")
    return Path(spec)


def _import(spec: str) -> Iterator[Tool]:
    if spec.startswith(MODULE):
        return importers.import_python(spec.removeprefix(MODULE))
    if spec.startswith(SERVER):
        return importers.server_tools(spec.removeprefix(SERVER))
    path = _file(spec) or Path(spec)
    document = load_document(path)
    if importers.holds_rows(document):
        return importers.row_tools(document, path)
    if importers.is_discovery(document):
        return importers.DiscoveryDocument(document).tools(f"google discovery: {document.get('name') or path.stem}")
    if importers.is_service_model(document):
        service = str(document.get("metadata", {}).get("endpointPrefix") or path.parent.name)
        return importers.ServiceModel(document, str(path)).tools(importers.snake_case(service), f"botocore: {service}")
    read = importers.listed_tools if importers.holds_tools(document) else importers.openapi_tools
    return read(document, path)
