"""Rows out of columns: nulls that Arrow fills in, nested JSON, dates, decimals and bytes, other names of columns, and files without an end."""

import datetime as dt
import gzip
import json
import math
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.records import Account, Message, SkippedRows, ToolCall, read_conversations, read_pairs, read_rows, write_jsonl, write_parquet
from luthier.records import files as records_files
from luthier.records.choices import read_choices

ASKED = {"role": "user", "content": "x"}


def called(name, **arguments):
    return [
        ASKED,
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]},
    ]


def tool(name, key, **schema):
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": "d",
                "parameters": {"type": "object", "properties": {key: {"type": "string", **schema}}},
            },
        }
    ]


TWO = {"messages": [called("tide", harbour="Brest"), called("pay", amount="3")], "tools": [tool("tide", "harbour"), tool("pay", "amount")]}
CLEAN = [{"messages": TWO["messages"][at], "tools": TWO["tools"][at]} for at in range(2)]


def as_folder(tmp_path, columns):
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "folder")
    return tmp_path / "folder"


def as_parquet(tmp_path, columns):
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    return tmp_path / "in.parquet"


def as_jsonl(tmp_path, columns):
    """As `Dataset.to_json` writes it, nulls and all."""
    write_jsonl(tmp_path / "in.jsonl", pa.table(columns).to_pylist())
    return tmp_path / "in.jsonl"


@pytest.mark.parametrize("store", [as_parquet, as_folder, as_jsonl])
def test_nulls_that_columns_fill_in_are_no_arguments_and_no_parameters(tmp_path, store):
    with Account() as account:
        rows = [row.to_row() for row in read_conversations(store(tmp_path, TWO))]
    assert rows == CLEAN
    assert [(entry.reason.split(":")[0], entry.rows) for entry in account.of("left out")] == [("null arguments that no one gave", 2)]


@pytest.mark.parametrize("store", [as_parquet, as_folder])
def test_without_tools_a_null_in_columns_is_no_argument(tmp_path, store):
    found = list(read_conversations(store(tmp_path, {"messages": TWO["messages"]})))
    assert [row.messages[1].tool_calls for row in found] == [(ToolCall("tide", {"harbour": "Brest"}),), (ToolCall("pay", {"amount": "3"}),)]


def test_a_null_that_somebody_wrote_stays(tmp_path):
    rows = [{"messages": called("tide", harbour=None)}, {"messages": called("tide", harbour=None), "tools": tool("tide", "harbour")}]
    write_jsonl(tmp_path / "in.jsonl", rows)
    write_parquet(tmp_path / "own.parquet", rows)
    for name in ("in.jsonl", "own.parquet"):
        assert [row.to_row() for row in read_conversations(tmp_path / name)] == rows
    texts = [
        {
            "messages": [
                ASKED,
                {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "tide", "arguments": '{"harbour": null}'}}]},
            ]
        }
    ]
    (found,) = read_conversations(as_parquet(tmp_path, {"messages": [texts[0]["messages"]]}))
    assert found.messages[1].tool_calls[0].arguments == {"harbour": None}


def test_a_null_that_a_tool_asks_for_stays(tmp_path):
    tools = tool("tide", "harbour", type=["string", "null"])
    tools[0]["function"]["parameters"]["required"] = ["harbour"]
    columns = {"messages": [called("tide", harbour=None), called("tide", harbour="Brest")], "tools": [tools, tools]}
    found = list(read_conversations(as_parquet(tmp_path, columns)))
    assert [row.messages[1].tool_calls[0].arguments for row in found] == [{"harbour": None}, {"harbour": "Brest"}]


def test_nulls_in_what_is_only_carried_along_stay(tmp_path):
    columns = {"messages": [[ASKED]] * 2, "place": [{"lat": 1.5, "lon": None}, {"lat": None, "lon": 2.5}]}
    found = list(read_conversations(as_parquet(tmp_path, columns)))
    assert [row.extra["place"] for row in found] == columns["place"]


