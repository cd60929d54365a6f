"""The entropy law of a ledger, told and drawn: each version with its ratios, loss and alarms, and a prediction or the reason for none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.records.files import refuse_taken
from luthier.report.charts import plot, ticks
from luthier.report.page import Page, write_page
from luthier.report.wording import Told, number
from luthier.run import Run
from luthier.select.entropy_law import expectation, law_of, noise_words
from luthier.select.settings import LawSettings

if TYPE_CHECKING:
    from markupsafe import Markup

NAME = "select law"
HEAD = 1 << 18  # bytes of a page that hold its style and its heading
LABELS = 8  # version numbers on an axis at most, so that they do not touch on a phone


def law(settings: LawSettings, progress: Progress = quiet) -> Told:
    """What a ledger says of its versions; with `out` also as one page. Raises MissingFileError, BadRowError, DiskError."""
    groups = [group.to_row() for group in law_of(Path(settings.ledger))]
    told = [line for group in groups for line in _table(group)]
    if not groups:
        told.append(f"{settings.ledger}: no versions yet; train with an EntropyLawCallback")
    if settings.out is None:
        return Told(told, groups)
    out = Path(settings.out)
    refuse_taken(out, [settings.ledger], replace=progress.replace or _is_law(out))
    record = Run(out.parent, NAME, settings, reads=[settings.ledger], progress=progress)
    record.record["status"] = "done"
    return Told([*told, str(write_page(draw(groups, settings.ledger), record, out))], groups)


def _is_law(place: Path) -> bool:
    """Whether a file is the page of an earlier call: a ledger grows, and is drawn again after each version."""
    try:
        with place.open("rb") as page:
            return f"<span>{NAME}</span>".encode() in page.read(HEAD)
    except OSError:
        return False


def _table(group: JSON) -> list[str]:
    wide = max(len(version["name"]) for version in group["versions"])
    told = [
        f"group {group['group']}; {noise_words(group)}",
        f"{'version':{wide}} {'seed':>4} {'rows':>10} {'R 32K':>7} {'R all':>7} {'L':>7} {'bits/byte':>9}  metric",
    ]
    for version in group["versions"]:
        bits = "–" if version["bits_per_byte"] is None else f"{version['bits_per_byte']:.3f}"
        whole = f"{version['ratio']['all']:.2f}" if "all" in version["ratio"] else "–"
        told.append(
            f"{version['name']:{wide}} {version['seed']:>4} {version['rows']:>10,} {version['ratio']['32K']:>7.3f} {whole:>7} "
            f"{version['loss']:>7.3f} {bits:>9}  {expectation(version)}"
        )
        told += [f"  {alarm['level']} {alarm['rule']}: {alarm['text']}" for alarm in version["alarms"]]
    return told


def draw(groups: Sequence[JSON], ledger: str) -> Page:
    """R, the long-range index, L and the metric by version, with the table."""
    shown = [
        {**group, "versions": _numbered(group["versions"]), "charts": _charts(group), "noise_words": noise_words(group)} for group in groups
    ]
    values = {"groups": shown, "ledger": ledger, "lead": _lead(groups), "expectation": expectation}
    return Page("Entropy law", "select/law.html.j2", values, (ledger,), training=False)


def _lead(groups: Sequence[JSON]) -> str:
    newest = [group["versions"][-1] for group in groups]
    if not newest:
        return "No version has been written yet."
    alarms = [(version["name"], alarm) for version in newest for alarm in version["alarms"]]
    if not alarms:
        return "The newest version raises no alarm."
    name, worst = max(alarms, key=lambda pair: ("info", "warn", "stop").index(pair[1]["level"]))
    return f"Version {name}: {worst['text']}."


class Series(NamedTuple):
    """One line of a chart. values, guessed: by version, None where there is none. width: half-width of a band around the values."""

    title: str
    note: str
    values: Sequence[float | None]
    width: float = 0.0
    guessed: Sequence[float | None] = ()


def _numbered(rows: Sequence[JSON]) -> list[JSON]:
    """The runs in the order of their data sets, each with the number of its own: seeds of one stand together."""
    numbers = {name: at for at, name in enumerate(dict.fromkeys(row["fingerprint"] for row in rows), 1)}
    return sorted(({**row, "number": numbers[row["fingerprint"]]} for row in rows), key=lambda row: row["number"])


def _charts(group: JSON) -> list[tuple[str, str, Markup]]:
    """By data set: the mean over its seeds."""
    sets = [list(runs) for _, runs in groupby(_numbered(group["versions"]), key=lambda row: row["number"])]
    spread = (group["noise"] or {}).get("spread", 0.0)

    def means(of: Callable[[JSON], float | None]) -> list[float | None]:
        found = [[value for run in runs if (value := of(run)) is not None] for runs in sets]
        return [sum(values) / len(values) if values else None for values in found]

    metric = means(lambda run: run["metric"])
    guesses = means(lambda run: run["prediction"]["metric"] if "prediction" in run else None)
    series = [
        Series("R", "bytes / compressed bytes, 32 KiB window", means(lambda run: run["ratio"]["32K"])),
        Series("Long-range index", "R of the whole set / R", means(lambda run: run["index"])),
        Series("L", "first-epoch loss, nats a token", means(lambda run: run["loss"]), 2 * spread),
        Series("Metric", "higher is better", metric, 0.0, [g if m is None else None for g, m in zip(guesses, metric, strict=True)]),
    ]
    flagged = [any(run["alarms"] for run in runs) for runs in sets]
    drawn = [(each.title, each.note, version_chart(each, flagged)) for each in series]
    return [(title, note, chart) for title, note, chart in drawn if chart]


def version_chart(series: Series, flagged: Sequence[bool]) -> Markup:
    """Values by version number, joined by a line, in the classes of the report's style sheet; flagged ones are drawn as alarms.

    Empty where there is no value at all.
    """
    from markupsafe import Markup

    guessed = series.guessed or [None] * len(series.values)
    known = [(at, value) for at, value in enumerate(series.values) if value is not None]
    foretold = [(at, value) for at, value in enumerate(guessed) if value is not None]
    if not known:
        return Markup("")
    every = [value + side * series.width for _, value in known for side in (-1, 1)] + [value for _, value in foretold]
    marks = ticks(min(every), max(every))
    low, high = marks[0], marks[-1]
    last = max(1, len(series.values))

    def x(at: int) -> float:
        return 100 * (at + 0.5) / last

    def y(value: float) -> float:
        return 100 - 100 * (value - low) / (high - low)

    def path(places: Sequence[tuple[int, float]]) -> str:
        return "M" + "L".join(f"{x(at):.2f} {y(value):.2f}" for at, value in places)

    def dots(places: Sequence[tuple[int, float]]) -> str:
        return " ".join(f"M{x(at):.2f} {y(value):.2f}h0" for at, value in places)

    band = ""
    if series.width > 0:
        upper = path([(at, value + series.width) for at, value in known])
        lower = path([(at, value - series.width) for at, value in reversed(known)])
        band = f"{upper}L{lower[1:]}Z"
    alarms = [(at, value) for at, value in known if flagged[at]]
    quiet = [(at, value) for at, value in known if not flagged[at]]
    told = "; ".join(
        [f"version {at + 1}: {number(value)}" for at, value in known]
        + [f"version {at + 1}, predicted: {number(value)}" for at, value in foretold]
    )
    drawn = [("band", band), ("joined", path(known)), ("version", dots(quiet)), ("alarmed", dots(alarms)), ("guess", dots(foretold))]
    return plot(
        f"{series.title}, {series.note}: {told}",
        [(name, data) for name, data in drawn if data],
        [(1 - y(mark) / 100, f"{mark:g}") for mark in marks],
        [(x(at) / 100, str(at + 1)) for at in range(0, len(series.values), math.ceil(last / LABELS))],
    )
