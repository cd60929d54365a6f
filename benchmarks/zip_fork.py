"""ZIP selection with the forked compressor, beside the same greedy loop that compresses the whole selection for every candidate.

Both pick the same rows in the same order; the ratio of CPU-seconds is the result.
"""

from __future__ import annotations

import time
import zlib
from random import Random
from typing import Any

from harness import benchmark


def measure(quick: bool) -> dict[str, Any]:
    from luthier.records.calls import render_calls
    from luthier.select import zip_select
    from luthier.synthesize.tools.dialogues import synthesize_dialogues

    rows, budget, k1, k2, k3 = (400, 60, 200, 40, 20) if quick else (3000, 300, 1000, 100, 50)
    texts = [
        f"user: {row.messages[0].content}\nassistant: {row.messages[1].content or render_calls(row.messages[1].tool_calls)}\n"
        for row in synthesize_dialogues(rows, seed=2)
    ]
    Random(0).shuffle(texts)
    forked, picked = _timed(lambda: zip_select(texts, budget, k1, k2, k3, form="list"))
    whole, expected = _timed(lambda: _recompress(texts, budget, k1, k2, k3))
    assert picked == expected, "the two implementations disagree"
    return {"rows": rows, "budget": budget, "forked_cpu_s": forked, "recompress_cpu_s": whole, "ratio": whole / forked}


def _timed(work: Any) -> tuple[float, list[int]]:
    start = time.process_time()
    result: list[int] = work()
    return time.process_time() - start, result


def _recompress(texts: list[str], budget: int, k1: int, k2: int, k3: int) -> list[int]:
    """The algorithm as written: every score compresses the whole set again."""

    def ratio(rows: list[int]) -> float:
        raw = ("[" + ", ".join(texts[i] for i in rows) + "]").encode()
        return len(raw) / len(zlib.compress(raw, 9))

    state = {i: ratio([i]) for i in range(len(texts))}
    selected: list[int] = []
    while len(selected) < budget:
        left = [i for i in state if i not in set(selected)]
        coarse = sorted(left, key=lambda i: (state[i], i))[:k1]
        state.update({i: ratio([*selected, i]) for i in coarse})
        fine = sorted(coarse, key=lambda i: (state[i], i))[:k2]
        block: list[int] = []
        while len(block) < min(k3, budget - len(selected)) and len(block) < len(fine):
            block.append(min((i for i in fine if i not in block), key=lambda i: ratio([*block, i])))
        selected += block
    return selected


def line(figures: dict[str, Any]) -> str:
    return (
        f"same {figures['budget']} of {figures['rows']} rows in {figures['forked_cpu_s']:.2f} against "
        f"{figures['recompress_cpu_s']:.2f} CPU-s ({figures['ratio']:.1f}x)"
    )


if __name__ == "__main__":
    benchmark("zip_fork", measure, line, __doc__)
