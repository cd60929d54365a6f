"""The layouts in which evaluation programs write what a model got right: one reader for each, all giving the same rows.

A reader takes (path, name of the learner or None, where bad rows go) and yields (line, Answered). Checked on files that
bfcl-eval 2026.3.23, lm-eval 0.4.13 and inspect-ai 0.3.285 wrote, and against the source of evalplus 0.3.1.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from luthier.errors import BadRowError, FetchError
from luthier.packages import BFCL, unpack_wheel
from luthier.records.conversations import JSON
from luthier.records.files import SkippedRows, read_rows, set_aside
from luthier.records.inspect_logs import inspect_scores, is_inspect_log
from luthier.records.lines import parse_value


class Answered(NamedTuple):
    """One answer; correct is None where the sample was not scored."""

    learner: str
    item: str
    correct: float | None
    text: str = ""
    concepts: tuple[str, ...] = ()


Reader = Callable[[Path, str | None, SkippedRows | None], Iterator[tuple[int, Answered]]]
SKILLS = ("concepts", "concept", "skill", "skills", "category", "subject", "topic", "subtask")  # fields that name what an item asks for
METRICS = ("exact_match", "acc", "pass@1", "pass_at_1", "em", "f1", "acc_norm", "prompt_level_strict_acc", "mc2")
INSPECT = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
_SCORE = re.compile(r"BFCL_v\d+_(.+)_score\.json")
_GROUPS = {"non_live", "live", "multi_turn", "agentic", "memory", "kv", "vector", "rec_sum", "format_sensitivity"}
_SAMPLES = re.compile(r"samples_(.+?)_(\d{4}-\d\d-\d\dT.+)\.jsonl")


def layout_of(path: Path) -> Reader | None:
    """The reader of a file by its name and first row; None where it is none of these."""
    if _SCORE.fullmatch(path.name):
        return bfcl_answers
    if path.name.startswith("samples_") and path.suffix == ".jsonl":
        return harness_answers
    if path.suffix in (".eval", ".json") and is_inspect_log(path):
        return inspect_answers
    if path.name.endswith("eval_results.json"):
        return evalplus_answers
    if path.suffix == ".jsonl":
        fields = _first_fields(path)
        if {"id", "category", "decoding", "official"} <= fields:
            return tool_answers
        if {"question", "options", "logprobs", "chosen"} <= fields:
            return choice_answers
    return None


def bfcl_answers(path: Path, name: str | None, skipped: SkippedRows | None) -> Iterator[tuple[int, Answered]]:
    """A score file of BFCL. It lists the failures only: the others come from the result file, or are all items of the category.

    Raises BadRowError where the numbers do not agree.
    """
    match = _SCORE.fullmatch(path.name)
    category = match[1] if match else ""
    failed: dict[str, int] = {}
    header: JSON = {}
    for line, row in read_rows(path, skipped):
        if line == 1 or "total_count" in row:
            header = row
        elif "id" in row:
            failed[str(row["id"])] = line
        else:
            set_aside(BadRowError("a failure without an `id`", path, line), row, skipped)
    learner = name or next((each.name for each in path.parents if each.name not in _GROUPS), path.stem)
    texts = _bfcl_texts(category)
    results = _bfcl_results(path, category)
    ids = list(texts) if results is None else results
    total = header.get("total_count")
    if total != len(ids) or not set(failed) <= set(ids):
        raise BadRowError(
            f"it scores {total} items, and {len(ids)} are known of {category}; keep the `result` folder beside the `score` folder", path, 1
        )
    for each in ids:
        yield (failed.get(each, 1), Answered(learner, f"bfcl/{each}", float(each not in failed), texts.get(each, ""), (category,)))


def _bfcl_texts(category: str) -> dict[str, str]:
    """What the items of a category ask, by id, from the benchmark's package; empty where it has no such file or cannot be had."""
    try:
        file = unpack_wheel(BFCL) / "bfcl_eval" / "data" / f"BFCL_v4_{category}.json"
    except FetchError:  # offline: the result folder then names the items
        return {}
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()] if file.is_file() else []
    return {row["id"]: _asked(row.get("question")) for row in rows}


