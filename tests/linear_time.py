"""Whether work takes time as its text grows: processor seconds of two sizes, held against each other and not against a clock."""

from __future__ import annotations

import time
from collections.abc import Callable

SMALL, LARGE = 16_000, 64_000  # characters
FAST = 0.01  # processor seconds; below it a clock tells nothing
GROWTH = 1.3  # times linear


def seconds(work: Callable[[str], object], text: str, tries: int = 1) -> float:
    """The shortest processor time of some tries."""
    best = float("inf")
    for _ in range(tries):
        start = time.process_time()
        work(text)
        best = min(best, time.process_time() - start)
    return best


def superlinear(work: Callable[[str], object], small: str, large: str) -> str:
    """What of the times of the two texts (`SMALL` and `LARGE` characters) is more than linear; empty where nothing is.

    A busy machine makes single times long, never short: the shortest of ever more tries is believed.
    """
    if (tiny := seconds(work, small[: SMALL // 16], 3)) > FAST:
        return f"{tiny:.3f} s for {SMALL // 16} characters"
    if (whole := seconds(work, small)) <= FAST:
        return ""
    part = seconds(work, small[: SMALL // 4], 3)
    if (
        whole > 5 * FAST and (whole := min(whole, seconds(work, small, 2))) > 2 * GROWTH * 4 * part
    ):  # not even near: the large one may take hours
        return f"{part:.3f} s for {SMALL // 4} characters, {whole:.3f} s for {SMALL}"
    before, after = float("inf"), float("inf")
    for _ in range(5):
        before, after = min(before, seconds(work, small, 3)), min(after, seconds(work, large, 3))
        if after <= GROWTH * before * LARGE / SMALL or after <= FAST:
            return ""
    return f"{before:.3f} s for {SMALL} characters, {after:.3f} s for {LARGE}"
