"""What a comparison of strategies shows: solved at equal budget with intervals, curves over calls and tokens, what each costs."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.records import JSON
from luthier.report.charts import interval_bars, plot, ticks
from luthier.report.page import Page
from luthier.report.wording import number, percent, percent_range, rate
from luthier.run.record import RunRecord
from luthier.search.page import SCORES, costs

TITLE = "Strategies at equal budget"
AXES = (("calls", 0), ("tokens", 1))


def draw(run: RunRecord) -> Page:
    """The page of a comparison; strategies that are not searched yet are left out."""
    settings = run.settings
    tags = (str(settings.get("model", "")), str(settings.get("budget", "")))
    names = [step.removeprefix("scores ") for step in run.steps if step.startswith("scores ") and run.is_finished(step)]
    if not names:
        return Page(TITLE, tags=tags)
    scores = {name: list(run.rows(f"{name}/{SCORES}")) for name in names}
    values = {
        "searched": len(next(iter(scores.values()))),
        "rows": [_row(run, name) for name in names],
        "curves": [(axis, plot(f"share solved over {axis}", *curves(scores, place))) for axis, place in AXES],
        "names": names,
        "compared": run.results("comparison"),
    }
    return Page(TITLE, "search/comparison.html.j2", values, tags)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    told = []
    for step in run.steps:
        if step.startswith("scores ") and run.is_finished(step):
            name = step.removeprefix("scores ")
            found, scored = run.results(f"search {name}"), run.results(step)
            spent = found["spent"]
            told.append(f"{name}: {rate(_main(scored))}, {number(spent['calls'])} calls, {number(spent['tokens'])} tokens")
    compared = run.results("comparison")
    for pair in compared.get("pairs", []):
        told.append(
            f"{compared['base']} less {pair['other']}: {100 * pair['mean']:+.1f} points ({100 * pair['low']:+.1f} to {100 * pair['high']:+.1f}),"
            f" {pair['gained']} gained, {pair['lost']} lost, p {pair['p']:.3f}"
        )
    return [*told, str(run.path / "report.html")]


def _main(scored: JSON) -> JSON:
    found: JSON = scored.get("private") or scored["public"]
    return found


def _row(run: RunRecord, name: str) -> JSON:
    found, scored = run.results(f"search {name}"), run.results(f"scores {name}")
    main = _main(scored)
    return {
        "name": name,
        "chart": interval_bars([("after", main)]),
        "rate": percent(round(main["rate"], 3)),
        "range": percent_range(round(main["low"], 2), round(main["high"], 2)),
        "public": rate(scored["public"]),
        "apart": rate(scored.get("apart")),
        "costs": costs(found),
        "counts": sum(found["counts"].values()),
    }


def solved_at(rows: Sequence[JSON], place: int, amount: float) -> float:
    """The share of searches whose answer is right once so much was spent. place: of calls or tokens in a point of a curve."""
    right = 0
    for row in rows:
        reached = [point for point in row["curve"] if point[place] <= amount]
        right += bool(reached and reached[-1][3])
    return right / max(1, len(rows))


def curves(scores: dict[str, list[JSON]], place: int) -> tuple[list[tuple[str, str]], list[tuple[float, str]], list[tuple[float, str]]]:
    """Paths of all strategies and their axes. place: of calls or tokens in a point of a curve."""
    amounts = sorted({point[place] for rows in scores.values() for row in rows for point in row["curve"]})
    if not amounts:
        return [], [], []
    most = amounts[-1]
    steps = amounts[:: max(1, len(amounts) // 200)]
    paths = []
    for at, (_, rows) in enumerate(scores.items()):
        shares = [(amount / most * 100, 100 - 100 * solved_at(rows, place, amount)) for amount in (*steps, most)]
        paths.append(
            (f"line line{at % 8}", "M" + "".join(f"{x:.2f} {y:.2f}" if not n else f"H{x:.2f}V{y:.2f}" for n, (x, y) in enumerate(shares)))
        )
    columns = [(tick / most, number(tick)) for tick in ticks(0, most) if tick <= most]
    return paths, [(at / 4, percent(at / 4)) for at in range(5)], columns
