"""Logs of Inspect, read and written without it."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from luthier.errors import BadRowError, MissingFileError
from luthier.records.choices import read_choices
from luthier.records.inspect_logs import ZSTANDARD, inspect_rows, write_inspect_log

SAMPLE = {
    "question": "Which one is red?",
    "options": ["Mars", "Venus"],
    "answer": "A",
    "chain": "Mars is red.\nThe answer is A",
    "score": 0.75,
    "held": "A",
    "metadata": {"early": True},
}


def written(path: Path) -> Path:
    write_inspect_log(path, [SAMPLE, {**SAMPLE, "answer": "B"}], task="planets", model="m", created="2026-01-02T03:04:05Z")
    return path


def archive(path: Path, samples: list[dict[str, Any]], *, packed: bool) -> Path:
    """An `.eval` archive; packed: with members as newer versions write them, which the standard library cannot."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, content in [
            ("header.json", {"eval": {"task": "planets"}}),
            *((f"samples/{n}_epoch_1.json", one) for n, one in enumerate(samples, 1)),
        ]:
            data = json.dumps(content).encode()
            info = zipfile.ZipInfo(name)
            file.writestr(info, zstandard.compress(data) if packed else data)
    if packed:
        raw = bytearray(path.read_bytes())
        for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            place = raw.find(mark)
            while place >= 0:
                struct.pack_into("<H", raw, place + offset, ZSTANDARD)
                place = raw.find(mark, place + 4)
        path.write_bytes(raw)
    return path


def test_a_log_reads_back(tmp_path: Path):
    path = written(tmp_path / "log.json")
    one, two = read_choices(path)
    assert (one.question, one.options, one.answer, one.chain, one.group) == (
        "Which one is red?",
        ("Mars", "Venus"),
        0,
        SAMPLE["chain"],
        "planets",
    )
    assert two.answer == 1
    assert two.place.endswith("log.json:2")


@pytest.mark.parametrize("packed", [False, True])
def test_archives_are_read_in_the_order_of_samples(tmp_path: Path, packed: bool):
    samples = json.loads(written(tmp_path / "log.json").read_text())["samples"][:1] * 11
    samples = [{**one, "id": number} for number, one in enumerate(samples, 1)]
    found = list(inspect_rows(archive(tmp_path / "log.eval", samples, packed=packed)))
    assert [row["id"] for _, row in found] == list(range(1, 12))
    assert found[0][1]["chain"] == SAMPLE["chain"]


def test_messages_stand_in_for_an_output_and_parts_for_a_text(tmp_path: Path):
    log = json.loads(written(tmp_path / "log.json").read_text())
    sample = log["samples"][0]
    del sample["output"]
    sample["messages"][1]["content"] = [{"type": "text", "text": "Part one."}, {"type": "text", "text": "Part two."}]
    sample["input"] = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Which one is red?"}]
    sample["target"] = ["B"]
    (tmp_path / "log.json").write_text(json.dumps(log))
    row = next(inspect_rows(tmp_path / "log.json"))[1]
    assert (row["question"], row["chain"], row["answer"]) == ("Which one is red?", "Part one.\nPart two.", "B")


def test_files_that_are_no_logs(tmp_path: Path):
    (tmp_path / "bad.eval").write_bytes(b"no archive")
    with pytest.raises(BadRowError, match=r"bad.eval: not a log of Inspect"):
        list(inspect_rows(tmp_path / "bad.eval"))
    with pytest.raises(MissingFileError, match=r"none.eval"):
        list(inspect_rows(tmp_path / "none.eval"))
    buffer = io.StringIO('{"eval": {}, "status": "started"}')
    (tmp_path / "empty.json").write_text(buffer.read())
    assert list(inspect_rows(tmp_path / "empty.json")) == []
