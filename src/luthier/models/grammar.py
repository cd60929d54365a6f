"""Grammars that keep an answer well-formed: from tools to Lark, and from Lark to a mask over the next token (llguidance).

`calls_grammar` describes `[name(argument=value, ...)]`, or the calls of a model's own form, with every required argument present, in schema
order, each value of its declared type. `GrammarMask` applies it to a batch of logits, one matcher a row, with numpy alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from luthier.errors import EngineError
from luthier.records import JSON, Tool
from luthier.records.calls import render_literal

if TYPE_CHECKING:
    import numpy as np
    import torch
    from llguidance import LLMatcher
    from numpy.typing import NDArray

    from luthier.models.protocol import LanguageModel, Prompt

MAX_STRING, MAX_ITEMS, MAX_DEPTH = 80, 20, 8
TRIES = 64  # tokens without room for an ending that are tried before the known ending is taken
LATER_TRIES = 8  # where none was known before either
LOOKS_AFTER = 8  # tokens, where no ending fits into what is left
_SHORT = f"""
INTEGER: /-?(0|[1-9][0-9]{{0,11}})/
NUMBER: /-?(0|[1-9][0-9]{{0,11}})(\\.[0-9]{{1,8}})?([eE]-?[0-9]{{1,2}})?/
STRING: /"[^"\\\\\\x00-\\x1f]{{0,{MAX_STRING}}}"/
"""
_NUMBERS = """
INTEGER: /-?(0|[1-9][0-9]{0,18})/
NUMBER: /-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,17})?([eE][+-]?[0-9]{1,3})?/
"""
_WHOLE = {  # strings of any length, by whether they are JSON's
    True: _NUMBERS + 'STRING: /"([^"\\\\\\x00-\\x1f]|\\\\["\\\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4})*"/\n',
    False: _NUMBERS + 'STRING: /"[^"\\\\\\x00-\\x1f]*"/\n',
}
_TERMINALS = """
SENTENCE: /[A-Z][^\\n\\[\\]]{0,200}/
BOOLEAN: "True" | "False"
TRUTH: "true" | "false"
"""
_TEXT = {  # of answers that begin no call: by the sign that a call begins with
    **dict.fromkeys(("brackets", "json"), "text: TEXT\nTEXT: /[^\\[ \\n\\t](.|\\n)*/\n"),
    "llama": "text: TEXT\nTEXT: /[^{ \\n\\t](.|\\n)*/\n",
    # with any `<` in it, of a thought or of HTML, but for the tag that opens a call; in pieces, since a lexer does not go back
    "hermes": "text: (TEXT | SIGN)+\nTEXT: /[^<]+/\nSIGN: /(<(t(o(o(l)?)?)?)?)*(<[^<t]|<t[^<o]|<to[^<o]|<too[^<l]|<tool[^<_])/\n",
}
FORMS = ("brackets", "hermes", "llama", "json")  # of `records.call_forms`, those that a grammar is made of
TAGS = ("<tool_call>", "</tool_call>")
_FIELDS = {"hermes": "arguments", "llama": "parameters", "json": "arguments"}


def own_form(model: LanguageModel) -> str:
    """The form that a model's template writes calls in, where a grammar can be made of it, else brackets."""
    found = family_form(model)
    return found if found in FORMS else "brackets"


def family_form(model: LanguageModel) -> str:
    """The form that a model's template writes calls in, of `records.call_forms`; "" where it is none of them."""
    return str(getattr(getattr(model, "template", None), "call_form", ""))


def can_guide(form: str) -> bool:
    """Whether a model whose template writes calls in this form can be left the choice to call: a form that is not its own it would never begin."""
    return form in ("", *FORMS)


class _Rules(dict[str, str]):
    """Rules by name. json: whether values are written as JSON, else as Python; whole: values of any length."""

    def __init__(self, json: bool, whole: bool) -> None:
        super().__init__()
        self.json, self.whole = json, whole


