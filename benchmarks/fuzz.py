"""Mutated inputs for the readers and parsers: what raises anything but a LuthierError, or takes more than two seconds, is counted and shown.

    python benchmarks/fuzz.py --quick          # some thousands, under a minute
    python benchmarks/fuzz.py --count 1000000  # the figures in the docs, continued where it was stopped; --seed N repeats a run

Every input is made from a seed of its own, printed where something is found: `--seed S --count 1` makes it again.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import RESULTS, benchmark
from luthier.errors import LuthierError
from luthier.records import Account, SkippedRows, atomic_write, read_conversations, read_pairs, read_rows, write_jsonl, write_parquet
from luthier.records.call_forms import read_calls
from luthier.records.calls import is_call_attempt, parse_calls
from luthier.records.choices import read_choices, stated_choice
from luthier.records.lines import parse_row
from luthier.texts.answers import final_answer
from luthier.texts.equality import compare_answers
from luthier.texts.secrets import without_secrets

SLOW, SHOWN = 2.0, 40
KEPT = 20_000  # inputs after which the count is written down, so that a stopped run goes on
CITY = {"type": "object", "properties": {"city": {"type": ["string", "null"]}}, "required": ["city"]}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": 'Be brief. <tools>[{"name": "f", "parameters": {}}]</tools>'},
    {"role": "user", "content": [{"type": "text", "text": "Riga?"}]},
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Look.",
        "weight": 0,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Riga"}'}}],
    },
    {"role": "tool", "tool_call_id": "c", "content": "rain", "name": "weather"},
    {"role": "assistant", "content": '<tool_call>{"name": "f", "arguments": {}}</tool_call>'},
]
TURNS = [
    {"from": "human", "value": "Hi"},
    {"from": "gpt", "value": "[f(a=1)]"},
    {"from": "observation", "value": '[{"name": "f", "results": 1}]'},
]
ROWS: list[dict[str, Any]] = [
    {"messages": MESSAGES, "tools": [{"type": "function", "function": {"name": "weather", "description": "", "parameters": CITY}}]},
    {"messages": json.dumps(MESSAGES), "tools": json.dumps([{"name": "weather", "input_schema": CITY}])},
    {"conversations": TURNS, "system": 'Use [{"name": "f", "parameters": {}}].', "tools": "[]"},
    {"instruction": "a", "input": "b", "output": "c", "history": [["q", "a"]]},
    {"prompt": "Q", "chosen": [MESSAGES[4]], "rejected": "\n\nHuman: Hi\n\nAssistant: Go"},
    {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: Go"},
    {"input": {"messages": MESSAGES[:2], "tools": []}, "preferred_output": [MESSAGES[4]], "non_preferred_output": [MESSAGES[4]]},
    {"question": "Which?\nOptions:\n(A) x\n(B) y", "choices": {"text": ["1", "2"], "label": ["A", "B"]}, "answerKey": "A"},
    {
        "doc": {"Question": "q", "A": "x", "B": "y", "answer": "1/2"},
        "resps": [[["-1.5", "False"]]],
        "filtered_resps": ["x"],
        "doc_id": 0,
        "acc": 1.0,
        "metrics": ["acc"],
    },
    {"learner": "a", "item": "x", "correct": 1, "timestamp": 3.5, "concepts": ["s"], "text": "t"},
]
LOG = {
    "version": 2,
    "status": "success",
    "eval": {"task": "t", "model": "m"},
    "samples": [
        {
            "id": 1,
            "epoch": 1,
            "input": [{"role": "user", "content": "q"}],
            "choices": ["a", "b"],
            "target": "B",
            "messages": MESSAGES[1:3],
            "scores": {"s": {"value": "C"}},
            "metadata": {"skill": "s"},
            "output": {
                "choices": [
                    {
                        "message": {
                            "role": "assistant",
                            "content": [{"type": "reasoning", "reasoning": "x"}, {"type": "text", "text": "ANSWER: B"}],
                        }
                    }
                ]
            },
        }
    ],
}
OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "components": {
        "schemas": {"City": {"oneOf": [{"$ref": "#/components/schemas/Town"}, {"type": "string", "pattern": "^(a+)+$"}]}, "Town": CITY}
    },
    "paths": {
        "/city/{city}": {
            "parameters": [{"name": "city", "in": "path", "required": True, "schema": {"type": "string", "enum": ["a", "b"]}}],
            "get": {"operationId": "weather", "summary": "Weather of a city.", "responses": {"200": {"description": "It."}}},
            "post": {"requestBody": {"content": {"application/json": {"schema": {"allOf": [{"$ref": "#/components/schemas/City"}]}}}}},
        }
    },
}
LISTS: list[Any] = [
    {"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "weather", "description": "d", "inputSchema": CITY}]}},
    [{"type": "function", "function": {"name": "weather", "description": "", "parameters": CITY}}],
    {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}}}]}]},
]
YAML = "openapi: 3.0.0\ninfo: {title: t, version: 1}\npaths:\n  /a:\n    get:\n      summary: Get it now\n      parameters:\n      - {name: on, in: query, schema: {type: boolean}}\n"
LEARNERS = [
    'user_id\tproblem_id\tcorrect\tskill_name\nu\tp\t1\tAdd~~Sub\nu\tq\t0\t"Mul\n',
    "Anon Student Id\tProblem Name\tStep Name\tCorrect First Attempt\tKC(Default)\tOpportunity(Default)\na\tp\ts\t1\tx~~y\t1~~2\n",
    "3\n1,2,3\n0,1,1\n2\n4,5\n1,0\n",
    'fold,uid,questions,concepts,responses,timestamps\n0,1,"1,2,-1","3,4,-1","1,0,-1","10,20,-1"\n',
    "order_id,user_id,problem_id,skill_id,skill_name,correct,ms_first_response\n1,a,p,3,Add,1,900\n2,a,p,4,Sub,1,900\n",
]
TASK: dict[str, list[dict[str, Any]]] = {
    "corpus": [{"_id": "d1", "title": "T", "text": "D"}, {"_id": 2, "text": "E"}],
    "queries": [{"_id": "q1", "text": "Q"}],
    "qrels/test": [{"query-id": "q1", "corpus-id": "d1", "score": 1}, {"query-id": "q1", "corpus-id": 2.0, "score": 0}],
}
PROBLEM = {
    "task_id": "t/0",
    "prompt": "def f(x):\n",
    "entry_point": "f",
    "test": "def check(f):\n    assert f(1) == 1\n",
    "given_tests": ["assert f(1) == 1"],
}
CONTEXT = {"messages": [{"role": "user", "content": "Q"}], "kind": "fact", "group": "g", "answers": ["A"]}
SOLVED = {"problem": "1 + 1?", "solution": "The answer is 2", "answer": "2"}
DOCUMENT = "---\ndate: 2024-05-05T10:00\n---\n# **Riga**\n\nRiga was founded in 1201. Its area is 304 km².\n\n| name | height |\n| --- | --- |\n| Dome | 90 m |\n"
TEXT_CALLS = [
    '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>',
    '[TOOL_CALLS][{"name": "f", "arguments": {"a": "x"}}]',
    "<|python_tag|>f.call(a=1)",
    '```python\nf(a=[1, {"b": None}])\n```',
    '{"name": "f", "parameters": {"a": true}}; {"name": "g", "parameters": {}}',
    "<function=f><parameter=a>1</parameter></function>",
    '<|tool_call>call:f{a:<|"|>x<|"|>,b:3}<tool_call|>',
    "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>",
    '<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{"a": 1}\n```<｜tool▁call▁end｜>',
    '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}',
]
ANSWERS = [
    "42",
    r"\frac{1}{2}",
    r"\boxed{\text{(C)}}",
    "C) Paris",
    "10^3",
    "forty-two apples",
    "1,000.50 $",
    r"2\sqrt{2}+x^2",
    "May 5, 2020",
    "(1, 2, 3)",
    "The answer is 5 because",
    "3 1/2",
    "50 %",
    "C++",
]
CALLS = ['[weather(city="Riga", n=[1, 2.5e3, None], d={"a": True})]', "f()", "[a.b(c='x\\n\\u0041')]"]
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    "",
    " ",
    "\x00",
    "\ud800",
    "²",
    "٣",
    [],
    {},
    [[]],
    [None],
    {"": None},
    "[{",
    "x" * 5_000,
    " " * 5_000,
    "{" * 3_000,
    "NaN",
    "1e999",
    {"type": "image"},
    [[["-1", "True"]]],
    "\\boxed{" * 300,
    "." * 3_000,
]
SIGNS = [
    "\\u0000",
    "{",
    "}",
    "[",
    "]",
    '"',
    ",",
    ":",
    "\\",
    "\n",
    "\x00",
    "é",
    "\ud83d",
    "1e999",
    "NaN",
    "null",
    "<tool_call>",
    "</tool_call>",
    "^",
    "!",
    "\\frac",
    "$",
    "=",
    "(",
    ")",
    "'",
    "# ",
]


def mutated(value: Any, rng: random.Random) -> Any:
    """A copy in which some parts are other things: another kind, a part of elsewhere, gone, doubled, or deeper."""
    places = list(_places(value))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        holder, key = rng.choice(places)
        try:
            _change(holder, key, places, rng)
        except (IndexError, KeyError):  # a place that an earlier change has taken away
            continue
    return value


def _change(holder: Any, key: Any, places: list[tuple[Any, Any]], rng: random.Random) -> None:
    way = rng.randrange(7)
    if way == 0:
        holder[key] = rng.choice(ODD)
    elif way == 1:
        del holder[key]
    elif way == 2:
        other, at = rng.choice(places)
        holder[key] = json.loads(json.dumps(other[at]))
    elif way == 3 and isinstance(holder[key], str):
        holder[key] = mutated_text(holder[key], rng)
    elif way == 4:
        for _ in range(rng.choice((1, 3, 150))):
            holder[key] = [holder[key]] if rng.random() < 0.5 else {"a": holder[key]}
    elif way == 5 and isinstance(holder, dict):
        holder[rng.choice(("content", "text", "type", "role", "name", "id", "messages", "tools", "value", "zz", ""))] = holder.pop(key)
    elif isinstance(holder[key], list):
        holder[key] = holder[key] * rng.choice((2, 5))
    else:
        holder[key] = json.dumps(holder[key])


def mutated_text(text: str, rng: random.Random) -> str:
    """Signs put in, taken out, changed, or repeated many times."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(text) + 1)
        way = rng.randrange(4)
        if way == 0:
            text = text[:at] + rng.choice(SIGNS) + text[at:]
        elif way == 1:
            text = text[:at] + text[at + rng.randrange(1, 4) :]
        elif way == 2:
            piece = text[at : at + rng.randrange(1, 6)] or " "
            text = text[:at] + piece * rng.choice((2, 10, 200)) + text[at:]
        else:
            text = text[:at] + rng.choice(SIGNS) * rng.choice((1, 3, 300)) + text[at:]
    return text[:20_000]


