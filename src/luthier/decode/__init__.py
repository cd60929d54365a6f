"""Dynamic decoding (DDS, arXiv 2406.07850): a temperature for every context, or every token, from the model's own representation."""

from luthier.decode.head import DiversityHead
from luthier.decode.labels import DiversityLabeler
from luthier.decode.rules import Dynatemp, Edt, EntropyScore
from luthier.decode.similarity import StateEncoder

__all__ = ["DDS", "DiversityHead", "DiversityLabeler", "DynamicTemperature", "Dynatemp", "Edt", "EntropyScore", "StateEncoder"]


def __getattr__(name: str) -> object:
    if name in ("DDS", "DynamicTemperature"):  # they bring in transformers
        from luthier.decode import processor

        return getattr(processor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
