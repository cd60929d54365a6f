"""What a comparison of methods shows: one row a method, what it took and how redundant that is."""

from __future__ import annotations

from luthier.records import JSON
from luthier.report.page import Page
from luthier.run.record import RunRecord

TITLE = "Methods side by side"
WINDOWS = ("32K", "1M", "all")


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier select compare`, with the methods that are done by now."""
    rows = _rows(run)
    pool = str(run.settings.get("pool", "")).rpartition("/")[2]
    if not rows:
        return Page(TITLE, tags=(pool,))
    most = {window: max(row["ratio"][window] for row in rows) or 1 for window in WINDOWS}
    sources = sorted({name for row in rows for name in row["taken_by_source"]})
    values = {
        "rows": rows,
        "windows": WINDOWS,
        "most": most,
        "budget": run.settings["budget"],
        "sources": sources,
        "aimed": any(row["target_divergence"] for row in rows),
    }
    return Page(TITLE, "select/comparison.html.j2", values, (pool,))


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done: the table."""
    rows = _rows(run)
    wide = max([len("method"), *(len(row["method"]) for row in rows)])
    aimed = any(row["target_divergence"] for row in rows)
    titles = "".join(f" {f'R {window}':>6}" for window in WINDOWS)
    last = f" {'from target':>11}" if aimed else ""
    told = [f"{'method':{wide}} {'rows':>9} {'bytes':>13}{titles} {'repeated prompts':>16}{last} {'seconds':>8}"]
    for row in rows:
        ratios = "".join(f" {row['ratio'][window]:>6.2f}" for window in WINDOWS)
        counts = f"{row['rows']:>9,} {row['bytes']:>13,}{ratios} {row['repeated_prompts']:>16,}"
        away = f" {row['target_divergence']['picks']:>11.2f}" if aimed else ""
        told.append(f"{row['method']:{wide}} {counts}{away} {row['seconds']:>8.1f}")
    return [*told, str(run.path / "report.html")]


def _rows(run: RunRecord) -> list[JSON]:
    return [{"method": name, **run.results(name)} for name in run.steps if run.is_finished(name)]
