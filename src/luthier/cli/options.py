"""Click's options and arguments, made from the fields of a settings class (`luthier.settings`)."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import click

from luthier.settings import Entry, entries

SCALARS = {int: click.INT, float: click.FLOAT, str: click.STRING, Path: click.STRING}


def parameters(settings: type) -> list[click.Parameter]:
    """The arguments of a settings class, then its options, then --config and --set."""
    known = [entry for entry in entries(settings) if entry.spoken.kind != "section"]
    arguments = [_argument(entry) for entry in known if entry.spoken.kind == "argument"]
    options = [_option(entry) for entry in known if entry.spoken.kind == "option"]
    sections = {entry.field.name: entry.spoken.help for entry in entries(settings) if entry.spoken.kind == "section"}
    return [*arguments, *options, *_from_files(sections)]


def given(context: click.Context, settings: type) -> dict[str, Any]:
    """What was said on the command line, by field name; defaults are left to the settings class."""
    said = (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)
    names = [entry.field.name for entry in entries(settings) if entry.spoken.kind != "section"]
    found = {name: context.params[name] for name in names if context.get_parameter_source(name) in said}
    kinds = {entry.field.name: _plain(entry.type) for entry in entries(settings)}
    return {name: _as_path(kinds[name], value) for name, value in found.items() if value is not None}


def _as_path(kind: Any, value: Any) -> Any:
    """Paths are taken as texts, because click looks for them on disk; what they hold is checked with all other settings."""
    if kind is Path:
        return Path(value)
    return tuple(map(Path, value)) if get_origin(kind) is tuple and get_args(kind)[0] is Path else value


def _argument(entry: Entry) -> click.Argument:
    kind, many = _kind(entry.type)
    # Whether one is missing is told after --config was read, so click does not ask.
    return click.Argument(
        [entry.field.name], type=kind, nargs=-1 if many else 1, required=False, metavar=entry.spoken.metavar or _shown(entry, many)
    )


def _shown(entry: Entry, many: bool) -> str:
    name = entry.field.name.upper()
    told = f"{name}..." if many else name
    return told if entry.spoken.required else f"[{told}]"


def _option(entry: Entry) -> click.Option:
    said, default = entry.spoken, entry.field.default
    kind, many = _kind(entry.type)
    words = list(entry.words)
    more: dict[str, Any] = {}
    if _plain(entry.type) is bool:
        off = said.off or (f"--no-{entry.word.removeprefix('--')}" if default is True else None)
        words = [f"{words[0]}/{off}" if off else words[0], *words[1:]]
        more = {"is_flag": True}
    else:
        pair = get_origin(_plain(entry.type)) is tuple and not many
        more = {"type": kind, "multiple": many, "metavar": said.metavar, "nargs": len(get_args(_plain(entry.type))) if pair else 1}
        if said.alone is not None:
            more |= {"is_flag": False, "flag_value": said.alone}
    shown: bool | str = said.shown or not (said.required or default is None or default in ("", ()) or (default is False and not said.off))
    limits = said.limits()
    text = f"{said.help} [{limits}]" if limits else said.help
    return click.Option(
        [*words, entry.field.name], default=None if said.required else default, show_default=shown, required=False, help=text, **more
    )


def _kind(annotation: Any) -> tuple[Any, bool]:
    """Click's type of one value, and whether the option or argument may be given again."""
    plain = _plain(annotation)
    if get_origin(plain) is tuple:
        parts = get_args(plain)
        return _kind(parts[0])[0], parts[-1] is Ellipsis
    if get_origin(plain) is Literal:
        return click.Choice([str(each) for each in get_args(plain)]), False
    return SCALARS.get(plain, click.STRING), False


def _plain(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _from_files(sections: dict[str, str]) -> list[click.Parameter]:
    told = "; ".join(f"{name}: {text}" for name, text in sections.items())
    name = next(iter(sections), None)
    example = f"{name}.NAME=VALUE, or NAME=VALUE" if name else "NAME=VALUE"
    return [
        click.Option(["--config", "config"], type=click.Path(path_type=Path), help="YAML with any of these settings, by name."),
        click.Option(["--set", "changes"], multiple=True, metavar=example, help=f"One of them. {told}".strip()),
    ]
