"""Whether a chain is right: by re-computing its equations, by construction (an error put into a right one), or by another model's judgement."""

from __future__ import annotations

import ast
import operator
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

from luthier.models.protocol import Progress, Prompt, Sampling
from luthier.records import Message
from luthier.records.choices import LETTERS, ChoiceQuestion

if TYPE_CHECKING:
    from luthier.models.protocol import LanguageModel

TOLERANCE = 1e-6  # relative, of the two sides of an equation
LONGEST_SIDE = 200  # characters; a longer one is prose
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)")
_BEFORE_NOT = re.compile(r"\b(is|are|was|were|can|could|will|would|should|does|do|has|have)\b(?!\s+not\b)(?=\s)", re.IGNORECASE)
_NOT = re.compile(r"(?<!\s)\s++not\b|\bcannot\b", re.IGNORECASE)
# Runs of what expressions are made of, and what one must hold to be an expression.
_RUNS = (
    (re.compile(r"(?:\b(?:not|and|or|True|False)\b|[()\s])++"), re.compile(r"\b(?:True|False)\b")),
    (re.compile(r"[-+*/()\d.\s]++"), re.compile(r"\d")),
)
_WORD_OR_PERCENT = re.compile(r"[\w%]")
# A verdict opens the reply; "you are right" is no verdict on a solution.
_VERDICT = re.compile(
    r"\W*+(?:(?:the|this)\s++(?:solution|reasoning|chain)\s++is\s++|verdict\W++)?(right|wrong|correct|incorrect)\b", re.IGNORECASE
)
_SIGNS = str.maketrans({"×": "*", "÷": "/", "−": "-", "[": "(", "]": ")", "$": " "})
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


@dataclass(frozen=True)
class Corrupted:
    """A chain with one error in it: its text, the kind (`number`, `swap`, `negation`), and what was written for what."""

    chain: str
    kind: str
    before: str
    after: str


def corrupt(chain: str, question: ChoiceQuestion, seed: int) -> Corrupted | None:
    """Put one error into a right chain, before the sentence that states the answer: a number moved, an option in another's place, or a
    statement turned round. None where the chain gives no hold."""
    from luthier.texts.answers import final_answer

    stated = final_answer(chain)
    body, rest = (chain, "") if stated is None else (chain[: stated.start], chain[stated.start :])
    cut = max(body.rfind("\n"), body.rfind(". ")) + 1 if rest else len(body)
    body, rest = body[:cut], body[cut:] + rest
    random = Random(f"{seed} {chain}")
    ways = [_move_number, _swap_option, _turn_round]
    random.shuffle(ways)
    for way in ways:
        made = way(body, question, random)
        if made is not None:
            return Corrupted(made.chain + rest, made.kind, made.before, made.after)
    return None


def _move_number(body: str, question: ChoiceQuestion, random: Random) -> Corrupted | None:
    found = list(_NUMBER.finditer(body))
    if not found:
        return None
    one = random.choice(found)
    value = float(one[0])
    moved = value + random.choice([-1, 1]) * random.choice([1, 2, 10])
    written = f"{moved:g}"
    return Corrupted(body[: one.start()] + written + body[one.end() :], "number", one[0], written)


def _swap_option(body: str, question: ChoiceQuestion, random: Random) -> Corrupted | None:
    if question.answer is None:
        return None
    right = question.options[question.answer]
    found = list(re.finditer(rf"\b{re.escape(right)}\b", body, re.IGNORECASE))
    others = [option for place, option in enumerate(question.options) if place != question.answer]
    if not found:
        return None
    other = random.choice(others)
    swapped = re.sub(rf"\b{re.escape(right)}\b", lambda _: other, body, flags=re.IGNORECASE)
    return Corrupted(swapped, "swap", right, other)


def _turn_round(body: str, question: ChoiceQuestion, random: Random) -> Corrupted | None:
    denied = list(_NOT.finditer(body))
    if denied:
        one = random.choice(denied)
        written = "can" if one[0].lower() == "cannot" else ""
        return Corrupted(body[: one.start()] + written + body[one.end() :], "negation", one[0].strip(), written)
    found = list(_BEFORE_NOT.finditer(body))
    if not found:
        return None
    one = random.choice(found)
    return Corrupted(f"{body[: one.end()]} not{body[one.end() :]}", "negation", one[0], f"{one[0]} not")


