from __future__ import annotations

from collections import Counter

import pytest

from luthier.sandbox import Limits, Sandbox, Task
from luthier.sandbox.attack import LIMITS, TESTS, Attack, attacks, run_attacks

CHEATS = attacks("cheats")


def test_the_suite_is_large_and_its_names_differ() -> None:
    suite = attacks()
    count = Counter(attack.aim for attack in suite)
    assert count["cheats"] >= 45
    assert count["availability"] >= 45
    assert count["confinement"] >= 75
    assert len({attack.name for attack in suite}) == len(suite)
    assert all(attack.expected for attack in suite)
    assert not [attack.name for attack in suite if "passed" in attack.expected and attack.aim == "cheats"]


@pytest.mark.slow
@pytest.mark.parametrize("aim", ["cheats", "availability", "confinement", "works"])
def test_every_attack_comes_to_what_it_must(box: Sandbox, aim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CANARY", "feathers")
    with Sandbox(workers=2, limits=LIMITS) as tried:
        results = list(run_attacks(tried, attacks(aim)))
    assert len(results) == len(attacks(aim))
    assert not [f"{result.attack.name}: {result.outcome}, next {result.next_passed}" for result in results if not result.held]


def test_cheats_do_fool_a_judge_that_shares_its_interpreter(box: Sandbox) -> None:
    """The suite bites: the same programs pass where the program runs beside its tests."""
    with Sandbox(workers=2, limits=Limits(wall=0.4, cpu=0.3)) as hasty:
        verdicts = list(hasty.judge_many(Task(cheat.program, TESTS, "f", "inprocess") for cheat in CHEATS))
        by_status = [hasty.run("\n".join([cheat.program, *TESTS])).outcome.passed for cheat in CHEATS[:12]]
    assert sum(verdict.passed for verdict in verdicts) >= 6
    assert sum(by_status) >= 8


def test_an_attack_that_gets_through_is_told(box: Sandbox) -> None:
    (result,) = run_attacks(box, [Attack("cheats", "honest", "def f(x):\n    return x * x\n", ("blocked",))])
    assert not result.held
    assert result.next_passed


def test_an_attack_that_had_too_little_time_is_run_again_with_more(box: Sandbox) -> None:
    """A machine that fills memory slowly: no fault of the wall against it."""
    slow = "import time\n\ndef f(x):\n    time.sleep(0.8)\n    return bytearray(10**11)\n"
    endless = "import time\n\ndef f(x):\n    time.sleep(60)\n"
    with Sandbox(workers=2, limits=Limits(wall=0.5, cpu=0.5)) as hasty:
        late, never = run_attacks(hasty, [Attack("availability", name, text, ("memory",)) for name, text in (("a", slow), ("b", endless))])
    assert late.held, late.outcome
    assert never.outcome.kind == "timeout"
    assert not never.held