def _places(value: Any) -> Any:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield value, key
        yield from _places(part)


def rows_case(rng: random.Random, folder: Path) -> None:
    """A row of some layout, in JSONL, JSON or Parquet, through every reader of rows."""
    row = mutated(json.loads(json.dumps(rng.choice(ROWS))), rng)
    path = folder / rng.choice(("row.jsonl", "row.jsonl", "row.jsonl", "row.json", "row.parquet"))
    if path.suffix == ".parquet":
        write_parquet(path, [row, row])
    elif rng.random() < 0.3:
        path.write_bytes(mutated_text(json.dumps(row), rng).encode("utf-8", "surrogatepass"))
    else:
        write_jsonl(path, [row])
    for read in (read_conversations, read_pairs, read_choices):
        with Account():
            out = list(read(path, skipped=SkippedRows()))  # type: ignore[operator]
        if out and read is not read_choices:
            write_jsonl(folder / "out.jsonl", [item.to_row() for item in out])


def table_case(rng: random.Random, folder: Path) -> None:
    """A table of answers as CSV, or a row of one as JSONL."""
    from luthier.trace.results import read_results

    text = mutated_text('learner,item,correct,timestamp,text,concepts\na,x,1,3,t,s\na,y,False,4,"u\nv","[""s""]"\n', rng)
    path = folder / rng.choice(("t.csv", "t.csv", "t.jsonl", "samples_arc_2026-01-01T00-00-00.0.jsonl"))
    if path.suffix == ".csv":
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        list(read_rows(path, SkippedRows()))
    else:
        write_jsonl(path, [mutated(json.loads(json.dumps(ROWS[8 if path.name[0] == "s" else 9])), rng)])
    with Account():
        read_results([path], skipped=SkippedRows())


