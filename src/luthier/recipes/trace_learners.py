"""Where learners stand: mastery at the end and along the way, what to do next, and why, from a fitted tracer and answers."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import BadRowError, SettingsError
from luthier.packages import file_sha256
from luthier.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.recipes.tracing import AnswerFiles, describe, open_tracer
from luthier.records import JSON, Journal, atomic_write

if TYPE_CHECKING:
    from luthier.trace.advice import Influence, Recommendation
    from luthier.trace.answers import AnswerLog
    from luthier.trace.stepping import LearnerState
    from luthier.trace.tracer import Tracer

LEARNERS, TABLE = "learners.jsonl", "mastery.csv"
MOMENTS = 12  # along each learner's answers


def mastery_run(
    tracer_folder: Path, files: AnswerFiles, folder: Path, command: str, *, learners: Sequence[str] = (), progress: Progress = quiet
) -> JSON:
    """Follow every learner through the answers; writes `learners.jsonl`, `mastery.csv` and `report.html`, and returns what `run.json` holds.

    learners: only these. A stopped run continues with the learner it was at. Raises SettingsError for a learner without answers, BadRowError
    for an item that training did not know and that has neither text nor concepts.
    """
    from luthier.report.mastery_page import write_mastery_page

    with RunFolder(folder, "trace-mastery", command, {"tracer": str(tracer_folder), "learners": list(learners)}, 0) as run:
        run.record["inputs"] = files.hashes() | _tracer_hash(tracer_folder)
        tracer = open_tracer(tracer_folder)
        log = chosen_learners(files.read(), learners)
        run.record["data"] = describe(log) | {"attached": attach_new(tracer, log, files.data[0])}
        run.step(
            "mastery",
            {"inputs": run.record["inputs"], "layout": files.layout, "learners": list(learners)},
            [LEARNERS, TABLE],
            lambda: _follow_all(tracer, log, folder, progress),
        )
        run.finish(peak_memory_mib=peak_memory_mib())
        write_mastery_page(folder / "report.html", read_learners(folder), concept_links(tracer), run.record)
        record: JSON = run.record
        return record


def read_learners(folder: Path) -> list[JSON]:
    """The rows of a finished mastery run."""
    with Journal(folder / LEARNERS) as rows:
        return list(rows)


def recommend_items(
    tracer_folder: Path, files: AnswerFiles, learner: str, n: int, target: tuple[float, float], *, respect_prerequisites: bool = True
) -> list[Recommendation]:
    """What a learner should be asked next, from the answers so far; see `luthier.trace.advice.recommend`."""
    from luthier.trace.advice import recommend

    tracer = open_tracer(tracer_folder)
    log = chosen_learners(files.read(), [learner])
    attach_new(tracer, log, files.data[0])
    state = tracer.replay(history_of(log, 0))
    return recommend(tracer, state, n, target, respect_prerequisites=respect_prerequisites)


def explain_item(tracer_folder: Path, files: AnswerFiles, learner: str, item: str) -> tuple[float, list[Influence]]:
    """The chance of an item for a learner, and what each past answer did to it; see `luthier.trace.advice.explain`."""
    from luthier.trace.advice import explain

    tracer, log = open_tracer(tracer_folder), chosen_learners(files.read(), [learner])
    attach_new(tracer, log, files.data[0])
    return explain(tracer, history_of(log, 0), item)


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


def follow(tracer: Tracer, learner: str, history: Sequence[tuple[str, float]], moments: int = MOMENTS) -> JSON:
    """A learner's mastery at some moments and at the end, of concepts with answers; each as chance, low, high and answers."""
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
        "next": [each._asdict() for each in tracer.recommend(state, 5)],
    }


def concept_links(tracer: Tracer) -> list[JSON]:
    """Edges between concepts: the relations the graph was made with, each with its attention, and pairs that items ask together."""
    from luthier.trace.attention import relation_attention

    names = [concept.concept for concept in tracer.bank.concepts]
    found = [
        {"source": names[source], "target": names[target], "relation": relation, "weight": weight}
        for relation, source, target, weight in relation_attention(tracer)
    ]
    together: dict[tuple[int, int], int] = {}
    for members in tracer.bank.members:
        for at, one in enumerate(members):
            for other in members[at + 1 :]:
                together[one, other] = together.get((one, other), 0) + 1
    found += [
        {"source": names[a], "target": names[b], "relation": "asked together", "weight": count}
        for (a, b), count in sorted(together.items())
    ]
    return found


def _follow_all(tracer: Tracer, log: AnswerLog, folder: Path, progress: Progress) -> JSON:
    progress.step("mastery", len(log.learners))
    with Journal(folder / LEARNERS) as journal:
        done = [row["learner"] for row in journal]
        if done != list(log.learners[: len(done)]):
            raise SettingsError(f"{journal.path}: holds other learners; choose another folder with --out")
        progress.advance(len(done))
        for place in range(len(done), len(log.learners)):
            history = history_of(log, place)
            if history:
                journal.append(follow(tracer, log.learners[place], history))
            progress.advance(1)
        rows = list(journal)
    with atomic_write(folder / TABLE) as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["learner", "concept", "mastery", "low", "high", "answers"])
        for row in rows:
            for concept, (chance, low, high, answers) in row["mastery"].items():
                table.writerow([row["learner"], concept, f"{chance:.4f}", f"{low:.4f}", f"{high:.4f}", f"{answers:g}"])
    return {"learners": len(rows), "answers": sum(row["answers"] for row in rows)}


def _seen(tracer: Tracer, state: LearnerState) -> dict[str, list[float]]:
    """Mastery of the concepts that the learner has answered, rounded for the page and the table."""
    return {
        name: [round(each.chance, 4), round(each.low, 4), round(each.high, 4), each.answers]
        for name, each in tracer.mastery(state).items()
        if each.answers
    }


def _tracer_hash(folder: Path) -> dict[str, str]:
    from luthier.trace.tracer_files import NUMBERS, RECORD

    inside = folder / "tracer" if (folder / "tracer").is_dir() else folder
    return {str(inside / name): file_sha256(inside / name) for name in (RECORD, NUMBERS) if (inside / name).is_file()}