def calls_grammar(
    tools: Sequence[Tool],
    *,
    calls: tuple[int, int] = (1, 1),
    sentence: bool = False,
    text: bool = False,
    whole: bool = False,
    form: str = "brackets",
) -> str:
    """A Lark grammar of answers with `calls[0]` to `calls[1]` calls to the given tools.

    Types, enums, required and optional arguments and list lengths follow the schema; ranges, patterns and formats do not.
    sentence: also allow a plain sentence, for requests that no tool fits. text: leave the choice to the model: any text instead, or before calls
    that a tag opens; only what it calls has to be well-formed. whole: values may be of any length, as a service needs them; else strings have at most
    MAX_STRING characters, no quotes and no escapes, and lists MAX_ITEMS items, which keeps a small model from running on. form: of `FORMS`. Raises
    EngineError without tools.
    """
    if not tools:
        raise EngineError("a grammar of calls needs at least one tool")
    if not 1 <= calls[0] <= calls[1]:
        raise EngineError(f"a grammar of {calls[0]} to {calls[1]} calls has no meaning; give 1 <= least <= most")
    if form not in FORMS:
        raise EngineError(f"there is no grammar of calls in the form {form!r}; known: {', '.join(FORMS)}")
    rules = _Rules(form != "brackets", whole)
    write = _tool_rule if form == "brackets" else partial(_object_rule, field=_FIELDS[form])
    names = [write(tool, f"t{number}", rules) for number, tool in enumerate(tools)]
    series = _series(form, *calls)
    start = f"start: {series}" + (" | SENTENCE" if sentence else "") + (f" | text ({series})?" if text and form == "hermes" else "")
    start += " | text" if text and form != "hermes" else ""
    lines = [start, "call: " + " | ".join(names), *(f"{name}: {body}" for name, body in rules.items())]
    return "\n".join(lines) + "\n" + (_WHOLE[rules.json] if whole else _SHORT) + _TERMINALS + (_TEXT[form] if text else "")


def _series(form: str, low: int, high: int) -> str:
    """So many calls, as that form strings them together."""
    if form in ("brackets", "json"):
        return _list("call", low, high)
    one, between = ('"<tool_call>" "\\n" call "\\n" "</tool_call>"', '"\\n"') if form == "hermes" else ("call", '"; "')
    return one if high == 1 else f"{one} ({between} {one}){{{low - 1},{high - 1}}}"


def _object_rule(tool: Tool, prefix: str, rules: _Rules, *, field: str) -> str:
    """`{"name": "name", "arguments": {…}}`."""
    schema = {**tool.parameters, "type": "object", "additionalProperties": False}
    opening = f'{{"name": {json.dumps(tool.name, ensure_ascii=False)}, "{field}": '
    rules[prefix] = f'{_quoted(opening)} {_object(schema, f"{prefix}a", rules, 0)} "}}"'
    return prefix


def _tool_rule(tool: Tool, prefix: str, rules: _Rules) -> str:
    """`name(a=…, b=…)`: the properties in schema order, the optional ones skippable, commas between those present."""
    properties: JSON = tool.parameters.get("properties") or {}
    required = set(tool.parameters.get("required") or ())
    pairs = [
        (_quoted(f"{name}=") + " " + _value(schema, f"{prefix}_{number}", rules, 0), name in required)
        for number, (name, schema) in enumerate(properties.items())
    ]
    rules[prefix] = f"{_quoted(tool.name + '(')} {_arguments(pairs, prefix, rules)} {_quoted(')')}"
    return prefix


def _arguments(pairs: list[tuple[str, bool]], prefix: str, rules: _Rules) -> str:
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


