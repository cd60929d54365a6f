"""Suspicion by what failing and passing tests run, and the holes that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import sqrt

import pytest
from llguidance import LLMatcher, grammar_from

from luthier.models.budget import Ledger
from luthier.models.protocol import Completion
from luthier.search import Posed, SearchSettings
from luthier.search.edits import Editable
from luthier.search.infill import MARK, Hole, holes, infill, prompt
from luthier.search.steps import Search
from luthier.search.suspects import as_followed, cut_short, line_suspicion, suspicion
from luthier.search.wants import Say, Steps, Tested, Tried
from luthier.search.worktree import Place, Ran

TEXT = '''    def clip(x, low, high):
        """Between two numbers.

        One.
        Two.
        Three.
        Four.
        Five.
        Six.
        """
        if x < low:
            return low
        elif x < high:
            return high
        return x
'''
CLIP = Editable("clip.py", "clip", 11, 25, TEXT)


def ran(tests: Mapping[str, str], called: Mapping[str, Sequence[int]]) -> Ran:
    places = {name: tuple(Place("a.py", f"f{line}", line) for line in lines) for name, lines in called.items()}
    lines = {name: frozenset(("a.py", line) for line in own) for name, own in called.items()}
    return Ran(tests, {}, places, {}, lines)


def test_what_failing_tests_call_and_passing_ones_do_not_is_suspect() -> None:
    near = ran({"t1": "failed", "t2": "passed", "t3": "passed"}, {"t1": [1, 2], "t2": [1, 3], "t3": [1]})
    assert suspicion(near) == {("a.py", 1): pytest.approx(1 / sqrt(3)), ("a.py", 2): 1.0}
    assert line_suspicion(ran({"t1": "failed"}, {"t1": [1, 4]}), near) == {("a.py", 1): pytest.approx(1 / sqrt(3)), ("a.py", 4): 0.0}
    assert suspicion(ran({"t1": "failed"}, {})) == {}


def test_a_test_that_was_followed_keeps_its_own_end() -> None:
    frames = {"t1": (Place("a.py", "f1", 3), Place("a.py", "f2", 9))}
    plain = Ran({"t1": "failed"}, {"t1": "E assert 1 == 2"}, {}, frames)
    seen = Ran(
        {"t1": "failed"}, {"t1": "E NoEnd: no end within 2.5 s"}, {"t1": (Place("a.py", "f1", 1),)}, {}, {"t1": frozenset({("a.py", 2)})}
    )
    both = as_followed(plain, seen)
    assert (both.texts, both.frames, both.called, both.lines) == (plain.texts, frames, seen.called, seen.lines)
    assert "came to no end within 2.5 s, so that only what it ran until then is known" in cut_short(plain, seen)
    assert cut_short(plain, plain) == cut_short(seen, seen) == ""
    nothing = Ran({}, {}, {}, {}, said="no end within 5 s")
    assert as_followed(plain, nothing).lines == {"t1": frozenset({("a.py", 3), ("a.py", 9)})}
    assert "told nothing (no end within 5 s)" in cut_short(plain, nothing)


def made(worth: Mapping[int, float]) -> list[Hole]:
    return holes([CLIP], {("clip.py", line): value for line, value in worth.items()})


def test_holes_are_the_lines_that_were_run_the_most_suspect_first() -> None:
    found = made({21: 0.5, 23: 0.9, 24: 1.0, 25: 0.4})
    assert [(one.line, one.is_head, one.is_elif, one.adds) for one in found] == [
        (24, False, False, False),
        (23, True, True, False),
        (21, True, False, False),
        (25, False, False, False),
        (23, False, False, True),
    ]
    assert found[1].shown.splitlines()[4:8] == [f"    {MARK}", "        return high", "    return x"]
    assert "Two." not in found[0].shown
    assert found[1].shown in (prompt("It fails.", found[1]).messages[-1].content or "")


@pytest.mark.parametrize(
    ("place", "answer", "line"),
    [
        (0, "```python\nreturn high\nreturn x\n```", "        return high"),
        (1, "```python\nif x > high:\n    return high\n```", "    elif x > high:"),
        (2, "```\nif x < low:\n```", "    if x < low:"),
        (3, "return x", "    return x"),
        (4, "```python\nelse:\n    pass\n```", "    else:\n        pass"),
    ],
)
def test_an_answer_fills_its_hole(place: int, answer: str, line: str) -> None:
    hole = made({21: 0.5, 23: 0.9, 24: 1.0, 25: 0.4})[place]
    assert hole.filled(answer) == f"{hole.before}{line}\n{hole.after}"
    whole = "def clip(x, low, high):\n    return x"
    assert hole.filled(f"```python\n{whole}\n```") == whole


def test_an_answer_that_was_forced_goes_on_where_the_hole_is() -> None:
    head, line = made({23: 0.9, 24: 1.0})[1], made({24: 1.0})[0]
    assert json.dumps(line.lead) in line.grammar
    assert line.filled(f"{line.opening}return low\n") == f"{line.before}        return low\n{line.after}"
    assert head.lead.endswith("\n    elif ")
    assert head.filled(f"{head.lead}x > high:\n") == f"{head.before}    elif x > high:\n{head.after}"
    assert LLMatcher.validate_grammar(grammar_from("lark", head.grammar)) == ""


def played(search: Search, steps: Steps[None]) -> list[float]:
    """The temperatures that were asked for; the sixth program is the first that passes."""
    asked: list[float] = []
    wants = next(steps)
    try:
        while True:
            if isinstance(wants[0], Say):
                asked += [want.sampling.temperature for want in wants]
                wants = steps.send(tuple(Completion("return 1", "stop", 1, 1) for _ in wants))
            else:
                kind = "passed" if len(search.candidates) + len(wants) > 5 else "wrong_answer"
                wants = steps.send(tuple(Tried((Tested(kind, "", ""), Tested(kind, "", ""))) for _ in wants))
    except StopIteration:
        return asked


def test_lines_are_asked_for_until_one_passes() -> None:
    search = Search(Posed("t", "It fails.", "", ("t", "rest"), wanted="the line"), SearchSettings(), Ledger())
    places = made({21: 0.5, 23: 0.9, 24: 1.0, 25: 0.4})
    asked = played(search, infill(search, "It fails.", places))
    assert asked == [0.0] * 5 + [0.8] * 4
    assert search.finished == "passes"
