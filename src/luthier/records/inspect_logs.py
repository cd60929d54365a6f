"""Logs of Inspect (inspect_ai) as rows of multiple-choice questions with chains, and back, without that package.

Reads `.json` logs, packed or not, and `.eval` archives; writes `.json`, which `inspect view` and `read_eval_log` open.
"""

from __future__ import annotations

import gzip
import json
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from luthier.errors import BadRowError, MissingFileError
from luthier.records.account import note, note_strange
from luthier.records.conversations import JSON
from luthier.records.files import LONGEST_LINE, SkippedRows, atomic_write, read_whole, set_aside
from luthier.records.lines import parse_text

LOG_VERSION = 2
ZSTANDARD = 93  # the archive's method for samples that newer versions write
_DAMAGED = (zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError, NotImplementedError, RuntimeError, zlib.error, OSError)
_ATTACHMENT = "attachment://"
_KNOWN = frozenset(
    [
        "id",
        "epoch",
        "input",
        "choices",
        "target",
        "output",
        "messages",
        "scores",
        "metadata",
        "attachments",
        "message",
        "role",
        "content",
        "text",
        "reasoning",
        "summary",
        "type",
        "value",
    ]
)


def is_inspect_log(path: str | Path) -> bool:
    """Whether a file is such a log: an `.eval` archive, or JSON with an `eval` and `samples`."""
    path = Path(path)
    if path.suffix == ".eval":
        return True
    if not path.name.removesuffix(".gz").endswith(".json") or not path.is_file():
        return False
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            head = stream.read(4096)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    return b'"eval"' in head and b'"status"' in head


class LogHead(NamedTuple):
    """What a log says of its run; arguments: those of the task, as JSON text."""

    model: str
    task: str
    arguments: str
    created: str
    status: str


def inspect_head(path: str | Path) -> LogHead:
    """Raises MissingFileError, BadRowError."""
    head, samples = _read(Path(path))
    if isinstance(samples, Generator):
        samples.close()
    arguments = json.dumps(head.get("task_args") or {}, sort_keys=True, default=str)
    return LogHead(
        model=_text_of(head, "model"),
        task=_text_of(head, "task"),
        arguments=arguments,
        created=_text_of(head, "created"),
        status=_text_of(head, "status"),
    )


def inspect_rows(path: str | Path, skipped: SkippedRows | None = None) -> Iterator[tuple[int, JSON]]:
    """(sample number from 1, row) with `question`, `options`, `answer`, `chain`, `task`, `id`.

    Raises MissingFileError, and BadRowError, for a sample that cannot be read only where `skipped` does not take it.
    """
    head, samples = _read(Path(path))
    _note_unread(head, ("task", "model", "status"), "the head of a log", path)
    return _converted(samples, lambda sample: _row(sample, _text_of(head, "task")), Path(path), skipped)


def inspect_scores(path: str | Path, skipped: SkippedRows | None = None) -> Iterator[tuple[int, JSON]]:
    """(sample number from 1, row) with `model`, `task`, `id`, `question`, `metadata`, and `scores`: the value by scorer, empty where a sample
    was not scored. Raises as `inspect_rows` does."""
    head, samples = _read(Path(path))
    _note_unread(head, ("task", "model", "status"), "the head of a log", path)
    if head.get("status") not in (None, "success"):
        note("understood", f"a log whose run ended as {head['status']!r}; the samples that it scored count", path, 1)
    return _converted(samples, lambda sample: _scored(sample, head), Path(path), skipped)


def write_inspect_log(path: str | Path, samples: Sequence[JSON], *, task: str, model: str, created: str) -> None:
    """Samples with `question`, `options`, `answer` (a letter), `chain`, `score` (a number or a letter), `held` (the answer) and `metadata`
    as a log. created: an ISO time. Raises DiskError."""
    made = [_sample(number, sample, model) for number, sample in enumerate(samples, 1)]
    log = {
        "version": LOG_VERSION,
        "status": "success",
        "eval": {
            "created": created,
            "task": task,
            "model": model,
            "config": {},
            "dataset": {"name": task, "samples": len(made), "sample_ids": [one["id"] for one in made]},
        },
        "samples": made,
    }
    with atomic_write(path) as stream:
        json.dump(log, stream, ensure_ascii=False, indent=1)
        stream.write("\n")


