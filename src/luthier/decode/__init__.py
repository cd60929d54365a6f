"""Dynamic decoding (DDS, arXiv 2406.07850): a temperature for every context, or every token, from the model's own representation."""

from luthier.decode.contexts import Context, mixture, read_contexts
from luthier.decode.head import DiversityHead
from luthier.decode.labels import DiversityLabeler, Label, read_labels, targets
from luthier.decode.mappings import Mapping, Statistics, exponential, inverse_sigmoid, linear, logit
from luthier.decode.rules import Dynatemp, Edt, EntropyScore, Fixed, Rule, Scorer, ScoreRule
from luthier.decode.similarity import StateEncoder

__all__ = [
    "DDS",
    "Context",
    "DiversityHead",
    "DiversityLabeler",
    "DynamicTemperature",
    "Dynatemp",
    "Edt",
    "EntropyScore",
    "Fixed",
    "Label",
    "Mapping",
    "Rule",
    "ScoreRule",
    "Scorer",
    "StateEncoder",
    "Statistics",
    "exponential",
    "inverse_sigmoid",
    "linear",
    "logit",
    "mixture",
    "read_contexts",
    "read_labels",
    "targets",
]


def __getattr__(name: str) -> object:
    if name in ("DDS", "DynamicTemperature"):  # they bring in transformers
        from luthier.decode import processor

        return getattr(processor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
