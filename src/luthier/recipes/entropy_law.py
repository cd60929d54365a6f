"""The entropy law of a ledger, drawn: each version with its ratios, loss and alarms, and a prediction or the reason for none.

`law_of` reads and judges, `write_page` draws what it returned as one page that loads nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.records import JSON, atomic_write

if TYPE_CHECKING:
    from markupsafe import Markup

LABELS = 8  # version numbers on an axis at most, so that they do not touch on a phone


def law_of(ledger: Path) -> list[JSON]:
    """One object for each group, in the order of the ledger: its setup, seed noise and versions, each with alarms and prediction.

    A version whose metric is known has it under "metric"; any other has a "prediction", or a "refusal" that says why not.
    Raises MissingFileError, BadRowError with file and line.
    """
    from luthier.select.entropy_law import noise_band
    from luthier.select.ledger import read_ledger

    versions = read_ledger(ledger)
    groups = []
    for group in dict.fromkeys(version.group for version in versions):
        members = [version for version in versions if version.group == group]
        band = noise_band(members, group)
        groups.append(
            {
                "group": group,
                "setup": members[-1].setup,
                "noise": None if band is None else band._asdict(),
                "versions": [_told(version, members) for version in members],
            }
        )
    return groups


def _told(version: Any, members: Sequence[Any]) -> JSON:
    from luthier.select.entropy_law import Prediction, judge, predict

    row: JSON = {
        "name": version.name,
        "seed": version.seed,
        "fingerprint": version.fingerprint,
        "rows": version.rows,
        "tokens": version.tokens,
        "ratio": version.ratio,
        "index": version.index,
        "loss": version.loss,
        "loss_epoch": version.loss_epoch,
        "bits_per_byte": version.bits_per_byte,
        "metric": version.metric,
        "alarms": [alarm._asdict() for alarm in judge(members, version)],
    }
    if version.metric is None:
        guess = predict(members, version)
        if isinstance(guess, Prediction):
            row["prediction"] = {**guess._asdict(), "weights": list(guess.weights)}
        else:
            row["refusal"] = guess.reason
    return row


def expectation(version: JSON) -> str:
    """The metric of a version in words: known, predicted with its error, or why neither."""
    if version["metric"] is not None:
        return f"{version['metric']:.4g}"
    guess = version.get("prediction")
    if guess is None:
        return f"no prediction: {version['refusal']}"
    doubts = [] if guess["error"] < guess["mean_error"] else [f"no better than the mean, ±{guess['mean_error']:.2g}"]
    doubts += ["beyond all finished versions"] if guess["outside"] else []
    return f"predicted {guess['metric']:.4g} ± {guess['error']:.2g}" + (f" ({'; '.join(doubts)})" if doubts else "")


def write_page(groups: Sequence[JSON], ledger: Path, out: Path) -> None:
    """Draw R, the long-range index, L and the metric by version, with the table, as one HTML file. Raises DiskError."""
    from jinja2 import ChoiceLoader, DictLoader, Environment, PackageLoader

    from luthier.report.wording import number

    loader = ChoiceLoader([DictLoader({"law": PAGE}), PackageLoader("luthier.report")])
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    environment.globals["expectation"] = expectation
    shown = [
        {**group, "versions": _numbered(group["versions"]), "charts": _charts(group), "noise_words": noise_words(group)} for group in groups
    ]
    html = environment.get_template("law").render(groups=shown, ledger=str(ledger), lead=_lead(groups))
    with atomic_write(out) as file:
        file.write(html)


def noise_words(group: JSON) -> str:
    """The noise band in words."""
    noise = group["noise"]
    if noise is None:
        return "seed noise of L: not known, no data set has two seeds"
    sets = "1 data set" if noise["datasets"] == 1 else f"{noise['datasets']} data sets"
    return f"seed noise of L: ±{noise['spread']:.3f} (standard deviation, {noise['runs']} runs of {sets})"


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

    from luthier.report.charts import ticks
    from luthier.report.wording import number

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
    step = math.ceil(last / LABELS)
    told = "; ".join(
        [f"version {at + 1}: {number(value)}" for at, value in known]
        + [f"version {at + 1}, predicted: {number(value)}" for at, value in foretold]
    )
    paths = Markup("").join(
        Markup('<path class="{}" d="{}"/>').format(name, d)
        for name, d in (
            ("band", band),
            ("joined", path(known)),
            ("version", dots(quiet)),
            ("alarmed", dots(alarms)),
            ("guess", dots(foretold)),
        )
        if d
    )
    return Markup(
        '<div class="curve"><div class="y-axis">{rows}</div><div class="plot" role="img" aria-label="{label}">{lines}'
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{paths}</svg></div>'
        '<div class="x-axis">{columns}</div></div>'
    ).format(
        rows=_spans("bottom", [(100 - y(mark), f"{mark:g}") for mark in marks]),
        label=f"{series.title}, {series.note}: {told}",
        lines=Markup("").join(Markup('<i style="bottom:{}%"></i>').format(f"{100 - y(mark):.2f}") for mark in marks),
        paths=paths,
        columns=_spans("left", [(x(at), str(at + 1)) for at in range(0, len(series.values), step)]),
    )


def _spans(side: str, labels: Sequence[tuple[float, str]]) -> Markup:
    from markupsafe import Markup

    return Markup("").join(Markup('<span style="{}:{}%">{}</span>').format(side, f"{at:.2f}", text) for at, text in labels)


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Entropy law · Luthier</title>
<style>
{% include "style.css.j2" %}
.pair { grid-template-columns: repeat(auto-fit, minmax(min(27rem, 100%), 1fr)); } .pair .curve { grid-template-rows: 12rem 1.6rem; }
figcaption span { margin-left: 0.6rem; }
.plot .band { fill: var(--before); stroke: none; opacity: 0.28; } .plot .joined { stroke: var(--before); stroke-width: 1.5; }
.plot .version { stroke: var(--after); stroke-width: 8; } .plot .alarmed { stroke: var(--bad); stroke-width: 12; } .plot .guess { stroke: var(--before); stroke-width: 8; }
.key { display: flex; flex-wrap: wrap; gap: 0.4rem 1.4rem; font-size: 0.9rem; color: var(--soft); margin: 1.2rem 0 2.2rem; max-width: none; }
.key .dot { margin-right: 0.45rem; } .key .v { background: var(--after); } .key .a { background: var(--bad); } .key .g { background: var(--before); }
.said { border: 0; list-style: none; margin: 0 0 2.2rem; padding: 0; display: grid; gap: 0.8rem; max-width: 68ch; }
.said b { display: block; } .said .warn, .said .stop { color: var(--bad); } .said .info { color: var(--soft); }
td:nth-child(2) { min-width: 7rem; }
</style>
</head>
<body>
<header>
  <p class="eyebrow"><b>Luthier</b> <span>entropy law</span> <span>{{ ledger }}</span></p>
  <h1>What the data was worth</h1>
  <p class="lead">{{ lead }}</p>
</header>
<main>
{% for group in groups %}
<section>
<h2>{% if groups | length > 1 %}Group {{ group.group }}{% else %}Versions{% endif %}</h2>
<p>At equal quality, a higher ratio R and, at equal R, a higher first-epoch loss L go with a worse model. {{ group.noise_words[0] | upper }}{{ group.noise_words[1:] }}.</p>
<div class="pair">
{% for title, note, chart in group.charts %}
<figure>
<figcaption><b>{{ title }}</b><span>{{ note }}</span></figcaption>
{{ chart }}
<p class="axis-name">version</p>
</figure>
{% endfor %}
</div>
<p class="key"><span><i class="dot v"></i>version</span><span><i class="dot a"></i>version with an alarm</span>
{% if group.versions | selectattr("prediction", "defined") | list %}<span><i class="dot g"></i>predicted</span>{% endif %}
{% if group.noise %}<span>grey band: two standard deviations of L between seeds</span>{% endif %}</p>
<h3>Alarms</h3>
{% if group.versions | map(attribute="alarms") | select | list %}
<ul class="said">
{% for version in group.versions %}{% for alarm in version.alarms %}
<li><b>{{ version.number }} · {{ version.name }} <span class="{{ alarm.level }}">{{ alarm.rule }} ({{ alarm.level }})</span></b>{{ alarm.text }}.</li>
{% endfor %}{% endfor %}
</ul>
{% else %}
<p class="absent">No version of this group raises an alarm.</p>
{% endif %}
{% if group.versions | rejectattr("metric", "number") | list %}
<h3>Expected metric</h3>
<ul class="said">
{% for version in group.versions if version.metric is none %}
<li><b>{{ version.number }} · {{ version.name }} <span class="quiet">seed {{ version.seed }}</span></b>{{ expectation(version) }}</li>
{% endfor %}
</ul>
{% endif %}
<div class="wide">
<table>
<tr><th class="n">#</th><th>version</th><th class="n">seed</th><th class="n">rows</th><th class="n">R</th><th class="n">index</th><th class="n">L</th><th class="n">bits / byte</th><th class="n">metric</th></tr>
{% for version in group.versions %}
<tr><td class="n">{{ version.number }}</td><td>{{ version.name }}</td><td class="n">{{ version.seed }}</td><td class="n">{{ version.rows | number }}</td>
<td class="n">{{ "%.3f" | format(version.ratio["32K"]) }}</td><td class="n">{% if version.index is not none %}{{ "%.2f" | format(version.index) }}{% else %}–{% endif %}</td>
<td class="n">{{ "%.3f" | format(version.loss) }}</td><td class="n">{% if version.bits_per_byte is not none %}{{ "%.3f" | format(version.bits_per_byte) }}{% else %}–{% endif %}</td>
<td class="n">{% if version.metric is not none %}{{ version.metric | number }}{% else %}–{% endif %}</td></tr>
{% endfor %}
</table>
</div>
</section>
{% else %}
<section><p class="absent">The ledger is empty. Train with an EntropyLawCallback and draw it again.</p></section>
{% endfor %}
</main>
<footer><p>Written by Luthier from {{ ledger }}.</p></footer>
</body>
</html>
"""
