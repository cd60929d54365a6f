"""Where learners stand: mastery at the end and along the way, what to do next, and why, from a fitted tracer and answers."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.errors import BadRowError, SettingsError
from luthier.models.hardware import chosen_device
from luthier.models.opening import embedder_reads
from luthier.progress import Progress, quiet
from luthier.records import JSON, Journal, atomic_write
from luthier.records.delimited import inert
from luthier.records.files import refuse_taken
from luthier.report.wording import Told
from luthier.run import Run
from luthier.trace import learners_page
from luthier.trace.runs import summary
from luthier.trace.settings import AdviceSettings, ExplanationSettings, ExportSettings, MasterySettings, WithTracer

if TYPE_CHECKING:
    from luthier.trace.answers import AnswerLog
    from luthier.trace.stepping import LearnerState
    from luthier.trace.tracer import Tracer

LEARNERS, TABLE = learners_page.LEARNERS_FILE, "mastery.csv"
FIELDS = ("learner", "answers", "mastery", "timeline")  # that every row of a learner has
MOMENTS = 12  # along each learner's answers


def run(settings: MasterySettings, out: Path, progress: Progress = quiet) -> Run:
    """Follow every learner through the answers; `learners.jsonl` and `mastery.csv` in `out` hold what they know.

    A stopped run continues with the learner it was at. Raises SettingsError for a learner without answers, BadRowError for an item that
    training did not know and that has neither text nor concepts.
    """
    tracer = open_tracer(settings, settings.device)
    log = chosen_learners(settings.read(), settings.learners)
    attached = attach_new(tracer, log, settings.data[0])
    if not any(tracer.bank.members):
        raise SettingsError(
            f"{settings.data[0]}: mastery is told by concept, and no item has one; give them with --items or --map concept=COLUMN"
        )
    reads = [(settings.tracer, settings.folder()), *settings.reads(), *embedder_reads(tracer.settings.encoder)]
    with Run(out, "trace mastery", settings, reads=reads, progress=progress, draw=learners_page.draw) as made:
        made.note(data=summary(log)._asdict() | {"attached": attached})
        made.step("mastery", partial(_follow_all, tracer, log, out, progress), files=[LEARNERS, TABLE])
        made.step("links", lambda: {"links": [each._asdict() for each in concept_links(tracer)]}, uses=())
    return made


def recommend_items(settings: AdviceSettings, progress: Progress = quiet) -> Told:
    """What a learner should be asked next, from the answers so far; see `luthier.trace.advice.recommend`."""
    from luthier.trace.advice import check_target, recommend

    check_target(settings.target)
    tracer, history = _learner(settings, settings.learner)
    target, respect = settings.target, not settings.ignore_prerequisites
    found = recommend(tracer, tracer.replay(history), settings.count, target, respect_prerequisites=respect)
    said = [] if found else [f"no item has a chance between {target[0]:g} and {target[1]:g}; widen --target, or add items"]
    for each in found:
        waits = f"   waits for {', '.join(each.waits_for)}" if each.waits_for else ""
        said.append(f"{each.chance:4.0%}   {each.item}   {', '.join(each.concepts)}{waits}")
    return Told(said, [each._asdict() for each in found])


def explain_item(settings: ExplanationSettings, progress: Progress = quiet) -> Told:
    """The chance of an item for a learner, and what each past answer did to it; see `luthier.trace.advice.explain`."""
    from luthier.trace.advice import explain

    tracer, history = _learner(settings, settings.learner)
    chance, moved = explain(tracer, history, settings.item)
    said = [f"{settings.item}: {chance:.0%}"]
    said += [f"  {100 * each.change:+5.1f} points by answer {each.place + 1}, {each.item}, {each.correct:g}" for each in moved[:10]]
    return Told(said, {"chance": chance, "answers": [each._asdict() for each in moved]})


def export_step(settings: ExportSettings, progress: Progress = quiet) -> Told:
    """One step of a tracer as an ONNX graph; see `luthier.trace.onnx_export`."""
    from luthier.trace.onnx_export import export_onnx

    refuse_taken(settings.target, settings.folder().glob("*"), replace=progress.replace)
    path = export_onnx(open_tracer(settings), settings.target)
    return Told([str(path)], {"out": str(path)})


def open_tracer(settings: WithTracer, device: str = "auto") -> Tracer:
    """The tracer of a run folder, or of the folder of a tracer itself. device: of its text encoder, which is opened once a text is read. Raises
    SettingsError for one that is not here, MissingFileError, BadRowError."""
    from luthier.trace.tracer import Tracer

    if device != "auto":
        chosen_device(device)
    return Tracer.load(settings.folder(), device=device)


def _learner(settings: Any, name: str) -> tuple[Tracer, list[tuple[str, float]]]:
    """The tracer, with what it did not know, and the answers of one learner."""
    tracer, log = open_tracer(settings, settings.device), chosen_learners(settings.read(), [name])
    attach_new(tracer, log, settings.data[0])
    return tracer, history_of(log, 0)


def chosen_learners(log: AnswerLog, names: Sequence[str]) -> AnswerLog:
    """The answers of some learners, of all where none are named. Raises SettingsError for one that has none."""
    if not names:
        return log
    places = {name: place for place, name in enumerate(log.learners)}
    missing = next((name for name in names if name not in places), None)
    if missing is not None:
        raise SettingsError(f"learner {missing!r} has no answers there")
    return log.take_learners([places[name] for name in names])


def attach_new(tracer: Tracer, log: AnswerLog, path: str) -> int:
    """Give the items and concepts that the tracer does not know their place by text and concepts, without training; returns how many.

    Raises BadRowError for an answered item that has neither.
    """
    known = log.catalogue
    concepts = [each for each in known.concepts if each.concept not in tracer.bank.concept_rows]
    items = [each for each in known.items if each.item not in tracer.bank.item_rows]
    bare = next((each.item for each in items if not each.text and not each.concepts), None)
    if bare is not None:
        raise BadRowError(f"the item {bare!r} was not trained and has neither text nor concepts; give them with --items", path)
    if concepts:
        names = {each.concept for each in concepts}
        edges = [edge for edge in known.edges if names & set(edge[:2])]
        tracer.add_concepts(concepts, edges)
    if items:
        tracer.add_items(items)
    return len(items) + len(concepts)


def history_of(log: AnswerLog, place: int) -> list[tuple[str, float]]:
    """A learner's answers in order: item and score."""
    some = log.of_learner(place)
    items = log.catalogue.items
    return [(items[item].item, float(correct)) for item, correct in zip(log.item[some], log.correct[some], strict=True)]


