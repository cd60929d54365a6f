"""A world of thoughts without a model: searches of it take milliseconds, so strategies can be compared on many problems.

A problem has a hidden ability, a thought a hidden quality; a program is right where ability, thoughts and chance come to more than nothing.
Public tests let some wrong programs through, the estimate of a program is noisy. A rethink makes a good thought of a bad one with
probability p + (1 - p) q, where q says how much the feedback tells: at q = 0 it is worth no more than another thought. Orderings in this
world are tests of the strategies; they are no claim about real models.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from luthier.models.protocol import Completion
from luthier.search.problem import Posed
from luthier.search.wants import Behave, Behaviour, Look, Say, Seen, Tested, Timed, Trial, Trials, Tried, Try, Watched

TESTS = 4


@dataclass(frozen=True)
class WorldSettings:
    """q: how much feedback tells of a thought's mistake; fresh_q: how much it helps new thoughts. good: the share of good thoughts, and p.

    ability, spread: of problems; thought: what a good one adds and a bad one takes, fade: of it left at each thought deeper; noise: of each program; gain: of a
    repair that works. fooled: wrong programs that
    pass the public tests. estimate_noise: of the model's own estimate.
    """

    q: float = 0.35
    fresh_q: float = 0.2
    good: float = 0.3
    ability: float = -0.5
    spread: float = 1.15
    thought: float = 0.5
    fade: float = 0.8
    noise: float = 0.35
    gain: float = 0.3
    fooled: float = 0.07
    estimate_noise: float = 0.5
    seed: int = 0


@dataclass
class World:
    """Answers what strategies want. quality: of every thought that was told; worth: of every program, above 0 where it is right."""

    settings: WorldSettings = field(default_factory=WorldSettings)
    quality: dict[str, bool] = field(default_factory=dict)
    worth: dict[str, float] = field(default_factory=dict)

    def problem(self, number: int) -> Posed:
        name = f"world/{number}"
        return Posed(name, f"Solve problem {name}.", "f", tuple(f"assert f({n}) == {n}" for n in range(TESTS)))

    def is_right(self, program: str) -> bool:
        return self.worth.get(program, -1.0) > 0

    def ask(self, says: Sequence[Say]) -> list[Timed]:
        return [Timed(Completion(text, "stop", _tokens(_asked(say)), _tokens(text)), 1.0) for say in says for text in [self._said(say)]]

    def run(self, wanted: Sequence[Trials]) -> list[list[Timed]]:
        return [[Timed(self._tried(want), 0.0) for want in each.wants] for each in wanted]

    def task_of(self, say: Say) -> str:
        """The problem that something is said of."""
        found = re.search(r"world/\d+", _asked(say))
        return found[0] if found else ""

    def _draw(self, *parts: object) -> random.Random:
        return random.Random(hashlib.sha256(repr((self.settings.seed, *parts)).encode()).digest())

    def _said(self, say: Say) -> str:
        task = self.task_of(say)
        key = (task, say.kind, say.about, say.sampling.seed if say.sampling.temperature else "")
        if say.kind.startswith("expand"):
            return json.dumps(self._thoughts(key, with_feedback=say.kind != "expand"))
        if say.kind == "rethink":
            return self._rethought(key, say)
        if say.kind in ("code", "repair"):
            return f"```python\n{self._program(task, key, say)}\n```"
        if say.kind == "estimate":
            draw = self._draw(key)
            told = (0.6 if self.is_right(say.about[-1]) else -0.4) + draw.gauss(0, self.settings.estimate_noise)
            return json.dumps({"reason": "simulated", "score": max(-1.0, min(1.0, round(told, 3)))})
        return json.dumps([{"name": "BLOCK-1", "correct": False, "explanation": "simulated"}])

    def _thoughts(self, key: tuple[Any, ...], *, with_feedback: bool) -> list[dict[str, Any]]:
        settings = self.settings
        share = settings.good + (1 - settings.good) * (settings.fresh_q if with_feedback else 0.0)
        rows = []
        for place in range(3):
            draw = self._draw(key, place)
            name = f"idea {draw.getrandbits(48):012x}"
            self.quality[name] = draw.random() < share
            rows.append({"thought": name, "score": round(draw.uniform(0.2, 0.8) + (0.1 if self.quality[name] else 0.0), 3)})
        return rows

    def _rethought(self, key: tuple[Any, ...], say: Say) -> str:
        draw, settings = self._draw(key), self.settings
        told = settings.q if "visible tests" in _asked(say) else 0.0
        chance = settings.good + (1 - settings.good) * told
        was_good = self.quality.get(say.about[-2], False)
        name = f"idea {draw.getrandbits(48):012x}"
        self.quality[name] = draw.random() < (max(chance, 0.8) if was_good else chance)
        return name

    def _program(self, task: str, key: tuple[Any, ...], say: Say) -> str:
        draw, settings = self._draw(key), self.settings
        name = f"def f(x): return 'program {draw.getrandbits(48):012x}'"
        if say.kind == "repair":
            gained = draw.random() < settings.q
            worth = self.worth.get(say.about[0].strip(), -1.0) + (settings.gain if gained else 0.0) + draw.gauss(0, settings.noise / 2)
        else:
            ability = self._draw(task).gauss(settings.ability, settings.spread)
            signs = [1 if self.quality.get(thought) else -1 for thought in say.about]
            led = settings.thought * sum(sign * settings.fade**depth for depth, sign in enumerate(signs))
            worth = ability + led + draw.gauss(0, settings.noise)
        self.worth[name] = worth
        return name

    def _tried(self, want: Trial) -> Tried | Watched | Behaviour:
        program = want.program.strip()
        if isinstance(want, Look):
            return Watched((Seen(1, 1, "f", {"x": "0"}, {"x": "0"}, ""),))
        if isinstance(want, Behave):
            right = self.is_right(program)
            return Behaviour(tuple("right" if right else self._draw(program, given).choice("abc") for given in want.inputs))
        assert isinstance(want, Try)  # noqa: S101
        worth, draw = self.worth.get(program, -1.0), self._draw("tests", program)
        if worth > 0 or draw.random() < self.settings.fooled:
            passed = TESTS
        else:
            passed = max(0, min(TESTS - 1, round(TESTS * (0.75 + worth / 2 + draw.gauss(0, 0.25)))))
        return Tried(tuple(Tested("passed" if place < passed else "wrong_answer", "", "0") for place in range(TESTS)))


def _asked(say: Say) -> str:
    return say.prompt.messages[-1].content or ""


def _tokens(text: str) -> int:
    return len(text) // 4 + 1
