"""What a repair shows: the patch where there is one, and the tree of what was tried."""

from __future__ import annotations

from luthier.report.page import Page
from luthier.report.wording import duration, number
from luthier.run.record import RunRecord
from luthier.search.page import PROGRAMS, SEARCHES, costs, shown

PATCH = "fix.patch"
TITLE = "A failing test, repaired"


def draw(run: RunRecord) -> Page:
    """The page of a repair; before the search is done, its shell."""
    found, fix, settings = run.results("search"), run.results("fix"), run.settings
    tags = (str(settings.get("model", "")), str(settings.get("strategy", "")), str(settings.get("budget", "")))
    if not found:
        return Page(TITLE, tags=tags)
    patch = run.path / PATCH
    values = {
        "test": str(settings.get("test", "")),
        "fix": fix,
        "patch": [(_kind(line), line) for line in patch.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")]
        if patch.is_file()
        else [],
        "functions": found["functions"],
        "suite": found.get("suite", {}),
        "left_out": found.get("left_out", []),
        "cost": costs(found),
        "counts": list(found["counts"].items()),
        "trees": [shown(row, list(run.rows(PROGRAMS)), None) for row in run.rows(SEARCHES)],
    }
    return Page(TITLE, "search/repair.html.j2", values, tags)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found, fix = run.results("search"), run.results("fix")
    spent = found["spent"]
    told = (
        f"fixed in {fix['file']}, {fix['lines']} lines changed: {run.path / PATCH}"
        if fix.get("fixed")
        else f"no fix found among {found['programs']} edits; more --budget, --functions or another --strategy may find one"
    )
    return [
        told,
        f"spent {number(spent['calls'])} calls, {number(spent['tokens'])} tokens, {duration(spent['seconds'])} of model and tests",
        str(run.path / "report.html"),
    ]


def _kind(line: str) -> str:
    return "added" if line.startswith("+") and line[:3] != "+++" else "removed" if line.startswith("-") and line[:3] != "---" else "same"
