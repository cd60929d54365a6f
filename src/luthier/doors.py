"""Names that load on first use: a package's face costs nothing until somebody goes through a door."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


def doors(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__`: places is name -> the module that defines it."""

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(places[name]), name)
        module = sys.modules[package]
        if not isinstance(vars(module).get(name), ModuleType):  # a subpackage of that name stays one
            setattr(module, name, found)
        return found

    return find


class CallableModule(ModuleType):
    """A package that is called by its own name, as `luthier.select(rows)` is: importing a part of it hides the function of that name."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*given, **named)
