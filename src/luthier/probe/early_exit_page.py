"""What chains that stop early show: tokens saved, answers changed."""

from __future__ import annotations

from luthier.records import JSON
from luthier.report.page import Page
from luthier.report.wording import percent, points, rate
from luthier.run.record import RunRecord

TITLE = "Chains that stop once their answer is settled"


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier probe online`."""
    found = run.results("online")
    if not found:
        return Page(TITLE)
    return Page(TITLE, "probe/early_exit.html.j2", {"found": found, "saved": _saved(found), "points": points})


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found = run.results("online")
    told = f"{found['chains']} chains, {found['exited']} of them cut: {found['tokens']:,} tokens written, {found['forwarded']:,} probed"
    said = [f"{told}; right {rate(found['right'])}"]
    if full := found["whole"]:
        apart = "" if full["difference"] is None else f"; difference {points(full['difference'])}"
        kept = f"right {rate(full['right'])}; same answer {rate(full['same_answer'])}{apart}"
        said.append(f"whole chains: {full['tokens']:,} tokens ({_saved(found)} saved); {kept}")
    return [*said, str(run.path / "report.html")]


def _saved(found: JSON) -> str:
    return percent(round(1 - found["tokens"] / max(1, found["whole"]["tokens"]), 2)) if found["whole"] else "–"
