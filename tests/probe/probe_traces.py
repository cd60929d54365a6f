"""Traces made by hand, and by chance."""

from __future__ import annotations

import numpy as np

from luthier.probe import ChainTrace
from luthier.records.choices import ChoiceQuestion

WORKED = [[0.40, 0.30, 0.30], [0.35, 0.45, 0.20], [0.20, 0.70, 0.10]]


def trace(
    conf: object,
    answer: int | None = 1,
    stated: int | None = None,
    *,
    question: str = "Which?",
    number: int = 0,
    chain: str = "",
    tokens: int = 10,
) -> ChainTrace:
    rows = np.array(conf, dtype=float)
    options = tuple(f"option {place}" for place in range(rows.shape[1]))
    steps = tuple(f"Step {step} goes on." for step in range(1, len(rows)))
    return ChainTrace(
        ChoiceQuestion(question, options, answer),
        chain or " ".join(steps),
        steps,
        rows,
        np.full(len(rows), 0.9),
        stated,
        tokens=tokens,
        forwarded=20,
        naive=60,
        mode="packed",
        number=number,
        ends=tuple(4 * step for step in range(1, len(rows))),
    )


def drawn(random: np.random.Generator, steps: int, options: int = 4, **about: object) -> ChainTrace:
    return trace(random.dirichlet(np.ones(options), size=steps + 1), **about)  # type: ignore[arg-type]
