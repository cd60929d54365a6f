"""Which functions a failing test points to: those that failing tests call and passing ones do not (Ochiai, Abreu et al. 2007), then the traceback."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path

from luthier.errors import SettingsError
from luthier.search.edits import Editable, function_at
from luthier.search.worktree import Ran, Worktree

_NO_END = re.compile(r"no end within [0-9.e+-]{1,20} s")


def as_followed(failing: Ran, followed: Ran) -> Ran:
    """A failing test with the functions and lines that it ran when it was followed; where following told nothing, with the lines of its traceback.

    Its outcome and its traceback stay those of the run that was not followed: following may make a test fail in another place, for want of time.
    """
    known = followed.lines or {name: frozenset((place.file, place.line) for place in places) for name, places in failing.frames.items()}
    return replace(failing, called=followed.called, lines=known)


def cut_short(failing: Ran, followed: Ran) -> str:
    """How a failing test ended early when it was followed, in words; empty where it did not."""
    if not followed.tests:
        return f"when it was followed, the failing test told nothing ({' '.join(followed.said.split())[-200:]}), so that its traceback alone is known"
    ends = (_NO_END.search(followed.texts.get(name, "")) for name in failing.failed if not _NO_END.search(failing.texts.get(name, "")))
    end = next((found for found in ends if found is not None), None)
    return "" if end is None else f"when it was followed, the failing test came to {end[0]}, so that only what it ran until then is known"


def editable(tree: Worktree, failing: Ran, near: Ran, most: int, tests: Set[str] = frozenset(), *, cut: str = "") -> list[Editable]:
    """Functions of the repository that the failing test ran, the most suspect first.

    failing: the test by itself; near: the tests of its file; both followed. tests: files that hold tests, whatever they are called. cut: as
    `cut_short` tells it. Equals are in the order of the traceback, the innermost first, then the last called first. Raises SettingsError where
    the test runs none, or none is known.
    """
    first = min(failing.failed)
    places = dict.fromkeys((*reversed(failing.frames.get(first, ())), *reversed(failing.called.get(first, ()))))
    worth = suspicion(near)
    tests = failing.files | near.files | tests
    found: dict[tuple[str, int], tuple[float, int, Editable]] = {}
    for order, place in enumerate(places):
        one = function_at(tree, place.file, place.line) if _is_source(place.file) and place.file not in tests else None
        if one is not None:
            own = max((worth.get((place.file, at), 0.0) for at in (place.line, one.first)), default=0.0)
            before = found.get((one.file, one.first))
            found[one.file, one.first] = (max(own, before[0]), before[1], one) if before else (own, order, one)
    if not found:
        if cut:
            raise SettingsError(f"no function that could be edited: {cut}; --suite-seconds may be too few")
        raise SettingsError("the failing test runs no function of the repository that could be edited")
    return [one for _, _, one in sorted(found.values(), key=lambda each: (-each[0], each[1]))][:most]


def suspicion(near: Ran) -> dict[tuple[str, int], float]:
    """By file and first line of a function: failing tests that call it over sqrt(failing tests · tests that call it), from 0 to 1."""
    return _ochiai(near, {name: frozenset((place.file, place.line) for place in places) for name, places in near.called.items()})


def line_suspicion(failing: Ran, near: Ran) -> dict[tuple[str, int], float]:
    """The same by file and line, of the lines that the failing test ran; its own where the tests of its file say nothing."""
    run = frozenset().union(*(failing.lines.get(name, frozenset()) for name in failing.failed))
    known = _ochiai(near, near.lines)
    return {line: known.get(line, 0.0) for line in run}


def _ochiai(near: Ran, ran: Mapping[str, frozenset[tuple[str, int]]]) -> dict[tuple[str, int], float]:
    failed, passed = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for name, places in ran.items():
        (failed if name in near.failed else passed).update(places)
    total = sum(name in ran for name in near.failed)
    return {place: count / math.sqrt(total * (count + passed[place])) for place, count in failed.items()}


def _is_source(file: str) -> bool:
    """Whether a file is the repository's, Python, and no test."""
    path = Path(file)
    is_test = path.name.startswith("test_") or path.name.endswith("_test.py") or path.name in ("conftest.py", "tests.py")
    return not path.is_absolute() and path.suffix == ".py" and not is_test and not {"test", "tests"} & set(path.parts[:-1])