def _read(path: Path) -> tuple[JSON, Iterator[Any]]:
    """What was evaluated (`task`, `model`), and the samples, one by one."""
    try:
        if path.suffix != ".eval":
            return _json(path)
        archive = zipfile.ZipFile(path)
        names = archive.namelist()
        header = next((name for name in ("header.json", "_journal/start.json") if name in names), None)
        log = {} if header is None else _object(_parsed(archive, header), "the header")
        head = _head(log, _object(log.get("eval", {}), "`eval`"))
    except OSError as problem:
        raise MissingFileError(f"{path}: cannot be read ({problem.strerror or problem})") from None
    except BadRowError as problem:
        raise BadRowError(f"not a log of Inspect ({problem.problem})", path) from None
    except _DAMAGED as problem:
        raise BadRowError(f"not a log of Inspect ({type(problem).__name__}: {problem})", path) from None
    found = sorted((n for n in names if n.startswith("samples/") and n.endswith(".json")), key=lambda n: (len(n), n))
    return head, _members(archive, found)


def _json(path: Path) -> tuple[JSON, Iterator[Any]]:
    log = _object(_value(read_whole(path)), "the log")
    _note_unread(log, ("version", "status", "eval", "samples"), "a log", path)
    samples = log.get("samples") or []
    if not isinstance(samples, list):
        raise BadRowError("`samples` is no list")
    return _head(log, _object(log.get("eval"), "`eval`")), iter(samples)


def _head(log: JSON, evaluated: JSON) -> JSON:
    """What was evaluated, with the state in which the log was left."""
    return {**evaluated, "status": log.get("status")}


def _note_unread(part: JSON, read: Sequence[str], what: str, path: str | Path) -> None:
    for name in part:
        if name not in read:
            note("left out", f"field {name!r} of {what}", path)


def _members(archive: zipfile.ZipFile, names: Sequence[str]) -> Iterator[Any]:
    """The samples; what cannot be unpacked or parsed is given as the BadRowError that says why."""
    with archive:
        for name in names:
            try:
                yield _parsed(archive, name)
            except BadRowError as problem:
                yield problem
            except _DAMAGED as problem:
                yield BadRowError(f"{name} cannot be read ({type(problem).__name__}: {problem})")


def _converted(
    samples: Iterator[Any], convert: Callable[[JSON], JSON], path: Path, skipped: SkippedRows | None
) -> Iterator[tuple[int, JSON]]:
    for number, sample in enumerate(samples, 1):
        try:
            if isinstance(sample, BadRowError):
                raise sample
            row = convert(_object(sample, "the sample"))
        except BadRowError as problem:
            set_aside(problem.at(path, number), "" if isinstance(sample, BadRowError) else json.dumps(sample), skipped)
            continue
        note_strange("samples of Inspect", sample, _KNOWN.union(_scorers(sample)), path, number)
        yield number, row


def _scorers(sample: JSON) -> Iterator[str]:
    """The names of the scorers, and of the values that they give by name."""
    scores = sample.get("scores")
    for name, score in scores.items() if isinstance(scores, dict) else ():
        if isinstance(score, dict):
            yield name
            yield from score["value"] if isinstance(score.get("value"), dict) else ()


def _parsed(archive: zipfile.ZipFile, name: str) -> Any:
    return _value(_member(archive, name))