def log_case(rng: random.Random, folder: Path) -> None:
    """A log of Inspect, as JSON or an archive."""
    from luthier.trace.results import read_results

    log = mutated(json.loads(json.dumps(LOG)), rng)
    path = folder / rng.choice(("log.json", "log.eval"))
    if path.suffix == ".json":
        path.write_text(
            json.dumps(log) if rng.random() < 0.7 else mutated_text(json.dumps(log), rng), encoding="utf-8", errors="surrogatepass"
        )
    else:
        samples = log.get("samples")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", json.dumps({"eval": log.get("eval")}))
            for number, sample in enumerate(samples if isinstance(samples, list) else [samples]):
                archive.writestr(f"samples/{number}.json", json.dumps(sample))
        if rng.random() < 0.3:
            raw = bytearray(path.read_bytes())
            for _ in range(rng.choice((1, 4))):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            path.write_bytes(raw)
    with Account():
        list(read_choices(path, SkippedRows()))
        read_results([path], skipped=SkippedRows())


def text_case(rng: random.Random, folder: Path) -> None:
    """Answers, calls and steps as texts."""
    from luthier.probe.labels import equations_hold
    from luthier.probe.steps import sentence_ends

    one, two = mutated_text(rng.choice(ANSWERS), rng), rng.choice(ANSWERS)
    compare_answers(one, two)
    final_answer(f"So the answer is {one}\n{two}")
    stated_choice(f"The answer is {one}", ["Mars", "Venus", two])
    sentence_ends(one)
    equations_hold(f"{one} = {two}")
    without_secrets(one, two)
    call = mutated_text(rng.choice(CALLS), rng)
    is_call_attempt(call)
    parse_calls(call)
    read_calls(mutated_text(rng.choice(TEXT_CALLS), rng))


