"""The attack suite: programs that cheat, hog or break out, with what each must come to, run against this machine's sandbox.

Each defines `f` and is judged by `f(2) == 4` and `f(3) == 9`; after each one, an honest program must pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Literal, cast, get_args

from luthier.sandbox.box import Backend, Sandbox
from luthier.sandbox.outcome import Limits, Outcome, Task

Aim = Literal["cheats", "availability", "confinement", "works"]
TESTS = ("assert f(2) == 4", "assert f(3) == 9")
HONEST = "import json, math, random\n\ndef f(x):\n    assert sorted([x, 1]) == [1, x] and json.loads('[1]') == [1]\n    return int(math.pow(x, 2))\n"
LIMITS = Limits(wall=1.5, cpu=1.0)
PATIENCE = 4
"""How many times longer an attack may take that ran out of time before it did its harm: on a busy machine memory fills slowly."""
_HEAD = re.compile(r"^### (?P<name>[^:\n]+)(?:: (?P<expected>[a-z_ ]+))?\n", re.MULTILINE)


@dataclass(frozen=True)
class Attack:
    """A program and the outcomes that are right for it."""

    aim: Aim
    name: str
    program: str
    expected: tuple[str, ...]


@dataclass(frozen=True)
class Held:
    """What an attack came to, and whether an honest program still passes after it.

    monty: the attack ran in monty, which lacks what most attacks need: there every outcome but a pass that must not be is one that holds.
    """

    attack: Attack
    outcome: Outcome
    next_passed: bool
    monty: bool = False

    @property
    def held(self) -> bool:
        if self.monty:
            return self.next_passed and (self.outcome.kind != "passed" or "passed" in self.attack.expected)
        return self.outcome.kind in self.attack.expected and self.next_passed


def attacks(aim: Aim | None = None) -> list[Attack]:
    """The suite, or the part of it with one aim."""
    return [attack for name in get_args(Aim) if aim in (None, name) for attack in _read(name)]


def run_attacks(box: Sandbox, suite: list[Attack]) -> Iterator[Held]:
    """Run each attack, as many at a time as the sandbox has workers, each followed by an honest program.

    One that only ran out of time, where time is not what it is after, is run again alone with `PATIENCE` times as long.
    """
    tasks = [Task(program, TESTS, "f") for attack in suite for program in (attack.program, HONEST)]
    verdicts = box.judge_many(tasks)
    for attack, verdict, after in zip(suite, verdicts, verdicts, strict=False):
        held = Held(attack, verdict.outcome, after.passed, box.backend == "monty")
        yield held if held.held or verdict.outcome.kind != "timeout" else _patiently(box, attack)


def _patiently(box: Sandbox, attack: Attack) -> Held:
    longer = replace(box.limits, wall=box.limits.wall * PATIENCE, cpu=box.limits.cpu * PATIENCE)
    with Sandbox(cast(Backend, box.backend), workers=1, limits=longer) as patient:
        verdict, after = patient.judge_many([Task(attack.program, TESTS, "f"), Task(HONEST, TESTS, "f")])
    return Held(attack, verdict.outcome, after.passed, box.backend == "monty")


def _read(aim: Aim) -> list[Attack]:
    text = (files("luthier.sandbox") / "attacks" / f"{aim}.txt").read_text()
    heads = list(_HEAD.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    bodies = {head["name"]: (head["expected"], text[head.end() : end]) for head, end in zip(heads, ends, strict=True)}
    _, prelude = bodies.pop("prelude", (None, ""))
    return [Attack(aim, name, prelude + body, tuple(expected.split())) for name, (expected, body) in bodies.items()]
