"""`luthier compare` beside statsmodels' exact McNemar test and a bootstrap of 10,000 draws, on the same outcomes written as each kind of log that it reads.

    python benchmarks/compare.py --outcomes events.csv.gz   # learner, item, correct: of every pair with the first learner

Without a file the outcomes are drawn: models of near strengths on items that are easy or hard for all.
"""

from __future__ import annotations

import csv
import gzip
import json
import tempfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from harness import benchmark
from luthier.records import write_jsonl

Outcomes = Mapping[str, Mapping[str, bool]]  # model, then item
DRAWS = 10_000
WHEN = "2026-01-01T00-00-00.000000"


def measure(quick: bool, outcomes: str, pairs: str) -> dict[str, Any]:
    from luthier.trace.compare import compare
    from luthier.trace.results import read_results

    told = _read(Path(outcomes)) if outcomes else _drawn(3, 200) if quick else _drawn(5, 2_000)
    first, *others = list(told)
    rows: list[dict[str, Any]] = []
    for other in others[: int(pairs)]:
        oracle = _oracle(told[first], told[other])
        for layout, write in LAYOUTS.items():
            with tempfile.TemporaryDirectory() as scratch:
                sides = (("a", told[first]), ("b", told[other]))
                paths = [f"{side}={write(Path(scratch) / side, own)}" for side, own in sides]
                total = compare(read_results(paths), "a", "b").total
            rows.append(
                {
                    "layout": layout,
                    "pair": [first, other],
                    "items": total.items,
                    "same": (total.items, total.gained, total.lost) == (oracle["items"], oracle["gained"], oracle["lost"]),
                    "p": total.p,
                    "p_gap": abs(total.p - oracle["p"]),
                    "interval_gap": 100 * max(abs(total.low - oracle["low"]), abs(total.high - oracle["high"])),
                    "unpaired": total.unpaired,
                }
            )
    return {"models": len(told), "rows": rows, "draws": DRAWS}


def _read(path: Path) -> dict[str, dict[str, bool]]:
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            found[row["learner"]][row["item"]] = float(row["correct"]) == 1
    return dict(found)


def _drawn(models: int, items: int) -> dict[str, dict[str, bool]]:
    draw = Random(0)
    easy = {f"{'odd' if at % 2 else 'even'}/{at}": draw.choice((0.08, 0.5, 0.93)) for at in range(items)}
    return {f"model-{one}": {item: draw.random() < min(1, share + 0.02 * one) for item, share in easy.items()} for one in range(models)}


