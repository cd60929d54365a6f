"""Reranking by a language model: it is asked of each of the first documents whether it answers the query, and the odds of yes order them.

Any engine that scores given continuations can do it; nothing is generated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from luthier.errors import EngineError
from luthier.evaluate.retrieval.metrics import Run
from luthier.models import LanguageModel, Prompt
from luthier.records import Message

ASKED = "Query:\n{query}\n\nDocument:\n{document}\n\nDoes the document answer the query? Answer Yes or No."
LONGEST = 1500  # characters of a document that are shown
BATCH = 16


def rerank(
    run: Run,
    queries: Sequence[str],
    documents: Sequence[str],
    model: LanguageModel,
    *,
    top: int = 20,
    progress: Callable[[int], None] | None = None,
) -> Run:
    """The run with its first `top` documents of each query ordered by log P(Yes) - log P(No); the others stay behind them, in order.

    queries, documents: the texts that the run's numbers stand for. Raises EngineError where the model cannot score.
    """
    import numpy as np

    if "score" not in model.supports:
        raise EngineError(f"{model.name} cannot score given continuations, which reranking needs; use a local model")
    found, scores = run.documents.copy(), run.scores.copy()
    for row, asked in enumerate(queries):
        first = [int(document) for document in found[row, :top] if document >= 0]
        odds = np.array(_odds(model, asked, [documents[document] for document in first]), dtype=np.float32)
        order = np.argsort(-odds, kind="stable")
        found[row, : len(first)] = np.array(first, dtype=np.int32)[order]
        behind = scores[row, len(first) :]
        highest = behind[0] if len(behind) and np.isfinite(behind[0]) else np.float32(0)
        ranked = odds[order]
        scores[row, : len(first)] = ranked - ranked.min(initial=0) + highest + np.float32(1)  # above all that was not read
        if progress is not None:
            progress(1)
    return replace(run, documents=found, scores=scores, name=f"{run.name}+{model.name}")


def _odds(model: LanguageModel, query: str, documents: Sequence[str]) -> list[float]:
    prompts = [Prompt((Message("user", ASKED.format(query=query[:LONGEST], document=text[:LONGEST])),)) for text in documents]
    odds: list[float] = []
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        told = model.score([*part, *part], ["Yes"] * len(part) + ["No"] * len(part))
        odds += [yes.total - no.total for yes, no in zip(told[: len(part)], told[len(part) :], strict=True)]
    return odds
