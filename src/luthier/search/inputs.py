"""Inputs on which programs may differ, made without a model: the arguments of the public tests, changed a little, in their types."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from typing import Any

from luthier.sandbox import InputOutput
from luthier.search.problem import Posed
from luthier.search.replies import is_literal
from luthier.texts.programs import parsed

MOST = 24
LONGEST = 400  # characters of a call


def varied(problem: Posed, most: int = MOST) -> list[str]:
    """Calls with changed arguments, the same for the same problem; of a script nothing, since what it reads has no known form."""
    draw = random.Random(problem.task)
    known = list(_calls(problem))
    own = {ast.unparse(call) for call in known}
    found: dict[str, None] = {}
    for _ in range(most * 4):
        if not known or len(found) == most:
            break
        call = _changed(draw.choice(known), draw)
        if call not in own and len(call) <= LONGEST:
            found[call] = None
    return list(found)


def _calls(problem: Posed) -> Iterator[ast.Call]:
    """The calls of the function in the public tests whose arguments are literals."""
    for test in problem.public:
        tree = None if isinstance(test, InputOutput) else parsed(test)
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.Call) and _is_plain(node, problem.entry_point):
                yield node


def _is_plain(call: ast.Call, name: str) -> bool:
    return (
        isinstance(call.func, ast.Name) and call.func.id == name and is_literal([*call.args, *(keyword.value for keyword in call.keywords)])
    )


def _changed(call: ast.Call, draw: random.Random) -> str:
    values = [ast.literal_eval(argument) for argument in call.args]
    named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
    places = [*range(len(values)), *named]
    for place in draw.sample(places, draw.randint(1, len(places))) if places else ():
        if isinstance(place, int):
            values[place] = other(values[place], draw)
        else:
            named[place] = other(named[place], draw)
    told = [repr(value) for value in values] + [f"{name}={value!r}" for name, value in named.items()]
    return f"{ast.unparse(call.func)}({', '.join(told)})"


def other(value: Any, draw: random.Random) -> Any:
    """A value of the same type, not far away."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return draw.choice((value + 1, value - 1 if value > 0 else value, value * 2, 0 if value >= 0 else -1, 1, draw.randint(0, 20)))
    if isinstance(value, float):
        return draw.choice((value + 0.5, value * 2, 0.0, round(value / 3, 3)))
    if isinstance(value, str):
        return _text(value, draw)
    if isinstance(value, list | tuple):
        return type(value)(_items(list(value), draw))
    if isinstance(value, set):
        return set(_items(sorted(value, key=repr), draw))
    if isinstance(value, dict) and value:
        key = draw.choice(list(value))
        return (
            {name: each for name, each in value.items() if name != key} if draw.random() < 0.3 else {**value, key: other(value[key], draw)}
        )
    return value


def _text(value: str, draw: random.Random) -> str:
    if not value:
        return draw.choice(("a", "A", " ", "0"))
    place = draw.randrange(len(value))
    ways = (value[:place] + value[place + 1 :], value + draw.choice(value), value[::-1], value[:place] + draw.choice(value) + value[place:])
    return draw.choice((*ways, value.swapcase(), value * 2, ""))


def _items(value: list[Any], draw: random.Random) -> list[Any]:
    if not value:
        return value
    place = draw.randrange(len(value))
    changed = [*value[:place], other(value[place], draw), *value[place + 1 :]]
    ways: tuple[list[Any], ...] = (
        value[:place] + value[place + 1 :],
        [*value, draw.choice(value)],
        value[::-1],
        changed,
        changed,
        [value[place]],
        [],
    )
    return draw.choice(ways)
