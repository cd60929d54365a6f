"""What a selection shows: what was taken against chance and against the pool, what was left out and why, and rows to look at."""

from __future__ import annotations

from pathlib import Path

from luthier.records import JSON
from luthier.report.page import Page
from luthier.report.wording import number, percent
from luthier.run.record import RunRecord
from luthier.select.balance import Shift
from luthier.select.page_charts import ScoreSteps, ratio_bands, score_curve, size_histogram, verdict
from luthier.select.settings import BY_MODEL
from luthier.select.shown import NAME, NOT_REACHED, head

SHIFTS = 6  # told one by one at most
SOURCES = 12  # shown one by one at most
TITLE = "Selection"


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier select run`; its shell until the rows are chosen and looked at."""
    report, look, settings = run.results("choose"), run.results("shown"), run.settings
    pool = Path(str(settings.get("pool", ""))).name
    if not look:
        return Page(TITLE, tags=(pool,))
    sizes = [{int(size): count for size, count in look[name].items()} for name in ("pool_sizes", "taken_sizes")]
    values = {
        "look": look,
        "report": report,
        "group": settings["group"],
        "verdict": verdict(look["ratio"], look["random_ratios"]),
        "bands": ratio_bands(look["ratio"], look["random_ratios"]),
        "scores": score_curve(ScoreSteps(**look["scores"])),
        "score_meaning": _score_meaning(settings),
        "sizes": size_histogram(*sizes),
        "sources": shares(report["pool_by_source"], report["taken_by_source"], "(no source)"),
        "languages": shares(report["pool_by_language"], report["taken_by_language"], "(not told)"),
        "shifts": [str(Shift(**shift)) for shift in report["shifts"]],
        "gates": gates(report, settings),
    }
    title = f"{number(report['rows'])} of {number(report['pool_rows'])} rows"
    return Page(title, "select/page.html.j2", values, (pool,), _journey(report))


def code(run: RunRecord) -> int:
    """1 where no row was chosen, which is no success."""
    return int(bool(run.results("choose")) and run.results("choose")["rows"] == 0)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done, or with --dry-run what it would do."""
    if plan := run.results("plan"):
        return [_forecast(plan)]
    report = run.results("choose")
    told = report["target_divergence"]
    gone = ", ".join(f"{count:,} {gate}" for gate, count in report["dropped"].items()) or "none"
    ratios = ", ".join(f"{name} {value:.2f}" for name, value in report["ratio"].items())
    return [
        *(["no row was chosen"] if code(run) else []),
        f"{report['rows']:,} of {report['pool_rows']:,} rows -> {run.path / run.results('rows')['file']}",
        f"left out before: {gone}",
        f"compression ratio by window: {ratios}",
        *(f"bits from the targets' n-grams: the pool {away['pool']:.2f}, the picks {away['picks']:.2f}" for away in [told] if away),
        *(f"balance: {Shift(**shift)}; --max-share can hold it" for shift in report["shifts"][:SHIFTS]),
        f"drawn, with rows to look at -> {run.path / 'report.html'}",
    ]


def _forecast(plan: JSON) -> str:
    told = f"{plan['pool_rows']:,} rows, {plan['pool_bytes']:,} bytes; {plan['method']} under {plan['budget']}: "
    if plan["method"] in BY_MODEL:
        pace = f"{plan['seconds_per_1000']:.0f} s per 1,000 rows"
        return f"{told}the model reads {plan['measurements']:,} rows, about {plan['seconds']:.0f} s ({pace})"
    return f"{told}at most {plan['measurements']:,} measurements, about {plan['seconds']:.0f} s"


def _journey(report: JSON) -> tuple[tuple[str, str], ...]:
    share = f" ({percent(report['bytes'] / report['pool_bytes'])})" if report["pool_bytes"] else ""
    figures = [
        (number(report["bytes"]), f"bytes of {number(report['pool_bytes'])}{share}"),
        (str(report["method"]), "method"),
        (str(report["budget"]), "budget"),
    ]
    return (*figures, *([(number(report["bad_rows"]), "bad rows set aside")] if report["bad_rows"] else []))


def _score_meaning(settings: JSON) -> str:
    """What the score of a pick says, by method."""
    column = settings["quality"]
    weighted = "" if column is None else f", divided by {column}"
    known = {
        "zip-long": f"bytes of the row / bytes it adds to the compressed selection{weighted}; lower says more that is new",
        "zip": "compression ratio of the round's picks with the row; lower is less redundant",
        "longest": "bytes of the row",
        "own-ratio": "compression ratio of the row alone; lower is less redundant",
        "k-center": "distance to the nearest earlier pick; the first has none and counts as 0",
        "facility-location": "how much nearer the row brings the pool to the picks",
        "clusters": "distance to the centre of the row's cluster",
        "deita": f"column {column}",
        "score": f"column {column}",
        "perplexity": "perplexity of the answer; nearest to the median first",
        "rds": "cosine to the target whose turn it was",
        "dsir": "log-weight of the row, in nats; drawn by it",
        "ifd": "loss of the answer after its prompt / loss of the answer alone; highest below 1 first",
    }
    return known.get(settings["method"], "")


def shares(pool: dict[str, int], taken: dict[str, int], unnamed: str) -> list[JSON]:
    """Rows by group, the largest of the pool first; beyond twelve, all others together."""
    names = list(pool)
    alone = names if len(names) <= SOURCES else names[:SOURCES]
    rows = [{"name": head(name, NAME) or unnamed, "pool": pool[name], "taken": taken.get(name, 0)} for name in alone]
    rest = names[len(alone) :]
    if rest:
        count = sum(taken.get(name, 0) for name in rest)
        rows.append({"name": f"{len(rest):,} others", "pool": sum(pool[name] for name in rest), "taken": count})
    return rows


def gates(report: JSON, settings: JSON) -> list[JSON]:
    """Why rows were left, in the order in which it is asked; with the picks they add up to the pool."""
    method, near, noise, quality, share = (settings[name] for name in ("method", "near", "noise", "quality", "max_share"))
    low, high = settings["band"]
    dropped = report["dropped"]
    capped, unscored = sum(report["capped"].values()), report["no_score"]
    left = report["pool_rows"] - report["rows"] - sum(dropped.values()) - capped - unscored - report["too_similar"]
    weighed = quality is not None and method in ("zip", "zip-long")
    scored, by_model = method in ("deita", "score"), method in BY_MODEL
    asked = [
        ("empty", "no text", True, dropped.get("empty", 0)),
        ("excluded", "repeats a row of an --exclude file", bool(settings["exclude"]), dropped.get("excluded", 0)),
        ("duplicate", "the text of an earlier row, but for case and white space", True, dropped.get("duplicate", 0)),
        (
            "near-duplicate",
            f"nearly the text of an earlier row: Jaccard index {near} or more of runs of three words",
            bool(near),
            dropped.get("near-duplicate", 0),
        ),
        ("noise", f"unlike its like, by a byte-trigram model: robust z-score above {noise}", bool(noise), dropped.get("noise", 0)),
        ("quality", f"column {quality} is empty or 0", weighed, dropped.get("quality", 0)),
        ("not scored", "outside the sample that the model read, or without what it scores", by_model, dropped.get("not scored", 0)),
        ("perplexity", f"outside the quantiles {low:g} to {high:g} of perplexity", method == "perplexity", dropped.get("perplexity", 0)),
        ("ifd", "1 or more: the prompt does not help the answer", method == "ifd", dropped.get("ifd", 0)),
        ("source cap", f"its group has its share of the budget ({', '.join(share)})", bool(share), capped),
        ("no score", f"column {quality} is empty", scored, unscored),
        ("too similar", "a pick is as near as cosine 0.9", method == "deita", report["too_similar"]),
        (NOT_REACHED, "the budget was spent on rows that rank before it, or the method passed over it", True, left),
    ]
    return [{"name": name, "meaning": meaning if on else "", "rows": count if on else None} for name, meaning, on, count in asked]
