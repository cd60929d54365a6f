"""A large pool as people have them (six layouts, six languages and code, copies, near-copies and junk), checked and chosen from: time, memory, what was left
out for which reason, and the shares of the picks beside those of the pool. The pool is made here, from a seed.

    python benchmarks/mixed_pool.py --quick
    python benchmarks/mixed_pool.py --rows 190018
"""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from harness import benchmark

PROSE = {
    "English": "the of and to is that it you for with this are was have from by which an they not can when people water house small old new time",
    "German": "der die das und ist nicht ein eine mit zu den von für auf sie wie im wenn wasser haus klein alt neu zeit leute immer heute",
    "Spanish": "el los las una del y más pero sus muy está este qué agua casa pequeño viejo nuevo tiempo gente siempre hoy donde cuando",
    "French": "le les des et est une dans pour qui pas sur avec ce vous nous sont eau maison petit vieux nouveau temps gens toujours quand",
    "Cyrillic": "и в не на он что это как но они мы был для вода дом малый старый новый время люди всегда сегодня где когда было",
    "Chinese": "的 一 是 不 了 在 人 有 我 他 这 个 上 们 来 到 时 大 地 为 子 中 你 说 生 国 年 着 就 那",
}
CODE = "def f{0}(values):\n    total = {1}\n    for value in values:\n        if value > {2}:\n            total += value * {3}\n    return total\n"
LAYOUTS = ("messages", "sharegpt", "alpaca", "prompt", "text", "tools")
SYSTEM = "You are a careful assistant. Answer in the language of the question, and say so where you do not know."
KINDS = {"fresh": 0.8, "copy": 0.06, "near-copy": 0.08, "noise": 0.03, "empty": 0.01, "broken": 0.02}


def make(path: Path, count: int, seed: int) -> Counter[str]:
    """Write the pool, and say how many rows of each kind are in it."""
    draw, made, kept = Random(seed), Counter[str](), list[dict[str, Any]]()
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as stream:
        for number in range(count):
            kind = draw.choices(list(KINDS), list(KINDS.values()))[0] if kept else "fresh"
            made[kind] += 1
            if kind == "broken":
                stream.write(
                    draw.choice(['{"messages": [', '{"foo": 1}', "[]", '{"messages": [{"role": "nobody", "content": "x"}]}']) + "\n"
                )
                continue
            row = draw.choice(kept) if kind in ("copy", "near-copy") else _row(draw, number, kind)
            if kind == "near-copy":
                row = json.loads(json.dumps(row))
                _touch(row, draw)
            elif kind == "fresh" and len(kept) < 20_000:
                kept.append(row)
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return made


def _row(draw: Random, number: int, kind: str) -> dict[str, Any]:
    language = draw.choices([*PROSE, "Code"], (40, 12, 10, 8, 8, 7, 15))[0]
    if kind == "noise":
        question, answer = ("".join(chr(draw.randrange(33, 126)) for _ in range(draw.randrange(80, 400))) for _ in range(2))
    elif kind == "empty":
        question = answer = ""
    elif language == "Code":
        question = f"Sum values above {number}."
        answer = CODE.format(number, draw.randrange(9), draw.randrange(99), draw.randrange(9)) * draw.randrange(1, 4)
    else:
        question, answer = (_prose(draw, language, size) for size in (draw.randrange(6, 25), draw.randrange(10, 120)))
    row = _laid_out(draw.choice(LAYOUTS), question, answer)
    return {**row, "source": f"source-{draw.choices(range(5), (50, 25, 15, 7, 3))[0]}", "id": number}


def _prose(draw: Random, language: str, words: int) -> str:
    """Frequent words of the language among words that nothing else has: made of syllables, rare ones rarer."""
    common = PROSE[language].split()
    rare = ("".join(draw.choice(common)[:2] for _ in range(3)) for _ in range(words))
    told = [draw.choice(common) if draw.random() < 0.6 else next(rare) for _ in range(words)]
    return ("" if language == "Chinese" else " ").join(told) + "."


