"""The one document that every page is: shell, header, what a bench shows, the training curve, and the record.

A page is made of a run folder alone, so a run that still goes on has one as well. It needs no network, no scripts and no server;
everything that comes from data is escaped by the templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from luthier.records import JSON
from luthier.records.files import atomic_write
from luthier.report import wording
from luthier.report.charts import curve, interval_bars, share_bar, thin

if TYPE_CHECKING:
    from jinja2 import Environment

METRICS = "metrics.jsonl"
ENDINGS = {"running": "still running", "stopped": "stopped", "failed": "failed", "done": "finished"}


class Drawn(Protocol):
    """A run as a page sees it (`luthier.run.RunRecord`)."""

    path: Path
    record: JSON
    problems: list[str]

    @property
    def status(self) -> str: ...

    @property
    def steps(self) -> dict[str, JSON]: ...

    def rows(self, file: str) -> Iterator[JSON]: ...


@dataclass(frozen=True)
class Page:
    """What a bench shows. template: extends `page.html.j2` and fills its blocks `style`, `lead` and `main`; values: what it reads.

    tags: short words above the title; journey: the run in a few figures, (value, label); training: whether the shell draws the curve.
    """

    title: str
    template: str = "page.html.j2"
    values: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    journey: tuple[tuple[Any, str], ...] = ()
    training: bool = True


def write_page(page: Page, run: Drawn, target: Path | None = None) -> Path:
    """Write `report.html` into the run's folder, or `target`, and return its path. Raises DiskError."""
    html = render(page, run)
    target = target or run.path / "report.html"
    with atomic_write(target) as file:
        file.write(html)
    return target


def render(page: Page, run: Drawn) -> str:
    """The page as one HTML document."""
    return environment().get_template(page.template).render(**_shell(page, run), **page.values)


@cache
def environment() -> Environment:
    """Jinja's environment: templates of this package, and of a bench as `BENCH/NAME`. A name that a template does not know is an error."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    places = ChoiceLoader([PackageLoader("luthier.report"), PackageLoader("luthier", "")])
    made = Environment(loader=places, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    says = {name: getattr(wording, name) for name in ("number", "percent", "duration", "words", "rate", "interval")}
    made.filters |= {**says, "as_text": wording.text}
    made.globals |= {**says, "share_bar": share_bar, "interval_bars": interval_bars, "percent_range": wording.percent_range}
    return made


def _shell(page: Page, run: Drawn) -> dict[str, Any]:
    record, status = run.record, run.status
    waiting = [name for name, step in run.steps.items() if "results" not in step]
    seconds = [(name, float(step["seconds"])) for name, step in run.steps.items() if "seconds" in step]
    return {
        "page": page,
        "record": record,
        "folder": record.get("folder", run.path.name),
        "status": status,
        "ending": ENDINGS.get(status, status),
        "waiting": waiting,
        "problems": list(run.problems),
        "loss": _loss(run) if page.training else None,
        "timings": seconds,
        "recorded_settings": list(_flat(record.get("settings", {}))),
    }


def _loss(run: Drawn) -> dict[str, Any] | None:
    """The curve of the training loss, where the run has one."""
    if not (run.path / METRICS).is_file():
        return None
    rows = [row for row in run.rows(METRICS) if is_number(row.get("step")) and is_number(row.get("loss"))]
    thinned, per_dot = thin(sorted((float(row["step"]), float(row["loss"])) for row in rows))
    return {"curve": curve(thinned, "training loss"), "per_dot": per_dot}


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _flat(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as (`train.learning_rate`, value)."""
    for name, value in settings.items() if isinstance(settings, dict) else ():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
