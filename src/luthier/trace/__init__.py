"""Knowledge tracing (SINKT, arXiv 2407.01245): what a learner, a pupil or a model, will answer right next, also on items never seen before.

The heavy parts load on first use, so that a command's help stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luthier.trace.advice import explain, recommend
    from luthier.trace.item_response import calibrate
    from luthier.trace.readers import read_answers
    from luthier.trace.results import read_results
    from luthier.trace.settings import TracerSettings
    from luthier.trace.tracer import Tracer

_PLACES = {
    "Tracer": "tracer",
    "TracerSettings": "settings",
    "calibrate": "item_response",
    "explain": "advice",
    "read_answers": "readers",
    "read_results": "results",
    "recommend": "advice",
}
__all__ = ["Tracer", "TracerSettings", "calibrate", "explain", "read_answers", "read_results", "recommend"]


def __getattr__(name: str) -> object:
    if name in _PLACES:
        return getattr(importlib.import_module(f"luthier.trace.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