def _value(data: bytes) -> Any:
    """JSON as Inspect writes it, where NaN is the score of a sample that was not scored."""
    try:
        return parse_text(data.decode("utf-8-sig"), nan=True)
    except UnicodeDecodeError as error:
        raise BadRowError(f"not UTF-8 text at byte {error.start + 1}") from None


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != ZSTANDARD:
        with archive.open(info) as member:
            return _bounded(member.read(LONGEST_LINE + 1), name)
    import zstandard

    stream: Any = archive.fp
    stream.seek(info.header_offset)
    header = stream.read(30)  # the local header: its name and extra field come before the data
    stream.seek(info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"))
    packed = stream.read(min(info.compress_size, LONGEST_LINE))
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(packed) as reader:
            return _bounded(reader.read(LONGEST_LINE + 1), name)
    except zstandard.ZstdError as problem:
        raise BadRowError(f"{name} cannot be unpacked ({problem})") from None


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > LONGEST_LINE:
        raise BadRowError(f"{name} holds more than {LONGEST_LINE >> 20} MiB")
    return data


def _object(value: Any, what: str) -> JSON:
    if not isinstance(value, dict):
        raise BadRowError(f"{what} is no object")
    return value


def _scored(sample: JSON, head: JSON) -> JSON:
    scores = _object(sample.get("scores") or {}, "`scores`")
    return {
        "model": _text_of(head, "model"),
        "task": _text_of(head, "task"),
        "id": sample.get("id"),
        "question": _asked(sample),
        "metadata": _object(sample.get("metadata") or {}, "`metadata`"),
        "scores": {name: score.get("value") for name, score in scores.items() if isinstance(score, dict)},
        "said": _said_or_none(sample),
    }


def _said_or_none(sample: JSON) -> str | None:
    """The answer beside a score, which counts without it too."""
    try:
        return _said(sample)
    except BadRowError as problem:
        note("left out", f"an answer that cannot be read ({problem.problem})")
        return None


def _said(sample: JSON) -> str | None:
    """What the model answered: the first choice of the output, else the last message of the assistant."""
    choices = _object(sample.get("output") or {}, "`output`").get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(each, dict) for each in choices):
        raise BadRowError("the output's `choices` is no list of objects")
    if choices:
        return _text(_object(choices[0].get("message") or {}, "the output's message"), sample)
    messages = [_object(message, "a message") for message in _list(sample, "messages")]
    return next((_text(message, sample) for message in reversed(messages) if message.get("role") == "assistant"), None)


def _row(sample: JSON, task: str) -> JSON:
    target = sample.get("target")
    row = {
        "question": _asked(sample),
        "options": sample.get("choices"),
        "answer": target[0] if isinstance(target, list) and target else target,
        "chain": _said(sample),
        "task": task,
        "id": sample.get("id"),
    }
    return {name: value for name, value in row.items() if value is not None}


def _asked(sample: JSON) -> str:
    asked = sample.get("input")
    if isinstance(asked, list):
        messages = [_object(message, "a message of `input`") for message in asked]
        return next((_text(message, sample) for message in reversed(messages) if message.get("role") == "user"), "")
    if asked is not None and not isinstance(asked, str):
        raise BadRowError("`input` is neither text nor a list of messages")
    return _attached(asked or "", sample)


def _text(message: JSON, sample: JSON) -> str:
    """What a message says: its reasoning first, then its text. Raises BadRowError where a part says neither."""
    content = message.get("content", "")
    parts = [content] if isinstance(content, str) else content if isinstance(content, list) else None
    if parts is None:
        raise BadRowError("the content of a message is neither text nor a list of parts")
    thought = message.get("reasoning")
    told = [thought] if isinstance(thought, str) else []
    for part in parts:
        if isinstance(part, str):
            told.append(part)
        elif isinstance(part, dict) and isinstance(part.get("reasoning"), str):
            told.append(part["reasoning"] or str(part.get("summary") or ""))
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            told.append(part["text"])
    return "\n".join(_attached(each, sample) for each in told if each)


def _attached(text: str, sample: JSON) -> str:
    """Long texts stand once in `attachments`, under a hash that stands in their place."""
    attachments = sample.get("attachments")
    if not text.startswith(_ATTACHMENT) or not isinstance(attachments, dict):
        return text
    found = attachments.get(text.removeprefix(_ATTACHMENT))
    return found if isinstance(found, str) else text


def _list(sample: JSON, name: str) -> list[Any]:
    value = sample.get(name) or []
    if not isinstance(value, list):
        raise BadRowError(f"`{name}` is no list")
    return value


def _text_of(head: JSON, name: str) -> str:
    value = head.get(name)
    return "" if value is None else str(value)


def _sample(number: int, sample: JSON, model: str) -> JSON:
    return {
        "id": number,
        "epoch": 1,
        "input": sample["question"],
        "choices": list(sample["options"]),
        "target": sample["answer"] or "",
        "messages": [{"role": "user", "content": sample["question"]}, {"role": "assistant", "content": sample["chain"], "model": model}],
        "output": {"model": model, "choices": [{"message": {"role": "assistant", "content": sample["chain"]}, "stop_reason": "stop"}]},
        "scores": {"chain_of_probe": {"value": sample["score"], "answer": sample["held"], "metadata": sample["metadata"]}},
        "metadata": {},
    }
