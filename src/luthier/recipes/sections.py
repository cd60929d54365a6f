"""Settings in sections, from a YAML file and from `section.name=value` on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from luthier.errors import SettingsError
from luthier.records import JSON


def read_sections(
    config: Path | None, changes: Sequence[str], base: dict[str, JSON], options: dict[str, JSON] | None = None
) -> dict[str, JSON]:
    """The sections of `base`, changed by a YAML file that has some of them, then by `options`, which are values already, then by
    `section.name=value` changes; values are YAML.

    Raises SettingsError for what cannot be read.
    """
    sections = {name: dict(part) for name, part in base.items()}
    *first, last = sections
    names = f"{', '.join(first)} and {last}"
    if config is not None:
        try:
            read = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError) as problem:
            raise SettingsError(f"{config}: cannot be read ({problem})") from problem
        except yaml.YAMLError as problem:
            raise SettingsError(f"{config}: not YAML ({' '.join(str(problem).split())})") from problem
        if not isinstance(read, dict) or any(name not in sections or not isinstance(part, dict) for name, part in read.items()):
            raise SettingsError(f"{config}: give sections {names}, each with its settings")
        for name, part in read.items():
            sections[name] |= part
    for name, part in (options or {}).items():
        sections[name] |= part
    for change in changes:
        place, equals, text = change.partition("=")
        section, dot, name = place.partition(".")
        if not equals or not dot or section not in sections:
            ways = " or ".join(f"{known}.NAME=VALUE" for known in sections)
            raise SettingsError(f"--set {change}: write it as {ways}")
        try:
            sections[section][name] = yaml.safe_load(text)
        except yaml.YAMLError as problem:
            raise SettingsError(f"--set {change}: the value is not YAML") from problem
    return {name: {key: _number_or(value) for key, value in part.items()} for name, part in sections.items()}


def _number_or(value: Any) -> Any:
    """`1e-3` is text to YAML and a number to people."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
