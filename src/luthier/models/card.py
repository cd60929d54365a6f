"""The card of what was made: what it is made of, how, and how well it does, from what the runs themselves recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from luthier.models.base_model import Base
from luthier.models.known import find_known
from luthier.records import JSON
from luthier.run.record import RunRecord

HIDDEN = ("seed", "data", "evaluation", "model", "adapter")  # told elsewhere on the card


def card(
    base: Base, *, adapter: bool, run: RunRecord | None = None, scores: Sequence[RunRecord] = (), license_id: str = "", name: str = ""
) -> str:
    """Markdown with the front matter that the hub reads. run: what trained it. scores: runs of `luthier evaluate`."""
    known = find_known(base.name)
    title = name or f"{base.name.rpartition('/')[2]}, fine-tuned"
    front: JSON = {
        "license": license_id or (known.license.lower() if known else "other"),
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["luthier", *(["lora"] if adapter else [])],
    }
    if base.origin:
        front |= {"base_model": base.origin, "base_model_relation": "adapter" if adapter else "finetune"}
    parts = ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()), "---", "", f"# {title}", ""]
    return "\n".join([*parts, *_base_lines(base), *(_training(run) if run else []), *_scores(scores)]) + "\n"


def _base_lines(base: Base) -> list[str]:
    known = find_known(base.name)
    where = f"`{base.origin or base.name}`" + (f" at commit `{base.revision}`" if base.revision else "")
    kept = f", from {known.weights} weights that were de-quantised once: every number here is that of a 4-bit base" if known else ""
    return ["## Base", "", f"{where}{kept}. SHA-256 of its weights: `{base.weights}`.", ""]


def _training(run: RunRecord) -> list[str]:
    """Command, data with hashes, settings that were given, what came of it."""
    record = run.record
    told = ["## Training", "", "```", str(record.get("command") or f"luthier {run.name}"), "```", ""]
    inputs = record.get("inputs", {})
    rows = [f"| `{Path(name).name}` | `{value}` |" for name, value in inputs.items()] if isinstance(inputs, dict) else []
    told += ["| what was read | SHA-256 |", "| --- | --- |", *rows, ""] if rows else []
    settings = {name: value for name, value in run.settings.items() if name not in HIDDEN and value not in (None, "", [], {}, False)}
    told += ["| setting | value |", "| --- | --- |", *(f"| {name} | `{json.dumps(value)}` |" for name, value in settings.items()), ""]
    found = {name: value for step in run.steps.values() for name, value in (step.get("results") or {}).items() if _plain(value)}
    told += (
        ["| result | value |", "| --- | --- |", *(f"| {name} | {_number(value)} |" for name, value in found.items()), ""] if found else []
    )
    return told


def _scores(runs: Sequence[RunRecord]) -> list[str]:
    rows = [
        f"| {run.name.removeprefix('evaluate ')} | {label} | {rate['rate']:.1%} | {rate['low']:.1%} to {rate['high']:.1%} | {rate['items']:,} |"
        for run in runs
        for label, rate in _rates({name: step.get("results") for name, step in run.steps.items()}, ())
    ]
    return (
        ["## Scores", "", "| what | of it | rate | 95 % interval | items |", "| --- | --- | --- | --- | --- |", *rows, ""] if rows else []
    )


def _rates(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, JSON]]:
    """Every rate with its interval in a step's results, and where it stands."""
    if isinstance(value, dict) and {"rate", "low", "high", "items"} <= value.keys():
        yield " ".join(path) or "all", value
    elif isinstance(value, dict):
        named = [str(value[key]) for key in ("category", "decoding") if isinstance(value.get(key), str)]
        for key, inner in value.items():
            yield from _rates(inner, (*path, *named, key) if not named else (*named, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _rates(inner, ())


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
