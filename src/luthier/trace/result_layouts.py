"""The layouts in which evaluation programs write what a model got right: one reader for each, all giving the same rows.

A reader takes (path, name of the learner or None, where bad rows go) and yields (line, Answered). Which of several scores of an answer counts,
`luthier.trace.result_rules` says over all files. Checked on files that
bfcl-eval 2026.3.23, lm-eval 0.4.13 and inspect-ai 0.3.285 wrote, on annotations that AlpacaEval published, and against the source of evalplus 0.3.1.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from luthier.errors import BadRowError, FetchError
from luthier.packages import BFCL, unpack_wheel
from luthier.records.account import Account, note_strange
from luthier.records.conversations import JSON
from luthier.records.files import SkippedRows, read_lines, read_rows, read_whole, set_aside
from luthier.records.inspect_logs import inspect_head, inspect_scores, is_inspect_log
from luthier.records.lines import parse_row, parse_value
from luthier.records.numbers import finite_number, shown, written_number
from luthier.trace.result_rules import METRICS, Rule, Value


class Answered(NamedTuple):
    """One answer; correct is None where the sample was not scored. said: the answer itself, where the file has it.

    values: its scores by rule, where the program gives several; `correct` then waits for the rule that counts. document: what tells the item's
    document from others of its number, where the program says it.
    """

    learner: str
    item: str
    correct: float | None
    text: str = ""
    concepts: tuple[str, ...] = ()
    said: str = ""
    values: Mapping[Rule, Value] | None = None
    document: str = ""


Reader = Callable[[Path, str | None, SkippedRows | None], Iterator[tuple[int, Answered]]]
SKILLS = ("concepts", "concept", "skill", "skills", "category", "subject", "topic", "subtask")  # fields that name what an item asks for
_BFCL = frozenset(
    [
        "id",
        "error",
        "error_type",
        "prompt",
        "model_result",
        "possible_answer",
        "test_category",
        "model_name",
        "valid",
        "model_result_raw",
        "model_result_decoded",
    ]
)
_ASKED = ("question", "problem", "query", "prompt", "input", "text", "goal", "ctx")
_LOGGED = ["doc", "doc_id", "doc_hash", "prompt_hash", "target_hash", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"]
_HARNESS = frozenset((*_LOGGED, *_ASKED, *SKILLS, *METRICS))
_EVALPLUS = frozenset(["task_id", "solution", "base_status", "plus_status", "base_fail_tests", "plus_fail_tests"])
_ALPACA = frozenset(
    ["instruction", "output_1", "output_2", "generator_1", "generator_2", "preference", "annotator", "dataset", "referenced_models"]
)
_TOOLS = frozenset(["id", "category", "decoding", "official", "right", "model", "question", "strict", "answer"])
_VERDICT = frozenset(["task", "program", "public", "private", "outcome", "detail", "shown", "cpu", "wall"])
_CHOICE = frozenset(["group", "question", "answer", "chosen", "token", "options", "logprobs"])
SIDES = ("before", "after")  # folders of a flow that scores a model twice
_BEYOND = 10**300  # an integer may be beyond all floats
INSPECT = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
_SCORE = re.compile(r"BFCL_v\d+_(.+)_score\.json")
_GROUPS = {"non_live", "live", "multi_turn", "agentic", "memory", "kv", "vector", "rec_sum", "format_sensitivity"}
_SAMPLES = re.compile(r"samples_(.+)_(\d{4}-\d\d-\d\dT[^_]+)\.jsonl")


def layout_of(path: Path) -> Reader | None:
    """The reader of a file by its name and first row; None where it is none of these."""
    name = _bare(path)
    if _SCORE.fullmatch(name):
        return bfcl_answers
    if name.startswith("samples_") and name.endswith(".jsonl"):
        return harness_answers
    if name.endswith((".eval", ".json")) and is_inspect_log(path):
        return inspect_answers
    if name.endswith("eval_results.json"):
        return evalplus_answers
    if name == "annotations.json":
        return alpaca_answers
    if name.endswith(".jsonl"):
        fields = _first_fields(path)
        if {"id", "category", "decoding"} <= fields and fields & {"official", "right"}:
            return tool_answers
        if {"question", "options", "logprobs", "chosen"} <= fields:
            return choice_answers
        if {"task", "program", "private", "outcome"} <= fields:
            return code_answers
    return None


def bfcl_answers(path: Path, name: str | None, skipped: SkippedRows | None) -> Iterator[tuple[int, Answered]]:
    """A score file of BFCL. It lists the failures only: the others come from the result file, or are all items of the category.

    Raises BadRowError where the numbers do not agree.
    """
    match = _SCORE.fullmatch(_bare(path))
    category = match[1] if match else ""
    failed: dict[str, int] = {}
    said: dict[str, str] = {}
    header: JSON = {}
    for line, row in read_rows(path, skipped):
        if line == 1 or "total_count" in row:
            header = row
        elif "id" in row:
            failed[str(row["id"])] = line
            said[str(row["id"])] = str(row.get("model_result_raw") or row.get("model_result") or "")
            note_strange("failures of BFCL", row, _BFCL, path, line)
        else:
            set_aside(BadRowError("a failure without an `id`", path, line), row, skipped)
    learner = name or next((each.name for each in path.parents if each.name not in _GROUPS), _bare(path).removesuffix(".json"))
    texts = _bfcl_texts(category)
    results = _bfcl_results(path, category)
    ids = list(texts) if results is None else results
    total = header.get("total_count")
    if total != len(ids) or not set(failed) <= set(ids):
        raise BadRowError(
            f"it scores {total} items and lists the wrong ones alone, and {len(ids)} are known of {category}; keep the `result` folder beside the `score` "
            f"folder, or {_result_name(path)} beside it",
            path,
            1,
        )
    for each in ids:
        answered = Answered(learner, f"bfcl/{each}", float(each not in failed), texts.get(each, ""), (category,), said.get(each, ""))
        yield failed.get(each, 1), answered


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
    """Ids of the answered items, from the result file that belongs to a score file, packed or not; None where it is not there."""
    parts, folders = path.parts, [path.parent]
    if "score" in parts:
        at = len(parts) - 1 - parts[::-1].index("score")
        folders.insert(0, Path(*parts[:at], "result", *parts[at + 1 :]).parent)
    files = [folder / f"{_result_name(path)}{packed}" for folder in folders for packed in ("", ".gz")]
    file = next((file for file in files if file.is_file()), None)
    return None if file is None else [str(row["id"]) for _, row in read_rows(file)]


def _result_name(path: Path) -> str:
    return _bare(path).replace("_score.json", "_result.json")


def harness_answers(path: Path, name: str | None, skipped: SkippedRows | None) -> Iterator[tuple[int, Answered]]:
    """Samples of lm-evaluation-harness (`--log_samples`), a row for each filter.

    Repeats of a document (`repeats`) are answers of their own. A sample without a score is not scored.
    """
    match = _SAMPLES.fullmatch(_bare(path))
    task = match[1] if match else _bare(path).removesuffix(".jsonl").removeprefix("samples_")
    learner = name or _harness_model(path, match[2] if match else "")
    for line, row in read_rows(path, skipped):
        try:
            if not isinstance(row.get("doc"), dict) or not isinstance(row.get("doc_id"), int | str):
                raise BadRowError("a sample needs `doc_id`, `doc` and its metrics; write samples with --log_samples")
            values = _harness_values(row, task)
            note_strange("samples of lm-evaluation-harness", row, _HARNESS.union(rule.metric for rule in values), path, line)
            skills, said = _skills(row["doc"]) or (task,), _first_text(row.get("filtered_resps"))
            document = f"{task}:{row['doc_hash']}" if row.get("doc_hash") else ""
            yield line, Answered(learner, f"{task}/{row['doc_id']}", None, _harness_text(row), skills, said, values, document)
        except BadRowError as problem:
            set_aside(problem.at(path, line), row, skipped)


def _harness_model(path: Path, when: str) -> str:
    told = next((told for file in _records(path, when) if (told := _told(file).get("model_name"))), None)
    return path.parent.name if told is None else str(told)


def _records(path: Path, when: str) -> list[Path]:
    """The records of the run of a samples file, packed or not."""
    return [file for file in (path.with_name(f"results_{when}.json"), path.with_name(f"results_{when}.json.gz")) if file.is_file()]


def harness_directions(path: Path) -> Iterator[tuple[str, str, bool]]:
    """(task, metric, whether higher is better) of the task of a samples file, as the record of its run says: the one of its time, else all beside it."""
    match = _SAMPLES.fullmatch(_bare(path))
    files = (_records(path, match[2]) if match else []) or sorted(
        [*path.parent.glob("results*.json"), *path.parent.glob("results*.json.gz")]
    )
    task = match[1] if match else _bare(path).removesuffix(".jsonl").removeprefix("samples_")
    for file in files:
        told = _told(file).get("higher_is_better")
        of_task = told.get(task) if isinstance(told, dict) else None
        for metric, higher in of_task.items() if isinstance(of_task, dict) else ():
            if isinstance(higher, bool):
                yield task, str(metric).split(",")[0], higher


def _harness_values(row: JSON, task: str) -> dict[Rule, Value]:
    """The values of a sample's metrics: None where a value is no number (NaN) or one of tokens (perplexity)."""
    named = [str(metric) for metric in row["metrics"]] if isinstance(row.get("metrics"), list) else []
    metrics = dict.fromkeys([*named, *(metric for metric in METRICS if metric in row and not named)])
    if not metrics and not isinstance(row.get("metrics"), list):
        raise BadRowError(f"no metric that is a number; known are {', '.join(METRICS)}")
    chosen = str(row.get("filter") or "none")
    return {Rule(task, metric, chosen): _number(row.get(metric)) for metric in metrics}


