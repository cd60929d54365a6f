"""The main job, measured: the bundled model on BFCL before and after, all items of every category. --quick: a tiny run of the same line."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from harness import RESULTS, benchmark


def measure(quick: bool) -> dict[str, Any]:
    from luthier.cli.progress import Watch
    from luthier.recipes.tools import ToolsSettings, run_tools

    if quick:
        with tempfile.TemporaryDirectory() as scratch, Watch() as watch:
            tiny = ToolsSettings(
                apis=("module:textwrap", "module:shutil"),
                builtin_apis=False,
                dialogues=60,
                selected=16,
                items=8,
                constrained=False,
            )
            return _figures(run_tools(tiny, Path(scratch), "benchmarks/tools.py --quick", watch))
    with Watch() as watch:
        return _figures(run_tools(ToolsSettings(items=None), RESULTS / "tools", "benchmarks/tools.py", watch))


def _figures(record: dict[str, Any]) -> dict[str, Any]:
    steps = record["steps"]
    return {
        "before": steps["evaluate-before"]["results"]["scores"],
        "after": steps["evaluate-after"]["results"]["scores"],
        "train": steps["train"]["results"],
        "peak_memory_mib": record["peak_memory_mib"],
        "seconds": {name: step["seconds"] for name, step in steps.items()},
    }


def line(figures: dict[str, Any]) -> str:
    parts = []
    for old, new in zip(figures["before"], figures["after"], strict=True):
        rates = [f"{score[kind]['rate']:.1%}" for kind in ("official", "strict") for score in (old, new)]
        parts.append(
            f"{old['category']}/{old['decoding']} {rates[0]} -> {rates[1]} (strict {rates[2]} -> {rates[3]}, n={old['items']})"
        )
    return "; ".join(parts) + f"; peak {figures['peak_memory_mib']:.0f} MiB"


if __name__ == "__main__":
    benchmark("tools", measure, line, __doc__)
