"""Who speaks: one protocol for a language model, and the engines behind it."""

from luthier.models.embedder import Embedder
from luthier.models.protocol import Capability, Completion, LanguageModel, Progress, Prompt, Sampling, Score, Usage

__all__ = ["Capability", "Completion", "Embedder", "LanguageModel", "Progress", "Prompt", "Sampling", "Score", "Usage"]
