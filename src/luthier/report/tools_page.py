"""`report.html` of a run folder: one file that needs no network, no scripts and no server.

Everything that comes from data is escaped by the templates; this module gathers it and writes the page in one piece.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.records import JSON
from luthier.records.files import atomic_write
from luthier.report import wording
from luthier.report.charts import curve, share_bar, thin
from luthier.report.folder import STEPS, RunFolder
from luthier.report.scores import answers, charts, comparisons, headline
from luthier.report.talk import dialogue, first_user_text, question_text

if TYPE_CHECKING:
    from jinja2 import Environment

DIALOGUES, TEXTS = 10, 5


def write_report(run_folder: Path) -> Path:
    """Write `report.html` into the run folder and return its path; a run that is still going on gets a page as well.

    Raises MissingFileError or BadRowError where `run.json` is absent or damaged, DiskError where the page cannot be written.
    """
    folder = RunFolder(Path(run_folder))
    html = _environment().get_template("tools_page.html.j2").render(_content(folder))
    target = folder.path / "report.html"
    with atomic_write(target) as file:
        file.write(html)
    return target


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("luthier.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "number": wording.number,
        "percent": wording.percent,
        "duration": wording.duration,
        "words": wording.words,
        "as_text": wording.text,
        "question": question_text,
    }
    environment.globals |= {"share_bar": share_bar, "percent_range": wording.percent_range}
    return environment


def _content(folder: RunFolder) -> dict[str, Any]:
    rows = comparisons(folder)
    wins, failures, win_count, failure_count = answers(folder)
    content = {
        "headline": headline(folder),
        "run": folder.run,
        "folder": str(folder.path),
        "journey": _journey(folder),
        "comparisons": rows,
        "charts": charts(rows),
        "irrelevance": any("irrelevance" in row.category for row in rows),
        "skills": folder.results("skills").get("changes", []),
        "results": {name.replace("-", "_"): folder.results(name) for name in STEPS},
        "training": _training(folder),
        "dialogues": [dialogue(row) for row in folder.sample("selected.jsonl", "select", DIALOGUES)],
        "selection": _selection(folder),
        "checks": _checks(folder.results("check")),
        "wins": wins,
        "failures": failures,
        "win_count": win_count,
        "failure_count": failure_count,
        "timings": _timings(folder),
        "settings": list(_flat(folder.run.get("settings", {}))),
        "has_adapter": (folder.path / "adapter").is_dir(),
    }
    missing_adapter = "train" in folder.steps and not content["has_adapter"]
    problems = [*folder.problems, "adapter/ is missing"] if missing_adapter else folder.problems
    return {**content, "unfinished": folder.unfinished, "problems": list(dict.fromkeys(problems))}


def _journey(folder: RunFolder) -> list[tuple[str, str]]:
    """The run in a few figures, in the order in which they came about."""
    pool, made, check, select, train = (folder.results(step) for step in ("pool", "dialogues", "check", "select", "train"))
    figures = [
        (pool.get("tools"), "tools collected"),
        (made.get("made"), "dialogues made"),
        (check.get("passed"), "passed every check"),
        (select.get("picked"), "chosen to train on"),
        (train.get("steps"), "training steps"),
    ]
    journey = [(wording.number(value), label) for value, label in figures if value is not None]
    if train.get("seconds") is not None:
        journey.append((wording.duration(train["seconds"]), "of training"))
    return journey


def _training(folder: RunFolder) -> dict[str, Any]:
    rows = list(folder.rows("metrics.jsonl", "train"))
    points = [(float(row["step"]), float(row["loss"])) for row in rows if _is_number(row.get("step")) and _is_number(row.get("loss"))]
    thinned, per_dot = thin(sorted(points))
    return {"curve": curve(thinned, "training loss"), "per_dot": per_dot}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _selection(folder: RunFolder) -> dict[str, Any]:
    select, made = folder.results("select"), folder.results("dialogues").get("types", {})
    picked = select.get("types_picked", {})
    ratios = [("everything", "ratio_pool"), ("a random pick", "ratio_random"), ("the pick of ZIP", "ratio_picked")]
    return {
        "ratios": [(label, select[name]) for label, name in ratios if _is_number(select.get(name))],
        "types": [(name, made.get(name), picked.get(name)) for name in dict.fromkeys([*made, *picked])],
        "made": sum(made.values()),
        "picked": sum(picked.values()),
        "taken": [first_user_text(row) for row in folder.sample("selected.jsonl", "select", TEXTS)],
        "left": [first_user_text(row) for row in folder.sample("left.jsonl", "select", TEXTS)],
    }


def _checks(check: JSON) -> list[tuple[str, str, int]]:
    """(rule, meaning, dialogues that broke it)."""
    rules, failed = check.get("rules", {}), check.get("failed", {})
    return [(name, rules.get(name, ""), failed.get(name, 0)) for name in dict.fromkeys([*rules, *failed])]


def _timings(folder: RunFolder) -> list[tuple[str, float]]:
    seconds = {name: step.get("seconds") for name, step in folder.steps.items()}
    titles = STEPS | {"skills": "Compare skills"}
    return [(titles.get(name, name), float(took)) for name, took in seconds.items() if isinstance(took, int | float)]


def _flat(settings: Any, prefix: str = "") -> Any:
    """Nested settings as (`train.learning_rate`, value)."""
    for name, value in settings.items() if isinstance(settings, dict) else ():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
