"""A journal keeps every finished row through kills at any byte, full disks and reopening."""

import json
import os
import resource
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import BadRowError, DiskError, LuthierError
from luthier.records.journal import Journal

ROWS = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=30) | st.integers() | st.none(), max_size=3), max_size=8)


@given(rows=ROWS, more=ROWS, data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_cut_at_any_byte_keeps_every_whole_row(tmp_path_factory, rows, more, data):
    path = tmp_path_factory.mktemp("journal") / "rows.jsonl"
    with Journal(path) as journal:
        for row in rows:
            journal.append(row)
        assert list(journal) == rows
    written = path.read_bytes()
    cut = data.draw(st.integers(min_value=0, max_value=len(written)))
    path.write_bytes(written[:cut])
    kept = rows[: written[:cut].count(b"\n")]
    with Journal(path) as journal:
        assert list(journal) == kept
        for row in more:
            journal.append(row)
        assert list(journal) == kept + more
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == kept + more


@pytest.mark.parametrize("size", [10, 65_535, 65_536, 65_537, 200_000])
def test_a_long_half_line_is_dropped(tmp_path, size):
    path = tmp_path / "rows.journal"
    half = b'{"n": "' + b"x" * size
    path.write_bytes(b'{"n": 1}\n' + half)
    with Journal(path) as journal:
        assert list(journal) == [{"n": 1}]
    assert path.read_bytes() == b'{"n": 1}\n'
    path.write_bytes(half)
    with Journal(path) as journal:
        assert list(journal) == []


FOREIGN = {
    "text": b"line one\nthe last line has no newline",
    "one line": b"a draft without a newline",
    "csv": b"id,text\n1,a\n2",
    "list": b"[1, 2]\n[3",
    "other rows": b'{"name": 1}\n{"name": 2}\n{"na',
    "other beginning": b'{"n": 1}\n{"name": 2, "tex',
    "damaged": b'{"n": 1}\n{"n": \n{"n": 3}\n',
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_kind_is_refused_and_left_as_it_is(tmp_path, kind):
    path = tmp_path / "mine.txt"
    path.write_bytes(FOREIGN[kind])
    with pytest.raises(BadRowError, match=r"mine\.txt:\d"):
        Journal(path, ["n"])
    assert path.read_bytes() == FOREIGN[kind]


def test_a_second_writer_gets_one_line(tmp_path):
    with Journal(tmp_path / "rows.jsonl"), pytest.raises(LuthierError, match="another run is writing it"):
        Journal(tmp_path / "rows.jsonl")


def test_a_killed_process_loses_nothing_it_was_told_is_written(tmp_path):
    path = tmp_path / "rows.jsonl"
    script = (
        "import itertools, sys\n"
        "from luthier.records.journal import Journal\n"
        "with Journal(sys.argv[1]) as journal:\n"
        "    for number in itertools.count():\n"
        "        journal.append({'n': number, 'text': 'x' * 3000})\n"
        "        print(number, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as process:
        told = [int(process.stdout.readline()) for _ in range(50)]
        process.send_signal(signal.SIGKILL)
    with Journal(path) as journal:
        kept = [row["n"] for row in journal]
    assert kept[:50] == told
    assert kept == list(range(len(kept)))


def test_rows_can_be_read_while_writing(tmp_path):
    with Journal(tmp_path / "deep" / "rows.jsonl") as journal:
        journal.append({"n": 1})
        reader = iter(journal)
        assert next(reader) == {"n": 1}
        journal.append({"n": 2})
        assert [row["n"] for row in journal] == [1, 2]


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": \n{"n": 3}\n')
    with pytest.raises(BadRowError, match=r"rows\.jsonl:2: not JSON"):
        Journal(path)


def test_a_row_without_json_form_leaves_the_journal_alone(tmp_path):
    with Journal(tmp_path / "rows.jsonl") as journal:
        journal.append({"n": 1})
        with pytest.raises(BadRowError):
            journal.append({"n": float("inf")})
        assert list(journal) == [{"n": 1}]


def test_a_disk_that_fills_up_leaves_whole_rows_and_a_usable_journal(tmp_path):
    path = tmp_path / "rows.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path) as journal:
        journal.append({"n": 1})
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            with pytest.raises(DiskError, match="cannot write"):
                journal.append({"text": "x" * 10_000})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        journal.append({"n": 2})
        assert list(journal) == [{"n": 1}, {"n": 2}]


def test_places_where_no_journal_can_be(tmp_path):
    with pytest.raises(DiskError, match="is a folder"):
        Journal(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="cannot write"):
        Journal(tmp_path / "file" / "rows.jsonl")
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208