def api_case(rng: random.Random, folder: Path) -> None:
    """An OpenAPI file or a list of tools, as JSON or YAML."""
    from luthier.synthesize.tools.importers.mcp import import_mcp
    from luthier.synthesize.tools.importers.openapi import import_openapi

    path = folder / rng.choice(("api.json", "api.json", "api.yaml"))
    document = rng.choice((OPENAPI, *LISTS))
    if path.suffix == ".yaml":
        path.write_text(mutated_text(YAML, rng), encoding="utf-8", errors="surrogatepass")
        document = OPENAPI
    else:
        text = json.dumps(mutated(json.loads(json.dumps(document)), rng))
        path.write_text(text if rng.random() < 0.8 else mutated_text(text, rng), encoding="utf-8", errors="surrogatepass")
    with Account():
        for tool in (import_openapi if document is OPENAPI else import_mcp)(path):
            json.dumps(tool.to_row())


def learners_case(rng: random.Random, folder: Path) -> None:
    """Answers of learners in the layouts of their data sets."""
    from luthier.trace.readers import read_answers

    path = folder / rng.choice(("answers.csv", "answers.tsv", "answers.txt"))
    path.write_bytes(mutated_text(rng.choice(LEARNERS), rng).encode("utf-8", "surrogatepass"))
    with Account():
        read_answers([path], skipped=SkippedRows())


def task_case(rng: random.Random, folder: Path) -> None:
    """A retrieval folder."""
    from luthier.evaluate.retrieval import load_task

    tables = json.loads(json.dumps(TASK))
    tables[rng.choice(list(tables))] = mutated(tables[rng.choice(list(tables))], rng)
    place = folder / "task"
    (place / "qrels").mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (place / f"{name}.jsonl").write_text(
            text if rng.random() < 0.8 else mutated_text(text, rng), encoding="utf-8", errors="surrogatepass"
        )
    with Account():
        load_task(place, dangling=rng.choice(("refuse", "leave-out")))