def _laid_out(layout: str, question: str, answer: str) -> dict[str, Any]:
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    tool = {
        "type": "function",
        "function": {"name": "look_up", "description": "Look it up.", "parameters": {"type": "object", "properties": {}}},
    }
    return {
        "messages": {"messages": turns},
        "sharegpt": {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]},
        "alpaca": {"instruction": question, "input": "", "output": answer},
        "prompt": {"prompt": question, "completion": answer},
        "text": {"text": f"{question}\n{answer}" if question else ""},
        "tools": {"messages": turns, "tools": [tool]},
    }[layout]


def _touch(row: dict[str, Any], draw: Random) -> None:
    """One more word at the end of the answer."""
    if "messages" in row:
        row["messages"][-1]["content"] += f" {draw.randrange(99)}"
    elif "conversations" in row:
        row["conversations"][-1]["value"] += f" {draw.randrange(99)}"
    else:
        name = next(name for name in ("output", "completion", "text") if name in row)
        row[name] += f" {draw.randrange(99)}"


def measure(quick: bool, rows: str, seed: str, budget: str) -> dict[str, Any]:
    count = 4_000 if quick else int(rows)
    with tempfile.TemporaryDirectory() as folder:
        pool, out = Path(folder) / "pool.jsonl.gz", Path(folder) / "run"
        made = make(pool, count, int(seed))
        start = time.perf_counter()
        words = ["select", "run", str(pool), "--budget", budget, "--skip-bad", f"{folder}/bad.jsonl", "--out", str(out), "--quiet"]
        subprocess.run([sys.executable, "-m", "luthier", *words], check=True, capture_output=True)
        seconds = time.perf_counter() - start
        report = json.loads((out / "run.json").read_text())["steps"]["choose"]["results"]
        with gzip.open(out / "scores.jsonl.gz", "rt", encoding="utf-8") as stream:
            reasons = Counter(row["reason"] for row in map(json.loads, stream) if not row["taken"])
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    first, most = reasons.most_common(1)[0]
    return {
        "made": dict(made),
        "rows": report["pool_rows"],
        "bad_rows": report["bad_rows"],
        "picks": report["rows"],
        "wall_s": round(seconds, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": usage.ru_maxrss >> 10,
        "pool_mib": round(report["pool_bytes"] / 2**20, 1),
        "dropped": report["dropped"],
        "commonest_reason": {"reason": first, "share": round(most / report["pool_rows"], 4)},
        "languages": _shares(report["pool_by_language"], report["taken_by_language"]),
        "sources": _shares(report["pool_by_source"], report["taken_by_source"]),
        "shifts": report["shifts"],
    }


def _shares(pool: dict[str, int], taken: dict[str, int]) -> dict[str, list[float]]:
    """Percent of the pool and of the picks, by group."""
    return {
        name or "(not told)": [round(100 * count / sum(pool.values()), 1), round(100 * taken.get(name, 0) / max(1, sum(taken.values())), 1)]
        for name, count in pool.items()
    }


def line(figures: dict[str, Any]) -> str:
    languages = ", ".join(f"{name} {before:g} -> {after:g} %" for name, (before, after) in figures["languages"].items())
    reason = figures["commonest_reason"]
    return (
        f"{figures['rows']:,} rows ({figures['pool_mib']} MiB) and {figures['bad_rows']:,} bad ones: {figures['picks']:,} picks in {figures['cpu_s']} CPU-s,"
        f" {figures['peak_mib']:,} MiB at most; left out {figures['dropped']}; commonest reason {reason['reason'][:60]!r}, {reason['share']:.1%} of the rows; {languages}"
    )


if __name__ == "__main__":
    benchmark("mixed_pool", measure, line, __doc__, rows="190018", seed="0", budget="5%")
