"""Rows survive every file format, errors name file and line, and a failed write leaves the old file alone."""

import errno
import gzip
import json
import os
import resource
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import BadRowError, DiskError, MissingFileError, SettingsError
from luthier.records.files import SkippedRows, atomic_write, read_rows, refuse_taken, write_jsonl, write_parquet

TEXT = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["messages", "tools", "id", "a.b", "", "süß"])
ROWS = st.lists(st.dictionaries(FIELDS | TEXT, VALUES, min_size=1, max_size=4), max_size=6)
RAGGED = [
    {"tools": [{"name": "f", "parameters": {"properties": {"x": {"type": "string"}}}}], "messages": [{"role": "user", "content": "a"}]},
    {"tools": [{"name": "g", "parameters": {"properties": {}}}, {}], "messages": [{"role": "user", "content": "b"}], "score": None},
    {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"x": [1, "1"]}}}]}]},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


def rows_of(path, skipped=None):
    return [row for _, row in read_rows(path, skipped)]


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def text_of(rows):
    return [json.dumps(row) for row in rows]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
@given(rows=ROWS)
@settings(max_examples=60, deadline=None)
def test_lines_come_back_byte_for_byte(folder, name, rows):
    assert write_jsonl(folder / name, iter(rows)) == len(rows)
    assert text_of(rows_of(folder / name)) == text_of(rows)


@given(rows=ROWS)
@settings(max_examples=120, deadline=None)
def test_parquet_rows_come_back_with_every_value_as_it_was(folder, rows):
    path = folder / "rows.parquet"
    assert write_parquet(path, iter(rows)) == len(rows)
    in_order = [json.dumps({key: row[key] for key in sorted(row)}) for row in rows]
    assert [json.dumps({key: row[key] for key in sorted(row)}) for row in rows_of(path)] == in_order


def test_ragged_tools_and_arguments_survive_parquet_and_datasets_decodes_them(tmp_path):
    import datasets

    path = tmp_path / "ragged.parquet"
    write_parquet(path, RAGGED)
    assert rows_of(path) == RAGGED
    loaded = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    assert loaded[0]["tools"] == RAGGED[0]["tools"]
    assert loaded[2]["messages"] == RAGGED[2]["messages"]


def test_plain_messages_stay_native_columns(tmp_path):
    import pyarrow.parquet as pq

    write_parquet(tmp_path / "plain.parquet", [{"messages": [{"role": "user", "content": "a"}], "n": 1}])
    assert str(pq.read_schema(tmp_path / "plain.parquet").field("messages").type).startswith("list<")


def test_parquet_of_others_and_folders_of_datasets(tmp_path):
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"prompt": "a", "n": 1, "gone": None}, {"prompt": "b", "n": 2, "gone": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "other.parquet")
    assert list(read_rows(tmp_path / "other.parquet")) == list(enumerate(rows, 1))
    made = datasets.Dataset.from_list(rows)
    made.save_to_disk(tmp_path / "saved")
    assert list(read_rows(tmp_path / "saved")) == list(enumerate(rows, 1))
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(tmp_path / "splits")
    with pytest.raises(MissingFileError, match=r"holds the splits train, test; name one of them, e\.g\. .*/splits/train"):
        read_rows(tmp_path / "splits")
    assert rows_of(tmp_path / "splits" / "test") == rows


