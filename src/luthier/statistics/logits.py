"""Between chances and logits. Arrays of any shape in, the same shape out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def logit(share: NDArray[np.float64], edge: float = 1e-4) -> NDArray[np.float64]:
    """log(share / (1 - share)); shares nearer than `edge` to 0 or 1 are taken to lie there."""
    import numpy as np

    inside = np.clip(share, edge, 1 - edge)
    found: NDArray[np.float64] = np.log(inside / (1 - inside))
    return found


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-values)), without overflow."""
    import numpy as np

    found: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(values, -500, 500)))
    return found
