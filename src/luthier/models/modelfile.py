"""A Modelfile for Ollama whose template writes turns exactly as the model's own does: found out by rendering, and held against it.

Ollama's templates are Go's and know no Jinja, so the text between turns is taken from a rendering, by who spoke before and who speaks next.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from luthier.errors import EngineError
from luthier.models.chat_template import ChatTemplate
from luthier.records import JSON

_MARKS = ("xqzvs", "xqzvu", "xqzva", "xqzvw")  # stand in no template
_TRIALS = (("user",), ("system", "user"), ("user", "assistant", "user"), ("system", "user", "assistant", "user", "assistant", "user"))


@dataclass(frozen=True)
class Turns:
    """The text before a turn, by the role before it ("" for none) and its own, and before the answer."""

    between: dict[tuple[str, str], str]
    answer: str

    def render(self, messages: Sequence[JSON]) -> str:
        """A conversation that ends with the user, up to the answer."""
        roles = ["", *(message["role"] for message in messages)]
        parts = [f"{self.between[step]}{message['content']}" for step, message in zip(pairwise(roles), messages, strict=True)]
        return "".join(parts) + self.answer


def turns_of(template: ChatTemplate) -> Turns:
    """What a template writes between turns. Raises EngineError where that depends on more than who speaks before and after."""
    roles = ("system", "user", "assistant", "user")
    whole = _pieces(template, list(zip(roles, _MARKS, strict=True)))
    alone = _pieces(template, [("user", _MARKS[1])])
    start, after_system, after_user, after_assistant, answer = whole
    between = {
        ("", "system"): start,
        ("system", "user"): after_system,
        ("user", "assistant"): after_user,
        ("assistant", "user"): after_assistant,
        ("", "user"): alone[0],
    }
    turns = Turns(between, answer)
    for trial in _TRIALS:
        messages = [{"role": role, "content": f"{role} says {number}"} for number, role in enumerate(trial)]
        if turns.render(messages) != template.render(messages, generate=True):
            raise EngineError(
                "the chat template writes turns by more than who speaks before and after, which Ollama's templates cannot do the same; "
                "serve the GGUF file with llama.cpp, which reads the template itself"
            )
    return turns


def _pieces(template: ChatTemplate, said: Sequence[tuple[str, str]]) -> list[str]:
    """The text around what each turn says."""
    rest, pieces = template.render([{"role": role, "content": text} for role, text in said], generate=True), []
    for _, text in said:
        before, found, rest = rest.partition(text)
        if not found:
            raise EngineError("the chat template does not write what a turn says as it is, so no Modelfile can be made of it")
        pieces.append(before)
    return [*pieces, rest]


def modelfile(template: ChatTemplate, file: str, *, stops: Sequence[str], context: int | None, license: str = "") -> str:  # noqa: A002
    """The text of a Modelfile beside a GGUF file. Raises EngineError as `turns_of` does."""
    turns = turns_of(template)
    said = {step: f"{{{{- {_literal(text)} }}}}" for step, text in turns.between.items()}
    content = "{{- .Content }}"
    user = f'{{{{- if eq $before "system" }}}}{said["system", "user"]}{{{{- else if eq $before "assistant" }}}}{said["assistant", "user"]}'
    text = (
        '{{- $before := "" }}{{- range .Messages }}'
        f'{{{{- if eq .Role "system" }}}}{said["", "system"]}{content}'
        f'{{{{- else if eq .Role "user" }}}}{user}{{{{- else }}}}{said["", "user"]}{{{{- end }}}}{content}'
        f'{{{{- else if eq .Role "assistant" }}}}{said["user", "assistant"]}{content}'
        f"{{{{- end }}}}{{{{- $before = .Role }}}}{{{{- end }}}}{{{{- {_literal(turns.answer)} }}}}"
    )
    if '"""' in text:
        raise EngineError("the chat template holds three quotes, which end a template in a Modelfile")
    lines = [f"FROM ./{file}", f'TEMPLATE """{text}"""', *(f'PARAMETER stop "{stop}"' for stop in stops)]
    lines += [f"PARAMETER num_ctx {context}"] if context else []
    lines += [f'LICENSE """{license}"""'] if license else []
    return "\n".join(lines) + "\n"


def _literal(text: str) -> str:
    """A string of Go: what stands outside the braces loses its white space."""
    return json.dumps(text, ensure_ascii=False)
