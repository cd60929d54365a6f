"""No text from outside can make a regular expression of the package slow: the time grows as the text does."""

import time

import pytest

from patterns import Used, all_patterns, pumped

SMALL, LARGE = 16_000, 64_000
FAST = 0.01  # seconds for a small text; no pattern that is linear in it takes longer
GROWTH = 1.3  # times linear


def seconds(used: Used, method: str, text: str, tries: int = 1) -> float:
    """The shortest processor time of some tries."""
    best = float("inf")
    for _ in range(tries):
        start = time.process_time()
        if method in ("sub", "subn"):
            used.pattern.sub("", text)
        elif method == "finditer":
            for _match in used.pattern.finditer(text):
                pass
        else:
            getattr(used.pattern, method)(text)
        best = min(best, time.process_time() - start)
    return best


PATTERNS = all_patterns()


def test_the_patterns_are_found():
    assert len(PATTERNS) > 150
    assert any(used.place.startswith("luthier.texts.answers._STATED") for used in PATTERNS)


@pytest.mark.parametrize("used", PATTERNS, ids=[used.place for used in PATTERNS])
def test_time_grows_as_the_text_does(used: Used):
    for small, large in zip(pumped(used.pattern, SMALL), pumped(used.pattern, LARGE), strict=True):
        for method in used.methods:
            tiny = seconds(used, method, small[: SMALL // 16])
            if tiny > FAST:
                pytest.fail(f"{tiny:.3f} s for {SMALL // 16} characters: {small[:40]!r} ({method})")
            if seconds(used, method, small) <= FAST:
                continue
            before, after = seconds(used, method, small, 3), seconds(used, method, large, 3)
            assert after <= GROWTH * before * LARGE / SMALL or after <= FAST, (method, small[:40], before, after)
