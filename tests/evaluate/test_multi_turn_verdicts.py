"""Verdicts on multi-turn dialogues: the leaderboard's own checker says the same, and what strict adds to it."""

from __future__ import annotations

import random

import pytest
from dialogues import Turns, some_dialogues, their_verdict, true_calls

from luthier.evaluate.bfcl_decoding import DecodingError
from luthier.evaluate.bfcl_simulators import execution_texts, simulators
from luthier.evaluate.multi_turn_verdicts import official_dialogue, read_step, strict_dialogue
from luthier.models import Completion
from luthier.records import Tool
from luthier.records.bfcl_multi_turn import MULTI_TURN_CATEGORIES, MultiTurnItem
from luthier.records.calls import render_calls


def said(text: str, tools: tuple[Tool, ...], finish: str = "stop"):
    return read_step(Completion(text, finish, 1, 1), tools)


def gold(item: MultiTurnItem) -> Turns:
    return [[list(turn.truth)] if turn.truth else [] for turn in item.turns]


def versions(item: MultiTurnItem) -> list[Turns]:
    """The true calls, and damaged ones."""
    chance = random.Random(item.id)
    turn = chance.choice([number for number, one in enumerate(item.turns) if one.truth])
    calls = list(item.turns[turn].truth)
    quiet = next((tool.name for tool in item.tools if not tool.parameters.get("required")), "nothing")
    changed = calls[-1][:-1] + (", " if calls[-1][-2] != "(" else "") + "no_such=1)"
    steps = [
        [calls[1:]] if calls[1:] else [],  # one left out
        [[*calls[:-1], changed]],  # an argument too many
        [[calls[0].replace("'", "'X", 1), *calls[1:]]],  # another value, where it is a text
        [[f"{quiet}()", *calls]],  # a harmless one
        [[call] for call in reversed(calls)],  # in another order, one a step
        [],  # none
        [[*calls, "no_such_function(x=1)", "echo(content='mkdir (x)')"]],
        [calls, calls],
    ]
    whole = gold(item)
    return [whole, *([*whole[:turn], one, *whole[turn + 1 :]] for one in steps)]


@pytest.mark.parametrize("category", MULTI_TURN_CATEGORIES)
def test_verdicts_are_those_of_the_leaderboards_own_checker(category: str):
    right = 0
    for item in some_dialogues(category, 8):
        for turns in versions(item):
            ours = official_dialogue(item, turns)
            assert ours.right == their_verdict(item, turns), (item.id, turns, ours)
            assert ours.right == (not ours.reason)
            right += ours.right
    assert 8 < right < 8 * 9


@pytest.mark.parametrize("category", MULTI_TURN_CATEGORIES)
def test_a_dialogue_as_it_should_be_is_right_by_both_rules(category: str):
    item = some_dialogues(category, 3)[-1]
    turns = [
        ([said(render_calls(calls), item.tools)] if calls else []) + [said("A value is missing, which one would you like?", item.tools)]
        for calls in true_calls(item)
    ]
    assert official_dialogue(item, [[step.calls for step in turn if step.calls] for turn in turns]).right
    assert strict_dialogue(item, turns).right
    broken_off = [[*turn[:-1], said("[cd(folder=", item.tools)] for turn in turns]
    assert not strict_dialogue(item, broken_off).right


def test_strict_looks_at_turns_in_which_nothing_can_be_called():
    item = next(item for item in some_dialogues("multi_turn_miss_func", 20) if not item.turns[0].truth)
    rest = [[said(render_calls(calls), item.tools), said("Done with that.", item.tools)] for calls in true_calls(item)[1:]]
    for answer, told in [
        ("the the the the", "did not say what is missing"),
        ("[no_such()]", "called a tool where nothing can be called yet"),
    ]:
        turns = [[said(answer, item.turns[0].tools)], *rest]
        assert official_dialogue(item, [[step.calls for step in turn if step.calls] for turn in turns]).right
        found = strict_dialogue(item, turns)
        assert (found.right, found.failure) == (False, told)