def test_the_same_rows_give_the_same_gzip_bytes(tmp_path):
    write_jsonl(tmp_path / "a.jsonl.gz", RAGGED)
    write_jsonl(tmp_path / "b.jsonl.gz", RAGGED)
    data = (tmp_path / "a.jsonl.gz").read_bytes()
    assert data == (tmp_path / "b.jsonl.gz").read_bytes()
    assert data[4:8] == bytes(4)


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (b'{"a": 1', "not JSON: Expecting ',' delimiter at column 8"),
        (b"[1, 2]", "a list where an object of fields was expected"),
        (b'"text"', "a text where"),
        (b"null", "null where"),
        (b"true", "true or false where"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": "\xff"}', "not UTF-8 text at byte 8"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_a_bad_line_is_named_or_set_aside(tmp_path, bad, problem):
    path, aside = tmp_path / "rows.jsonl", tmp_path / "deep" / "bad.jsonl"
    path.write_bytes(b'{"n": 1}\n\n' + bad + b'\n{"n": 4}')
    with pytest.raises(BadRowError) as caught:
        rows_of(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert problem in str(caught.value)
    skipped = SkippedRows(aside)
    assert list(read_rows(path, skipped)) == [(1, {"n": 1}), (4, {"n": 4})]
    assert skipped.count == 1
    assert skipped.problems == [str(caught.value)]
    [row] = rows_of(aside)
    assert (row["file"], row["line"]) == (str(path), 3)
    assert problem in row["problem"]
    assert row["raw"].encode(errors="surrogateescape") == bad


@given(lines=st.lists(st.sampled_from(['{"n": 1}', "", "  ", "oops", "[]"]), max_size=12), end=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=40, deadline=None)
def test_every_line_is_a_row_a_blank_or_counted(folder, lines, end):
    path, skipped = folder / "mixed.jsonl", SkippedRows(folder / "aside.jsonl")
    path.write_bytes(end.join(lines).encode())
    read = list(read_rows(path, skipped))
    assert [number for number, _ in read] == [at for at, line in enumerate(lines, 1) if line == '{"n": 1}']
    assert skipped.count == sum(line in ("oops", "[]") for line in lines)
    if skipped.count:
        assert len(rows_of(skipped.where)) == skipped.count


def test_bad_rows_are_not_set_aside_over_their_own_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("oops\n")
    with pytest.raises(SettingsError, match="the file they come from"):
        rows_of(path, SkippedRows(path))
    assert path.read_text() == "oops\n"


@pytest.mark.parametrize("there", ['{"id": 1}\n', "notes of mine\n", "[1, 2]\n", "\xff\n", '{"file": "a"}\n', "7\n"])
def test_bad_rows_are_not_set_aside_over_a_file_of_something_else(tmp_path, there):
    path, mine = tmp_path / "rows.jsonl", tmp_path / "mine.jsonl"
    path.write_text("oops\n")
    mine.write_bytes(there.encode("latin-1"))
    with pytest.raises(SettingsError, match="holds something else; name another file"):
        rows_of(path, SkippedRows(mine))
    assert mine.read_bytes() == there.encode("latin-1")


def test_rows_set_aside_before_give_way_to_those_of_now(tmp_path):
    path, aside = tmp_path / "rows.jsonl", tmp_path / "aside.jsonl"
    for text in ("oops\nnot json\n", f"[{'1,' * 600_000}1]\n", "again\n"):  # one of them longer than what is looked at
        path.write_text(text)
        rows_of(path, SkippedRows(aside))
        assert [row["raw"] for row in rows_of(aside)] == text.splitlines()


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.jsonl.gz", "rows.json.gz"])
def test_byte_order_mark_windows_line_ends_and_empty_files(tmp_path, name):
    path = tmp_path / name
    pack = gzip.compress if name.endswith(".gz") else bytes
    path.write_bytes(pack(b'\xef\xbb\xbf{"a": "x\\r"}\r\n{"b": 2}\r\n'))
    assert list(read_rows(path)) == [(1, {"a": "x\r"}), (2, {"b": 2})]
    path.write_bytes(pack(b""))
    assert list(read_rows(path)) == []


def test_json_arrays_single_objects_and_lines_in_json(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"a": 1}, {"a": 2}], indent=1))
    assert list(read_rows(path)) == [(1, {"a": 1}), (2, {"a": 2})]
    path.write_text(json.dumps({"a": {"b": 1}}, indent=1))
    assert rows_of(path) == [{"a": {"b": 1}}]
    path.write_text('[{"a": 1},\n 5,\n {"a": 2}]')
    with pytest.raises(BadRowError, match=r"rows\.json:2: a number where an object"):
        rows_of(path)
    skipped = SkippedRows()
    assert rows_of(path, skipped) == [{"a": 1}, {"a": 2}]
    assert skipped.count == 1
    path.write_text('[{"a": 1},\n {"a": }]')
    with pytest.raises(BadRowError, match=r"rows\.json:2: not JSON: Expecting value"):
        rows_of(path, SkippedRows())  # nothing after the break can be trusted, so skipping does not help


