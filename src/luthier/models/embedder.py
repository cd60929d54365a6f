"""What every embedder in Luthier can do: turn texts into unit vectors, so that a dot product is a cosine.

Queries and documents may be read differently (a prompt before each), hence `kind`. The fingerprint names everything that a vector
depends on: two embedders with the same fingerprint give the same vectors, and caches rely on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from luthier.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["query", "document"]


@runtime_checkable
class Embedder(Protocol):
    """One protocol for every engine of embeddings.

    max_length: tokens read of a text, None where there is no limit. fingerprint: hash of weights, pooling, prompts and length.
    """

    name: str

    @property
    def max_length(self) -> int | None: ...

    @property
    def fingerprint(self) -> str: ...

    def key(self, kind: Kind) -> str:
        """Hash of what the vectors of this kind depend on: a prompt before queries leaves documents as they are."""
        ...

    def encode(self, texts: Sequence[str], kind: Kind = "document") -> NDArray[np.float32]:
        """Unit vectors, (texts, dimensions) float32, in order. Raises EngineError where a vector is not finite."""
        ...

    def token_counts(self, texts: Sequence[str], kind: Kind = "document") -> NDArray[np.int64] | None:
        """Tokens of each text before truncation, (texts,); None where the engine does not tell."""
        ...


def fingerprint_of(**parts: Any) -> str:
    """A short hash of named JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def unit_rows(vectors: NDArray[Any], texts: Sequence[str], name: str) -> NDArray[np.float32]:
    """The rows scaled to length 1; a row of zeros stays (a text without a known token). Raises EngineError naming the text of a bad row."""
    import numpy as np

    wide = np.asarray(vectors, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(wide).all(axis=1))
    if len(bad):
        shown = " ".join(texts[bad[0]].split())[:60]
        raise EngineError(f"{name}: the vector of a text is not finite ({len(bad)} of {len(wide)}; the first: {shown!r}); use float32")
    return unit_length(wide)


def unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows scaled to length 1; rows of zeros stay."""
    import numpy as np

    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return scaled