def _number(value: Any) -> float | None:
    """A number, true or false; None for anything else."""
    return float(value) if isinstance(value, bool | int | float) and math.isfinite(value) else None


def _first_text(value: Any) -> str:
    """The first text in nested lists: of several answers the first, of numbers none."""
    while isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, str) else ""


def _harness_text(row: JSON) -> str:
    doc = row["doc"]
    for field in _ASKED:
        if isinstance(doc.get(field), str) and doc[field].strip():
            return str(doc[field])
    arguments = row.get("arguments")
    while isinstance(arguments, dict | list) and arguments:
        arguments = next(iter(arguments.values())) if isinstance(arguments, dict) else arguments[0]
    return arguments if isinstance(arguments, str) else ""


def inspect_answers(path: Path, name: str | None, skipped: SkippedRows | None) -> Iterator[tuple[int, Answered]]:
    """A log of Inspect: C is right, P half, I and N wrong; numbers as they are, yes and no. A score may have several values, each under a key.

    NaN is Inspect's mark of a sample that was not scored. Each epoch is an answer.
    """
    for number, row in inspect_scores(path, skipped):
        task = row["task"].rsplit("/", 1)[-1]
        values = {rule: value for scorer, score in row["scores"].items() for rule, value in _inspect_values(task, scorer, score)}
        skills = _skills(row["metadata"]) or ((task,) if task else ())
        asked, said = str(row["question"] or ""), str(row.get("said") or "")
        yield number, Answered(name or row["model"], f"{task}/{row['id']}", None, asked, skills, said, values)