def _follow(tracer: Tracer, learner: str, history: Sequence[tuple[str, float]], moments: int = MOMENTS) -> JSON:
    """A learner's mastery at some moments and at the end, of concepts with answers; each as chance, low, high and answers."""
    from luthier.trace.advice import recommend

    state = tracer.start()
    stops = sorted({round(len(history) * step / moments) for step in range(1, moments + 1)} - {0})
    timeline = []
    for number, (item, correct) in enumerate(history, 1):
        state = tracer.update(state, item, correct)
        if number in stops:
            timeline.append({"answers": number, "mastery": _seen(tracer, state)})
    recent = [{"item": item, "correct": correct, "concepts": list(tracer.concepts_of(item))} for item, correct in history[-60:]]
    return {
        "learner": learner,
        "answers": len(history),
        "right": sum(right for _, right in history) / len(history),
        "mastery": _seen(tracer, state),
        "timeline": timeline,
        "recent": recent,
        "next": [each._asdict() for each in recommend(tracer, state, 5)],
    }


class Link(NamedTuple):
    """Two concepts that hang together. weight: the attention of a relation, or how many items ask both."""

    source: str
    target: str
    relation: str
    weight: float


def concept_links(tracer: Tracer) -> list[Link]:
    """Edges between concepts: the relations the graph was made with, each with its attention, and pairs that items ask together."""
    from luthier.trace.attention import relation_attention

    names = [concept.concept for concept in tracer.bank.concepts]
    found = [Link(names[source], names[target], relation, weight) for relation, source, target, weight in relation_attention(tracer)]
    together: dict[tuple[int, int], int] = {}
    for members in tracer.bank.members:
        for at, one in enumerate(members):
            for other in members[at + 1 :]:
                together[one, other] = together.get((one, other), 0) + 1
    return found + [Link(names[a], names[b], "asked together", count) for (a, b), count in sorted(together.items())]


def _follow_all(tracer: Tracer, log: AnswerLog, folder: Path, progress: Progress) -> JSON:
    progress.step("Following learners", len(log.learners))
    with Journal(folder / LEARNERS, FIELDS) as journal:
        done = [row["learner"] for row in journal]
        if done != list(log.learners[: len(done)]):
            raise SettingsError(f"{journal.path}: holds other learners; choose another folder with --out")
        progress.advance(len(done))
        for place in range(len(done), len(log.learners)):
            history = history_of(log, place)
            if history:
                journal.append(_follow(tracer, log.learners[place], history))
            progress.advance(1)
        rows = list(journal)
    with atomic_write(folder / TABLE) as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["learner", "concept", "mastery", "low", "high", "answers"])
        for row in rows:
            for concept, (chance, low, high, answers) in row["mastery"].items():
                table.writerow([inert(row["learner"]), inert(concept), f"{chance:.4f}", f"{low:.4f}", f"{high:.4f}", f"{answers:g}"])
    return {"learners": len(rows), "answers": sum(row["answers"] for row in rows)}


def _seen(tracer: Tracer, state: LearnerState) -> dict[str, list[float]]:
    """Mastery of the concepts that the learner has answered, rounded for the page and the table."""
    return {
        name: [round(each.chance, 4), round(each.low, 4), round(each.high, 4), each.answers]
        for name, each in tracer.mastery(state).items()
        if each.answers
    }
