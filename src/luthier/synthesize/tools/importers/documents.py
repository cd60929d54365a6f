"""Loads JSON and YAML files as plain values, bounded in size, and follows references between them; names the line where one is broken.

YAML is read as OpenAPI wants it: version 1.2 with the values of JSON, so that `no`, `12:45` and `01234` are texts; keys stay as written.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from luthier.errors import MissingFileError, ToolSpecError
from luthier.records.account import note
from luthier.synthesize.tools.importers.yaml_values import YamlError, parse_yaml

MOST_FILES = 10_000  # that one document refers to; a public API is kept in 3,000
_LARGEST_FILE = 64 * 2**20
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LINES = (".jsonl", ".ndjson")


def load_document(path: Path) -> Any:
    """The document in a .json, .yaml or .yml file; of JSONL the list of its rows. Raises MissingFileError or ToolSpecError with file and line."""
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ToolSpecError(f"{path}: larger than {_LARGEST_FILE} bytes; split it")
        data = path.read_bytes()
    except OSError as problem:
        raise MissingFileError(f"{path}: cannot be read: {problem.strerror}") from None
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        return _parsed(data.decode(encoding), path)
    except UnicodeDecodeError as problem:
        raise ToolSpecError(f"{path}: not UTF-8 at byte {problem.start}; save it as UTF-8") from None
    except RecursionError:
        raise ToolSpecError(f"{path}: nests too deeply to be read; flatten it") from None


class Documents:
    """A document and the files it refers to: those in its folder and in folders below, read when they are first named.

    References of other files are told as seen from the first, so that `resolve` needs nothing but the reference.
    """

    def __init__(self, document: Any, path: Path) -> None:
        from referencing import Registry
        from referencing.jsonschema import DRAFT202012

        self._path, self._folder = path, path.resolve().parent
        self._base = path.resolve().as_uri()
        self._read: dict[str, Any] = {}
        self._own = document.get("$id") if isinstance(document, Mapping) else None
        registry: Any = Registry
        first = DRAFT202012.create_resource(document)
        self._resolver = registry(retrieve=self._retrieved).with_resource(self._base, first).resolver(self._base)

    def resolve(self, reference: str) -> Any:
        """What a reference names. Raises ToolSpecError where that is nothing, or lies outside the folder."""
        from referencing.exceptions import Unresolvable

        if isinstance(self._own, str) and reference.startswith(f"{self._own}#"):
            reference = reference.removeprefix(self._own)
        try:
            if not reference.startswith("#"):
                self._check(urldefrag(urljoin(self._base, reference)).url, reference)
            return self._resolver.lookup(reference).contents
        except Unresolvable as problem:
            cause: BaseException | None = problem
            while cause is not None and not isinstance(cause, ToolSpecError | MissingFileError):
                cause = cause.__cause__
            if cause is not None:
                raise ToolSpecError(f"$ref {reference!r}: {cause}") from None
            raise ToolSpecError(f"$ref {reference!r} leads nowhere; define it or correct the reference") from None
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as problem:
            raise ToolSpecError(f"$ref {reference!r} cannot be followed ({type(problem).__name__}); correct the reference") from None

    def _check(self, uri: str, reference: str) -> None:
        if uri == self._base:
            return
        parts = urlsplit(uri)
        if parts.scheme != "file" or parts.netloc:
            raise ToolSpecError(f"$ref {reference!r} points to the network; nothing is fetched, so save the file beside {self._path.name}")
        if not Path(unquote(parts.path)).resolve().is_relative_to(self._folder):
            raise ToolSpecError(f"$ref {reference!r} points outside {self._path.parent}; copy the file into it")

    def _retrieved(self, uri: str) -> Any:
        from referencing.jsonschema import DRAFT202012

        self._check(uri, uri)
        if uri not in self._read:
            if len(self._read) >= MOST_FILES:
                raise ToolSpecError(f"{self._path}: refers to more than {MOST_FILES} files; bundle them into one")
            contents = _rebased(load_document(Path(unquote(urlsplit(uri).path))), uri)
            self._read[uri] = DRAFT202012.create_resource(contents)
        return self._read[uri]


def _rebased(value: Any, base: str) -> Any:
    """The values of a file with its references, and those of discriminators, made absolute; one that is no address stays."""
    if isinstance(value, list):
        return [_rebased(part, base) for part in value]
    if not isinstance(value, dict):
        return value
    made = {name: _rebased(part, base) for name, part in value.items()}
    if isinstance(value.get("$ref"), str):
        made["$ref"] = _absolute(base, value["$ref"])
    mapping = value.get("mapping")
    if "propertyName" in value and isinstance(mapping, Mapping):
        made["mapping"] = {
            name: _absolute(base, target) if isinstance(target, str) and {"/", "#", "."}.intersection(target) else target
            for name, target in mapping.items()
        }
    return made


def _absolute(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference


def _parsed(text: str, path: Path) -> Any:
    if path.suffix.lower() in _LINES:
        return [_from_json(line, path, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if path.suffix.lower() == ".json":
        return _from_json(text, path)
    if text.lstrip()[:1] in ("{", "["):
        try:
            return _from_json(text, path)
        except ToolSpecError:
            pass  # a YAML file may begin with a bracket
    try:
        document, repeated = parse_yaml(text)
    except YamlError as problem:
        raise ToolSpecError(f"{path}:{problem.line}: not YAML: {problem}; mend the file") from None
    for name, line in repeated:
        note("left out", f"key {name!r} told twice: all but the last", path, line)
    return document


def _from_json(text: str, path: Path, first: int = 1) -> Any:
    def pairs(some: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(some)
        if len(made) < len(some):
            names = [name for name, _ in some]
            for name in dict.fromkeys(name for name in names if names.count(name) > 1):
                note("left out", f"key {name!r} told twice: all but the last", path)
        return made

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as problem:
        line = first + problem.lineno - 1
        raise ToolSpecError(f"{path}:{line}: not JSON: {problem.msg} at column {problem.colno}; mend the file") from None
    except ValueError as problem:
        raise ToolSpecError(f"{path}: not JSON: {problem}; mend the file") from None
