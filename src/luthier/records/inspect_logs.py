"""Logs of Inspect (inspect_ai) as rows of multiple-choice questions with chains, and back, without that package.

Reads `.json` logs and `.eval` archives; writes `.json`, which `inspect view` and `read_eval_log` open.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError, MissingFileError
from luthier.records.conversations import JSON
from luthier.records.files import atomic_write

LOG_VERSION = 2
ZSTANDARD = 93  # the archive's method for samples that newer versions write


def is_inspect_log(path: str | Path) -> bool:
    """Whether a file is such a log: an `.eval` archive, or JSON with an `eval` and `samples`."""
    path = Path(path)
    if path.suffix == ".eval":
        return True
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as stream:
        head = stream.read(4096)
    return '"eval"' in head and '"status"' in head


def inspect_rows(path: str | Path) -> Iterator[tuple[int, JSON]]:
    """(sample number from 1, row) with `question`, `options`, `answer`, `chain`, `task`, `id`.

    Raises MissingFileError or BadRowError.
    """
    head, samples = _read(Path(path))
    for number, sample in enumerate(samples, 1):
        yield number, _row(sample, str(head.get("task", "")))


def inspect_scores(path: str | Path) -> Iterator[tuple[int, JSON]]:
    """(sample number from 1, row) with `model`, `task`, `id`, `question`, `metadata`, and `scores`: the value by scorer, empty where a sample
    was not scored. Raises MissingFileError or BadRowError."""
    head, samples = _read(Path(path))
    for number, sample in enumerate(samples, 1):
        scores = sample.get("scores") or {}
        yield (
            number,
            {
                "model": str(head.get("model", "")),
                "task": str(head.get("task", "")),
                "id": sample.get("id"),
                "question": _asked(sample),
                "metadata": sample.get("metadata") or {},
                "scores": {name: score.get("value") for name, score in scores.items() if isinstance(score, dict)},
            },
        )


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


def _read(path: Path) -> tuple[JSON, list[JSON]]:
    """What was evaluated (`task`, `model`), and the samples."""
    try:
        return _archive(path) if path.suffix == ".eval" else _json(path)
    except OSError as problem:
        raise MissingFileError(f"{path}: cannot be read ({problem.strerror or problem})") from None
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError) as problem:
        raise BadRowError(f"not a log of Inspect ({type(problem).__name__}: {problem})", path) from None


def _json(path: Path) -> tuple[JSON, list[JSON]]:
    log = json.loads(path.read_text(encoding="utf-8"))
    return dict(log["eval"]), list(log.get("samples") or [])


def _archive(path: Path) -> tuple[JSON, list[JSON]]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        header = next((name for name in ("header.json", "_journal/start.json") if name in names), None)
        head = {} if header is None else dict(json.loads(_member(archive, header)).get("eval", {}))
        found = sorted((n for n in names if n.startswith("samples/") and n.endswith(".json")), key=lambda n: (len(n), n))
        return head, [json.loads(_member(archive, name)) for name in found]


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != ZSTANDARD:
        return archive.read(name)
    import zstandard

    stream: Any = archive.fp
    stream.seek(info.header_offset)
    header = stream.read(30)  # the local header: its name and extra field come before the data
    stream.seek(info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"))
    return zstandard.ZstdDecompressor().decompressobj().decompress(stream.read(info.compress_size))


def _row(sample: JSON, task: str) -> JSON:
    asked = _asked(sample)
    target = sample.get("target")
    choices = (sample.get("output") or {}).get("choices") or []
    said = (
        _text(choices[0].get("message", {}))
        if choices
        else next((_text(message) for message in reversed(sample.get("messages") or []) if message.get("role") == "assistant"), None)
    )
    row = {
        "question": asked,
        "options": sample.get("choices"),
        "answer": target[0] if isinstance(target, list) and target else target,
        "chain": said,
        "task": task,
        "id": sample.get("id"),
    }
    return {name: value for name, value in row.items() if value is not None}


def _asked(sample: JSON) -> Any:
    asked = sample.get("input")
    if isinstance(asked, list):
        return next((_text(message) for message in reversed(asked) if message.get("role") == "user"), "")
    return asked


def _text(message: JSON) -> str:
    content = message.get("content", "")
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
    return str(content)


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