def _inspect_values(task: str, scorer: str, score: Any) -> Iterator[tuple[Rule, Value]]:
    for key, value in score.items() if isinstance(score, dict) and score else [("", None if score == {} else score)]:
        try:
            yield Rule(task, scorer, key=str(key)), _inspect_value(value)
        except BadRowError as problem:
            yield Rule(task, scorer, key=str(key)), problem


def _inspect_value(value: Any) -> float | None:
    """A score, None where there is none; which lie between 0 and 1 is settled over all of them. Raises BadRowError for anything else."""
    if isinstance(value, dict | list):
        kind = "a list" if isinstance(value, list) else "an object"
        raise BadRowError(f"the score {str(value)[:60]} is {kind}; it says no single thing about an answer")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    word = str(value).strip()
    if isinstance(value, bool | int | float) or re.fullmatch(r"[+-]?\d{1,20}(?:\.\d{1,40})?", word):
        return float(word) if isinstance(value, str) else float(max(-_BEYOND, min(value, _BEYOND)))
    if word.upper() in INSPECT:
        return INSPECT[word.upper()]
    if word.lower() in ("yes", "true", "no", "false"):
        return float(word.lower() in ("yes", "true"))
    raise BadRowError(f"the score {word[:60]!r} is neither a number nor one of {', '.join(INSPECT)}")


