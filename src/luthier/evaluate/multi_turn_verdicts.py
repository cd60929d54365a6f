"""The verdicts on one multi-turn dialogue of BFCL: its own, and a strict one.

Official: after every turn that takes calls, the simulated APIs must stand as they do after the true calls, and have answered all that those
answer (`multi_turn_checker` of `bfcl-eval`, on calls that are parsed and never evaluated). The benchmark does not look at turns in which
nothing can be called. Strict does: nothing may be called there, and that must be said in a finished sentence. It also wants every call to be
read by Luthier and to fit a tool on offer in that turn, and no turn to end on an attempt at a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from luthier.evaluate.bfcl import benchmark_modules
from luthier.evaluate.bfcl_decoding import DecodingError, decode
from luthier.evaluate.bfcl_results import REGISTERED
from luthier.evaluate.bfcl_simulators import Simulators, execution_texts, simulators
from luthier.evaluate.tool_verdicts import BFCL_FORMS, misfit, not_spoken
from luthier.models import Completion
from luthier.records import Tool, ToolCall
from luthier.records.bfcl_multi_turn import MultiTurnItem, Turn
from luthier.records.call_forms import Reading, read_calls
from luthier.records.calls import render_calls

Calls = Sequence[str]  # of one step, as the benchmark writes them before it runs them


@dataclass(frozen=True)
class ReadStep:
    """One answer of the model. text: as the benchmark's evaluator is given it. calls: that it reads there, none where it reads none, which ends
    the turn. read: what Luthier reads in the answer."""

    completion: Completion
    text: str
    decoded: tuple[dict[str, dict[str, Any]], ...]
    calls: tuple[str, ...]
    read: Reading


class DialogueVerdict(NamedTuple):
    """failure: which rule is broken, in words that can be counted; reason: the same with its place. Both are "" where the dialogue is right."""

    right: bool
    failure: str = ""
    reason: str = ""


def read_step(completion: Completion, tools: Sequence[Tool]) -> ReadStep:
    """An answer with its calls. Those in another family's form are read by Luthier first, as the benchmark's handlers of those families do."""
    read = read_calls(completion.text, [tool.name for tool in tools])
    text = completion.text if read.form in BFCL_FORMS or not read.calls else render_calls(read.calls)
    try:
        decoded = decode(text)
        return ReadStep(completion, text, tuple(decoded), tuple(execution_texts(decoded)), read)
    except DecodingError:
        return ReadStep(completion, text, (), (), read)


def official_dialogue(item: MultiTurnItem, turns: Sequence[Sequence[Calls]]) -> DialogueVerdict:
    """Whether BFCL's own rules accept the dialogue. turns: the steps of each, and the calls of each step."""
    return _checked(item, turns, named=True)


def strict_dialogue(item: MultiTurnItem, turns: Sequence[Sequence[ReadStep]]) -> DialogueVerdict:
    """Whether a dialogue that BFCL accepts is right by the strict rules too."""
    for number, (turn, steps) in enumerate(zip(item.turns, turns, strict=True), 1):
        if failure := _turn_fails(turn, steps):
            return DialogueVerdict(False, failure.partition(":")[0], f"turn {number}: {failure}")
    # The benchmark's own way of running a call changes strings that look like one; here they are what the model wrote.
    return _checked(item, [[step.calls for step in steps] for steps in turns], named=False)


def _turn_fails(turn: Turn, steps: Sequence[ReadStep]) -> str:
    if not turn.truth:
        if any(step.calls for step in steps):
            return "called a tool where nothing can be called yet"
        told = not_spoken(steps[-1].read, steps[-1].completion, turn.tools)
        return f"did not say what is missing: {told}" if told else ""
    for step in steps:
        if step.calls and step.read.calls is None:
            return "not written as a call: only the benchmark's decoding reads it"
        for call in step.read.calls or ():
            if found := misfit(call, turn.tools) or _names_differ(call, turn.tools):
                return f"a call that fits no tool on offer: {found}"
        if not step.calls and step.read.attempted:
            return "ends on an attempt at a call that cannot be read"
    return ""


def _names_differ(call: ToolCall, tools: Sequence[Tool]) -> str:
    """Which argument the tool does not know, or lacks, or "": the simulated APIs tell a model so, and let it go on."""
    schema = next(tool.parameters for tool in tools if tool.name == call.name)
    unknown = next((name for name in call.arguments if name not in schema.get("properties", {})), None)
    missing = next((name for name in schema.get("required", ()) if name not in call.arguments), None)
    return f"{call.name} has no {unknown}" if unknown is not None else f"{call.name} lacks {missing}" if missing is not None else ""


def _checked(item: MultiTurnItem, turns: Sequence[Sequence[Calls]], *, named: bool) -> DialogueVerdict:
    """As `multi_turn_checker` does. named: with the names that the benchmark gives its objects, which get into some strings."""
    if len(turns) != len(item.turns):
        return DialogueVerdict(False, "stopped after too many steps", f"stopped in turn {len(turns)} of {len(item.turns)}: too many steps")
    owners = (f"{REGISTERED}_eval", f"{REGISTERED}_ground_truth_eval") if named else (None, None)
    model, truth = simulators(item, *owners)
    answers: list[str] = []
    for number, (steps, turn) in enumerate(zip(turns, item.turns, strict=True), 1):
        for calls in steps:
            answers += model.execute(calls)
        wanted = truth.execute(turn.truth)
        if not turn.truth:
            continue
        if not any(steps):
            return DialogueVerdict(False, "a turn without a call", f"turn {number}: no call")
        if found := _differs(model, truth, answers, wanted, number):
            return found
    return DialogueVerdict(True)


def _differs(model: Simulators, truth: Simulators, answers: list[str], wanted: list[str], number: int) -> DialogueVerdict | None:
    checker = _checker()
    try:
        state = checker.state_checker(model.instances, truth.instances)
        said = checker.response_checker(answers, wanted, number - 1)
    except Exception as error:  # it takes some things for granted: that no folder holds itself, say
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        return DialogueVerdict(False, "the checker fails on it", f"turn {number}: the checker fails on it: {told}")
    if not state["valid"]:
        where = str(state["error_message"]).partition(" for ")[2].partition(" ")[0]
        parts = ", ".join(state["details"]["differences"])
        return DialogueVerdict(False, f"another state of {where}", f"turn {number}: another state of {where} ({parts})")
    if not said["valid"]:
        missing = str(said["details"]["missing_items"][0])[:200]
        return DialogueVerdict(False, "an answer of the true calls is missing", f"turn {number}: nothing called has answered {missing}")
    return None


@cache
def _checker() -> Any:
    with benchmark_modules():
        from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_checker

    return multi_turn_checker
