"""Selection beside the published algorithm as written, and beside random and length: cost, redundancy at equal bytes, noise.

One pool for everything: generated tool dialogues, or `--pool FILE` in any layout that Luthier reads. The naive arm compresses the whole
selection again for every row it measures, which is what the published code does; where it would take hours its time is worked out from
its own compression calls, timed at the true sizes of every round ("modelled").
"""

from __future__ import annotations

import sys
import time
import zlib
from pathlib import Path
from random import Random
from typing import Any

from harness import benchmark

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "select"))


def measure(quick: bool, pool: str) -> dict[str, Any]:
    rows = _rows(pool, 1500 if quick else 21_000)
    texts = [row["text"] for row in rows]
    figures: dict[str, Any] = {"pool": pool, "rows": len(rows), "bytes": sum(len(text.encode()) for text in texts)}
    small = texts[: 800 if quick else 5000]
    figures["cost"] = _against_naive(small, *((60, 200, 40, 20) if quick else (160, 1000, 40, 20)))
    sizes = (300, 200, 100) if quick else (10_000, 200, 100)
    figures["budgets"] = _by_budget(texts, (100, 200, 300) if quick else (100, 200, 400, 700, 1000), sizes)
    figures["modelled"] = _modelled_naive(texts, 300 if quick else 1000, sizes)
    figures["modelled"]["ratio"] = figures["modelled"]["naive_cpu_s"] / figures["budgets"]["cpu_s"][-1]
    figures["equal_bytes"] = _equal_bytes(rows, "5%", ("random*3", "longest", "own-ratio", "zip", "zip-long"))
    figures["noise"] = _noise(rows[: 1200 if quick else 12_000], 60 if quick else 300)
    return figures


def _rows(pool: str, count: int) -> list[dict[str, Any]]:
    from luthier.records import read_rows
    from luthier.select.rows import row_text
    from luthier.synthesize.tools.dialogues import synthesize_dialogues

    if pool == "generated":
        read = (conversation.to_row() for conversation in synthesize_dialogues(count, seed=2))
    else:
        read = (row for _, row in read_rows(pool))
    rows = [{**row, "text": row_text(row), "prompt_text": row_text(row, "prompt")} for row in read]
    Random(0).shuffle(rows)
    return [
        {k: row[k] for k in ("text", "prompt_text")} | {"source": str(row.get("source", ""))} for row in rows[:count]
    ]


def _timed(work: Any) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def _against_naive(texts: list[str], budget: int, k1: int, k2: int, k3: int) -> dict[str, Any]:
    from luthier.select import zip_select
    from zip_fork import _recompress

    forked, picked = _timed(lambda: zip_select(texts, budget, k1, k2, k3, form="list"))
    naive, expected = _timed(lambda: _recompress(texts, budget, k1, k2, k3))
    assert picked == expected, "the two implementations disagree"
    return {"rows": len(texts), "budget": budget, "forked_cpu_s": forked, "naive_cpu_s": naive, "ratio": naive / forked}


def _by_budget(texts: list[str], budgets: tuple[int, ...], sizes: tuple[int, int, int]) -> dict[str, Any]:
    import numpy as np

    from luthier.select import zip_select

    seconds = [_timed(lambda budget=budget: zip_select(texts, budget, *sizes))[0] for budget in budgets]
    slope, start = np.polyfit(budgets, seconds, 1)
    error = float(np.abs(np.polyval((slope, start), budgets) - seconds).max() / max(seconds))
    return {
        "budget": list(budgets), "cpu_s": seconds, "cpu_s_a_row": float(slope), "cpu_s_before": float(start),
        "largest_error_of_the_line": error,
    }  # fmt: skip


