"""Runs of `luthier trace mastery` and `luthier trace evaluate` as their pages get them, of any size and with any names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luthier.report.mastery_page import write_mastery_page
from luthier.report.trace_page import write_trace_page

DATA = {"answers": 1234, "learners": 40, "items": 60, "concepts": 9, "right": 0.61, "merged_rows": 5, "moved_rows": 2, "with_text": 3}


def mastery_rows(learners: int, concepts: list[str]) -> list[dict[str, Any]]:
    """Learner n has met the first n + 1 concepts, and knows concept k at k tenths."""
    rows = []
    for number in range(learners):
        met = concepts[: number + 1]
        mastery = {name: [min(0.9, 0.1 * (place + 1)), 0.05, 0.95, 4] for place, name in enumerate(met)}
        timeline = [{"answers": 2 * step, "mastery": dict(list(mastery.items())[:step])} for step in range(1, 5)]
        recent = [{"item": f"item {n}", "correct": n % 2, "concepts": met[:2]} for n in range(8)]
        following = [{"item": "item 9", "chance": 0.55, "concepts": met[:1], "waits_for": []}]
        rows.append(
            {
                "learner": f"learner {number}",
                "answers": 8,
                "right": 0.5,
                "mastery": mastery,
                "timeline": timeline,
                "recent": recent,
                "next": following,
            }
        )
    return rows


def mastery_page(path: Path, learners: int = 6, concepts: list[str] | None = None) -> str:
    names = concepts or [f"concept {number}" for number in range(8)]
    links = [
        {"source": names[0], "target": names[-1], "relation": "prerequisite", "weight": 0.7},
        {"source": names[0], "target": names[1 % len(names)], "relation": "asked together", "weight": 3},
    ]
    write_mastery_page(path, mastery_rows(learners, names), links, {"data": DATA})
    return path.read_text()


def scores(auc: float | None, parts: tuple[str, ...]) -> dict[str, Any]:
    estimate = {"value": auc, "low": None if auc is None else auc - 0.01, "high": None if auc is None else auc + 0.01}
    other = {"value": 0.2, "low": 0.1, "high": 0.3}
    one = {"answers": 300, "learners": 8, "auc": estimate} | dict.fromkeys(("accuracy", "log_loss", "brier", "ece"), other)
    return dict.fromkeys(parts, one) | {"within learners": auc}


def evaluation_page(path: Path, *, held: bool = True, draws: int = 2, auc: float | None = 0.7, concept: str = "fractions") -> str:
    parts = ("all", *(("unseen", "seen") if held else ()), "first attempts", "answers 1-10", "answers 11-50")
    models = ("sinkt", "dkt", *(("dkt-known",) if held else ()), "irt", "bkt", "running+difficulty", "running", "mean")
    result = {
        "split": {
            "sha256": "ab" * 32,
            "seed": 0,
            "held_concepts": [concept] * 14 if held else [],
            "held_items": 0,
            "learners": {"train": 28, "valid": 4, "test": 8},
            "answers": {"train": 800, "valid": 100, "test": 300},
        },
        "epochs": [{"loss": 0.6, "auc": auc}, {"loss": 0.5, "auc": None}],
        "uncalibrated_ece": 0.04,
        "reliability": [{"answers": 9, "chance": 0.1 * n, "right": 0.1 * n} for n in range(1, 10)],
        "scores": {name: scores(auc, parts) for name in models},
    }
    spread = {"mean": auc, "low": auc, "high": auc}
    table = {name: dict.fromkeys(parts[:3] if held else parts[:1], spread) for name in models}
    lead = {name: {part: {"mean": 0.05, "low": -0.01, "high": 0.09} for part in table[name]} for name in models[1:]}
    settings = {"encoder": "minilm", "graph": ["qmatrix", "expert"], "hold": "concepts" if held else "none"}
    record = {"data": DATA, "settings": settings, "over_draws": {"draws": draws, "auc": table, "ece": table, "lead": lead}}
    write_trace_page(path, record, [result] * draws)
    return path.read_text()