def _value(schema: Any, prefix: str, rules: _Rules, depth: int) -> str:
    if not isinstance(schema, dict):
        return "STRING"
    fixed = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(fixed, list) and fixed:
        return "(" + " | ".join(_quoted(_literal(value, rules)) for value in fixed) + ")"
    options = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(options, list) and options and depth < MAX_DEPTH:
        options = [_with_fields(option, schema) for option in options] if schema.get("properties") else options
        return "(" + " | ".join(_value(option, f"{prefix}u{n}", rules, depth + 1) for n, option in enumerate(options)) + ")"
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        return "(" + " | ".join(_value({**schema, "type": one}, f"{prefix}u{n}", rules, depth) for n, one in enumerate(kind)) + ")"
    if kind in ("array", "tuple", "list"):
        item = _value(schema.get("items"), f"{prefix}i", rules, depth + 1) if depth < MAX_DEPTH else "STRING"
        low = schema.get("minItems") or 0
        rules[f"{prefix}_list"] = _list(item, low, _most(schema, low, whole=rules.whole))
        return f"{prefix}_list"
    if kind in ("object", "dict"):
        return _object(schema, prefix, rules, depth)
    return {
        "integer": "INTEGER",
        "int": "INTEGER",
        "number": "NUMBER",
        "float": "NUMBER",
        "boolean": "TRUTH" if rules.json else "BOOLEAN",
        "bool": "TRUTH" if rules.json else "BOOLEAN",
        "null": '"null"' if rules.json else '"None"',
    }.get(kind, "STRING")


def _literal(value: Any, rules: _Rules) -> str:
    return json.dumps(value, ensure_ascii=False) if rules.json else render_literal(value)


def _with_fields(option: Any, schema: JSON) -> Any:
    """A branch of a union with the fields that stand beside the union."""
    if not isinstance(option, dict) or option.get("type", "object") != "object":
        return option
    fields = {**schema["properties"], **option.get("properties", {})}
    return {**option, "type": "object", "properties": fields, "required": [*schema.get("required", ()), *option.get("required", ())]}


def _most(schema: JSON, low: int, *, whole: bool) -> int | None:
    """How many items a list may have, None for any number."""
    most = schema.get("maxItems", None if whole else MAX_ITEMS)
    return None if most is None else max(low, most if whole else min(MAX_ITEMS, most))


def _list(item: str, low: int, high: int | None) -> str:
    """`low` to `high` items in brackets; llguidance has no repeat of zero times."""
    if high == 0:
        return '"[]"'
    if high is None:
        more = f' (", " {item})*' if low < 2 else f' (", " {item}){{{low - 1}}} (", " {item})*'
    else:
        more = f' (", " {item}){{{max(0, low - 1)},{high - 1}}}' if high > 1 else ""
    return f'"[" {item}{more} "]"' if low else f'"[" ({item}{more})? "]"'


def _object(schema: JSON, prefix: str, rules: _Rules, depth: int) -> str:
    properties: JSON = schema.get("properties") or {}
    if not properties or depth >= MAX_DEPTH:
        rules[f"{prefix}_map"] = _map(schema.get("additionalProperties"), prefix, rules, depth)
        return f"{prefix}_map"
    required = set(schema.get("required") or ())
    pairs = [
        (
            _quoted(f"{json.dumps(name, ensure_ascii=False)}: ") + " " + _value(inner, f"{prefix}o{number}", rules, depth + 1),
            name in required,
        )
        for number, (name, inner) in enumerate(properties.items())
    ]
    rules[f"{prefix}_object"] = f'"{{" {_arguments(pairs, prefix + "_o", rules)} "}}"'
    return f"{prefix}_object"


def _map(others: Any, prefix: str, rules: _Rules, depth: int) -> str:
    """An object whose keys the schema does not name; `others` is its `additionalProperties`."""
    if others is False:
        return '"{}"'
    typed = isinstance(others, dict) and others and depth < MAX_DEPTH
    value = _value(others, f"{prefix}m", rules, depth + 1) if typed else "(STRING | NUMBER)"
    more = "*" if rules.whole else "{0,5}"
    return f'"{{" (STRING ": " {value} (", " STRING ": " {value}){more})? "}}"'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


class Draw(Protocol):
    """Draws tokens for the rows of a batch."""

    def pick(self, row: int, scores: torch.Tensor) -> int:
        """The next token of a row, drawn from its scores, (1, vocabulary)."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows go on."""
        ...


