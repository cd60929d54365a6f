"""The adapter of a finished run on all 400 BFCL simple_python items beside the model it started from, free and constrained.

The default run scores 100 of them; the line also gives the 300 that it never sees. What was answered before a stop is kept. --quick: a tiny run of the whole flow instead.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from harness import RESULTS, benchmark

SEEN = 100


def measure(quick: bool, run: str) -> dict[str, Any]:
    return _tiny_run() if quick else _all_items(Path(run))


def _tiny_run() -> dict[str, Any]:
    from luthier.cli.progress import Watch
    from luthier.recipes.settings import ToolsSettings
    from luthier.recipes.tools import run

    tiny = ToolsSettings(
        apis=("module:textwrap", "module:shutil"),
        builtin_apis=False,
        dialogues=60,
        selected=16,
        steps=4,
        items=8,
        own_items=8,
        constrained=False,
    )
    with tempfile.TemporaryDirectory() as scratch, Watch() as watch:
        flow = run(tiny, Path(scratch) / "run", watch)
        parts = {name: flow.below(name) for name in ("before", "after")}
        tables = {name: part.results("answers")["scores"] for name, part in parts.items() if part is not None}
    return {name: {row["decoding"]: row for row in rows if row["category"] == "simple_python"} for name, rows in tables.items()}


def _all_items(run: Path) -> dict[str, Any]:
    from luthier.cli.progress import Watch
    from luthier.evaluate.runs import ANSWERS, run_tools
    from luthier.evaluate.settings import ToolsEvaluationSettings
    from luthier.evaluate.tools import scores
    from luthier.records.bfcl import load_items

    seen = {item.id for item in load_items("simple_python", SEEN)}
    figures: dict[str, Any] = {}
    for name, adapter in (("before", None), ("after", str(run / "sft" / "adapter"))):
        folder = RESULTS / f"tools-{name}"
        with Watch(replace=True) as watch:  # the same adapter's answers go on; those of another are moved aside
            made = run_tools(ToolsEvaluationSettings(adapter=adapter), folder, watch)
        unseen = scores([row for row in made.rows(ANSWERS) if row["id"] not in seen])
        figures[name] = {row["decoding"]: row for row in made.results("answers")["scores"]}
        figures[f"{name}_unseen"] = {score.decoding: score.to_row() for score in unseen}
    return figures


def line(figures: dict[str, Any]) -> str:
    parts = []
    for decoding in figures["before"]:
        old, new = figures["before"][decoding], figures["after"][decoding]
        text = f"{decoding} {old['official']['rate']:.1%} -> {_interval(new['official'])}"
        text += f" (strict {new['strict']['rate']:.1%}, n={new['items']})"
        if "after_unseen" in figures:
            unseen = figures["after_unseen"][decoding]
            text += f", of the {unseen['items']} unseen {_interval(unseen['official'])}"
        parts.append(text)
    return "simple_python " + "; ".join(parts)


def _interval(rate: dict[str, float]) -> str:
    return f"{rate['rate']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}]"


if __name__ == "__main__":
    benchmark("tools", measure, line, __doc__, run="runs/tools")
