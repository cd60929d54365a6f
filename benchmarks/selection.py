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
    figures["pools"] = _by_pool(texts, (300, 600, 1200) if quick else (2500, 5000, 10_000, 20_000), 200, sizes)
    figures["evaluation"] = _evaluation(texts, 100 if quick else 300)
    figures["memory"] = _memory(texts, 100 if quick else 1000)
    figures["fuzz"] = _fuzz(500 if quick else 10_500)
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
    return [{k: row[k] for k in ("text", "prompt_text")} | {"source": str(row.get("source", ""))} for row in rows[:count]]


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
        "budget": list(budgets),
        "cpu_s": seconds,
        "cpu_s_a_row": float(slope),
        "cpu_s_before": float(start),
        "largest_error_of_the_line": error,
    }


def _by_pool(texts: list[str], pools: tuple[int, ...], budget: int, sizes: tuple[int, int, int]) -> dict[str, Any]:
    from luthier.select import zip_select

    counts = sorted({min(count, len(texts)) for count in pools})
    seconds = [_timed(lambda count=count: zip_select(texts[:count], budget, *sizes))[0] for count in counts]
    return {"rows": counts, "budget": budget, "cpu_s": seconds}


def _evaluation(texts: list[str], picks: int) -> dict[str, float]:
    """Microseconds to measure a row against `picks` rows: DEFLATE forked (its parts too), and Zstandard with all of them as dictionary.

    What no exact method can save is the copy and the reading of the row; writing the block ("flush") is the larger part.
    """
    from luthier.select.long_window import AddedBytes

    rows = [text.encode() for text in texts[: picks + 1000]]
    anchor = zlib.compressobj(9)
    for row in rows[:picks]:
        anchor.compress(row + b"\n")
    spent = dict.fromkeys(("copy", "compress", "flush"), 0.0)
    for row in rows[picks:]:
        copied, fork = _timed(anchor.copy)
        read, _ = _timed(lambda fork=fork, row=row: fork.compress(row))
        written, _ = _timed(fork.flush)
        spent = {"copy": spent["copy"] + copied, "compress": spent["compress"] + read, "flush": spent["flush"] + written}
    long = AddedBytes(rows)
    long.grow(range(picks))
    long.measure([picks])  # builds the dictionary
    zstandard, _ = _timed(lambda: long.measure(range(picks, len(rows))))
    each = 1e6 / (len(rows) - picks)
    return {f"zlib_{name}_us": seconds * each for name, seconds in spent.items()} | {"zstandard_us": zstandard * each}


def _fuzz(cases: int) -> dict[str, int]:
    """Random sets of random pieces: how often the forked size is not that of compressing everything at once."""
    from luthier.select.zip import SetSizes

    draw = Random(7)
    words = [draw.randbytes(draw.randrange(2, 9)).hex() for _ in range(300)]
    pieces = (
        lambda: draw.randbytes(draw.randrange(400)),
        lambda: " ".join(draw.choices(words, k=draw.randrange(1, 60))).encode(),
        lambda: draw.randbytes(1) * draw.randrange(20_000),
        lambda: b"",
    )
    wrong = 0
    for _ in range(cases):
        rows = [draw.choice(pieces)() for _ in range(draw.randrange(1, 12))]
        taken = SetSizes(rows)
        taken.grow(range(len(rows) - 1))
        whole = b"\n".join(rows)
        wrong += taken.measure([len(rows) - 1]) != [(len(whole), len(zlib.compress(whole, 9)))]
    return {"cases": cases, "mismatches": wrong}


_PEAK = """
import re, sys
from pathlib import Path
from luthier.select.pool import TextPool
from luthier.select.zip import Zip
from luthier.select.long_window import LongZip
from luthier.select.budget import Allowance, Budget
with open(sys.argv[1], encoding="utf-8") as lines:
    pool = TextPool(line.rstrip("\\n") for line in lines)
allowance = Allowance(Budget(int(sys.argv[3]), "rows"))
search = Zip(pool, allowance=allowance) if sys.argv[2] == "zip" else LongZip(pool, allowance=allowance)
kib = lambda name: int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = kib("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew here
for _ in search.rounds():
    pass
print(kib("VmHWM") - before)
"""


def _memory(texts: list[str], budget: int) -> dict[str, Any]:
    """Memory that choosing takes at its peak (Linux), in a process of its own, beyond what it held with the pool opened; by bytes of text."""
    import subprocess
    import tempfile

    figures: dict[str, Any] = {"text_mib": sum(len(text.encode()) for text in texts) / 2**20}
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder) / "pool.txt"
        pool.write_text("".join(" ".join(text.split()) + "\n" for text in texts), encoding="utf-8")
        for method in ("zip", "zip-long"):
            words = [sys.executable, "-c", _PEAK, str(pool), method, str(budget)]
            taken = int(subprocess.run(words, check=True, capture_output=True, text=True).stdout) / 1024
            figures |= {f"{method}_mib": taken, f"{method}_times_text": taken / figures["text_mib"]}
    return figures


def _modelled_naive(texts: list[str], budget: int, sizes: tuple[int, int, int]) -> dict[str, Any]:
    """CPU-seconds of compressing everything again: 20 calls of each kind and round are timed, and counted as often as they occur."""
    from luthier.select import zip_select

    k1, k2, k3 = sizes
    picks = zip_select(texts, budget, *sizes)
    draw, seconds = Random(1), _timed(lambda: [zlib.compress(text.encode(), 9) for text in texts])[0]
    for done in range(0, budget, k3):
        anchor = "\n".join(texts[i] for i in picks[:done])
        sample = draw.sample(texts, 20)
        coarse = _timed(lambda anchor=anchor, sample=sample: [zlib.compress(f"{anchor}\n{x}".encode(), 9) for x in sample])[0]
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
                lambda name=name, seed=seed: select(rows, method=name, budget=f"{amount} bytes", noise=None, near=None, seed=seed)
            )
            heads = [rows[index]["prompt_text"][:200] for index in made.indices]
            table.append(
                {
                    "method": f"{name} {seed}" if times else name,
                    "rows": len(made.picks),
                    "ratio": made.report["ratio"],
                    "repeated_prompts": len(heads) - len(set(heads)),
                    "cpu_s": spent,
                }
            )
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
        f"{figures['budgets']['largest_error_of_the_line']:.1%}; a measurement {sum(figures['evaluation'][f'zlib_{part}_us'] for part in ('copy', 'compress', 'flush')):.0f} us (zstd "
        f"{figures['evaluation']['zstandard_us']:.0f}); memory {figures['memory']['zip_times_text']:.1f}x and "
        f"{figures['memory']['zip-long_times_text']:.1f}x the text; "
        f"{figures['fuzz']['mismatches']} of {figures['fuzz']['cases']:,} fuzzed sizes wrong; whole-set ratio at equal bytes (repeated prompts): {ratios}; "
        f"junk picked of {noise['planted']}: zip {noise['zip unguarded']} -> {noise['zip guarded']}, zip-long "
        f"{noise['zip-long unguarded']} -> {noise['zip-long guarded']}, clean dropped {noise['clean_dropped_share']:.2%}"
    )


if __name__ == "__main__":
    benchmark("selection", measure, line, __doc__, pool="generated")
