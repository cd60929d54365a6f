"""Which tools can be called at all: arguments can be drawn that their schemas allow; of each of the others what stands in the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from luthier.records import Tool
from luthier.synthesize.tools.drafts import NOTHING, Draft
from luthier.synthesize.tools.meaning_values import Scene
from luthier.synthesize.tools.operations import examples_of
from luthier.synthesize.tools.own_values import draw, draw_arguments


def callable_tools(tools: Sequence[Tool], seed: int = 0) -> tuple[list[Tool], dict[str, str]]:
    """The tools for which arguments can be drawn, and for each of the others why not."""
    examples = examples_of(tools)
    fitting, left = list[Tool](), dict[str, str]()
    for tool in tools:
        value = draw_arguments(tool.parameters, Draft(Scene(Random(seed)), frozenset(), examples))
        if value is NOTHING:
            left[tool.name] = f"no value is found that {', '.join(_stuck(tool, examples, seed)) or 'its parameters'} allows"
        else:
            fitting.append(tool)
    return fitting, left


def _stuck(tool: Tool, examples: Mapping[str, str], seed: int) -> list[str]:
    """The required parameters for which no value is found."""
    properties = tool.parameters.get("properties") or {}
    needed = [name for name in tool.parameters.get("required") or () if isinstance(properties.get(name), dict)]
    return [name for name in needed if draw(properties[name], name, name, Draft(Scene(Random(seed)), frozenset(), examples)) is NOTHING]
