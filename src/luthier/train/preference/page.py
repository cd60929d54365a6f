"""What a run of preference tuning shows: its curves by step, and the evaluation pairs before and after."""

from __future__ import annotations

from collections.abc import Iterator

from luthier.records import JSON
from luthier.report.charts import curve
from luthier.report.page import METRICS, Page
from luthier.run.record import RunRecord
from luthier.train.page import data_names

__all__ = ["METRICS", "draw", "lines"]

TITLE = "Preference tuning"
CURVES = (
    ("loss", "Loss", "what training minimises; that of dpo starts at log 2 = 0.693"),
    ("rewards/margins", "Margin", "reward of the chosen answer less that of the rejected one, in plain log-probabilities"),
    ("rewards/accuracies", "Accuracy", "share of the pairs whose chosen answer has the higher reward"),
    ("rewards/chosen", "Chosen answers", "their reward: below 0 they are less likely than under the reference"),
)
JUDGED = ("rewards/accuracies", "rewards/margins", "weighted/margins", "logps/chosen", "logps/rejected", "loss")


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier train preference`."""
    results, settings = run.results("train"), run.settings
    tags = (str(settings.get("model", "")), *data_names(run))
    if not results:
        return Page(TITLE, tags=tags)
    steps = list(run.rows(METRICS))
    drawn = [
        (title, told, curve([(row["step"], row[name]) for row in steps if row.get(name) is not None], title))
        for name, title, told in CURVES
    ]
    before, after = results["before"] or {}, results["after"] or {}
    values = {
        "results": results,
        "curves": drawn,
        "judged": [(name, before[name], after[name]) for name in JUDGED if name in before],
        "loss_name": _said(settings, "loss", "dpo"),
        "delta": _said(settings, "delta", 2.0),
        "weighting": settings.get("weighting") or ("bmc" if results["method"] in ("mc", "bmc") else "none"),
    }
    return Page(TITLE, "train/preference/page.html.j2", values, tags, training=False)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    made = run.results("train")
    said = [
        f"{made['steps']} steps of {made['method']} on {made['pairs']['kept']} pairs: loss {made['loss']:.3f}   {run.path / made['made']}"
    ]
    return [*said, *_left_out(made), *_judged(made), str(run.path / "report.html")]


def _left_out(made: JSON) -> Iterator[str]:
    for title, counts in (("pairs", made["pairs"]), ("evaluation pairs", made["evaluated"] or {})):
        told = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if name != "kept" and count]
        if told:
            yield f"{title} left out or cut: {', '.join(told)}"


def _judged(made: JSON) -> Iterator[str]:
    if made["before"] is not None:
        for name in ("rewards/accuracies", "rewards/margins", "logps/chosen"):
            yield f"  {name}: {made['before'][name]:.3f} → {made['after'][name]:.3f}"


def _said(settings: JSON, name: str, usual: object) -> object:
    """What an option or its section says."""
    given = settings.get(name)
    return settings.get("training", {}).get(name, usual) if given is None else given
