"""Two models, or more, on the items that both answered: what the second has gained and lost against the first, and whether that is chance.

Paired throughout: an item that both get right says nothing of the difference, and a test that takes the two sides for unrelated samples
sees less than is there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError, SettingsError
from luthier.progress import Progress, quiet
from luthier.records import JSON, SkippedRows, write_jsonl
from luthier.records.account import Account
from luthier.records.files import mapping
from luthier.records.lines import parse_value
from luthier.run import Run
from luthier.settings import argument, check, option, seed_option
from luthier.statistics.multiplicity import holm
from luthier.statistics.rates import mcnemar
from luthier.trace import compare_page
from luthier.trace.answers import AnswerLog
from luthier.trace.result_documents import Documents
from luthier.trace.result_rules import Rules, Wanted
from luthier.trace.settings import FILTER, METRIC, RESULT_FIELDS, SKIP_BAD

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

DRAWS = 10_000  # of items, and of signs where scores are fractions
FLIPS = compare_page.FLIPS


@dataclass(frozen=True)
class CompareSettings:
    """Compare models or checkpoints on the items that both answered; the first of RESULTS is what the others are held against.

    RESULTS are run folders, answers of `luthier evaluate tools|choice|code`, BFCL score files, samples of lm-evaluation-harness, logs of Inspect,
    results of EvalPlus, annotations of AlpacaEval, or tables with the columns learner, item, correct; NAME=PATH names one. One alone is taken apart by its learners.
    """

    results: tuple[str, ...] = argument("Files or folders of results.", metavar="[NAME=]RESULTS...", required=True)
    items: str | None = option(None, "Rows with item, text and concepts, where the results do not say them.", metavar="FILE")
    mapped: tuple[str, ...] = option(
        (), "What a column of a table is: learner, item, correct, timestamp, concepts or text.", "--map", metavar="FIELD=COLUMN"
    )
    metrics: tuple[str, ...] = option((), METRIC, "--metric", metavar="[TASK=]NAME")
    filters: tuple[str, ...] = option((), FILTER, "--filter", metavar="[TASK=]NAME")
    skip_bad: str | None = option(None, SKIP_BAD, metavar="FILE")
    fail_if_worse: float | None = option(
        None, "Exit with 1 where a model is worse than the first by more than so many points.", least=0, most=100, metavar="POINTS"
    )
    sure: bool = option(False, "Only where that is beyond chance too: p below 0.05.")
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        if strange := next((name for name in mapping(self.mapped) if name not in RESULT_FIELDS), None):
            raise SettingsError(f"--map {strange}=…: a table of results has no such field; its fields are {', '.join(RESULT_FIELDS)}")
        if self.sure and self.fail_if_worse is None:
            raise SettingsError("--sure belongs to --fail-if-worse POINTS; give that too")


@dataclass(frozen=True)
class Line:
    """Some items on both sides. before, after: mean scores; difference: after less before, with a paired bootstrap interval [low, high].

    gained, lost: items whose score rose, and fell. p: two-sided, by `by`: McNemar's exact test where scores are 0 and 1, flipped signs else.
    p_all: after Holm's correction over the lines of its kind; None for the total. unpaired: what a test gives that forgets the pairing.
    mastery_before, mastery_after: by an item response model, drawn towards the model's other skills where answers are few.
    """

    kind: str
    name: str
    items: int
    before: float
    after: float
    difference: float
    low: float
    high: float
    gained: int
    lost: int
    by: str
    p: float
    unpaired: float
    p_all: float | None = None
    mastery_before: float | None = None
    mastery_after: float | None = None

    def to_row(self) -> JSON:
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """One model against the first. only_before, only_after: items that just one of them answered, which say nothing here."""

    before: str
    after: str
    only_before: int
    only_after: int
    total: Line
    lines: tuple[Line, ...]

    def to_row(self) -> JSON:
        return {**asdict(self), "lines": [line.to_row() for line in self.lines]}


def run(settings: CompareSettings, out: Path, progress: Progress = quiet) -> Run:
    """Keep the comparisons and `flips.jsonl`, the items whose score changed with both answers; the same call gives the same bytes.

    Raises SettingsError where there are not two models or no item that both answered, and what reading raises.
    """
    from luthier.trace.results import read_results, result_files, result_rules

    named, columns = named_results(settings.results), mapping(settings.mapped)
    files = result_files(named, columns)
    rules = result_rules(files, Wanted(settings.metrics, settings.filters))
    skipped = SkippedRows(Path(settings.skip_bad)) if settings.skip_bad else None
    log = read_results(named, settings.items, skipped, columns, rules)
    if len(log.learners) < 2:
        raise SettingsError(f"{', '.join(settings.results)}: answers of one model, {log.learners[0]}; give those of another too")
    first = set(_means(log, 0))
    if apart := next((name for at, name in enumerate(log.learners) if at and not first & set(_means(log, at))), None):
        told = "".join(f" ({note})" for note in log.notes if "doc_hash" in note)
        raise SettingsError(f"no item that both {log.learners[0]} and {apart} answered; are these the same tasks?{told}")
    reads = dict.fromkeys([str(path) for _, path, _ in files] + ([settings.items] if settings.items else []))
    with Run(out, "compare", settings, reads=list(reads), progress=progress, draw=compare_page.draw) as made:
        uses = ("results", "items", "mapped", "metrics", "filters", "seed")
        made.step("compare", partial(_compare, settings, log, rules, named, out), uses=uses, files=[FLIPS])
    return made


def named_results(given: Sequence[str]) -> list[str]:
    """NAME=PATH of each: the name that was given, or what tells the paths apart. A single path keeps the names inside. Raises SettingsError."""
    if len(given) == 1:
        return list(given)
    bare = [text for text in given if "=" not in text or Path(text).exists()]
    if twice := next((text for text in bare if bare.count(text) > 1), None):
        raise SettingsError(f"{twice}: given twice; a model does not differ from itself")
    parts = [Path(text).parts for text in bare]
    front = _shared(parts)
    back = _shared([tuple(reversed(part[front:])) for part in parts])
    names = {text: "/".join(part[front : len(part) - back]) or text for text, part in zip(bare, parts, strict=True)}
    if len(bare) == 1:
        names = {text: Path(text).name or text for text in bare}
    return [f"{names[text]}={text}" if text in names else text for text in given]


def _shared(parts: Sequence[tuple[str, ...]]) -> int:
    """How many parts all begin with, one left over where they are the same."""
    count = 0
    while len(parts) > 1 and all(len(part) > count + 1 for part in parts) and len({part[count] for part in parts}) == 1:
        count += 1
    return count


def compare(log: AnswerLog, before: str, after: str, *, seed: int = 0, draws: int = DRAWS) -> Comparison:
    """Two learners of a log on the items that both answered, in all, by task and by subject. Raises SettingsError where there is no such item."""
    sides = [_means(log, log.learners.index(name)) for name in (before, after)]
    shared = sorted(sides[0].keys() & sides[1].keys())
    if not shared:
        raise SettingsError(f"no item that both {before} and {after} answered; are these the same tasks?")
    mastery = _masteries(log, before, after)
    groups: dict[tuple[str, str], list[int]] = {}
    for item in shared:
        name = log.catalogue.items[item].item
        if "/" in name:
            groups.setdefault(("task", name.split("/", 1)[0]), []).append(item)
        for concept in dict.fromkeys(log.catalogue.items[item].concepts):
            groups.setdefault(("subject", concept), []).append(item)
    if len([kind for kind, _ in groups if kind == "task"]) == 1:  # says what the total says
        groups = {key: some for key, some in groups.items() if key[0] != "task"}
    lines = [_line(*key, some, sides, seed, draws) for key, some in groups.items()]
    corrected: dict[str, list[float]] = {}
    for kind in ("task", "subject"):
        corrected[kind] = holm([line.p for line in lines if line.kind == kind])
    told = []
    for line in lines:
        masteries = mastery.get(line.name, (None, None)) if line.kind == "subject" else (None, None)
        told.append(replace(line, p_all=corrected[line.kind].pop(0), mastery_before=masteries[0], mastery_after=masteries[1]))
    total = _line("total", "all", shared, sides, seed, draws)
    return Comparison(before, after, len(sides[0]) - len(shared), len(sides[1]) - len(shared), total, tuple(told))


def _line(kind: str, name: str, items: Sequence[int], sides: Sequence[Mapping[int, float]], seed: int, draws: int) -> Line:  # noqa: PLR0917
    import numpy as np

    from luthier.statistics.resampling import paired

    one, other = (np.array([side[item] for item in items]) for side in sides)
    found = paired(one, other, seed=seed, draws=draws)
    gained, lost = int((other > one).sum()), int((other < one).sum())
    whole = bool(np.isin(np.concatenate([one, other]), (0.0, 1.0)).all())
    p, by = (mcnemar(gained, lost), "McNemar") if whole else (found.p, "flipped signs")
    return Line(
        kind,
        name,
        len(items),
        float(one.mean()),
        float(other.mean()),
        found.mean,
        found.low,
        found.high,
        gained,
        lost,
        by,
        p,
        unpaired(one, other),
    )


def unpaired(one: Array, other: Array) -> float:
    """Two-sided p of the difference of two means as if the items were not the same: what a comparison of two accuracies with their errors gives."""
    if len(one) < 2:
        return 1.0
    error = math.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
    difference = abs(float(other.mean() - one.mean()))
    return math.erfc(difference / error / math.sqrt(2)) if error else float(difference == 0)


def _means(log: AnswerLog, place: int) -> dict[int, float]:
    """The mean score of each item that a learner answered, by its place in the catalogue."""
    part = log.of_learner(place)
    scores: dict[int, list[float]] = {}
    for item, correct in zip(log.item[part].tolist(), log.correct[part].tolist(), strict=True):
        scores.setdefault(item, []).append(float(correct))
    return {item: sum(some) / len(some) for item, some in scores.items()}


def _masteries(log: AnswerLog, before: str, after: str) -> dict[str, tuple[float, float]]:
    """By subject: of both, from one calibration of all answers."""
    from luthier.trace.checkpoints import follow
    from luthier.trace.item_response import calibrate

    if not log.catalogue.concepts:
        return {}
    share = follow(calibrate(log).model(log), log).mastery.probability
    places = [log.learners.index(name) for name in (before, after)]
    return {one.concept: (float(share[places[0], at]), float(share[places[1], at])) for at, one in enumerate(log.catalogue.concepts)}


# --- the run ------------------------------------------------------------------------------------------------------------------


def _compare(settings: CompareSettings, log: AnswerLog, rules: Rules, named: Sequence[str], out: Path) -> JSON:
    first, *others = log.learners
    found = [compare(log, first, other, seed=settings.seed) for other in others]
    said = _answers(named, mapping(settings.mapped), rules)
    rows = [row for other in others for row in _flips(log, first, other, said)]
    write_jsonl(out / FLIPS, rows)
    return {
        "comparisons": [one.to_row() for one in found],
        "sides": [_side(name, named) for name in log.learners],
        "flips": len(rows),
        "scored_by": list(dict.fromkeys([*rules.lines(), *log.notes])),
        "rules": [choice.to_row() for choice in rules.choices.values()],
    }


def _flips(log: AnswerLog, before: str, after: str, said: Mapping[tuple[str, str], str]) -> list[JSON]:
    """Items whose score changed, the greatest changes first."""
    one, other = (_means(log, log.learners.index(name)) for name in (before, after))
    changed = sorted(
        (item for item in one.keys() & other.keys() if one[item] != other[item]), key=lambda item: (-abs(other[item] - one[item]), item)
    )
    rows = []
    for place in changed:
        item = log.catalogue.items[place]
        answers = {"said_before": said.get((before, item.item), ""), "said_after": said.get((after, item.item), "")}
        told = {"item": item.item, "subjects": list(item.concepts), "question": item.text, "before": one[place], "after": other[place]}
        rows.append({"between": [before, after], "change": "gained" if other[place] > one[place] else "lost", **told, **answers})
    return rows


def _answers(named: Sequence[str], columns: Mapping[str, str], rules: Rules) -> dict[tuple[str, str], str]:
    """What was answered, by learner and item, as far as the files have it: the first of several answers."""
    from luthier.trace.results import by_rules, result_files

    said: dict[tuple[str, str], str] = {}
    documents = Documents()
    with Account(apart=True):  # they have been read and counted before
        for name, path, reader in result_files(named, columns):
            if reader == "table":
                continue
            for _, answered in documents.named(by_rules(reader(path, name, SkippedRows()), rules, path, SkippedRows()), path):
                said.setdefault((answered.learner, answered.item), answered.said)
    return said


def _side(name: str, named: Sequence[str]) -> JSON:
    """What is known of one side: where it was read, and the time and settings of the run there."""
    path = next((Path(text.partition("=")[2]) for text in named if text.partition("=")[0] == name), None)
    folder = None if path is None else path if path.is_dir() else path.parent
    told: dict[str, Any] = {}
    if folder is not None and (folder / "run.json").is_file():
        try:
            told = parse_value((folder / "run.json").read_bytes())
        except BadRowError:
            told = {}
    settings, steps = told.get("settings") or {}, told.get("steps") or {}
    seconds = [step.get("seconds") for step in steps.values() if isinstance(step, dict)]
    return {
        "name": name,
        "path": None if path is None else str(path),
        "model": settings.get("model"),
        "adapter": settings.get("adapter"),
        "seconds": sum(one for one in seconds if isinstance(one, int | float)) if seconds else None,
    }
