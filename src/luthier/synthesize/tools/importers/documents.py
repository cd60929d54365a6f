"""Loads a JSON or YAML document as plain values, bounded in size, and names the line where it is broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from luthier.errors import MissingFileError, ToolSpecError

_LARGEST_FILE = 64 * 2**20
_MOST_VALUES = 5_000_000


def load_document(path: Path) -> Any:
    """The document in a .json, .yaml or .yml file. Raises MissingFileError or ToolSpecError with file and line."""
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ToolSpecError(f"{path}: larger than {_LARGEST_FILE} bytes; split it")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise MissingFileError(f"{path}: cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError as problem:
        raise ToolSpecError(f"{path}: not UTF-8 at byte {problem.start}; save it as UTF-8") from None
    try:
        return _parsed(text, path)
    except RecursionError:
        raise ToolSpecError(f"{path}: nests too deeply to be read; flatten it") from None


def _parsed(text: str, path: Path) -> Any:
    if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except json.JSONDecodeError as problem:
            if path.suffix.lower() == ".json":
                raise ToolSpecError(f"{path}:{problem.lineno}: not JSON: {problem.msg} at column {problem.colno}; mend the file") from None
    return _from_yaml(text, path)


def _from_yaml(text: str, path: Path) -> Any:
    import yaml

    try:
        document = yaml.load(text, Loader=_plain_loader())  # noqa: S506  a SafeLoader that leaves dates as text
    except yaml.MarkedYAMLError as problem:
        line = f":{problem.problem_mark.line + 1}" if problem.problem_mark else ""
        raise ToolSpecError(f"{path}{line}: not YAML: {problem.problem}; mend the file") from None
    except (yaml.YAMLError, ValueError) as problem:
        raise ToolSpecError(f"{path}: not YAML: {problem}; mend the file") from None
    return _Copier(path).plain(document, ())


def _plain_loader() -> Any:
    import yaml

    class PlainLoader(yaml.SafeLoader):
        """SafeLoader without timestamps: an example date stays the text it was."""

    PlainLoader.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return PlainLoader


class _Copier:
    """Copies YAML values to plain JSON values; aliases that loop or explode are refused."""

    def __init__(self, path: Path) -> None:
        self._path, self._left = path, _MOST_VALUES

    def plain(self, value: Any, inside: tuple[int, ...]) -> Any:
        self._left -= 1
        if id(value) in inside or self._left < 0:
            raise ToolSpecError(f"{self._path}: YAML aliases make the document endless; write the repeated part out")
        if isinstance(value, dict):
            return {str(key): self.plain(item, (*inside, id(value))) for key, item in value.items()}
        if isinstance(value, list | tuple | set):
            return [self.plain(item, (*inside, id(value))) for item in value]
        return value if value is None or isinstance(value, str | int | float | bool) else str(value)
