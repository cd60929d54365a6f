"""Mutated inputs for the readers and parsers: what raises anything but a LuthierError, or takes more than two seconds, is counted and shown.

    python benchmarks/fuzz.py --quick          # some thousands, under a minute
    python benchmarks/fuzz.py --count 1000000  # the figures in the docs; --seed N repeats a run

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

from harness import benchmark
from luthier.errors import LuthierError
from luthier.records import Account, SkippedRows, read_conversations, read_pairs, read_rows, write_jsonl, write_parquet
from luthier.records.calls import is_call_attempt, parse_calls
from luthier.records.choices import read_choices, stated_choice
from luthier.records.lines import parse_row
from luthier.texts.answers import final_answer
from luthier.texts.equality import compare_answers
from luthier.texts.secrets import without_secrets

SLOW, SHOWN = 2.0, 40
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


def line_case(rng: random.Random, folder: Path) -> None:
    """One line of a file."""
    parse_row(mutated_text(json.dumps(rng.choice(ROWS)), rng).encode("utf-8", "surrogatepass"))


CASES: list[tuple[Callable[[random.Random, Path], None], int]] = [
    (rows_case, 5),
    (table_case, 2),
    (log_case, 2),
    (text_case, 4),
    (line_case, 3),
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
    first, ran = int(seed), Counter[str]()
    bad, slow, slowest, begun = 0, 0, 0.0, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, first + int(count)):
            case, seconds, problem = run(number, Path(folder))
            ran[case] += 1
            slowest = max(slowest, seconds)
            bad, slow = bad + (problem is not None), slow + (seconds > SLOW)
            if problem is not None and bad <= SHOWN:
                print(f"seed {number} {case}: {type(problem).__name__}: {str(problem)[:120]!r} at {_place(problem)}", flush=True)
            if seconds > SLOW:
                print(f"seed {number} {case}: {seconds:.1f} s", flush=True)
            if quick and time.perf_counter() - begun > 40:
                break
    return {"inputs": ran.total(), "first": first, "cases": dict(ran), "not_ours": bad, "slow": slow, "slowest": round(slowest, 2)}


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
