"""A Modelfile for Ollama whose template writes turns, tools and calls as the model's own does: found out by rendering, and held against it.

Ollama's templates are Go's and know no Jinja, so the text between what is said is taken from renderings (`turns_of`, `models.modelfile_turns`), by what
stands before and what follows. JSON is Ollama's own (`models.modelfile_tools`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence

from luthier.errors import EngineError
from luthier.models.modelfile_tools import ARGUMENTS, TOOL, apart
from luthier.models.modelfile_turns import Turns
from luthier.records import JSON

_BEFORE_USER = ("", "system", "offered", "assistant", "tool", "arguments")


def modelfile(turns: Turns, file: str, *, stops: Sequence[str], context: int | None, license: str = "") -> str:  # noqa: A002
    """The text of a Modelfile beside a GGUF file. Raises EngineError where the turns cannot stand in one."""
    text = go_template(turns)
    if '"""' in text:
        raise EngineError("the chat template holds three quotes, which end a template in a Modelfile")
    lines = [f"FROM ./{file}", f'TEMPLATE """{text}"""', *(f'PARAMETER stop "{stop}"' for stop in stops)]
    lines += [f"PARAMETER num_ctx {context}"] if context else []
    lines += [f'LICENSE """{license}"""'] if license else []
    return "\n".join(lines) + "\n"


def told_of_tools(turns: Turns, tools: Sequence[JSON]) -> str:
    """Whether tools are in the template, and which of these Ollama does not write as the model was trained on them."""
    if not turns.tools:
        return f"not in the Modelfile: {turns.why_not}"
    reasons = Counter(reason for tool in tools if (reason := apart(tool)))
    told = "in the Modelfile; Ollama writes arguments in the order of the alphabet, and lists and objects in them without spaces"
    if not tools:
        return told
    same = len(tools) - reasons.total()
    more = "".join(f"; {count} x {reason}" for reason, count in reasons.most_common())
    return f"{told}. Of the {len(tools)} of the run's data {same} stand in a prompt byte for byte as trained{more}"


def go_template(turns: Turns) -> str:
    """The turns as a template of Go, over Ollama's `.System`, `.Tools` and `.Messages`."""

    def step(to: str, *before: str) -> str:
        known = [(each, turns.between[each, to]) for each in before if (each, to) in turns.between]
        return _step([(each, text.removeprefix(turns.close) if each == "arguments" else text) for each, text in known])

    content = "{{- .Content }}"
    parts = [
        '{{- $before := "" }}{{- range $i, $_ := .Messages }}',
        f'{{{{- if eq .Role "system" }}}}{step("system", "")}{content}{_now("system")}{{{{- end }}}}',
        _offered(turns, step("offered", "system", "")) if turns.tools else "",
        f'{{{{- if eq .Role "user" }}}}{step("user", *_BEFORE_USER)}{content}{_now("user")}',
        _calling(turns, step, content)
        if turns.tools
        else f'{{{{- else if eq .Role "assistant" }}}}{step("assistant", "user")}{content}{_now("assistant")}',
        f"{{{{- end }}}}{{{{- end }}}}{step('answer', 'tool', 'user') if turns.tools else _said(turns.between['user', 'answer'])}",
    ]
    return "".join(parts)


def _offered(turns: Turns, step: str) -> str:
    """The tools, behind the system turn where there is one."""
    between = f"{{{{- if $at }}}}{_said(turns.between['offered', 'offered'])}{{{{- end }}}}"
    return f"{{{{- if and $.Tools (eq $i 0) }}}}{step}{{{{- range $at, $_ := $.Tools }}}}{between}{TOOL}{{{{- end }}}}{_now('offered')}{{{{- end }}}}"


def _calling(turns: Turns, step: Callable[..., str], content: str) -> str:
    """What the assistant says, its calls, and what tools answer.

    Ollama looks for the first text in the block of `.ToolCalls`, to know by it where a call begins in what the model says: so the beginning that all calls
    share stands there as text, and what differs by who spoke before stands before the block.
    """
    opening = _step([(each, text.removesuffix(turns.tag)) for each, text in turns.into("name") if each != "arguments"])
    said = f"{{{{- if or .Content (eq (len .ToolCalls) 0) }}}}{step('assistant', 'user', 'tool')}{content}{_now('assistant')}{{{{- end }}}}"
    call = f"{turns.tag}{{{{ .Function.Name }}}}{_said(turns.between['name', 'arguments'])}{ARGUMENTS}{_said(turns.close)}"
    called = f"{{{{- if gt (len .ToolCalls) 0 }}}}{opening}{{{{- end }}}}{{{{- if .ToolCalls }}}}{{{{- range .ToolCalls }}}}{call}{{{{- end }}}}{_now('arguments')}{{{{- end }}}}"
    told = f'{{{{- else if eq .Role "tool" }}}}{step("tool", "arguments", "tool")}{content}{_now("tool")}'
    return f'{{{{- else if eq .Role "assistant" }}}}{said}{called}{told}'


def _step(said: Sequence[tuple[str, str]]) -> str:
    """The text after what stood before; the last stands for all others."""
    if len({text for _, text in said}) == 1:
        return _said(said[0][1])
    cases = [
        f"{{{{- {'else ' if at else ''}if eq $before {_literal(before)} }}}}{_said(text)}" for at, (before, text) in enumerate(said[:-1])
    ]
    return "".join(cases) + f"{{{{- else }}}}{_said(said[-1][1])}{{{{- end }}}}"


def _now(kind: str) -> str:
    return f"{{{{- $before = {_literal(kind)} }}}}"


def _said(text: str) -> str:
    return f"{{{{- {_literal(text)} }}}}" if text else ""


def _literal(text: str) -> str:
    """A string of Go: what stands outside the braces loses its white space."""
    return json.dumps(text, ensure_ascii=False)