def bench_case(rng: random.Random, folder: Path) -> None:
    """Problems, contexts, questions and documents."""
    from luthier.decode.contexts import read_contexts
    from luthier.records.problems import read_problems
    from luthier.synthesize.fusion.documents import read_documents
    from luthier.synthesize.pairs.questions import read_questions

    kind = rng.randrange(4)
    path = folder / ("bench.md" if kind == 3 else "bench.jsonl")
    if kind == 3:
        path.write_text(mutated_text(DOCUMENT, rng), encoding="utf-8", errors="surrogatepass")
    else:
        write_jsonl(path, [mutated(json.loads(json.dumps((PROBLEM, CONTEXT, SOLVED)[kind])), rng)])
    with Account():
        if kind == 1:
            read_contexts(path)
        else:
            read = (read_problems, None, read_questions)[kind] if kind < 3 else None
            list(read_documents([path], skipped=SkippedRows()) if read is None else read(path, SkippedRows()))


def line_case(rng: random.Random, folder: Path) -> None:
    """One line of a file."""
    parse_row(mutated_text(json.dumps(rng.choice(ROWS)), rng).encode("utf-8", "surrogatepass"))


CASES: list[tuple[Callable[[random.Random, Path], None], int]] = [
    (rows_case, 5),
    (table_case, 2),
    (log_case, 2),
    (text_case, 4),
    (line_case, 3),
    (api_case, 4),
    (learners_case, 3),
    (task_case, 2),
    (bench_case, 2),
]


def run(seed: int, folder: Path) -> tuple[str, float, BaseException | None]:
    """(the case, its seconds of processor time, what it raised that is not ours) of one seed."""
    rng = random.Random(seed)
    case = rng.choices([case for case, _ in CASES], [weight for _, weight in CASES])[0]
    start, found = time.process_time(), None
    try:
        case(rng, folder)
    except LuthierError:
        pass
    except (Exception, RecursionError) as problem:
        found = problem
    return case.__name__, time.process_time() - start, found


def measure(quick: bool, count: str, seed: str) -> dict[str, Any]:
    """Run inputs from `seed` on: `count` of them, or as many as 40 seconds hold."""
    first, begun = int(seed), time.perf_counter()
    kept = RESULTS / f"fuzz-{seed}-{count}.json"
    told = json.loads(kept.read_text()) if kept.is_file() and not quick else {"cases": {}, "not_ours": 0, "slow": 0, "slowest": 0.0}
    ran = Counter[str](told["cases"])
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first + ran.total(), first + int(count)):
            case, seconds, problem = run(number, Path(folder))
            ran[case] += 1
            told["slowest"] = max(told["slowest"], round(seconds, 2))
            told["not_ours"] += problem is not None
            told["slow"] += seconds > SLOW
            if problem is not None and told["not_ours"] <= SHOWN:
                print(f"seed {number} {case}: {type(problem).__name__}: {str(problem)[:120]!r} at {_place(problem)}", flush=True)
            if seconds > SLOW:
                print(f"seed {number} {case}: {seconds:.1f} s", flush=True)
            if quick and time.perf_counter() - begun > 40:
                break
            if not quick and ran.total() % KEPT == 0:
                with atomic_write(kept) as stream:
                    json.dump({**told, "cases": ran}, stream)
                print(f"{ran.total():,} inputs, {told['not_ours']} exceptions that are not ours, {told['slow']} slow", flush=True)
    return {"inputs": ran.total(), "first": first, **told, "cases": dict(ran)}


def _place(problem: BaseException) -> str:
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def line(figures: dict[str, Any]) -> str:
    return (
        f"{figures['inputs']:,} inputs from seed {figures['first']}: {figures['not_ours']} exceptions that are not ours, {figures['slow']} over"
        f" {SLOW:g} s of processor time, the slowest {figures['slowest']:.2f} s"
    )


if __name__ == "__main__":
    benchmark("fuzz", measure, line, __doc__, count="1000000", seed="0")
