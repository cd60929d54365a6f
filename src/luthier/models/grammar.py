"""Grammars that keep an answer well-formed: from tools to Lark, and from Lark to a mask over the next token (llguidance).

`calls_grammar` describes `[name(argument=value, ...)]` with every required argument present, in schema order, each value of its
declared type. `GrammarMask` applies it to a batch of logits, one matcher a row, with numpy alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from luthier.errors import EngineError
from luthier.records import JSON, Tool
from luthier.records.calls import render_literal

if TYPE_CHECKING:
    import torch

MAX_STRING, MAX_ITEMS, MAX_DEPTH = 80, 20, 4
CLOSING_ROOM = 24  # tokens before the limit from which open strings and lists are closed
_TERMINALS = f"""
SENTENCE: /[A-Z][^\\n\\[\\]]{{0,200}}/
INTEGER: /-?[0-9]{{1,12}}/
NUMBER: /-?[0-9]{{1,12}}(\\.[0-9]{{1,8}})?/
STRING: /"[^"\\\\\\n]{{0,{MAX_STRING}}}"/
BOOLEAN: "True" | "False"
"""


def calls_grammar(tools: Sequence[Tool], *, calls: tuple[int, int] = (1, 1), sentence: bool = False) -> str:
    """A Lark grammar of answers with `calls[0]` to `calls[1]` calls to the given tools.

    sentence: also allow a plain sentence, for requests that no tool fits. Raises EngineError without tools.
    """
    if not tools:
        raise EngineError("a grammar of calls needs at least one tool")
    rules: dict[str, str] = {}
    names = [_tool_rule(tool, f"t{number}", rules) for number, tool in enumerate(tools)]
    low, high = calls
    more = f' (", " call){{{low - 1},{high - 1}}}' if high > 1 else ""
    start = f'start: "[" call{more} "]"' + (" | SENTENCE" if sentence else "")
    lines = [start, "call: " + " | ".join(names), *(f"{name}: {body}" for name, body in rules.items())]
    return "\n".join(lines) + "\n" + _TERMINALS


def _tool_rule(tool: Tool, prefix: str, rules: dict[str, str]) -> str:
    """`name(a=…, b=…)`: the properties in schema order, the optional ones skippable, commas between those present."""
    properties: JSON = tool.parameters.get("properties") or {}
    required = set(tool.parameters.get("required") or ())
    pairs = [
        (_quoted(f"{name}=") + " " + _value(schema, f"{prefix}_{number}", rules, 0), name in required)
        for number, (name, schema) in enumerate(properties.items())
    ]
    rules[prefix] = f"{_quoted(tool.name + '(')} {_arguments(pairs, prefix, rules)} {_quoted(')')}"
    return prefix


def _arguments(pairs: list[tuple[str, bool]], prefix: str, rules: dict[str, str]) -> str:
    """Rule `<prefix>_s<i>` is "arguments from i on, one already written"; the first argument written takes no comma."""
    after = ""
    firsts: list[str] = []
    for number in range(len(pairs) - 1, -1, -1):
        pair, needed = pairs[number]
        firsts = [f"{pair} {after}"] + ([] if needed else firsts)
        name = f"{prefix}_s{number}"
        rules[name] = f'", " {pair} {after}' if needed else (f'(", " {pair})? {after}')
        after = name
    if not any(needed for _, needed in pairs):
        firsts.append('""')
    return "(" + " | ".join(firsts) + ")"


def _value(schema: Any, prefix: str, rules: dict[str, str], depth: int) -> str:
    if not isinstance(schema, dict):
        return "STRING"
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return "(" + " | ".join(_quoted(render_literal(value)) for value in schema["enum"]) + ")"
    options = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(options, list) and options and depth < MAX_DEPTH:
        return (
            "(" + " | ".join(_value(option, f"{prefix}{n}", rules, depth + 1) for n, option in enumerate(options)) + ")"
        )
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        return (
            "("
            + " | ".join(_value({**schema, "type": one}, f"{prefix}{n}", rules, depth) for n, one in enumerate(kind))
            + ")"
        )
    if kind in ("array", "tuple", "list"):
        item = _value(schema.get("items"), f"{prefix}i", rules, depth + 1) if depth < MAX_DEPTH else "STRING"
        rules[f"{prefix}_list"] = f'"[" ({item} (", " {item}){{0,{MAX_ITEMS - 1}}})? "]"'
        return f"{prefix}_list"
    if kind in ("object", "dict"):
        return _object(schema, prefix, rules, depth)
    return {"integer": "INTEGER", "int": "INTEGER", "number": "NUMBER", "float": "NUMBER", "boolean": "BOOLEAN", "bool": "BOOLEAN",
            "null": '"None"'}.get(kind, "STRING")  # fmt: skip


def _object(schema: JSON, prefix: str, rules: dict[str, str], depth: int) -> str:
    properties: JSON = schema.get("properties") or {}
    if not properties or depth >= MAX_DEPTH:
        rules[f"{prefix}_map"] = '"{" (STRING ": " (STRING | NUMBER) (", " STRING ": " (STRING | NUMBER)){0,5})? "}"'
        return f"{prefix}_map"
    required = set(schema.get("required") or ())
    pairs = [
        (
            _quoted(f"{json.dumps(name)}: ") + " " + _value(inner, f"{prefix}o{number}", rules, depth + 1),
            name in required,
        )
        for number, (name, inner) in enumerate(properties.items())
    ]
    rules[f"{prefix}_object"] = f'"{{" {_arguments(pairs, prefix + "_o", rules)} "}}"'
    return f"{prefix}_object"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


class GrammarMask:
    """Masks the logits of one batch so that each row follows its own grammar; a transformers logits processor.

    grammars[i] is a Lark grammar, or None for a free row. prompt_length: tokens before the first generated one (left-padded batch).
    Near `max_tokens` the mask prefers tokens that close what is open, so that the limit does not cut an answer in two.
    """

    def __init__(
        self, engine: GrammarEngine, grammars: Sequence[str | None], prompt_length: int, max_tokens: int
    ) -> None:
        self.engine, self.prompt_length, self.max_tokens = engine, prompt_length, max_tokens
        self.matchers = [None if grammar is None else engine.matcher(grammar) for grammar in grammars]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """input_ids: (rows, length); scores: (rows, vocabulary). Returns the masked scores."""
        import llguidance.numpy as masks
        import numpy as np
        import torch

        written = input_ids.shape[1] - self.prompt_length
        bits = masks.allocate_token_bitmask(1, scores.shape[1])
        for row, matcher in enumerate(self.matchers):
            if matcher is None:
                continue
            if written and not matcher.is_stopped():
                matcher.consume_token(int(input_ids[row, -1]))
            if matcher.is_stopped():
                allowed = np.zeros(scores.shape[1], dtype=bool)
                allowed[self.engine.stop_ids] = True
            else:
                masks.fill_next_token_bitmask(matcher, bits, 0)
                allowed = np.unpackbits(bits.view(np.uint8), bitorder="little")[: scores.shape[1]].astype(bool)
                if self.max_tokens - written <= CLOSING_ROOM and (allowed & self.engine.closing).any():
                    allowed &= self.engine.closing
            scores[row].masked_fill_(torch.from_numpy(~allowed).to(scores.device), float("-inf"))
        return scores


class GrammarEngine:
    """llguidance's view of one tokenizer: built once (half a second), matchers are cheap."""

    def __init__(self, tokenizer: Any, stop_ids: Sequence[int]) -> None:
        import llguidance.hf
        import numpy as np

        self.tokenizer = llguidance.hf.from_tokenizer(tokenizer, eos_token=stop_ids[0])
        self.stop_ids = list(stop_ids)
        closing = re.compile(r"""["'\])}]+""")
        texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
        self.closing = np.zeros(self.tokenizer.vocab_size, dtype=bool)
        self.closing[: len(texts)] = [closing.fullmatch(text) is not None for text in texts]
        self.closing[self.stop_ids] = True

    def matcher(self, grammar: str) -> Any:
        import llguidance

        matcher = llguidance.LLMatcher(self.tokenizer, llguidance.LLMatcher.grammar_from_lark(grammar))
        if matcher.is_error():
            raise EngineError(f"the grammar cannot be used: {matcher.get_error().strip().splitlines()[0]}")
        return matcher

    def schema_matcher(self, schema: JSON) -> Any:
        import llguidance

        matcher = llguidance.LLMatcher(
            self.tokenizer, llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
        )
        if matcher.is_error():
            raise EngineError(f"the JSON schema cannot be used: {matcher.get_error().strip().splitlines()[0]}")
        return matcher