def evalplus_answers(path: Path, name: str | None, skipped: SkippedRows | None) -> Iterator[tuple[int, Answered]]:
    """Results of EvalPlus: `base`, whether the base tests pass, and `plus`, whether the further ones do too, if they ran; several samples of a
    task are averaged."""
    try:
        tasks = parse_value(read_whole(path))["eval"]
        named = list(tasks.items())
    except (BadRowError, KeyError, TypeError, AttributeError) as problem:
        raise BadRowError(f"not results of EvalPlus ({type(problem).__name__}: {problem})", path) from None
    learner = name or _bare(path).removesuffix("eval_results.json").rstrip("_.-") or path.parent.name
    for number, (task, samples) in enumerate(named, 1):
        try:
            values = _passed(task.split("/")[0], samples)
        except (KeyError, TypeError, AttributeError) as problem:
            set_aside(
                BadRowError(f"task {task!r}: no samples of EvalPlus ({type(problem).__name__}: {problem})", path, number),
                {task: samples},
                skipped,
            )
            continue
        note_strange("tasks of EvalPlus", samples, _EVALPLUS, path, number)
        said = str(samples[0].get("solution") or "") if samples else ""
        yield number, Answered(learner, task, None, "", (task.split("/")[0],), said, values)


def _passed(family: str, samples: Sequence[JSON]) -> dict[Rule, Value]:
    if any(isinstance(sample, list) for sample in samples):  # older versions: [status, details] of the base tests
        raise TypeError("a list where an object was expected")
    base = [sample["base_status"] == "pass" for sample in samples]
    plus = [passed and sample.get("plus_status") in (None, "pass") for passed, sample in zip(base, samples, strict=True)]
    kinds = {"base": base, **({"plus": plus} if any(sample.get("plus_status") is not None for sample in samples) else {})}
    return {Rule(family, kind): sum(some) / len(some) for kind, some in kinds.items() if some}


def alpaca_answers(path: Path, name: str | None, skipped: SkippedRows | None) -> Iterator[tuple[int, Answered]]:
    """Annotations of AlpacaEval: how far the model's answer (`output_2`) is preferred to the reference's, from 0 to 1. An annotation without a
    preference is not scored."""
    for line, row in read_rows(path, skipped):
        try:
            missing = [field for field in ("instruction", "generator_1", "generator_2") if not isinstance(row.get(field), str)]
            if missing or "preference" not in row:
                raise BadRowError(f"no annotation of AlpacaEval: {', '.join(map(repr, missing or ['preference']))} is missing")
            stated = row["preference"]
            preferred = finite_number(written_number(stated))
            if preferred is not None and not 1 <= preferred <= 2:
                raise BadRowError(f"the preference is {shown(stated)}; it lies between 1, for the reference's answer, and 2")
            note_strange("annotations of AlpacaEval", row, _ALPACA, path, line)
            asked = hashlib.sha256(row["instruction"].encode("utf-8", "surrogatepass")).hexdigest()[:12]
            task = f"alpaca_eval against {row['generator_1']}"
            skills = (str(row.get("dataset") or task),)
            correct = None if preferred is None else preferred - 1
            said = str(row.get("output_2") or "")
            yield line, Answered(name or row["generator_2"], f"{task}/{asked}", correct, row["instruction"], skills, said)
        except BadRowError as problem:
            set_aside(problem.at(path, line), row, skipped)


def tool_answers(path: Path, name: str | None, skipped: SkippedRows | None) -> Iterator[tuple[int, Answered]]:
    """Judged answers of `luthier evaluate tools`, or of the two evaluations of `luthier run tools`: BFCL's official verdict, or
    whether the calls are those of an own dialogue.

    Constrained decoding asks another thing than free decoding, so its items are others.
    """
    flow = path.parent.parent
    side = f"{flow.resolve().name} {path.parent.name}" if path.parent.name in SIDES and (flow / "run.json").is_file() else ""
    for line, row in read_rows(path, skipped):
        learner = name or side or str(row.get("model") or path.stem)
        try:
            rule, source = ("right", "own") if "right" in row else ("official", "bfcl")
            if not isinstance(row.get(rule), bool):
                raise BadRowError(f"a judged answer needs `{rule}`, true or false")
            note_strange("judged answers", row, _TOOLS, path, line)
            free = row.get("decoding") == "free"
            item = f"{source}/{row.get('id')}{'' if free else ' ' + str(row.get('decoding'))}"
            category = f"{row.get('category')}{'' if free else ', ' + str(row.get('decoding'))}"
            asked, said = str(row.get("question") or ""), str(row.get("answer") or "")
            yield line, Answered(learner, item, float(row[rule]), asked, (category,), said)
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
        note_strange("scores of options", row, _CHOICE, path, line)
        key = hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        said = _option(row, row["chosen"]["token"])
        yield line, Answered(learner, f"{group}/{key}", right, question, (group,) if group else (), said)


