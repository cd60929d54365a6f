"""Single parts of the tools flow, for people who want one of them: checked dialogues from their APIs, or a score for their model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from luthier.progress import Progress, quiet
from luthier.recipes.tools import benchmark_leaks, open_model
from luthier.records import JSON, write_jsonl


def checked_dialogues(out: Path, apis: Sequence[str], count: int, *, real_share: float = 1.0, seed: int = 0) -> tuple[int, int]:
    """Write up to `count` checked dialogues about the APIs to `out`; returns how many were written and how many failed a check."""
    from luthier.synthesize.tools.apis import api_hashes, import_apis
    from luthier.synthesize.tools.checks import check
    from luthier.synthesize.tools.dialogues import synthesize_dialogues
    from luthier.synthesize.tools.pool import build_pool

    api_hashes(apis)  # every file is there before anything is made
    pool = build_pool(import_apis(apis))
    leaks = benchmark_leaks()
    failed = 0

    def rows() -> Iterator[JSON]:
        nonlocal failed
        for conversation in synthesize_dialogues(count, list(pool), seed=seed, real_share=real_share):
            if check(conversation, leaks):
                failed += 1
            else:
                yield conversation.to_row()

    return write_jsonl(out, rows()), failed


def evaluate_model(
    model: str,
    adapter: Path | None,
    *,
    categories: Sequence[str],
    items: int | None,
    decodings: Sequence[Any],
    out: Path,
    endpoint: str | None = None,
    api_key: str | None = None,
    progress: Progress = quiet,
) -> list[JSON]:
    """The score table of a model on BFCL categories; judged answers go to `out`, and a stopped evaluation continues from it.

    endpoint: base URL of an OpenAI-compatible server that serves `model`; it decodes freely only. Raises EngineError where it cannot
    be reached or cannot follow a grammar.
    """
    from luthier.evaluate.tools import evaluate_tools
    from luthier.models.endpoint import EndpointModel
    from luthier.records.bfcl import load_items

    chosen = [item for category in categories for item in load_items(category, items)]
    progress.step("evaluate", len(chosen) * len(decodings))
    engine = open_model(model, adapter) if endpoint is None else EndpointModel(endpoint, model, api_key)
    table = evaluate_tools(engine, chosen, out, decodings=decodings, progress=progress.advance)
    return [score.to_row() for score in table]
