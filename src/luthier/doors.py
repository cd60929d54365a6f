"""Names that load on first use: a package's face costs nothing until somebody goes through a door."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def doors(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__`: places is name -> the module that defines it."""

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(places[name]), name)
        module = sys.modules[package]
        if not isinstance(vars(module).get(name), type(sys)):  # a subpackage of that name stays one
            setattr(module, name, found)
        return found

    return find