def _modelled_naive(texts: list[str], budget: int, sizes: tuple[int, int, int]) -> dict[str, Any]:
    """CPU-seconds of compressing everything again: 20 calls of each kind and round are timed, and counted as often as they occur."""
    from luthier.select import zip_select

    k1, k2, k3 = sizes
    picks = zip_select(texts, budget, *sizes)
    draw, seconds = Random(1), _timed(lambda: [zlib.compress(text.encode(), 9) for text in texts])[0]
    for done in range(0, budget, k3):
        anchor = "\n".join(texts[i] for i in picks[:done])
        sample = draw.sample(texts, 20)
        coarse = _timed(
            lambda anchor=anchor, sample=sample: [zlib.compress(f"{anchor}\n{x}".encode(), 9) for x in sample]
        )[0]
        seconds += coarse / 20 * min(k1, len(texts) - done)
        half = "\n".join(texts[i] for i in picks[done : done + k3 // 2])  # a fine set is half full on average
        fine = _timed(lambda half=half, sample=sample: [zlib.compress(f"{half}\n{x}".encode(), 9) for x in sample])[0]
        count = min(k3, budget - done)
        seconds += fine / 20 * (count * k2 - count * (count - 1) // 2)
    return {"rows": len(texts), "budget": budget, "naive_cpu_s": seconds}


def _equal_bytes(rows: list[dict[str, Any]], share: str, methods: tuple[str, ...]) -> list[dict[str, Any]]:
    from luthier.select.selection import select

    amount = round(sum(len(row["text"].encode()) for row in rows) * float(share.rstrip("%")) / 100)
    table = []
    for method in methods:
        name, _, times = method.partition("*")
        for seed in range(int(times or 1)):
            spent, made = _timed(
                lambda name=name, seed=seed: select(
                    rows, method=name, budget=f"{amount} bytes", noise=None, near=None, seed=seed
                )
            )
            heads = [rows[index]["prompt_text"][:200] for index in made.indices]
            table.append({
                "method": f"{name} {seed}" if times else name, "rows": len(made.picks), "ratio": made.report["ratio"],
                "repeated_prompts": len(heads) - len(set(heads)), "cpu_s": spent,
            })  # fmt: skip
    return table


def _noise(rows: list[dict[str, Any]], budget: int) -> dict[str, Any]:
    from junk import planted

    from luthier.select.selection import select

    mixed = planted([row["text"] for row in rows], [row["source"] for row in rows], 0.01, 0)
    pool = [{"text": text, "source": source} for text, source, _ in mixed]
    kinds = [kind for _, _, kind in mixed]
    figures: dict[str, Any] = {"rows": len(rows), "planted": sum(map(bool, kinds)), "budget": budget}
    for method in ("zip", "zip-long"):
        for name, guard in (("unguarded", None), ("guarded", 4.0)):
            made = select(pool, method=method, budget=budget, noise=guard, near=None)
            figures[f"{method} {name}"] = sum(bool(kinds[index]) for index in made.indices)
            if guard is not None:
                gone = [index for index, reason in made.dropped.items() if reason.gate == "noise"]
                figures["clean_dropped_share"] = sum(not kinds[index] for index in gone) / len(rows)
                figures["junk_dropped"] = sum(bool(kinds[index]) for index in gone)
    return figures


def line(figures: dict[str, Any]) -> str:
    cost, model, noise = figures["cost"], figures["modelled"], figures["noise"]
    table = {row["method"]: row for row in figures["equal_bytes"]}
    ratios = ", ".join(f"{name} {row['ratio']['all']:.2f} ({row['repeated_prompts']})" for name, row in table.items())
    return (
        f"{cost['rows']} rows/{cost['budget']}: {cost['ratio']:.1f}x less CPU than naive, same order; {model['rows']}/{model['budget']}: "
        f"{figures['budgets']['cpu_s'][-1]:.1f} CPU-s, {model['ratio']:.0f}x (naive modelled), linear within "
        f"{figures['budgets']['largest_error_of_the_line']:.1%}; whole-set ratio at equal bytes (repeated prompts): {ratios}; "
        f"junk picked of {noise['planted']}: zip {noise['zip unguarded']} -> {noise['zip guarded']}, zip-long "
        f"{noise['zip-long unguarded']} -> {noise['zip-long guarded']}, clean dropped {noise['clean_dropped_share']:.2%}"
    )


if __name__ == "__main__":
    benchmark("selection", measure, line, __doc__, pool="generated")
