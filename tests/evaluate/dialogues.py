"""What the true calls of a multi-turn item look like as text, and BFCL's own checker on a dialogue."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from luthier.errors import FetchError
from luthier.evaluate.bfcl import benchmark_modules
from luthier.evaluate.bfcl_results import REGISTERED
from luthier.evaluate.bfcl_simulators import simulators
from luthier.records import ToolCall
from luthier.records.bfcl_multi_turn import MultiTurnItem, load_multi_turn

Turns = list[list[list[str]]]


def some_dialogues(category: str, limit: int) -> list[MultiTurnItem]:
    import pytest

    try:
        return load_multi_turn(category, limit)
    except FetchError as problem:
        pytest.skip(str(problem))


def true_calls(item: MultiTurnItem) -> list[list[ToolCall]]:
    """Of each turn, every argument by its name."""
    (world,) = simulators(item, None)
    return [[_named(call, list(world.instances.values())) for call in turn.truth] for turn in item.turns]


def _named(text: str, instances: Sequence[object]) -> ToolCall:
    node = ast.parse(text, mode="eval").body
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    method = next(getattr(instance, node.func.id) for instance in instances if hasattr(instance, node.func.id))
    given = dict(zip(method.__code__.co_varnames[1:], node.args, strict=False)) | {str(one.arg): one.value for one in node.keywords}
    return ToolCall(node.func.id, {name: ast.literal_eval(value) for name, value in given.items()})


def their_verdict(item: MultiTurnItem, turns: Turns) -> bool:
    """The leaderboard's own checker, on calls that a test made of the true ones: it evaluates them."""
    with benchmark_modules():
        from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_checker, multi_turn_utils
    for name in [name for name in vars(multi_turn_utils) if name.endswith("_instance")]:
        delattr(multi_turn_utils, name)
    entry = {"id": item.id, "initial_config": item.initial, "involved_classes": list(item.classes)}
    truth = [list(turn.truth) for turn in item.turns]
    return bool(multi_turn_checker.multi_turn_checker(turns, truth, entry, item.category, REGISTERED)["valid"])