@pytest.mark.parametrize("place", ["messages", "message", "tool_calls", "arguments", "struct"])
def test_json_types_within_lists_and_structs_are_read(tmp_path, place):
    rows = [called("tide", harbour="Brest"), called("pay", amount=3)]
    text = pa.json_(pa.string())

    def packed(kind, values):
        return pa.ExtensionArray.from_storage(text, pa.array([json.dumps(value) for value in values])) if kind else values

    if place == "messages":
        column = packed(True, rows)
    elif place == "message":
        flat = [message for row in rows for message in row]
        column = pa.ListArray.from_arrays([0, 2, 4], packed(True, flat))
    elif place == "struct":
        flat = [message for row in rows for message in row]
        inner = packed(True, [message.get("tool_calls") for message in flat])
        messages = pa.StructArray.from_arrays(
            [pa.array([m["role"] for m in flat]), pa.array([m["content"] for m in flat]), inner], ["role", "content", "tool_calls"]
        )
        column = pa.ListArray.from_arrays([0, 2, 4], messages)
    else:
        calls = [row[1]["tool_calls"][0] for row in rows]
        if place == "tool_calls":
            inner = pa.ListArray.from_arrays([0, 1, 2], packed(True, calls))
        else:
            function = pa.StructArray.from_arrays(
                [pa.array(["tide", "pay"]), packed(True, [c["function"]["arguments"] for c in calls])], ["name", "arguments"]
            )
            inner = pa.ListArray.from_arrays([0, 1, 2], pa.StructArray.from_arrays([function], ["function"]))
        said = pa.StructArray.from_arrays([pa.array(["assistant"] * 2), pa.array([""] * 2), inner], ["role", "content", "tool_calls"])
        column = pa.ListArray.from_arrays([0, 1, 2], said)
    pq.write_table(pa.table({"messages": column}), tmp_path / "in.parquet")
    found = list(read_conversations(tmp_path / "in.parquet"))
    assert [row.messages[-1].tool_calls[0].arguments for row in found] == [{"harbour": "Brest"}, {"amount": 3}]


TYPED = {
    "day": [dt.date(2026, 1, 2), None],
    "moment": [dt.datetime(2026, 1, 2, 3, 4, 5, 678901), dt.datetime(2027, 1, 1)],
    "zoned": [dt.datetime(2026, 1, 2, tzinfo=dt.UTC), None],
    "hour": [dt.time(3, 4, 5), None],
    "price": [Decimal("12.50"), Decimal("3.00")],
    "raw": [b"\x00\xff", b""],
    "gap": [math.nan, 1.5],
    "nested": [{"day": dt.date(2026, 1, 2), "raw": b"a"}, None],
    "listed": [[Decimal("1.10")], []],
}


def test_parquet_to_parquet_changes_nothing(tmp_path):
    source = as_parquet(tmp_path, TYPED)
    write_parquet(tmp_path / "out.parquet", (row for _, row in read_rows(source)))
    back, told = (pq.read_table(tmp_path / name).to_pylist() for name in ("out.parquet", "in.parquet"))
    assert repr(back) == repr(told)


def test_dates_decimals_and_bytes_go_out_as_exact_text(tmp_path):
    columns = {name: values for name, values in TYPED.items() if name != "gap"}
    write_jsonl(tmp_path / "out.jsonl", (row for _, row in read_rows(as_parquet(tmp_path, columns))))
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert first == {
        "day": "2026-01-02",
        "moment": "2026-01-02T03:04:05.678901",
        "zoned": "2026-01-02T00:00:00+00:00",
        "hour": "03:04:05",
        "price": "12.50",
        "raw": "AP8=",
        "nested": {"day": "2026-01-02", "raw": "YQ=="},
        "listed": ["1.10"],
    }


def test_maps_are_objects(tmp_path):
    pq.write_table(pa.table({"m": pa.array([[("a", 1), ("b", 2)]], pa.map_(pa.string(), pa.int64()))}), tmp_path / "in.parquet")
    assert [row for _, row in read_rows(tmp_path / "in.parquet")] == [{"m": {"a": 1, "b": 2}}]


def test_a_map_that_names_a_key_twice_is_a_bad_row_of_its_own(tmp_path):
    maps = pa.array([[("a", 1)], [("a", 1), ("a", 2)], [("b", 3)]], pa.map_(pa.string(), pa.int64()))
    pq.write_table(pa.table({"m": maps, "messages": [[ASKED, {"role": "assistant", "content": "y"}]] * 3}), tmp_path / "in.parquet")
    with pytest.raises(BadRowError, match=r"in\.parquet:2: .*names one of its keys twice"):
        list(read_conversations(tmp_path / "in.parquet"))
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    read = list(read_conversations(tmp_path / "in.parquet", skipped=skipped))
    assert [row.extra["m"] for row in read] == [{"a": 1}, {"b": 3}]
    assert skipped.count == 1


