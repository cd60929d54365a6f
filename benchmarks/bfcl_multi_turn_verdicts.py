"""Verdicts on multi-turn dialogues beside the leaderboard's own checker: the true calls of all 800, the same said as text, and damaged ones.

The leaderboard's decoding and checker evaluate what they are given; here that is the true calls, with values and names changed by this script.
"""

from __future__ import annotations

import ast
import copy
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from bfcl_verdicts import their_functions
from harness import benchmark
from luthier.evaluate.bfcl import benchmark_modules
from luthier.evaluate.bfcl_results import REGISTERED
from luthier.evaluate.bfcl_simulators import simulators
from luthier.evaluate.multi_turn_verdicts import official_dialogue, read_step
from luthier.models import Completion
from luthier.records import ToolCall
from luthier.records.bfcl_multi_turn import MULTI_TURN_CATEGORIES, MultiTurnItem, load_multi_turn
from luthier.records.calls import render_calls

DECODING = ("ast_parse", "resolve_ast_call", "resolve_ast_by_type", "default_decode_execute_prompting")
DECODING += ("decoded_output_to_execution_list", "parse_nested_value")
DAMAGED = 4  # of each dialogue
VALUES = ("other", "echo('x') and (more)", 7, -2.5, True, None, [], ["a", 1], {"a": 1}, {"a": {"b": 1}}, {})
Turns = list[list[list[ToolCall]]]  # steps of calls


def measure(quick: bool) -> dict[str, Any]:
    check, chance = Theirs(), random.Random(0)
    counts: Counter[str] = Counter()
    different: list[dict[str, Any]] = []
    for item in (item for category in MULTI_TURN_CATEGORIES for item in load_multi_turn(category, 10 if quick else None)):
        gold = [[list(turn.truth)] if turn.truth else [] for turn in item.turns]
        judged = [("gold", gold, official_dialogue(item, gold).right, check.calls(item, gold))]
        said = as_said(item)
        for kind, turns in [("said", said), *(damaged(item, said, chance) for _ in range(DAMAGED))]:
            texts = [[render_calls(step) for step in turn] + ["All of that is done."] for turn in turns]
            read = [
                [step.calls for text in turn if (step := read_step(Completion(text, "stop", 1, 1), item.tools)).calls] for turn in texts
            ]
            judged.append((kind, texts, official_dialogue(item, read).right, check.texts(item, texts)))
        for kind, shown, ours, theirs in judged:
            counts[kind] += 1
            counts[f"{kind}, right"] += theirs
            if ours != theirs:
                different.append({"id": item.id, "kind": kind, "turns": shown, "ours": ours, "theirs": theirs})
    return {"kinds": dict(counts), "different": different}


class Theirs:
    """The leaderboard's checker, as its runner uses it."""

    def __init__(self) -> None:
        with benchmark_modules():
            from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_checker, multi_turn_utils
            from bfcl_eval.eval_checker.multi_turn_eval.func_source_code import long_context
        self._check, self._utils = multi_turn_checker.multi_turn_checker, multi_turn_utils
        self._decode: Callable[[str], list[str]] = their_functions(*DECODING).default_decode_execute_prompting
        self._shared = {name: value for name, value in vars(long_context).items() if isinstance(value, dict) and not name.startswith("_")}
        self._before = copy.deepcopy(self._shared)

    def texts(self, item: MultiTurnItem, turns: Sequence[Sequence[str]]) -> bool:
        return self.calls(item, [[calls for text in turn if (calls := self._decoded(text))] for turn in turns])

    def calls(self, item: MultiTurnItem, turns: Sequence[Sequence[list[str]]]) -> bool:
        """Its objects live as long as its module, so those of an earlier dialogue go first."""
        for name in [name for name in vars(self._utils) if name.endswith("_instance")]:
            delattr(self._utils, name)
        for name, value in self._shared.items():
            value.clear()
            value.update(copy.deepcopy(self._before[name]))
        if len(turns) != len(item.turns):
            return False
        entry = {"id": item.id, "initial_config": item.initial, "involved_classes": list(item.classes)}
        try:
            verdict = self._check(turns, [list(turn.truth) for turn in item.turns], entry, item.category, REGISTERED)
        except Exception:  # its runner would break off there
            return False
        return bool(verdict["valid"])

    def _decoded(self, text: str) -> list[str]:
        try:
            return self._decode(text)
        except Exception:  # whatever it raises, its runner takes it as no call
            return []


def as_said(item: MultiTurnItem) -> Turns:
    """The true calls of each turn with every argument by its name, one step a turn."""
    (world,) = simulators(item, None)
    return [[[_named(call, world.instances) for call in turn.truth]] if turn.truth else [] for turn in item.turns]


def _named(text: str, instances: dict[str, Any]) -> ToolCall:
    node = ast.parse(text, mode="eval").body
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    method = next(getattr(instance, node.func.id) for instance in instances.values() if hasattr(instance, node.func.id))
    names = method.__code__.co_varnames[1:]
    given = dict(zip(names, node.args, strict=False)) | {str(keyword.arg): keyword.value for keyword in node.keywords}
    return ToolCall(node.func.id, {name: ast.literal_eval(value) for name, value in given.items()})


def damaged(item: MultiTurnItem, turns: Turns, chance: random.Random) -> tuple[str, Turns]:
    """What was done, and the calls with it."""
    made = copy.deepcopy(turns)
    places = [(turn, place) for turn, steps in enumerate(made) for step in steps for place in range(len(step))]
    turn, place = chance.choice(places)
    step = made[turn][0]
    call = step[place]
    kind = chance.choice(
        ("left out", "changed", "extra", "reordered", "emptied", "renamed", "split", "repeated", "earlier", "added argument")
    )
    if kind == "left out":
        del step[place]
    elif kind == "changed" and call.arguments:
        step[place] = ToolCall(call.name, call.arguments | {chance.choice(list(call.arguments)): chance.choice(VALUES)})
    elif kind == "extra":
        quiet = [tool.name for tool in item.tools if not tool.parameters.get("required")]
        step.insert(chance.randint(0, len(step)), ToolCall(chance.choice(quiet or ["nothing"])))
    elif kind == "reordered":
        chance.shuffle(step)
    elif kind == "emptied":
        made[turn] = []
    elif kind == "renamed":
        step[place] = ToolCall(chance.choice([tool.name for tool in item.tools] + ["no_such_tool", "a.b"]), call.arguments)
    elif kind == "split":
        made[turn] = [[one] for one in step]
    elif kind == "repeated":
        step.insert(place, call)
    elif kind == "earlier":
        made[max(0, turn - 1)] = [*made[max(0, turn - 1)], step]
        made[turn] = made[turn] if turn == 0 else []
    else:
        step[place] = ToolCall(call.name, {**call.arguments, "no_such": chance.choice(VALUES)})
    return kind, [[step for step in steps if step] for steps in made]


def line(figures: dict[str, Any]) -> str:
    kinds = figures["kinds"]
    total = sum(count for kind, count in kinds.items() if not kind.endswith(", right"))
    spoilt = total - kinds["gold"] - kinds["said"]
    right = sum(count for kind, count in kinds.items() if kind.endswith(", right"))
    return (
        f"{kinds['gold']:,} dialogues by the true calls ({kinds['gold, right']:,} right), {kinds['said']:,} as text, {spoilt:,} damaged; {right:,} of all "
        f"{total:,} right by the leaderboard's own code: {len(figures['different'])} verdicts differ"
    )


if __name__ == "__main__":
    benchmark("bfcl_multi_turn_verdicts", measure, line, __doc__)