def equations_hold(chain: str) -> bool | None:
    """Whether all equations of a chain hold, None where it has none that can be computed.

    Arithmetic, and True, False, not, and, or, are computed; a side that goes over into words counts as far as it is an expression, and one
    with unknowns is passed over.
    """
    verdict: bool | None = None
    for line in re.split(r"\n|(?<=[a-z])[.:]\s|\.\s(?=[A-Z])", chain):
        for one, two in pairwise(line.split("=")):
            left, right = _value(one, at_end=True), _value(two, at_end=False)
            if left is None or right is None or isinstance(left, bool) != isinstance(right, bool):
                continue
            if not _same(left, right):
                return False
            verdict = True
    return verdict


def _same(one: Any, two: Any) -> bool:
    return bool(one == two) if isinstance(one, bool) else abs(one - two) <= TOLERANCE * max(1.0, abs(one), abs(two))


def _value(side: str, *, at_end: bool) -> Any:
    """The value of the expression that stands at one end of a side, None where there is none; nothing is executed."""
    text = side.strip(" \t.,;:\"'").translate(_SIGNS)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    for run, must in _RUNS:
        found = _run_at_end(text, run) if at_end else _run_at_start(text, run)
        if len(found) > LONGEST_SIDE or must.search(found) is None:
            continue
        if len(found) < len(text) and at_end and found.lstrip()[:1] in "+-*/":  # goes on from an unknown
            continue
        try:
            return _computed(ast.parse(found.strip(" ,.;"), mode="eval").body)
        except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
            continue
    return None


def _run_at_end(text: str, run: re.Pattern[str]) -> str:
    """The longest run that ends the text and does not begin within a word."""
    last = next(iter(deque(run.finditer(text), maxlen=1)), None)
    if last is None or last.end() < len(text):
        return ""
    within = last.start() > 0 and _WORD_OR_PERCENT.match(text[last.start() - 1])
    return text[last.start() + 1 :] if within and not _WORD_OR_PERCENT.match(text[last.start()]) else "" if within else last[0]


def _run_at_start(text: str, run: re.Pattern[str]) -> str:
    """The longest run that begins the text and does not end within a word."""
    found = run.match(text)
    end = found.end() if found else 0
    while 0 < end < len(text) and _WORD_OR_PERCENT.match(text[end]):
        end -= 1
    return text[:end]


def _computed(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return not _truth(node.operand)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _number(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BoolOp):
        values = [_truth(each) for each in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return _ARITHMETIC[type(node.op)](_number(node.left), _number(node.right))
    raise ValueError("not an expression of numbers or truth values")


def _truth(node: ast.AST) -> bool:
    value = _computed(node)
    if not isinstance(value, bool):
        raise ValueError("a number where a truth value belongs")
    return value


def _number(node: ast.AST) -> float:
    value = _computed(node)
    if isinstance(value, bool):
        raise ValueError("a truth value where a number belongs")
    return float(value) if isinstance(value, float) else value


JUDGE = (
    "You check the reasoning of others. Read a question, its right answer and a solution. Say whether every step of the solution is right. "
    "Reply with one word: right, if all steps are, or wrong, if any is not."
)


def judge_prompt(question: ChoiceQuestion, chain: str) -> Prompt:
    """What a judge model is asked about one chain."""
    right = "" if question.answer is None else f"\n\nRight answer: {LETTERS[question.answer]}. {question.options[question.answer]}"
    return Prompt((Message("system", JUDGE), Message("user", f"{question.lettered()}{right}\n\nSolution:\n{chain}")))


def judged_wrong(
    model: LanguageModel, questions: Sequence[ChoiceQuestion], chains: Sequence[str], progress: Progress | None = None
) -> list[bool | None]:
    """For each chain whether a model finds an error in it; None where its verdict is neither word."""
    prompts = [judge_prompt(question, chain) for question, chain in zip(questions, chains, strict=True)]
    return [_verdict(answer.text) for answer in model.generate(prompts, Sampling(max_tokens=8), progress)]


def _verdict(text: str) -> bool | None:
    found = _VERDICT.match(text)
    return None if found is None else found[1].casefold() in ("wrong", "incorrect")