def test_a_bad_row_with_a_date_or_a_number_without_a_form_in_json_is_set_aside(tmp_path):
    source = as_parquet(tmp_path, {"foo": [dt.date(2026, 1, 2), dt.date(2026, 1, 3)], "n": [math.nan, 1.0]})
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    assert list(read_conversations(source, skipped=skipped)) == []
    assert skipped.count == 2
    assert all("2026-01" in json.loads(line)["raw"] for line in (tmp_path / "bad.jsonl").read_text().splitlines())


# --- other names of columns ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet", "rows.json", "rows.csv"])
def test_columns_under_other_names(tmp_path, name):
    row = {"Frage": "Riga?", "Antwort": "Rain.", "id": "7"}
    if name.endswith("csv"):
        (tmp_path / name).write_text("Frage,Antwort,id\nRiga?,Rain.,7\n")
    elif name.endswith("parquet"):
        write_parquet(tmp_path / name, [row])
    else:
        (tmp_path / name).write_text(json.dumps([row] if name.endswith("json") else row) + "\n")
    (found,) = read_conversations(tmp_path / name, columns={"question": "Frage", "answer": "Antwort"})
    assert found.to_row() == {"messages": [{"role": "user", "content": "Riga?"}, {"role": "assistant", "content": "Rain."}], "id": "7"}


def test_columns_of_pairs_and_choices(tmp_path):
    write_jsonl(tmp_path / "pairs.jsonl", [{"ask": "Q", "good": "A", "bad": "B"}])
    (pair,) = read_pairs(tmp_path / "pairs.jsonl", columns={"prompt": "ask", "chosen": "good", "rejected": "bad"})
    assert (pair.prompt, pair.chosen) == ((Message("user", "Q"),), (Message("assistant", "A"),))
    write_jsonl(tmp_path / "choices.jsonl", [{"q": "Red?", "os": ["Mars", "Venus"], "a": "B"}])
    (choice,) = read_choices(tmp_path / "choices.jsonl", columns={"question": "q", "options": "os", "answer": "a"})
    assert (choice.options, choice.answer) == (("Mars", "Venus"), 1)


def test_columns_that_change_places_and_columns_that_are_not_there(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [{"question": "A", "answer": "Q", "id": 1}, {"answer": "Q"}])
    skipped = SkippedRows()
    (row,) = (row for _, row in read_rows(tmp_path / "rows.jsonl", skipped, {"question": "answer", "answer": "question"}))
    assert row == {"question": "Q", "answer": "A", "id": 1}
    assert "rows.jsonl:2: no column 'question' (answer=question); the row has 'answer'" in skipped.problems[0]


def test_a_field_whose_name_is_taken_is_told(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [{"messages": "old", "dialog": [ASKED]}])
    with Account() as account:
        (found,) = read_conversations(tmp_path / "rows.jsonl", columns={"messages": "dialog"})
    assert found.messages == (Message("user", "x"),)
    assert account.of("left out")[0].reason == "field 'messages', as 'dialog' takes its name"


# --- files without an end -----------------------------------------------------------------------------------------------------


def test_a_line_without_an_end_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setattr(records_files, "LONGEST_LINE", 1 << 20)
    with gzip.open(tmp_path / "bomb.jsonl.gz", "wb") as file:
        for _ in range(64):
            file.write(b" " * (1 << 20))
    assert (tmp_path / "bomb.jsonl.gz").stat().st_size < 200_000
    with pytest.raises(BadRowError, match=r"bomb.jsonl.gz:1: a line of more than 1 MiB"):
        list(read_rows(tmp_path / "bomb.jsonl.gz"))


def test_a_value_that_does_not_fit_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setattr(records_files, "LARGEST_ARRAY", 1 << 20)
    (tmp_path / "all.json").write_bytes(b"[\n" + b'{"a": 1},\n' * 200_000 + b"{}]")
    with pytest.raises(BadRowError, match=r"all.json:\d+: more than 0 GiB in one JSON value; write JSONL"):
        list(read_rows(tmp_path / "all.json"))