@given(cut=st.integers(min_value=1, max_value=4000))
@settings(max_examples=30, deadline=None)
def test_a_cut_gzip_is_said_to_be_cut(folder, cut):
    path = folder / "whole.jsonl.gz"
    write_jsonl(path, [{"n": number, "noise": os.urandom(20).hex()} for number in range(300)])
    short = folder / "short.jsonl.gz"
    short.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(BadRowError, match=r"short\.jsonl\.gz:\d+: the gzip data is damaged or cut off here"):
        rows_of(short, SkippedRows())


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.parquet"])
def test_files_that_are_not_what_their_name_says(tmp_path, name):
    (tmp_path / name).write_bytes(b'{"a": 1}\n')
    with pytest.raises(BadRowError, match=name):
        rows_of(tmp_path / name)


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        read_rows(tmp_path / "none.jsonl")
    with pytest.raises(MissingFileError, match="neither one that datasets saved"):
        read_rows(tmp_path)
    (tmp_path / "rows.txt").write_text("a,b")
    with pytest.raises(MissingFileError, match=r"rows are read from \.jsonl"):
        read_rows(tmp_path / "rows.txt")


def test_a_pipe_is_read_as_lines(tmp_path):
    with subprocess.Popen(["printf", '{"a": 1}\\n'], stdout=subprocess.PIPE) as process:
        assert rows_of(f"/dev/fd/{process.stdout.fileno()}") == [{"a": 1}]


@pytest.mark.parametrize("write", [write_jsonl, write_parquet])
@pytest.mark.parametrize("bad", [{"a": [float("nan"), "x"]}, {"a": {1, 2}}, {1: 2}, [1], None])
def test_rows_without_a_json_form_are_refused(tmp_path, write, bad):
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with pytest.raises(BadRowError, match=r"out\.jsonl: row 2"):
        write(path, [{"a": 1}, bad])
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["out.jsonl"]


def test_parquet_refuses_rows_without_fields(tmp_path):
    with pytest.raises(BadRowError, match="write JSONL"):
        write_parquet(tmp_path / "x.parquet", [{}])
    assert write_parquet(tmp_path / "x.parquet", []) == 0
    assert rows_of(tmp_path / "x.parquet") == []


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.parquet"])
@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt, FileNotFoundError])
def test_a_writer_that_is_stopped_leaves_the_old_file(tmp_path, name, stop):
    path = tmp_path / name
    path.write_bytes(b"old")

    def rows():
        yield {"a": "x" * 100_000}
        raise stop("midway")

    with pytest.raises(stop, match="midway"):
        (write_parquet if name.endswith("parquet") else write_jsonl)(path, rows())
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == [name]


def test_the_file_appears_whole_with_its_permissions(tmp_path):
    path = tmp_path / "new" / "folder" / "out.txt"
    with atomic_write(path) as file:
        file.write("süß\n")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == "süß\n".encode()
    path.chmod(0o640)
    link = tmp_path / "link.txt"
    link.symlink_to(path)
    with atomic_write(link, "wb") as file:
        file.write(b"2")
    assert link.is_symlink()
    assert path.read_bytes() == b"2"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_folder_in_the_way(tmp_path):
    with pytest.raises(DiskError, match="is a folder; name a file in it"), atomic_write(tmp_path):
        pass
    (tmp_path / "file").write_text("x")
    with pytest.raises(DiskError, match="cannot write"):
        write_jsonl(tmp_path / "file" / "out.jsonl", [])


