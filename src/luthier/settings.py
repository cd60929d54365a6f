"""Settings as data classes: a field holds its default, its help, its limits and the words of its option, once.

The command line reads its options off the fields, Python callers build the same classes, and `check` refuses for both what has no
meaning. `configured` fills a class from a YAML file, given values and `NAME=VALUE` texts.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from luthier.errors import SettingsError

REQUIRED: Any = MISSING
Value = TypeVar("Value")
Settings = TypeVar("Settings")
LARGEST = 2**31 - 1  # of a whole number where a field names no limit: what the libraries below can hold
LARGEST_SEED = 2**32 - 1
SPOKEN = "luthier"  # key of a field's metadata


@dataclass(frozen=True)
class Spoken:
    """What a field says of itself. words: of its option, the first one long; off: the word that switches it off; alone: its value where
    it is given without one; shown: its default in words; aside: it changes no result, so a stopped run may go on with another value; later: at
    its default it stands in no record, so that runs from before it was there go on."""

    kind: Literal["option", "argument", "section", "group"]
    help: str = ""
    words: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    required: bool = False
    metavar: str | None = None
    shown: str | None = None
    alone: Any = None
    off: str | None = None
    aside: bool = False
    later: bool = False

    def limits(self) -> str:
        """The limits in words: `from 1 to 30`, `above 0`; empty where there are none."""
        low = f"from {self.least:,}" if self.least is not None else f"above {self.above:,}" if self.above is not None else ""
        high = f"to {self.most:,}" if self.most is not None else f"below {self.below:,}" if self.below is not None else ""
        return " ".join(part for part in (low, high) if part)


def option(
    default: Value,
    help: str,  # noqa: A002  # the word of every such library
    *words: str,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    metavar: str | None = None,
    shown: str | None = None,
    alone: Any = None,
    off: str | None = None,
    aside: bool = False,
    later: bool = False,
) -> Value:
    """A field that is an option. words: its own in place of `--field-name`, or short ones beside it. REQUIRED as default: it must be given."""
    said = Spoken("option", help, words, least, most, above, below, default is REQUIRED, metavar, shown, alone, off, aside, later)
    return field(default=default, kw_only=True, metadata={SPOKEN: said})


def argument(help: str, *, default: Any = (), required: bool = False, metavar: str | None = None) -> Any:  # noqa: A002
    """A field that is an argument of the command; a tuple takes several. required: it must not be empty."""
    said = Spoken("argument", help, required=required or default is REQUIRED, metavar=metavar)
    return field(default=default, metadata={SPOKEN: said})


def section(help: str) -> Any:  # noqa: A002
    """A field of settings by name that another library takes: reached by --config and --set NAME.SETTING=VALUE."""
    return field(default_factory=dict, kw_only=True, metadata={SPOKEN: Spoken("section", help)})


def group(settings: type[Settings]) -> Settings:
    """A field that is a settings class of its own, whose options stand beside the others."""
    return field(default_factory=settings, kw_only=True, metadata={SPOKEN: Spoken("group")})


def seed_option(help: str = "Seed of every draw.") -> int:  # noqa: A002
    return option(0, help, least=0, most=LARGEST_SEED)


@dataclass(frozen=True)
class Entry:
    """One field of a settings class or of a group in it. path: the groups it stands in."""

    field: Field[Any]
    spoken: Spoken
    type: Any
    path: tuple[str, ...]

    @property
    def word(self) -> str:
        """The option's long word, or the field's name in capitals for an argument."""
        if self.spoken.kind == "argument":
            return self.spoken.metavar or self.field.name.upper()
        long = next((word for word in self.spoken.words if word.startswith("--")), None)
        return long or "--" + self.field.name.replace("_", "-")

    @property
    def words(self) -> tuple[str, ...]:
        """Every word of the option."""
        named = any(word.startswith("--") for word in self.spoken.words)
        return self.spoken.words if named else (self.word, *self.spoken.words)


def entries(settings: type) -> tuple[Entry, ...]:
    """The spoken fields of a settings class, those of its groups among them, in their order."""
    return _known(settings)


@cache
def _known(settings: Any) -> tuple[Entry, ...]:
    return tuple(_entries(settings, ()))


def _entries(settings: type, path: tuple[str, ...]) -> Iterator[Entry]:
    hints = get_type_hints(settings)
    for one in fields(settings):
        said: Spoken | None = one.metadata.get(SPOKEN)
        if said is not None and said.kind == "group":
            yield from _entries(hints[one.name], (*path, one.name))
        elif said is not None:
            yield Entry(one, said, hints[one.name], path)


def recorded(settings: Any) -> dict[str, Any]:
    """The settings by name, for a record: without those that came later and are at their defaults."""
    told = asdict(settings)
    _without_later(settings, told)
    return told


def _without_later(settings: Any, told: dict[str, Any]) -> None:
    for one in fields(settings):
        said: Spoken | None = one.metadata.get(SPOKEN)
        if said is not None and said.kind == "group":
            _without_later(getattr(settings, one.name), told[one.name])
        elif said is not None and said.later and told[one.name] == one.default:
            del told[one.name]


def check(settings: Any) -> None:
    """For `__post_init__`: refuse values outside their type, choices and limits, and numbers that are not finite. Raises SettingsError."""
    for entry in entries(type(settings)):
        if not entry.path:  # a group checks itself
            _check_value(entry, getattr(settings, entry.field.name), entry.type)


def _check_value(entry: Entry, value: Any, kind: Any) -> None:
    said, origin = entry.spoken, get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(kind):
            return
        kind = next(arg for arg in get_args(kind) if arg is not type(None))
        origin = get_origin(kind)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise SettingsError(f"{entry.word} is {value!r}; give a list of values")
        if said.required and not value:
            raise SettingsError(f"{entry.word} is missing: {said.help}")
        for each in value:
            _check_value(entry, each, get_args(kind)[0])
    elif origin is Literal:
        if value not in get_args(kind):
            raise SettingsError(f"{entry.word} is {value!r}; choose one of {', '.join(map(str, get_args(kind)))}")
    elif kind in (int, float):
        _check_number(entry, value, kind)
    elif kind is bool and not isinstance(value, bool):
        raise SettingsError(f"{entry.word} is {value!r}; it is either true or false")
    elif kind in (str, Path):
        _check_text(entry, value)


def _check_number(entry: Entry, value: Any, kind: type) -> None:
    said = entry.spoken
    whole = "whole number" if kind is int else "number"
    limits = said.limits()
    wanted = f"give a {whole} {limits}".rstrip()
    shown = str(value) if len(str(value)) < 40 else f"{str(value)[:36]} …"
    number = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if not number or (isinstance(value, float) and not math.isfinite(value)):
        raise SettingsError(f"{entry.word} is {shown}; {wanted}")
    low = (said.least is not None and value < said.least) or (said.above is not None and value <= said.above)
    high = (said.most is not None and value > said.most) or (said.below is not None and value >= said.below)
    if low or high:
        raise SettingsError(f"{entry.word} is {shown}; {wanted}")
    if said.most is None and isinstance(value, int) and abs(value) > LARGEST:
        raise SettingsError(f"{entry.word} is {shown}; give a number up to {LARGEST:,}")


def _check_text(entry: Entry, value: Any) -> None:
    if not isinstance(value, str | Path):
        raise SettingsError(f"{entry.word} is {value!r}; give a text")
    if "\0" in str(value):
        raise SettingsError(f"{entry.word} holds a NUL character")


def configured(
    settings: type[Settings], config: Path | None = None, changes: Sequence[str] = (), given: Mapping[str, Any] | None = None
) -> Settings:
    """An instance of a settings class: its defaults, changed by a YAML file, then by `given` values by field name, then by `NAME=VALUE`
    or `SECTION.NAME=VALUE` texts, whose values are YAML.

    Raises SettingsError for names that are not known and for what cannot be read.
    """
    known = {entry.field.name: entry for entry in entries(settings)}
    values: dict[str, Any] = {}
    for name, value in _read_yaml(config).items() if config is not None else ():
        _put(known, values, str(name), value, str(config))
    values |= given or {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise SettingsError(f"--set {change}: write it as NAME=VALUE")
        _put_path(known, values, name, _yaml(text, f"--set {change}"), f"--set {change}")
    missing = [entry.word for entry in known.values() if entry.spoken.required and not values.get(entry.field.name)]
    if missing:
        entry = next(entry for entry in known.values() if entry.word == missing[0])
        raise SettingsError(f"{missing[0]} is missing: {entry.spoken.help}")
    made: Settings = _build(settings, values)
    return made


def _put_path(known: dict[str, Entry], values: dict[str, Any], name: str, value: Any, where: str) -> None:
    place, dot, key = name.partition(".")
    entry = _named(known, place, where, bool(dot))
    if not dot:
        _put(known, values, place, value, where)
    elif entry.spoken.kind != "section":
        raise SettingsError(f"{where}: {place} has no parts; write {place}=VALUE")
    else:
        values[entry.field.name] = {**values.get(entry.field.name, {}), key: _number_or(value)}


def _put(known: dict[str, Entry], values: dict[str, Any], name: str, value: Any, where: str) -> None:
    entry = _named(known, name, where, isinstance(value, dict))
    if entry.spoken.kind == "section":
        if not isinstance(value, dict):
            raise SettingsError(f"{where}: {name} is a section; give its settings by name")
        values[entry.field.name] = {**values.get(entry.field.name, {}), **{str(key): _number_or(each) for key, each in value.items()}}
    else:
        values[entry.field.name] = _as(entry.type, value)


def _named(known: dict[str, Entry], name: str, where: str, section: bool) -> Entry:
    """The field of that name, or of that word of an option; where a section is called like an option, the one that is meant."""
    plain = name.replace("-", "_").lower()
    if found := [entry for entry in known.values() if plain in _spoken_names(entry)]:
        return next((entry for entry in found if (entry.spoken.kind == "section") is section), found[0])
    near = difflib.get_close_matches(plain, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    raise SettingsError(f"{where}: {name} is not a setting; {hint}")


def _spoken_names(entry: Entry) -> set[str]:
    return {entry.field.name, *(word.lstrip("-").replace("-", "_").lower() for word in (entry.word, *entry.spoken.words))}


def _build(settings: type, values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Any:
    chosen = {entry.field.name: values[entry.field.name] for entry in entries(settings) if not entry.path and entry.field.name in values}
    hints = get_type_hints(settings)
    for one in fields(settings):
        said: Spoken | None = one.metadata.get(SPOKEN)
        if said is not None and said.kind == "group":
            chosen[one.name] = _build(hints[one.name], values)
    return settings(**chosen)


def _as(kind: Any, value: Any) -> Any:
    """A value of YAML in the form that the field wants; what does not fit is left for `check`."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _as(next(part for part in parts if part is not type(None)), value)
    if origin is tuple:
        return tuple(_as(parts[0], each) for each in (value if isinstance(value, list) else [value]))
    if kind is Path:
        return Path(str(value))
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if kind is int and isinstance(number := _number_or(value), float) and number.is_integer():
        return int(number)
    return _number_or(value) if kind in (int, float) else value


def _read_yaml(path: Path) -> dict[Any, Any]:
    try:
        found = _yaml(path.read_text(encoding="utf-8"), str(path)) or {}
    except (OSError, ValueError) as problem:
        raise SettingsError(f"{path}: cannot be read ({problem})") from problem
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: give settings by name")
    return found


def _yaml(text: str, where: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise SettingsError(f"{where}: not YAML ({' '.join(str(problem).split())})") from problem


def _number_or(value: Any) -> Any:
    """`1e-3` is text to YAML and a number to people."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
