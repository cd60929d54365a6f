"""Runs of `luthier trace` as their pages get them, of any size and with any names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luthier.run import RunRecord
from luthier.trace import evaluation_page as evaluations
from luthier.trace import learners_page
from run_folders import drawn, run_folder

DATA = {
    "answers": 1234,
    "learners": 40,
    "items": 60,
    "concepts": 9,
    "right": 0.61,
    "merged_rows": 5,
    "repeated_rows": 0,
    "moved_rows": 2,
    "with_text": 3,
    "without_concepts": 1,
    "edges": 2,
    "longest": 99,
    "median_length": 22.5,
    "notes": [],
    "attached": 0,
}


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


def mastery_page(folder: Path, learners: int = 6, concepts: list[str] | None = None) -> str:
    names = concepts or [f"concept {number}" for number in range(8)]
    links = [
        {"source": names[0], "target": names[-1], "relation": "prerequisite", "weight": 0.7},
        {"source": names[0], "target": names[1 % len(names)], "relation": "asked together", "weight": 3},
    ]
    rows = mastery_rows(learners, names)
    steps = {"mastery": {"learners": learners, "answers": 8 * learners}, "links": {"links": links}}
    run = run_folder(folder, "trace mastery", steps, {"learners": []}, {"learners.jsonl": rows}, data=DATA)
    return drawn(run, learners_page.draw)


def scores(auc: float | None, parts: tuple[str, ...]) -> dict[str, Any]:
    estimate = {"value": auc, "low": None if auc is None else auc - 0.01, "high": None if auc is None else auc + 0.01}
    other = {"value": 0.2, "low": 0.1, "high": 0.3}
    one = {"answers": 300, "learners": 8, "auc": estimate} | dict.fromkeys(("accuracy", "log_loss", "brier", "ece"), other)
    return dict.fromkeys(parts, one) | {"within learners": auc}


def evaluation_page(folder: Path, *, held: bool = True, draws: int = 2, auc: float | None = 0.7, concept: str = "fractions") -> str:
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
    settings = {"built": {"encoder": "minilm", "graph": ["qmatrix", "expert"]}, "hold": "concepts" if held else "none"}
    over_draws = {"draws": draws, "auc": table, "ece": table, "lead": lead}
    steps = {f"draw-{number}": result for number in range(draws)}
    return drawn(run_folder(folder, "trace evaluate", steps, settings, data=DATA, over_draws=over_draws), evaluations.draw)


def change(concept: str = "<b>sums</b>", **changes: Any) -> dict[str, Any]:
    return {
        "concept": concept,
        "before": "s1",
        "after": "s2",
        "mastery_before": 0.8,
        "mastery_after": 0.41,
        "evidence_before": 30,
        "evidence_after": 31,
        "by": "items",
        "items": 30,
        "difference": -0.4,
        "low": -0.5,
        "high": -0.3,
        "p": 1e-5,
        "p_all": 2e-5,
        "verdict": "lost",
        "narrowest": changes.get("verdict", "lost") != "",
        **changes,
    }


def results(learners: int = 3, concepts: int = 2, **changes: Any) -> dict[str, Any]:
    names, skills = [f"m<{at}>" for at in range(learners)], [f"<i>skill {at}</i>" for at in range(concepts)]
    return {
        "answers": 300,
        "items": 150,
        "concepts": skills,
        "notes": ["<u>one was not scored</u>"],
        "alarms": 2,
        "ability_sd": 1.0,
        "spread": 0.4,
        "rounds": 9,
        "learners": [
            {
                "learner": name,
                "family": "m",
                "new": at == 0,
                "accuracy": 0.1 + 0.8 * at / learners,
                "low": 0.05,
                "high": 0.95,
                "answered": 30,
                "items": 150,
                "observed": 0.5,
                "ability": 0.0,
                "ability_sd": 0.3,
            }
            for at, name in enumerate(names)
        ],
        "mastery": [
            {"learner": name, "concept": skill, "mastery": 0.6, "low": 0.4, "high": 0.8, "answers": 12 + at}
            for name in names[1:]
            for at, skill in enumerate(skills)
        ],
        "changes": [change(), change("dates", verdict="", p_all=0.3), change("slices", by="ability", low=None, high=None, items=0)],
        "ask": [{"learner": names[0], "item": "<a>1", "concepts": "", "difficulty": 1.25}],
        "train": [{"learner": names[0], "item": "b", "concepts": "", "chance": 0.44}],
        "text": {"items": 40, "correlation": 0.52, "within": None, "doubt": 1.5, "points": [(-1.0, -0.5), (0.5, 2.0)]},
        **changes,
    }


def models_run(folder: Path, found: dict[str, Any], held: dict[str, Any] | None = None, **settings: Any) -> RunRecord:
    """A run of `luthier trace models`; its learners are checkpoints unless told otherwise."""
    told = {"checkpoints": True, "parameters": 1, **settings}
    return run_folder(folder, "trace models", {"held-out": held or {"learners": 0}, "trace": found}, told)