@pytest.mark.parametrize("depth", [201, 900, 5_000, 200_000])
def test_deep_nesting_is_one_error(tmp_path, depth):
    (tmp_path / "deep.jsonl").write_text('{"a": ' + "[" * depth + "]" * depth + "}\n" + '{"instruction": "a", "output": "b"}\n')
    skipped = SkippedRows()
    assert len(list(read_conversations(tmp_path / "deep.jsonl", skipped=skipped))) == 1
    assert "deep.jsonl:1: not readable as JSON: nested too deeply" in skipped.problems[0]


def test_tables_of_text(tmp_path):
    (tmp_path / "rows.csv").write_text('instruction,output,note\n"a ""b"", c","two\nlines",\nx,y,z\nonly,two\n')
    skipped = SkippedRows()
    assert list(read_rows(tmp_path / "rows.csv", skipped)) == [
        (2, {"instruction": 'a "b", c', "output": "two\nlines", "note": None}),
        (4, {"instruction": "x", "output": "y", "note": "z"}),
    ]
    assert "rows.csv:5: 2 cells under 3 names" in skipped.problems[0]
    (tmp_path / "rows.tsv").write_text('instruction\toutput\n12" rope\ta "quote\n')
    assert [row for _, row in read_rows(tmp_path / "rows.tsv")] == [{"instruction": '12" rope', "output": 'a "quote'}]
    (tmp_path / "twice.csv").write_text("a,a\n1,2\n")
    with pytest.raises(BadRowError, match="the columns a are there twice"):
        list(read_rows(tmp_path / "twice.csv"))
    with pytest.raises(MissingFileError):
        read_rows(tmp_path / "rows.xlsx")


def test_columns_of_learners_answers(tmp_path):
    from luthier.trace.readers.reading import read_answers

    (tmp_path / "a.csv").write_text("wer,was,ok,wann,kann\nAnn,x,1,3,add\nAnn,y,0,4,sub\n")
    write_jsonl(
        tmp_path / "a.jsonl",
        [{"wer": "Ann", "was": "x", "ok": 1, "wann": 3, "kann": "add"}, {"wer": "Ann", "was": "y", "ok": 0, "wann": 4, "kann": "sub"}],
    )
    names = {"learner": "wer", "item": "was", "correct": "ok", "timestamp": "wann", "concept": "kann"}
    logs = [read_answers([tmp_path / name], columns=names) for name in ("a.csv", "a.jsonl")]
    for log in logs:
        assert [(row["learner"], row["item"], row["correct"], row["timestamp"]) for row in log.rows()] == [
            ("Ann", "x", 1, 3),
            ("Ann", "y", 0, 4),
        ]
        assert [concept.concept for concept in log.catalogue.concepts] == ["add", "sub"]
    with pytest.raises(SettingsError, match="there is no field 'grade' of answers"):
        read_answers([tmp_path / "a.csv"], columns={"grade": "ok"})


@pytest.mark.parametrize("kind", ["tsv", "jsonl"])
def test_columns_of_judgements_and_texts(tmp_path, kind):
    from luthier.evaluate.retrieval.formats import load_task

    write_jsonl(tmp_path / "corpus.jsonl", [{"doc": f"d{n}", "body": f"text {n}"} for n in range(3)])
    write_jsonl(tmp_path / "queries.jsonl", [{"doc": "q0", "body": "what"}])
    rows = [{"q": "q0", "d": f"d{n}", "grade": n} for n in range(3)]
    (tmp_path / "qrels").mkdir()
    if kind == "tsv":
        (tmp_path / "qrels" / "test.tsv").write_text("q\td\tgrade\n" + "".join(f"{r['q']}\t{r['d']}\t{r['grade']}\n" for r in rows))
    else:
        write_jsonl(tmp_path / "qrels" / "test.jsonl", rows)
    names = ("_id=doc", "text=body", "query-id=q", "corpus-id=d", "score=grade")
    task = load_task(tmp_path, mapped=names)
    assert list(task.qrels.gains) == [0, 1, 2]
    assert list(task.documents.texts) == ["text 0", "text 1", "text 2"]
    with pytest.raises(SettingsError, match="a task has no such field"):
        load_task(tmp_path, mapped=("relevance=grade",))