def _option(row: JSON, chosen: Any) -> str:
    options = row.get("options")
    return str(options[chosen]) if isinstance(options, list) and isinstance(chosen, int) and 0 <= chosen < len(options) else str(chosen)


def code_answers(path: Path, name: str | None, skipped: SkippedRows | None) -> Iterator[tuple[int, Answered]]:
    """Verdicts of `luthier evaluate code`: right where every private test passes; each program is an answer."""
    learner = name or _choice_model(path)
    for line, row in read_rows(path, skipped):
        private = row.get("private")
        if not isinstance(row.get("task"), str) or not isinstance(private, list):
            set_aside(BadRowError("a verdict needs `task` and `private`, a list of outcomes", path, line), row, skipped)
            continue
        note_strange("verdicts on programs", row, _VERDICT, path, line)
        family = row["task"].rsplit("/", 1)[0]
        passed = bool(private) and all(kind == "passed" for kind in private)
        yield line, Answered(learner, f"code/{row['task']}", float(passed), "", (family,), str(row.get("program") or ""))


def _choice_model(path: Path) -> str:
    file = path.with_name("run.json")
    if not file.is_file():
        return path.parent.name
    settings = _told(file).get("settings")
    settings = settings if isinstance(settings, dict) else {}
    return str(settings.get("adapter") or settings.get("model") or path.parent.name)


def _told(file: Path) -> JSON:
    """What a file beside the answers says of them; nothing where it cannot be read."""
    try:
        told = parse_value(read_whole(file))
    except BadRowError:
        return {}
    return told if isinstance(told, dict) else {}


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
    with suppress(BadRowError):
        line = next((line for _, line in read_lines(path) or () if line.strip()), b"")
        return set(parse_row(line))
    return set()


def _bare(path: Path) -> str:
    """The name of a file, packed or not."""
    return path.name.removesuffix(".gz")


def repeated_runs(files: Sequence[tuple[str | None, Path, Reader]]) -> set[Path]:
    """The files of earlier runs, where a model was run on a task again: of lm-evaluation-harness the last counts, of Inspect the last that was
    finished. files: (name of the learner if given, file, its reader)."""
    runs: dict[tuple[object, ...], list[tuple[bool, str, Path]]] = {}
    logs = [path.parent for _, path, reader in files if reader is inspect_answers]
    for name, path, reader in files:
        match = _SAMPLES.fullmatch(_bare(path))
        if reader is harness_answers and match:
            learner = name or _harness_model(path, match[2])
            runs.setdefault((learner, match[1], path.parent), []).append((True, match[2], path))
        elif reader is inspect_answers and logs.count(path.parent) > 1:
            with suppress(BadRowError):  # its reader says what is wrong
                head = inspect_head(path)
                finished = head.status == "success"
                runs.setdefault((name, head.model, head.task, head.arguments, path.parent), []).append((finished, head.created, path))
    earlier: set[Path] = set()
    for each in runs.values():
        *before, (_, _, last) = sorted(each)
        earlier.update(path for _, _, path in before if not _is_inspect(path, files) or _samples_of(path) <= _samples_of(last))
    return earlier


def _is_inspect(path: Path, files: Sequence[tuple[str | None, Path, Reader]]) -> bool:
    return any(reader is inspect_answers for _, one, reader in files if one == path)


def _samples_of(path: Path) -> set[str]:
    """Which items a log of Inspect has answers to: parts of a task, as `--limit` makes them, are no retries of each other."""
    with suppress(BadRowError), Account(apart=True):  # looking is not reading
        return {str(row["id"]) for _, row in inspect_scores(path, SkippedRows())}
    return set()