def test_strict_wants_calls_that_are_read_and_fit_a_tool_on_offer():
    item = some_dialogues("multi_turn_base", 1)[0]
    calls = true_calls(item)
    turns = [[said(render_calls(one), item.tools), said("Done with that.", item.tools)] for one in calls]
    for extra in ("[pwd(), ls(a=True, b=1)]", "[no_such_tool()]", "[ls(a=1)]"):
        spoilt = [[said(extra, item.tools), *turns[0]], *turns[1:]]
        found = strict_dialogue(item, spoilt)
        assert found.failure == "a call that fits no tool on offer"
        assert found.reason.startswith("turn 1: ")


def test_too_many_steps_end_a_dialogue_before_its_last_turn():
    item = some_dialogues("multi_turn_base", 1)[0]
    assert official_dialogue(item, gold(item)[:-1]).failure == "stopped after too many steps"


def test_calls_are_written_as_the_benchmark_writes_them():
    assert execution_texts([{"f": {"x": "it's", "y": [1, {"a": 2}]}}, {"g": {}}]) == ["f(x=\"it's\", y=[1, {'a': 2}])", "g()"]
    assert execution_texts([{"f": {"x": {"g": {"y": 1}}, "z": {"a": 1}}}]) == ["f(x=g(y=1), z={'a': 1})"]
    with pytest.raises(DecodingError, match="an object without fields"):
        execution_texts([{"f": {"x": {}}}])


def test_only_published_methods_are_called_and_nothing_is_evaluated():
    item = next(
        item for item in some_dialogues("multi_turn_base", 200) if "MathAPI" in item.classes and "GorillaFileSystem" in item.classes
    )
    (world,) = simulators(item, "m")
    for call, told in [
        ("__import__('os')", "name '__import__' is not defined"),
        ("open(file='/etc/passwd')", "name 'open' is not defined"),
        ("_load_scenario(scenario={})", "name '_load_scenario' is not defined"),
        ("json.dumps(obj=1)", "name 'json' is not defined"),
        ("mean(numbers=__import__)", "name '__import__' is not defined"),
        ("mean(numbers=[x for x in (1,)])", "an argument is neither a literal nor a call"),
        ("power(base=10, exponent=10000000)", "a power too large to compute"),
        ("square_root(number=2, precision=10000000)", "more than 10000 digits are too many to compute"),
        ("round_number(number=2, decimal_places=-10000000)", "more than 10000 digits are too many to compute"),
        ("mean(", "'(' was never closed (<unknown>, line 1)"),
        ("mean(**{'numbers': [1]})", "arguments are written by name"),
        ("mean()", "MathAPI.mean() missing 1 required positional argument: 'numbers'"),
    ]:
        assert world.execute([call]) == [f"Error during execution: {told}"]
    assert world.execute(["mean(numbers=[1, 2])", "absolute_value(number=mean(numbers=[1]))"])[0] == '{"result": 1.5}'


def test_strings_that_look_like_calls_keep_their_letters_for_the_strict_rules_alone():
    item = next(item for item in some_dialogues("multi_turn_base", 20) if item.classes == ("GorillaFileSystem",))
    plain, theirs = simulators(item, None, "m")
    call = ["echo(content='ls (all)')"]
    assert plain.execute(call) == ['{"terminal_output": "ls (all)"}']
    assert theirs.execute(call) == [f'{{"terminal_output": "m_{item.id}_GorillaFileSystem_instance.ls(all)"}}']


def test_numbers_of_other_libraries_leave_the_precision_of_the_process_alone():
    import decimal

    item = next(item for item in some_dialogues("multi_turn_base", 200) if "MathAPI" in item.classes)
    (world,) = simulators(item, None)
    before = decimal.getcontext().prec
    assert world.execute(["square_root(number=2, precision=5)"]) == ["{'result': Decimal('1.4142')}"]
    assert world.execute(["logarithm(value=8, base=2, precision=5)"]) == ["{'result': mpf('3.0')}"]
    assert decimal.getcontext().prec == before