def test_a_full_disk_is_one_clear_line():
    with pytest.raises(DiskError) as caught:
        write_jsonl("/dev/full", [{"a": "x" * 100_000}])
    assert str(caught.value) == "no space left on device while writing /dev/full; free some space and run the same command again"
    assert Path("/dev/full").is_char_device()


def test_devices_are_written_to_and_not_replaced():
    assert write_jsonl("/dev/null", [{"a": 1}]) == 1
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.parquet"])
def test_a_disk_that_fills_up_midway_leaves_the_old_file(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"old")
    rows = [{"a": os.urandom(500).hex()} for _ in range(100)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))  # the kernel then refuses to grow a file, as a full disk does
    try:
        with pytest.raises(DiskError, match="cannot write"):
            (write_parquet if name.endswith("parquet") else write_jsonl)(path, rows)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == [name]


@pytest.mark.parametrize(("code", "said"), [(errno.EROFS, "no permission to write"), (errno.EDQUOT, "no space left on device")])
def test_the_reasons_a_disk_gives(tmp_path, code, said):
    with pytest.raises(DiskError, match=said), atomic_write(tmp_path / "x"):
        raise OSError(code, os.strerror(code))


def test_trouble_of_the_block_itself_is_passed_on(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "x"):
        (tmp_path / "none").read_bytes()
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("below", ["", "data"])
def test_a_folder_of_parts_is_read_in_order(below: str, tmp_path: Path) -> None:
    place = tmp_path / "set" / below
    place.mkdir(parents=True)
    for part in (1, 0):
        write_parquet(place / f"train-0000{part}-of-00002.parquet", [{"text": f"{part}{n}"} for n in range(2)])
    (place / "README.md").write_text("# A set")
    assert [(number, row["text"]) for number, row in read_rows(tmp_path / "set")] == [(1, "00"), (2, "01"), (3, "10"), (4, "11")]
    write_parquet(place / "test-00000-of-00001.parquet", [{"text": "x"}])
    with pytest.raises(MissingFileError, match="holds the splits test, train"):
        list(read_rows(tmp_path / "set"))


def test_parts_are_all_there_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for part in range(11):
        write_jsonl(tmp_path / f"train-{part}-of-11.jsonl", [{"n": part}])
    (tmp_path / "train-3-of-11.jsonl").write_text('{"n": 3}\nno row\n')
    skipped = SkippedRows()
    assert [row["n"] for _, row in read_rows(tmp_path, skipped)] == list(range(11))
    assert skipped.count == 1
    (tmp_path / "train-5-of-11.jsonl").unlink()
    with pytest.raises(MissingFileError, match="10 parts, which are not all of one set"):
        list(read_rows(tmp_path))


def test_parts_may_be_lines(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train-0-of-2.jsonl", [{"text": "a"}])
    write_jsonl(tmp_path / "train-1-of-2.jsonl.gz", [{"text": "b"}])
    assert [row["text"] for _, row in read_rows(tmp_path)] == ["a", "b"]


def test_what_is_there_already_is_taken_unless_it_is_empty_or_to_be_replaced(tmp_path: Path) -> None:
    read, folder, empty = tmp_path / "read.jsonl", tmp_path / "folder", tmp_path / "empty"
    read.write_text("{}\n")
    (folder / "deep").mkdir(parents=True)
    empty.touch()
    for out in (read, folder):
        with pytest.raises(SettingsError, match="is there already; choose another --out, or --replace"):
            refuse_taken(out)
        refuse_taken(out, replace=True)
    for free in (empty, folder / "deep", tmp_path / "new" / "file", Path("/dev/null")):
        refuse_taken(free, [read])
    with pytest.raises(SettingsError, match="is read and would be written over"):
        refuse_taken(folder / ".." / "read.jsonl", [read], replace=True)
