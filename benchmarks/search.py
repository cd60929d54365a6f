"""Strategies of search at equal calls, without a model: in a simulated world, and with real programs that really run.

The world is `luthier.search.simulated`. On the bank the thinker is scripted in the same way, but each program is one that a real model
wrote for HumanEval, the sandbox runs it and follows its blocks, and a rethink profits only from feedback that quotes a test it really fails.
`--bank FILE` holds the programs (task_id, program, passes_public, passes_private), `--tests FILE` the problems with their public tests.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import benchmark
from luthier.records.files import read_rows
from luthier.records.problems import to_problem
from luthier.sandbox import Limits, Sandbox
from luthier.search.journals import Verdicts
from luthier.search.problem import Posed, posed
from luthier.search.settings import SearchSettings
from luthier.search.simulated import World, WorldSettings
from luthier.search.solving import Solved, search_all
from luthier.search.wants import Say
from luthier.statistics.rates import mcnemar, wilson

ARMS: dict[str, dict[str, Any]] = {
    "single": {"strategy": "single"},
    "best-of-n": {"strategy": "best-of-n"},
    "tot": {"strategy": "tot"},
    "thought-mcts": {"strategy": "thought-mcts", "feedback": False},
    "thought-mcts with feedback": {"strategy": "thought-mcts"},
    "rethink without feedback": {"strategy": "rethink", "feedback": False},
    "rethink": {"strategy": "rethink"},
    "lats": {"strategy": "lats"},
    "rap": {"strategy": "rap"},
    "reflexion": {"strategy": "reflexion"},
    "ldb": {"strategy": "ldb"},
    "ab-mcts": {"strategy": "ab-mcts"},
    "s-star": {"strategy": "s-star"},
}
TELLING = ((0.0, 0.0), (0.35, 0.2), (0.7, 0.3))  # q, and how much feedback helps new thoughts
BANKED = ("best-of-n", "tot", "thought-mcts", "rethink")


def measure(quick: bool, problems: str, bank: str, tests: str) -> dict[str, Any]:
    count = 60 if quick else int(problems)
    figures: dict[str, Any] = {"problems": count, "world": [], "parallel": _parallel(count)}
    for q, fresh in TELLING[1:2] if quick else TELLING:
        for calls in (64,) if quick else (16, 32, 64):
            figures["world"] += [_in_world(name, calls, count, WorldSettings(q=q, fresh_q=fresh)) for name in ARMS]
    if Path(bank).is_file() and Path(tests).is_file():
        figures["bank"] = _on_bank(bank, tests, 12 if quick else 10**6, (16,) if quick else (16, 32, 64), 1 if quick else 5)
    return figures


def _searched(world: World, count: int, calls: int, **changes: Any) -> list[Solved]:
    settings = SearchSettings(budget=f"{calls} calls", stop="never", **changes)
    return search_all([world.problem(number) for number in range(count)], settings, world.ask, world.run)


def _in_world(name: str, calls: int, count: int, told: WorldSettings) -> dict[str, Any]:
    world = World(told)
    found = _searched(world, count, calls, **ARMS[name])
    right = wilson(sum(world.is_right(one.program.strip()) for one in found), count)
    return {"strategy": name, "q": told.q, "calls": calls, **right.to_row(), "spent": sum(one.spent.calls for one in found) / count}


def _parallel(count: int) -> list[dict[str, Any]]:
    rows = []
    for width in (1, 2, 4, 8):
        world = World()
        found = _searched(world, count, 64, parallel=width)
        rounds = sum(one.spent.rounds for one in found) / count
        rows.append({"width": width, "rounds": rounds, **wilson(sum(world.is_right(one.program.strip()) for one in found), count).to_row()})
    return rows


class BankWorld(World):
    """The scripted thinker of the world, whose programs are real ones: right or wrong by the official tests."""

    def __init__(self, bank: str, tests: str, limit: int, seed: int = 0) -> None:
        super().__init__(WorldSettings(ability=-1.0, seed=seed))
        self.right: dict[str, list[str]] = defaultdict(list)
        self.wrong: dict[str, list[str]] = defaultdict(list)
        for _, row in read_rows(Path(bank)):
            (self.right if row["passes_private"] else self.wrong)[row["task_id"]].append(row["program"])
        both = self.right.keys() & self.wrong.keys()
        rows = [row for _, row in read_rows(Path(tests)) if row["task_id"] in both][:limit]
        self.posed: dict[str, Posed] = {row["task_id"]: posed(to_problem(row)) for row in rows}

    def _program(self, task: str, key: tuple[Any, ...], say: Say) -> str:
        super()._program(task, key, say)
        worth = self.worth.popitem()[1]
        program = self._draw(key, "bank").choice((self.right if worth > 0 else self.wrong)[task])
        whole = self.posed[task].program_in(f"```python\n{program}\n```")
        self.worth[whole.strip()] = worth
        return program

    def _rethought(self, key: tuple[Any, ...], say: Say) -> str:
        """As in the world, where the feedback quotes a test that the program failed when it ran, and shows its blocks."""
        text = say.prompt.messages[-1].content or ""
        told = re.search(r"It fails \d+ of \d+ visible tests:\n- assert ", text)
        known = self.settings
        self.settings = known if told else replace(known, q=0.0)
        try:
            return super()._rethought(key, say)
        finally:
            self.settings = known

    def task_of(self, say: Say) -> str:
        text = say.prompt.messages[-1].content or ""
        return next(task for task, one in self.posed.items() if one.text.strip() in text)


def _on_bank(bank: str, tests: str, limit: int, budgets: tuple[int, ...], seeds: int) -> dict[str, Any]:
    """Each problem is searched once a seed of the thinker; the seeds of a problem are drawn together where intervals are made."""
    rows, wall = [], time.monotonic()
    problems = list(BankWorld(bank, tests, limit).posed.values())
    with (
        Sandbox(limits=Limits(wall=2, cpu=1.5)) as box,
        tempfile.TemporaryDirectory() as folder,
        Verdicts(box, Path(folder, "v")) as verdicts,
    ):
        for calls in budgets:
            solved: dict[str, list[bool]] = {}
            for name in BANKED:
                solved[name] = []
                for seed in range(seeds):
                    world = BankWorld(bank, tests, limit, seed)
                    settings = SearchSettings(budget=f"{calls} calls", stop="never", **ARMS[name])
                    found = search_all(problems, settings, world.ask, verdicts.answer)
                    solved[name] += [world.is_right(one.program.strip()) for one in found]
                rows.append({"strategy": name, "calls": calls, **wilson(sum(solved[name]), len(solved[name])).to_row()})
            for name in BANKED[:-1]:
                pairs = list(zip(solved["rethink"], solved[name], strict=True))
                gained, lost = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
                rows.append(
                    {
                        "against": name,
                        "calls": calls,
                        "gained": gained,
                        "lost": lost,
                        "p": mcnemar(gained, lost),
                        **_interval(pairs, len(problems)),
                    }
                )
        ran = verdicts.ran
    return {"problems": len(problems), "rows": rows, "programs_run": ran, "wall_s": time.monotonic() - wall}


def _interval(pairs: list[tuple[bool, bool]], problems: int) -> dict[str, float]:
    import numpy as np

    from luthier.statistics.resampling import bootstrap

    clusters = np.arange(len(pairs), dtype=np.int32) % problems
    return bootstrap(np.array([float(a) - float(b) for a, b in pairs]), clusters).to_row()


def line(figures: dict[str, Any]) -> str:
    at = {row["strategy"]: row for row in figures["world"] if row["calls"] == 64 and row["q"] == 0.35}
    told = ", ".join(f"{name} {100 * at[name]['rate']:.1f}" for name in ("single", "best-of-n", "tot", "thought-mcts", "rethink", "s-star"))
    wide = {row["width"]: row for row in figures["parallel"]}
    widths = ", ".join(f"{width}: {100 * row['rate']:.1f} in {row['rounds']:.0f} rounds" for width, row in wide.items())
    text = f"% solved of {figures['problems']} at 64 calls, q .35: {told}; rollouts at a time {widths}"
    if "bank" in figures:
        rows = figures["bank"]["rows"]
        rates = ", ".join(f"{row['strategy']} {row['calls']}: {100 * row['rate']:.0f}" for row in rows if "strategy" in row)
        gaps = ", ".join(
            f"{row['against']} {100 * row['mean']:+.0f} ({100 * row['low']:+.0f} to {100 * row['high']:+.0f})"
            for row in rows
            if "against" in row
        )
        text += f"; real programs, {figures['bank']['problems']} problems: {rates}; rethink against {gaps}"
    return text


if __name__ == "__main__":
    benchmark("search", measure, line, __doc__, problems="700", bank="graded_programs.jsonl.gz", tests="humaneval_public_tests.jsonl.gz")
