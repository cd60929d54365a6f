"""Training rows of finished searches, in TRL's layouts. Which rows are good is told by the public tests alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from luthier.errors import SettingsError
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.records.files import read_rows, refuse_taken, write_jsonl
from luthier.report.wording import Told
from luthier.run.record import RunRecord
from luthier.search import prompts
from luthier.search.commands import SearchExportSettings
from luthier.search.page import PROGRAMS, SEARCHES
from luthier.search.problem import Posed
from luthier.search.readers import read_all


def export(settings: SearchExportSettings, progress: Progress = quiet) -> Told:
    """Write the rows. Raises MissingFileError where RUN is no search, SettingsError where it found nothing of the kind."""
    refuse_taken(settings.out, replace=progress.replace)
    run = RunRecord.read(Path(settings.run), name="search run")
    told = run.settings
    problems = {one.task: one.posed for one in read_all(told["problems"], told.get("public"), told.get("limit"))}
    made = {"sft": _sft, "repairs": _repairs, "pairs": _pairs}[settings.kind]
    rows = list(made(run, problems))
    if not rows:
        raise SettingsError(f"{settings.run}: its searches hold no {settings.kind}; there must be programs that pass the public tests")
    write_jsonl(settings.out, rows)
    return Told([f"{len(rows)} rows in {settings.out}"], {"rows": len(rows), "kind": settings.kind, "out": settings.out})


def _programs(run: RunRecord) -> dict[str, list[JSON]]:
    found: dict[str, list[JSON]] = {}
    for _, row in read_rows(run.path / PROGRAMS):
        found.setdefault(row["task"], []).append(row)
    return found


def _passes(row: JSON) -> bool:
    tried = row["tried"]
    return bool(tried) and all(test["kind"] == "passed" for test in tried["tests"])


def _turn(role: str, text: str) -> list[JSON]:
    return [{"role": role, "content": text}]


def _sft(run: RunRecord, problems: dict[str, Posed]) -> Iterator[JSON]:
    """Problem to thoughts and program, of each different program that passes."""
    programs = _programs(run)
    for _, row in read_rows(run.path / SEARCHES):
        paths, seen = _paths(row["tree"]), set()
        for one in programs.get(row["task"], []):
            if _passes(one) and one["program"] not in seen:
                seen.add(one["program"])
                thoughts = paths[one["node"]]
                said = "".join(f"{number}. {thought}\n" for number, thought in enumerate(thoughts, 1))
                text = f"{said}\n{prompts.fenced(one['program'])}".strip()
                asked = prompts.code(problems[row["task"]]).messages[0].content or ""
                yield {"prompt": _turn("user", asked), "completion": _turn("assistant", text), "task": row["task"]}


def _repairs(run: RunRecord, problems: dict[str, Posed]) -> Iterator[JSON]:
    """A program that fails and what was said of it, to one at the same place that passes."""
    programs = _programs(run)
    for _, row in read_rows(run.path / SEARCHES):
        by_node: dict[int, list[JSON]] = {}
        for one in programs.get(row["task"], []):
            by_node.setdefault(one["node"], []).append(one)
        for own in by_node.values():
            wrong = [one for one in own if not _passes(one) and one["tried"]]
            right = [one for one in own if _passes(one) and wrong and one["number"] > wrong[0]["number"]]
            if right:
                asked = _failing(problems[row["task"]], wrong[0])
                yield {
                    "prompt": _turn("user", asked),
                    "completion": _turn("assistant", prompts.fenced(right[0]["program"])),
                    "task": row["task"],
                }


def _failing(problem: Posed, wrong: JSON) -> str:
    from luthier.search.feedback import failures, feedback
    from luthier.search.wants import Tried

    told = feedback(problem, (), wrong["program"], failures(problem, Tried.from_row(wrong["tried"])))
    return prompts.repair(told, problem).messages[0].content or ""


def _pairs(run: RunRecord, problems: dict[str, Posed]) -> Iterator[JSON]:
    """The thought that a rethink wrote over the one before it, where its program has a higher reward."""
    programs = _programs(run)
    for _, row in read_rows(run.path / SEARCHES):
        paths, own = _paths(row["tree"]), {one["number"]: one for one in programs.get(row["task"], [])}
        nodes = {node["number"]: node for node in row["tree"]["nodes"]}
        for node in nodes.values():
            for edge in node["edges"]:
                made = nodes[edge["node"]]["candidates"] if edge["node"] is not None else []
                if not edge["former"] or len(made) < 2:
                    continue
                if own[made[-1]]["reward"] > own[made[0]]["reward"]:
                    asked = prompts.state(problems[row["task"]], paths[node["number"]]) + "\n\nWhat is a good next thought?"
                    yield {
                        "prompt": _turn("user", asked),
                        "chosen": _turn("assistant", edge["thought"]),
                        "rejected": _turn("assistant", edge["former"][0]),
                        "task": row["task"],
                    }


def _paths(tree: JSON) -> dict[int, tuple[str, ...]]:
    """The thoughts on the way to each node; of programs that are no thoughts' nothing is told."""
    paths: dict[int, tuple[str, ...]] = {0: ()}
    for node in tree["nodes"]:
        for edge in node["edges"]:
            if edge["node"] is not None:
                paths[edge["node"]] = (*paths[node["number"]], edge["thought"])
    return paths