def _oracle(before: Mapping[str, bool], after: Mapping[str, bool]) -> dict[str, Any]:
    """The same pair by others: statsmodels' test, and a plain bootstrap of the paired differences."""
    import numpy as np
    from statsmodels.stats.contingency_tables import mcnemar

    shared = [item for item in before if item in after]
    table = Counter((before[item], after[item]) for item in shared)
    p = mcnemar([[table[True, True], table[True, False]], [table[False, True], table[False, False]]], exact=True).pvalue
    gaps = np.array([float(after[item]) - float(before[item]) for item in shared])
    draw = np.random.default_rng(0)
    means = np.concatenate([gaps[draw.integers(0, len(gaps), (500, len(gaps)))].mean(axis=1) for _ in range(DRAWS // 500)])
    low, high = np.quantile(means, [0.025, 0.975])
    counts = {"items": len(shared), "gained": table[False, True], "lost": table[True, False]}
    return {**counts, "p": float(p), "low": float(low), "high": float(high)}


# --- the same outcomes as each kind of log ------------------------------------------------------------------------------------


def _table(folder: Path, told: Mapping[str, bool]) -> Path:
    folder.mkdir()
    with (folder / "table.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["learner", "item", "correct"])
        rows.writerows(("model", item, int(right)) for item, right in told.items())
    return folder / "table.csv"


def _harness(folder: Path, told: Mapping[str, bool]) -> Path:
    """Samples of lm-evaluation-harness, a file a task."""
    folder.mkdir()
    tasks: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item, right in told.items():
        task, _, name = item.partition("/")
        row = {"doc_id": name or item, "doc": {"question": item}, "target": "", "arguments": {}, "resps": [[str(right)]]}
        tasks[task] += [{**row, "filtered_resps": [str(right)], "filter": "none", "metrics": ["acc"], "acc": float(right)}]
    for task, rows in tasks.items():
        write_jsonl(folder / f"samples_{task}_{WHEN}.jsonl", rows)
    return folder


def _inspect(folder: Path, told: Mapping[str, bool]) -> Path:
    """A log of Inspect, as JSON."""
    folder.mkdir()
    samples = [
        {"id": item, "epoch": 1, "input": item, "target": "x", "messages": [], "scores": {"match": {"value": "C" if right else "I"}}}
        for item, right in told.items()
    ]
    log = {"version": 2, "status": "success", "eval": {"task": "t", "model": "m"}, "samples": samples}
    (folder / "log.json").write_text(json.dumps(log))
    return folder / "log.json"


def _evalplus(folder: Path, told: Mapping[str, bool]) -> Path:
    """Results of EvalPlus."""
    folder.mkdir()
    tasks = {
        item: [{"task_id": item, "solution": "", "base_status": "pass" if right else "fail", "plus_status": "pass" if right else "fail"}]
        for item, right in told.items()
    }
    (folder / "m_eval_results.json").write_text(json.dumps({"date": WHEN, "hash": "", "eval": tasks}))
    return folder / "m_eval_results.json"


def _bfcl(folder: Path, told: Mapping[str, bool]) -> Path:
    """A score file of BFCL, which lists failures, with the result file beside it."""
    ids = {item: f"simple_python_{zlib.crc32(item.encode())}" for item in told}
    score, result = (folder / kind / "m" / "non_live" / f"BFCL_v4_simple_python_{kind}.json" for kind in ("score", "result"))
    for path in (score, result):
        path.parent.mkdir(parents=True)
    write_lines(result, [{"id": each, "result": "[]"} for each in ids.values()])
    right = sum(told.values())
    header = {"accuracy": right / len(told), "correct_count": right, "total_count": len(told)}
    write_lines(score, [header, *({"id": ids[item], "valid": False, "error": []} for item, one in told.items() if not one)])
    return score


def _own(folder: Path, told: Mapping[str, bool]) -> Path:
    """Answers of `luthier evaluate tools`."""
    folder.mkdir()
    rows = (
        {"id": item, "category": "own", "decoding": "free", "question": item, "answer": "", "right": one, "strict": one}
        for item, one in told.items()
    )
    write_jsonl(folder / "answers.jsonl", rows)
    return folder / "answers.jsonl"


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


LAYOUTS: dict[str, Callable[[Path, Mapping[str, bool]], Path]] = {
    "table": _table,
    "lm-evaluation-harness": _harness,
    "Inspect": _inspect,
    "EvalPlus": _evalplus,
    "BFCL": _bfcl,
    "luthier": _own,
}


def line(figures: dict[str, Any]) -> str:
    rows = figures["rows"]
    hidden = sum(row["p"] < 0.05 <= row["unpaired"] for row in rows if row["layout"] == "table")
    pairs = len({tuple(row["pair"]) for row in rows})
    return (
        f"{pairs} pairs as {len(LAYOUTS)} kinds of log, {min(row['items'] for row in rows):,} to {max(row['items'] for row in rows):,} items: "
        f"{sum(row['same'] for row in rows)} of {len(rows)} count the same gains and losses, p differs from statsmodels by at most "
        f"{max(row['p_gap'] for row in rows):.1e}, intervals from a bootstrap of {figures['draws']:,} by at most "
        f"{max(row['interval_gap'] for row in rows):.3f} points; a test without pairs misses {hidden} of {pairs}"
    )


if __name__ == "__main__":
    benchmark("compare", measure, line, __doc__, outcomes="", pairs="8")
