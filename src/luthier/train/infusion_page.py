"""What an infusion shows: each stage with its curve, and what it learned from."""

from __future__ import annotations

from luthier.records.fusion_suite import STAGES
from luthier.report.charts import curve, thin
from luthier.report.page import METRICS, Page
from luthier.run.record import RunRecord

TITLE = "Facts infused into a model"


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier train infuse`."""
    tags = (str(run.settings.get("model", "")),)
    stages = [{"name": name, "made": run.results(name), "curve": _curve(run, name)} for name in STAGES if run.is_finished(name)]
    return Page(TITLE, "train/infusion.html.j2", {"stages": stages}, tags) if stages else Page(TITLE, tags=tags)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    said = []
    for name in filter(run.is_finished, STAGES):
        made = run.results(name)
        told = f"{name}: {made['steps']} steps on {made['rows']} rows, {made['general_rows']} of them general; loss {made['loss']:.3f}"
        said.append(f"{told}   {run.path / name / made['made']}")
        if made["left_out"]:
            said.append(f"{made['left_out']} rows of {name} were left out: too long, or with nothing to learn")
        if made.get("general_left_out"):
            said.append(
                f"{made['general_left_out']} rows of general text were passed over: longer than max_length, or than two rows of --pack"
            )
    return [*said, str(run.path / "report.html")]


def _curve(run: RunRecord, stage: str) -> object:
    thinned, _ = thin([(float(row["step"]), float(row["loss"])) for row in run.rows(f"{stage}/{METRICS}")])
    return curve(thinned, f"training loss of {stage}")
