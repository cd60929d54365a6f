"""What fitting a tracer shows: its epochs, how its chances were calibrated, and what it was fitted on."""

from __future__ import annotations

from luthier.report.page import Page
from luthier.run.record import RunRecord
from luthier.trace.answers_page import journey, left_out, told
from luthier.trace.settings import TRACER

TITLE = "A tracer, fitted"


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier trace fit`; its shell where nothing is fitted yet."""
    found, data = run.results("fit"), run.record.get("data")
    tags = (str(run.settings.get("built", {}).get("encoder", "")),)
    if not found or not data:
        return Page(TITLE, tags=tags, journey=journey(data) if data else ())
    values = {"found": found, "data": data, "left": left_out(data), "best": best(found["epochs"])}
    return Page(TITLE, "trace/fit.html.j2", values, tags, journey(data))


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    auc = best(run.results("fit")["epochs"])
    shown = "AUC is not defined on the validation answers" if auc is None else f"AUC {auc:.4f} on validation learners"
    return [told(run.record["data"]), f"{shown}   {run.path / TRACER}"]


def best(epochs: list[dict[str, float | None]]) -> float | None:
    """The AUC of the epoch whose weights are kept; None where it is not defined."""
    return max((each["auc"] for each in epochs if each["auc"] is not None), default=None)