class GrammarMask:
    """Masks the logits of one batch so that each row follows its own grammar; a transformers logits processor.

    matchers[i] comes from the engine, or is None for a free row. prompt_length: tokens before the first generated one (left-padded
    batch). draw: what draws a token of row i; the likeliest one is taken if left out. A token is only let through while an ending that
    fits into `max_tokens` is known, so the limit does not cut an answer that can be finished within it.
    """

    def __init__(
        self, engine: GrammarEngine, matchers: Sequence[Any], prompt_length: int, max_tokens: int, draw: Draw | None = None
    ) -> None:
        self.engine, self.matchers, self.prompt_length, self.max_tokens = engine, matchers, prompt_length, max_tokens
        self.draw = draw
        self.endings: list[list[int] | None] = [None] * len(matchers)
        self.looks: list[int] = [max_tokens] * len(matchers)  # with so many tokens left an ending is looked for again

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """input_ids: (rows, length); scores: (rows, vocabulary). Returns scores with only the picked token of each row left."""
        import torch

        written = input_ids.shape[1] - self.prompt_length
        for row, matcher in enumerate(self.matchers):
            inside_text = False
            if matcher is not None:
                if written and not matcher.is_stopped():
                    matcher.consume_token(int(input_ids[row, -1]))
                allowed = self.engine.allowed(matcher, scores.shape[1])
                inside_text = self.engine.inside_text(allowed)
                scores[row].masked_fill_(~torch.from_numpy(allowed).to(scores.device), float("-inf"))
            token = self._pick(row, scores[row : row + 1], self.max_tokens - written, inside_text)
            scores[row] = float("-inf")
            scores[row, token] = 0.0
        return scores

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows go on."""
        self.matchers, self.endings = [self.matchers[row] for row in rows], [self.endings[row] for row in rows]
        self.looks = [self.looks[row] for row in rows]
        if self.draw is not None:
            self.draw.keep(rows)

    def pick(self, row: int, scores: torch.Tensor) -> int:
        """The next token of a row by its scores, (1, vocabulary)."""
        return int(scores.argmax()) if self.draw is None else self.draw.pick(row, scores)

    def _pick(self, row: int, scores: torch.Tensor, left: int, inside_text: bool) -> int:
        """A token that leaves room for an ending; `left` counts the tokens that may still be written, this one included."""
        matcher, known = self.matchers[row], self.endings[row]
        token = first = self.pick(row, scores)
        if matcher is None or matcher.is_stopped():
            return token
        if inside_text and known is not None and len(known) <= left - 2 and self.engine.plain[token]:
            return token  # letters inside a string or sentence change nothing about how it ends, and looking is not free
        if known is None and left > self.looks[row]:
            return first
        for _ in range(TRIES if known is not None or left == self.max_tokens else LATER_TRIES):
            if token in self.engine.stop_ids:
                return token
            ending = self.engine.ending_after(matcher, token, known, left - 2)
            if ending is not None:
                self.endings[row] = ending
                return token
            scores[0, token] = float("-inf")
            if not (scores > float("-inf")).any():
                break
            token = self.pick(row, scores)
        if known is None:  # no ending fits: write on, and look again a little later, for the looking costs more than the model
            self.looks[row] = left - LOOKS_AFTER if left > 2 * LOOKS_AFTER else left
            return first
        self.endings[row] = known[1:]
        return known[0] if known else self.engine.stop_ids[0]


def why_unusable(prompt: Prompt) -> str:
    """Why llguidance cannot follow what binds an answer; "" where it can, or nothing does."""
    import llguidance

    if prompt.json_schema is not None:
        made = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(prompt.json_schema))
    elif prompt.grammar is not None:
        made = llguidance.LLMatcher.grammar_from_lark(prompt.grammar)
    else:
        return ""
    lines = str(llguidance.LLMatcher.validate_grammar(made)).strip().splitlines()
    return lines[0] if lines else ""


class GrammarEngine:
    """llguidance's view of one tokenizer: built once (half a second), matchers are cheap."""

    def __init__(self, tokenizer: Any, stop_ids: Sequence[int]) -> None:
        import llguidance.hf
        import numpy as np

        self.tokenizer = llguidance.hf.from_tokenizer(tokenizer, eos_token=stop_ids[0])
        self.stop_ids = list(stop_ids)
        added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
        self.marks = [mark for mark in TAGS if mark in added]
        texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
        self.ending_order = np.zeros(self.tokenizer.vocab_size)
        self.ending_order[: len(texts)] = [_ending_order(text) for text in texts]
        self.text_order = self.ending_order.copy()
        self.text_order[: len(texts)] += [2000.0 * text.startswith('"') for text in texts]
        self.plain = np.zeros(self.tokenizer.vocab_size, dtype=bool)
        self.plain[: len(texts)] = [_PLAIN.fullmatch(text) is not None for text in texts]
        self.letters = [number for number, text in enumerate(texts) if text in ("a", "q", "Z", " ")]

    def matcher(self, grammar: str) -> LLMatcher:
        """A matcher of a Lark grammar. Raises EngineError with llguidance's reason where the grammar is broken."""
        import llguidance

        for mark in self.marks:  # to llguidance a token of its own is no text, but the token
            grammar = grammar.replace(f'"{mark}"', mark)
        return self._matcher(llguidance.LLMatcher.grammar_from_lark(grammar), "grammar")

    def schema_matcher(self, schema: JSON) -> LLMatcher:
        """A matcher of JSON text that satisfies the schema. Raises EngineError where llguidance does not know a keyword."""
        import llguidance

        return self._matcher(llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema)), "JSON schema")

    def _matcher(self, grammar: str, kind: str) -> LLMatcher:
        import llguidance

        matcher = llguidance.LLMatcher(self.tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise EngineError(f"the {kind} cannot be used: {matcher.get_error().strip().splitlines()[0]}")
        return matcher

    def allowed(self, matcher: Any, width: int) -> NDArray[np.bool_]:
        """Which of `width` tokens may come next, as booleans (numpy); a finished matcher allows the stop tokens only."""
        import llguidance.numpy as masks
        import numpy as np

        allowed = np.zeros(width, dtype=bool)
        if matcher.is_stopped():
            allowed[self.stop_ids] = True
            return allowed
        bits = masks.allocate_token_bitmask(1, self.tokenizer.vocab_size)
        masks.fill_next_token_bitmask(matcher, bits, 0)
        known = np.unpackbits(bits.view(np.uint8), bitorder="little")[: min(width, self.tokenizer.vocab_size)]
        allowed[: len(known)] = known
        return allowed

    def inside_text(self, allowed: Any) -> bool:
        """Whether any letter may come next, as inside a string: brackets close nothing there."""
        return bool(allowed[self.letters].all())

    def ending_after(self, matcher: Any, token: int, known: list[int] | None, room: int) -> list[int] | None:
        """At most `room` tokens that finish the answer after `token`, or None; `known` finishes it without `token`."""
        if known and known[0] == token:
            return known[1:] if len(known) <= room + 1 else None
        after = matcher.deep_copy()
        if not after.consume_token(token) or room < 0:
            return None
        if known and len(known) <= room:
            trial = after.deep_copy()
            if trial.try_consume_tokens(known) == len(known) and trial.is_accepting():
                return known
        return self.ending(after, room)

    def ending(self, matcher: Any, room: int) -> list[int] | None:
        """Writes what is forced, and else the token that looks most like an end; leaves `matcher` in some later state."""
        import numpy as np

        ending: list[int] = []
        while not matcher.is_accepting():
            step = matcher.compute_ff_tokens()
            if not step:
                allowed = self.allowed(matcher, self.tokenizer.vocab_size)
                order = self.text_order if self.inside_text(allowed) else self.ending_order
                step = [int(np.where(allowed, order, -1.0).argmax())]
            ending += step
            if len(ending) > room or not matcher.consume_tokens(step):
                return None
        return ending


_PLAIN = re.compile(r"[\w .,;:!?()\-]+")
_CLOSING = re.compile(r"""[\[{]*["'\])}]+""")


def _ending_order(text: str) -> float:
    """How soon a token is taken when an answer has to end: brackets and quotes that close, then commas, then what is long."""
    if _CLOSING.fullmatch(text):
        return 1000.0 + 10 * sum(text.count(sign) for sign in "])}") - 10 * sum(text.count(sign) for sign in "[{") + len(text)
    if text.startswith(","):
        return 500.0 + min(len(text), 100)
    return float(min(len(text.strip()), 100))