def _asked(turns: Any) -> str:
    """The users' messages of nested lists of turns."""
    if isinstance(turns, dict):
        return str(turns.get("content") or "") if turns.get("role", "user") == "user" else ""
    return "\n".join(text for each in turns if (text := _asked(each))) if isinstance(turns, list) else ""


def _bfcl_results(path: Path, category: str) -> list[str] | None:
    """Ids of the answered items, from the result file that belongs to a score file; None where it is not there."""
    parts = list(path.parts)
    if "score" not in parts:
        return None
    at = len(parts) - 1 - parts[::-1].index("score")
    file = Path(*parts[:at], "result", *parts[at + 1 :]).with_name(path.name.replace("_score.json", "_result.json"))
    return [str(row["id"]) for _, row in read_rows(file)] if file.is_file() else None


def harness_answers(path: Path, name: str | None, skipped: SkippedRows | None) -> Iterator[tuple[int, Answered]]:
    """Samples of lm-evaluation-harness (`--log_samples`). Of several filters the first one of the file counts."""
    match = _SAMPLES.fullmatch(path.name)
    task = match[1] if match else path.stem.removeprefix("samples_")
    learner = name or _harness_model(path, match[2] if match else "")
    chosen: Any = None
    for line, row in read_rows(path, skipped):
        try:
            if not isinstance(row.get("doc"), dict) or "doc_id" not in row:
                raise BadRowError("a sample needs `doc_id`, `doc` and its metrics; write samples with --log_samples")
            chosen = row.get("filter") if chosen is None else chosen
            if row.get("filter") != chosen:
                continue
            skills = _skills(row["doc"]) or (task,)
            yield line, Answered(learner, f"{task}/{row['doc_id']}", _harness_score(row), _harness_text(row), skills)
        except BadRowError as problem:
            set_aside(problem.at(path, line), row, skipped)


def _harness_model(path: Path, when: str) -> str:
    file = path.with_name(f"results_{when}.json")
    if file.is_file():
        told = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(told, dict) and told.get("model_name"):
            return str(told["model_name"])
    return path.parent.name


def _harness_score(row: JSON) -> float | None:
    given = [str(metric) for metric in row.get("metrics") or [] if isinstance(row.get(str(metric)), int | float)]
    known = [metric for metric in METRICS if isinstance(row.get(metric), int | float)]
    metric = next((metric for metric in known if metric in given), None) or next(iter(known or given), None)
    if metric is None:
        raise BadRowError(f"no metric that is a number; known are {', '.join(METRICS)}")
    return float(row[metric])


def _harness_text(row: JSON) -> str:
    doc = row["doc"]
    for field in ("question", "problem", "query", "prompt", "input", "text", "goal", "ctx"):
        if isinstance(doc.get(field), str) and doc[field].strip():
            return str(doc[field])
    arguments = row.get("arguments")
    while isinstance(arguments, dict | list) and arguments:
        arguments = next(iter(arguments.values())) if isinstance(arguments, dict) else arguments[0]
    return arguments if isinstance(arguments, str) else ""


def inspect_answers(path: Path, name: str | None, skipped: SkippedRows | None) -> Iterator[tuple[int, Answered]]:
    """A log of Inspect, by the first of its scorers: C is right, P half, I and N wrong; numbers as they are. Each epoch is an answer."""
    for number, row in inspect_scores(path):
        task = row["task"].rsplit("/", 1)[-1]
        try:
            value = next(iter(row["scores"].values()), None)
            score = _inspect_value(value)
        except BadRowError as problem:
            set_aside(problem.at(path, number), {"id": row["id"], "scores": row["scores"]}, skipped)
            continue
        skills = _skills(row["metadata"]) or ((task,) if task else ())
        yield number, Answered(name or row["model"], f"{task}/{row['id']}", score, str(row["question"] or ""), skills)


