"""Data sets by name, read from a hub on loopback by processes of their own: the hub's address is read once a process."""

import io
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_hub import DatasetHub
from luthier.errors import MissingFileError
from luthier.records import read_rows
from luthier.records.hub import dataset_named

PROGRAM = """
import itertools, json, sys
from luthier.records.fingerprints import fingerprint
from luthier.errors import LuthierError
from luthier.records import Account, read_conversations
try:
    assert fingerprint(sys.argv[1]) == fingerprint(sys.argv[1])
    with Account() as account:
        for row in itertools.islice(read_conversations(sys.argv[1]), int(sys.argv[2])):
            print(json.dumps(row.to_row()))
    print(json.dumps(account.lines()))
except LuthierError as problem:
    print(problem)
    sys.exit(2)
"""


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def row(answer):
    return {"messages": [{"role": "user", "content": "Riga?"}, {"role": "assistant", "content": answer}]}


def parquet(rows):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


FILES = {
    "sea/weather": {
        "main": {"train.jsonl": lines(row("Rain."), row("Snow.")), "test.jsonl": lines(row("Sun."))},
        "v1": {"train.jsonl": lines(row("Fog."))},
    },
    "sea/columns": {"main": {"data/train-00000-of-00001.parquet": parquet([row(str(n)) for n in range(3)])}},
}


def ask(hub, tmp_path, name, count=9, **environment):
    settings = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        **environment,
    }
    settings.pop("HF_HUB_OFFLINE", None) if "HF_HUB_OFFLINE" not in environment else None
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, str(count)], env=settings, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode in (0, 2), done.stderr
    return done.returncode, done.stdout.splitlines()


@pytest.fixture(scope="module")
def hub():
    with DatasetHub(FILES) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("sea/weather:train", ["Rain.", "Snow."]),
        ("sea/weather:test", ["Sun."]),
        ("sea/weather@v1:train", ["Fog."]),
        ("sea/weather@v1", ["Fog."]),
        ("sea/columns", ["0", "1", "2"]),
    ],
)
def test_names_revisions_and_splits(hub, tmp_path, name, answers):
    code, told = ask(hub, tmp_path, name)
    assert code == 0, told
    assert [json.loads(line)["messages"][1]["content"] for line in told[:-1]] == answers
    assert f"rows of the layout messages ({len(answers)} row" in told[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sea/weather", "has the splits"),
        ("sea/weather:dev", "sea/weather:dev is no file here, and as a data set it cannot be read from the hub"),
        ("sea/weather@v9:train", "sea/weather@v9:train is no file here"),
        ("sea/nothing", "sea/nothing is no file here"),
    ],
)
def test_what_the_hub_has_not_is_one_line(hub, tmp_path, name, words):
    code, told = ask(hub, tmp_path, name)
    assert code == 2
    assert len(told) == 1
    assert words in told[0]


@pytest.mark.slow
def test_offline_nothing_is_asked(hub, tmp_path):
    before = len(hub.asked)
    code, told = ask(hub, tmp_path, "sea/weather:train", HF_HUB_OFFLINE="1")
    assert code == 2
    assert "is not in the cache, and nothing is fetched offline" in told[0]
    assert len(hub.asked) == before


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("org/name", ("org/name", None, None)),
        ("org/name@main:train[:10%]", ("org/name", "main", "train[:10%]")),
        ("org/na.me-1@refs/convert/parquet", ("org/na.me-1", "refs/convert/parquet", None)),
        ("data/rows.jsonl", None),
        ("rows", None),
        ("./org/name", None),
        ("/org/name", None),
        ("org/name/more", None),
        ("../a", None),
        ("a/rows.parquet", None),
    ],
)
def test_what_is_a_name_and_what_a_path(text, named):
    assert dataset_named(text) == named


def test_a_path_that_is_not_there_is_no_data_set(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        read_rows(tmp_path / "org" / "name")
