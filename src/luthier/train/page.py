"""What a fine-tuned model's run shows: steps, losses, what it learned from; the shell draws the curve."""

from __future__ import annotations

from pathlib import Path

from luthier.report.page import METRICS, Page
from luthier.run.record import RunRecord

__all__ = ["METRICS", "data_names", "draw", "lines"]

TITLE = "Fine-tuning"


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier train sft`."""
    found = run.results("train")
    tags = (str(run.settings.get("model", "")), *data_names(run))
    if not found:
        return Page(TITLE, tags=tags)
    return Page(TITLE, "train/page.html.j2", {"made": found, "settings": run.settings}, tags)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    made = run.results("train")
    held = "" if made["eval_loss"] is None else f", evaluation {made['eval_loss']:.3f}"
    named = "Adapter" if made["made"] == "adapter" else "Model"
    told = f"{made['steps']} steps of {made['method']} on {made['rows']} rows: loss {made['loss']:.3f}{held}"
    said = [f"{told}   {named}: {run.path / made['made']}"]
    for name, rows in (("left_out", "rows"), ("eval_left_out", "evaluation rows")):
        if made[name]:
            said.append(f"{made[name]} {rows} were left out: too long, or without an assistant turn")
    return [*said, str(run.path / "report.html")]


def data_names(run: RunRecord) -> tuple[str, ...]:
    """The names of the files of a run's data."""
    return tuple(Path(path).name for path in run.settings.get("data", ()))