def _inspect_value(value: Any) -> float | None:
    if isinstance(value, dict):
        value = next(iter(value.values()), None)
    if value is None:
        return None
    if isinstance(value, bool | int | float):
        return float(value)
    if value in INSPECT:
        return INSPECT[value]
    raise BadRowError(f"the score {value!r} is neither a number nor one of {', '.join(INSPECT)}")


def evalplus_answers(path: Path, name: str | None, skipped: SkippedRows | None) -> Iterator[tuple[int, Answered]]:
    """Results of EvalPlus: right where the base tests and, if they ran, the further ones pass; several samples of a task are averaged."""
    try:
        tasks = parse_value(path.read_bytes())["eval"]
        rows = [(task, [_passed(sample) for sample in samples]) for task, samples in tasks.items()]
    except (BadRowError, KeyError, TypeError, AttributeError) as problem:
        raise BadRowError(f"not results of EvalPlus ({type(problem).__name__}: {problem})", path) from None
    learner = name or path.name.removesuffix("eval_results.json").rstrip("_.-") or path.parent.name
    for number, (task, passed) in enumerate(rows, 1):
        yield number, Answered(learner, task, sum(passed) / len(passed) if passed else None, "", (task.split("/")[0],))


def _passed(sample: JSON) -> bool:
    return sample["base_status"] == "pass" and sample.get("plus_status") in (None, "pass")


def tool_answers(path: Path, name: str | None, skipped: SkippedRows | None) -> Iterator[tuple[int, Answered]]:
    """Judged answers of `luthier evaluate tools`, or of the two evaluations of `luthier run tools`: BFCL's official verdict.

    Constrained decoding asks another thing than free decoding, so its items are others.
    """
    when = re.fullmatch(r"evaluation-(before|after)\.jsonl", path.name)
    for line, row in read_rows(path, skipped):
        learner = name or (f"{path.parent.name} {when[1]}" if when else str(row.get("model") or path.stem))
        try:
            if not isinstance(row.get("official"), bool):
                raise BadRowError("a judged answer needs `official`, true or false")
            free = row.get("decoding") == "free"
            item = f"bfcl/{row.get('id')}{'' if free else ' ' + str(row.get('decoding'))}"
            category = f"{row.get('category')}{'' if free else ', ' + str(row.get('decoding'))}"
            yield line, Answered(learner, item, float(row["official"]), str(row.get("question") or ""), (category,))
        except BadRowError as problem:
            set_aside(problem.at(path, line), row, skipped)


def choice_answers(path: Path, name: str | None, skipped: SkippedRows | None) -> Iterator[tuple[int, Answered]]:
    """Scores of `luthier evaluate choice`: the option likeliest by token is the answer. Questions without a known answer are not scored."""
    learner = name or _choice_model(path)
    for line, row in read_rows(path, skipped):
        try:
            group, question = str(row["group"]), str(row["question"])
            right = None if row["answer"] is None else float(row["chosen"]["token"] == row["answer"])
        except (KeyError, TypeError) as problem:
            set_aside(BadRowError(f"not a score of options ({type(problem).__name__}: {problem})", path, line), row, skipped)
            continue
        key = hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        yield line, Answered(learner, f"{group}/{key}", right, question, (group,) if group else ())


def _choice_model(path: Path) -> str:
    file = path.with_name("run.json")
    if not file.is_file():
        return path.parent.name
    settings = json.loads(file.read_text(encoding="utf-8")).get("settings", {})
    return str(settings.get("adapter") or settings.get("model") or path.parent.name)


def _skills(fields: JSON) -> tuple[str, ...]:
    """What an item asks for, where a field says so."""
    for field in SKILLS:
        value = fields.get(field)
        if isinstance(value, str) and value.strip():
            return (value.strip(),)
        if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
            return tuple(value)
    return ()


def _first_fields(path: Path) -> set[str]:
    with path.open(encoding="utf-8", errors="replace") as stream:
        line = next((line for line in stream if line.strip()), "")
    try:
        row = json.loads(line)
    except ValueError:
        return set()
    return set(row) if isinstance(row, dict) else set()
