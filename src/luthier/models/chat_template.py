"""How a model's own chat template is used, whatever it can and cannot do: messages made to fit it, prompts, and what the assistant says in them.

Templates differ in what they take: a system turn, tools, calls, arguments as text, ids of calls, thoughts. Each is tried once on a small example; what a
template would refuse or leave out in silence is written where it can be read, and said so once.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple

from luthier.errors import BadRowError
from luthier.models.loading import reason
from luthier.models.turn_places import LeftOut, Places, find_places, no_place
from luthier.records import JSON
from luthier.records.call_forms import MARKS, read_calls

Masks = Literal["markers", "trl", "prefixes"]
MARKERS = re.compile(r"(\{%[-+]?\s*)(end)?generation(\s*[-+]?%\})")
_HEAD = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
)
_FOOT = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n"
    '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)
_KEPT = "_luthier_template"  # on a tokenizer, with which it goes
_MOVES = (
    "its turns are rendered otherwise once others follow, the chat template has no {% generation %} marks and TRL has no "
    "training template for it, so what the assistant says cannot be told apart; add marks to the template"
)
_WORD = "xqzv"  # stands in no template
_TWICE = re.compile(rf"""\\["']{_WORD}a|'{_WORD}a'\s?:""")  # arguments within a text, or as Python shows a mapping


def has_markers(template: str) -> bool:
    """Whether a template marks what the assistant says."""
    return any(match[2] is None for match in MARKERS.finditer(template))


def without_markers(template: str) -> str:
    """The same template for readers that know no `{% generation %}`: it renders the same text in plain Jinja."""
    return MARKERS.sub(lambda match: f"{match[1]}{'endif' if match[2] else 'if true'}{match[3]}", template)


class CallWay(NamedTuple):
    """How calls and the answers of tools reach the prompt. arguments: as a mapping or as JSON text, "" where they do not; ids: of nine letters are
    wanted; once: the arguments are JSON once, not text within text or what Python shows of a mapping."""

    arguments: Literal["mapping", "text", ""]
    ids: bool = False
    once: bool = True


_TALKS: tuple[tuple[str, ...], ...] = (("user",), ("user", "assistant"), ("user", "assistant", "user"))
_WAYS = (CallWay("mapping"), CallWay("mapping", ids=True), CallWay("text"), CallWay("text", ids=True))


@dataclass(frozen=True)
class Masked:
    """A conversation as token ids, and 1 where the assistant speaks."""

    ids: list[int]
    mask: list[int]


class Part(NamedTuple):
    """A conversation up to one of its turns. turns: the places, among those of the assistant, of the turns that are marked: each stands there as it does
    where it is asked for."""

    made: Masked
    turns: tuple[int, ...]


class ChatTemplate:
    """The chat template of a tokenizer; `ChatTemplate.of(tokenizer)` keeps what was found out about it."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.text = tokenizer, tokenizer.chat_template
        self._said: set[str] = set()
        self._places: dict[str | None, Places] = {}

    @classmethod
    def of(cls, tokenizer: Any) -> ChatTemplate:
        found = tokenizer.__dict__.get(_KEPT)
        if not isinstance(found, ChatTemplate) or found.tokenizer is not tokenizer or found.text != tokenizer.chat_template:
            found = tokenizer.__dict__[_KEPT] = cls(tokenizer)
        return found

    @cached_property
    def works(self) -> bool:
        """Whether it renders the simplest prompt, with what the user says in it."""
        return _WORD in (self._tried([{"role": "user", "content": _WORD}]) or "")

    @cached_property
    def answers(self) -> bool:
        """Whether it renders what the assistant says; one that refuses the question is judged by the real conversations."""
        told = self._tried([{"role": "user", "content": "?"}, {"role": "assistant", "content": _WORD}])
        return told is None or _WORD in told

    @cached_property
    def takes_system(self) -> bool:
        """Whether what a system turn says is in the prompt, and stays where it is once turns follow and where tools are on offer."""
        system, starts = {"role": "system", "content": f"{_WORD}s"}, set[str]()
        for tools in (None, [_tool(f"{_WORD}t")]) if self.shows_tools else (None,):
            starts.clear()
            for roles in _TALKS:
                talk = [{"role": role, "content": _WORD} for role in roles]
                start, found, _ = (self._tried([system, *talk], tools) or "").partition(f"{_WORD}s")
                if found:
                    starts.add(start)
                elif self._tried(talk, tools) is not None:  # a conversation that is refused without a system turn too tells nothing of it
                    return not self.works
            if len(starts) > 1:
                return False
        return True

    @cached_property
    def shows_tools(self) -> bool:
        """Whether the tools on offer are in the prompt, each by its name."""
        rendered = self._tried([{"role": "user", "content": _WORD}], [_tool(f"{_WORD}t")])
        return f"{_WORD}t" in (rendered or "") or not self.works

    @cached_property
    def calls(self) -> CallWay:
        """How calls and the answers of tools reach the prompt: the first way whose arguments come out once encoded, else the first that shows them."""
        shown = []
        for way in _WAYS:
            rendered = self._tried(_shaped(_called(), way)) or ""
            if all(f"{_WORD}{letter}" in rendered for letter in "tav"):
                if not _TWICE.search(rendered):
                    return way
                shown.append(way)
        if shown:
            return shown[0]._replace(once=False)
        return CallWay("" if self.works else "mapping")

    @cached_property
    def call_form(self) -> str:
        """The form that a model writes its calls in, of those of `records.call_forms`; "" where it is none of them."""
        called = _called()[:2]
        try:
            before, whole = self.render(called[:1], [_tool(f"{_WORD}t")], generate=True), self.render(called, [_tool(f"{_WORD}t")])
        except Exception:
            return ""
        said = whole[_common(before, whole) :]
        for token in self.tokenizer.all_special_tokens:
            said = said if token in MARKS else said.replace(token, "")
        return read_calls(said, (f"{_WORD}t",)).form

    @property
    def places(self) -> Places:
        """What of a turn is in a prompt besides what it says: thoughts, and text beside calls."""
        return self._places_of(None)

    def counting(self) -> LeftOut:
        """An account of what this template has no place for, for `count`."""
        return LeftOut(self._name)

    def count(self, messages: Sequence[JSON], left: LeftOut, *, trained: bool = False) -> None:
        """Add a row to an account, which says it in place of this template. trained: as it is trained on (`masked`), not as it is asked."""
        rows = [dict(message) for message in messages]
        if any(row.get("tool_calls") for row in rows):
            rows = self._fit_calls(rows)
        lost = [*self._lost(rows, self._places_of(self._training if trained and self.masks == "trl" else None))]
        self._said.update(lost)
        left.add(lost)

    @cached_property
    def masks(self) -> Masks:
        """How what the assistant says is told apart."""
        if has_markers(self._default):
            return "markers"
        return "prefixes" if self._training is None else "trl"

    @cached_property
    def _training(self) -> str | None:
        """The template that TRL trains with instead of this one."""
        from trl.chat_template_utils import get_training_chat_template, has_generation_markers

        try:
            found: str | None = get_training_chat_template(self.tokenizer)
        except Exception:  # the template is not among TRL's, or TRL's own trials of it fail
            return None
        return found if found is not None and has_generation_markers(found) else None

    @property
    def _default(self) -> str:
        """The template, or the first of several named ones."""
        if isinstance(self.text, dict):
            return str(self.text.get("default", next(iter(self.text.values()), "")))
        return str(self.text or "")

    def fit(self, messages: Sequence[JSON], tools: Sequence[JSON] | None = None) -> tuple[list[JSON], list[JSON] | None]:
        """Messages and tools as this template takes them. What it would leave out is written into the turns."""
        rows, offered = [dict(message) for message in messages], list(tools) if tools else None
        if offered and not self.shows_tools:
            self._say("shows no tools; they are written into the system turn, and calls are asked for in <tool_call> tags")
            rows, offered = _with_tools(rows, offered), None
        if any(row.get("tool_calls") or row["role"] == "tool" for row in rows):
            rows = self._fit_calls(rows)
        if rows and rows[0]["role"] == "system" and not self.takes_system:
            self._say("takes no system turn, or moves it; what it says stands before the first user turn")
            rows = _folded(rows)
        for kind in self._lost(rows, self.places):
            self._once(kind, no_place(self._name, kind) + "; left out")
        return [self.places.written(row) for row in rows], offered

    def render(self, messages: Sequence[JSON], tools: Sequence[JSON] | None = None, *, generate: bool = False) -> str:
        """The text of a conversation. generate: up to where the assistant's next turn begins. Raises what the template raises."""
        rows, offered = self.fit(messages, tools)
        return str(self.tokenizer.apply_chat_template(rows, tools=offered, add_generation_prompt=generate, tokenize=False))

    def trained(self, messages: Sequence[JSON], tools: Sequence[JSON] | None = None) -> str:
        """The text that is trained on; TRL's templates render some conversations otherwise than the model's own. Raises what the template raises."""
        rows, offered = self.fit(messages, tools)
        template = self._training if self.masks == "trl" else None
        return str(self.tokenizer.apply_chat_template(rows, tools=offered, chat_template=template, tokenize=False))

    def ids(self, messages: Sequence[JSON], tools: Sequence[JSON] | None = None, *, generate: bool = False) -> list[int]:
        """The same as token ids."""
        return list(self.tokenizer(self.render(messages, tools, generate=generate), add_special_tokens=False)["input_ids"])

    def masked(self, messages: Sequence[JSON], tools: Sequence[JSON] | None = None) -> Masked:
        """A conversation with what the assistant says marked. Raises BadRowError where it cannot be told apart, and what the template raises."""
        *earlier, last = self.parts(messages, tools)
        if earlier:
            raise BadRowError(_MOVES)
        return last.made

    def parts(self, messages: Sequence[JSON], tools: Sequence[JSON] | None = None) -> list[Part]:
        """The same where turns are rendered otherwise once others follow: the conversation up to some of its turns, with each turn of the assistant marked
        in the last part in which it stands as it was asked for. One part, the whole, where nothing changes."""
        rows, offered = self.fit(messages, tools)
        if self.masks == "prefixes":
            return self._by_prefixes(rows, offered)
        template = self._training if self.masks == "trl" else None
        made = self.tokenizer.apply_chat_template(
            rows, tools=offered, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        turns = tuple(range(sum(row["role"] == "assistant" for row in rows)))
        return [Part(Masked(list(made["input_ids"]), list(made["assistant_masks"])), turns)]

    def before(self, messages: Sequence[JSON], count: int, tools: Sequence[JSON] | None = None) -> list[int]:
        """Ids of the first so many messages, none where these are only a system turn that stands elsewhere."""
        if all(message["role"] == "system" for message in messages[:count]) and not self.takes_system:
            return []  # what it says stands in a turn that follows
        rows, offered = self.fit(messages[:count], tools)
        if not rows:
            return []
        template = self._training if self.masks == "trl" else None
        made = self.tokenizer.apply_chat_template(rows, tools=offered, chat_template=template, tokenize=True, return_dict=True)
        return list(made["input_ids"])

    @property
    def kept_marks(self) -> tuple[str, ...]:
        """The special tokens that open and close calls, and stay in the text of an answer."""
        return tuple(mark for mark in MARKS if mark in self.tokenizer.all_special_tokens)

    def said(self, ids: Sequence[int]) -> str:
        """The text of an answer with the special tokens that open and close calls, which tokenizers leave out of text."""
        marks = {self.tokenizer.convert_tokens_to_ids(mark) for mark in self.kept_marks}
        if not marks:
            return str(self.tokenizer.decode(ids, skip_special_tokens=True))
        special = set(self.tokenizer.all_special_ids) - marks
        return str(self.tokenizer.decode([token for token in ids if token not in special], skip_special_tokens=False))

    def trains_stop(self) -> bool:
        """Whether a token that ends the turn is among what the assistant says."""
        try:
            made = self.masked(
                [{"role": "user", "content": _WORD}, {"role": "assistant", "content": _WORD}, {"role": "user", "content": "?"}]
            )
        except Exception:  # a template that refuses this conversation is judged by the real ones
            return True
        said = [token for token, speaks in zip(made.ids, made.mask, strict=True) if speaks]
        ends = {self.tokenizer.eos_token_id, *self.tokenizer.all_special_ids, *self.tokenizer.added_tokens_decoder}
        return any(token in ends for token in said[-3:])

    def _by_prefixes(self, rows: list[JSON], tools: list[JSON] | None) -> list[Part]:
        """What stands between the prompt of each assistant turn and its end, in a rendering that begins with both: the whole one, or that up to the turn."""

        @cache
        def render(count: int, generate: bool = False) -> str:
            return str(self.tokenizer.apply_chat_template(rows[:count], tools=tools, add_generation_prompt=generate, tokenize=False))

        def span(at: int, whole: str) -> tuple[int, int] | None:
            closed, through = (self._open(render(at), whole) if at else ""), self._open(render(at + 1), whole)
            start = _common(render(at, True), whole) if at else self._opening(rows[at], tools, whole)
            return None if start < len(closed) or not whole.startswith(through) else (start, self._end(whole, start, len(through)))

        turns = [at for at, row in enumerate(rows) if row["role"] == "assistant"]
        left, end, parts = turns, len(rows), list[Part]()
        while left or not parts:
            whole = render(end)
            spans = {at: found for at in left if (found := span(at, whole)) is not None}
            if spans or not left:
                parts.append(Part(self._marked(whole, list(spans.values())), tuple(turns.index(at) for at in spans)))
            elif end == left[-1] + 1:
                raise BadRowError(_MOVES)
            left = [at for at in left if at not in spans]
            end = left[-1] + 1 if left else 0
        return parts[::-1]

    def _marked(self, whole: str, spans: Sequence[tuple[int, int]]) -> Masked:
        made = self.tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
        mask = [int(any(start < right and left < end for start, end in spans)) for left, right in made["offset_mapping"]]
        return Masked(list(made["input_ids"]), mask)

    def _opening(self, row: JSON, tools: list[JSON] | None, whole: str) -> int:
        """Where a turn that opens a conversation begins to speak: templates refuse an empty prompt, so it is where what it says tells renderings apart."""
        others: list[JSON] = [{"role": row["role"], "content": word} for word in (_WORD, "0")]
        rendered = (self.tokenizer.apply_chat_template([other], tools=tools, tokenize=False) for other in others)
        return min(_common(str(text), whole) for text in rendered)

    def _open(self, rendered: str, whole: str) -> str:
        """A rendering without what the template writes behind the last turn alone."""
        if whole.startswith(rendered):
            return rendered
        return rendered.rstrip().removesuffix(self.tokenizer.eos_token or "").rstrip()

    def _end(self, whole: str, start: int, end: int) -> int:
        """Without the white space behind a token that ends the turn, which is never written by a model that stopped there."""
        said = whole[start:end].rstrip()
        return start + len(said) if said.endswith(tuple(self.tokenizer.all_special_tokens)) else end

    def _fit_calls(self, rows: list[JSON]) -> list[JSON]:
        way = self.calls
        if not way.arguments:
            self._say("knows no calls; they are written as <tool_call> tags, and what tools answer as <tool_response> in user turns")
            return _as_tags(rows)
        if not way.once:
            self._say("writes the arguments of calls as text within text, whatever they are given as")
        return _shaped(rows, way)

    def _lost(self, rows: Sequence[JSON], places: Places) -> Iterator[str]:
        return (kind for row in rows for kind in places.lost(row)) if self.works else iter(())

    def _places_of(self, template: str | None) -> Places:
        """Of this template, or of the one that TRL trains with."""
        if template not in self._places:
            called = _shaped(_called(), self.calls) if self.calls.arguments else _called()
            self._places[template] = find_places(lambda rows: self._tried(rows, template=template), called, _WORD)
        return self._places[template]

    def _tried(self, messages: list[JSON], tools: list[JSON] | None = None, template: str | None = None) -> str | None:
        """A rendering, up to where the assistant speaks unless it has the last word; None where the template refuses."""
        generate = messages[-1]["role"] != "assistant"
        try:
            made = self.tokenizer.apply_chat_template(
                messages, tools=tools, chat_template=template, add_generation_prompt=generate, tokenize=False
            )
            return str(made)
        except Exception:  # Jinja, and whatever an expression in a template raises
            return None

    @property
    def _name(self) -> str:
        return self.tokenizer.name_or_path or "this model"

    def _say(self, what: str) -> None:
        self._once(what, f"{self._name}: the chat template {what}")

    def _once(self, key: str, what: str) -> None:
        if key not in self._said:
            self._said.add(key)
            logging.getLogger("luthier").warning("%s", what)


def refused(problem: Exception) -> BadRowError:
    """A row that the template does not take, in its own words."""
    return problem if isinstance(problem, BadRowError) else BadRowError(f"the chat template refuses it: {reason(problem)}")


def tools_text(tools: Sequence[JSON]) -> str:
    """The tools on offer and how they are called, in the words of Hermes and Qwen, for a system turn."""
    return _HEAD + "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools) + _FOOT


def _tool(name: str) -> JSON:
    schema = {"type": "object", "properties": {f"{_WORD}a": {"type": "string", "description": "A."}}, "required": [f"{_WORD}a"]}
    return {"type": "function", "function": {"name": name, "description": "A tool.", "parameters": schema}}


def _called() -> list[JSON]:
    """A call and its answer, as rows have them."""
    call = {"type": "function", "function": {"name": f"{_WORD}t", "arguments": {f"{_WORD}a": "A"}}}
    return [
        {"role": "user", "content": _WORD},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "name": f"{_WORD}t", "content": f"{_WORD}v"},
    ]


def _shaped(rows: list[JSON], way: CallWay) -> list[JSON]:
    """Calls and answers in a template's way; tried and used alike."""
    made = [_with_arguments(row, as_text=way.arguments == "text") for row in rows]
    return _with_ids(made) if way.ids else made


def _with_tools(rows: list[JSON], tools: Sequence[JSON]) -> list[JSON]:
    text = tools_text(tools)
    if rows and rows[0]["role"] == "system":
        return [{**rows[0], "content": f"{rows[0]['content']}\n\n{text}".strip()}, *rows[1:]]
    return [{"role": "system", "content": text}, *rows]


def _folded(rows: list[JSON]) -> list[JSON]:
    """Without the system turn, which stands before the first user turn, or is one where there is none."""
    system, *rest = rows
    at = next((at for at, row in enumerate(rest) if row["role"] == "user"), None)
    if at is None:
        return [{"role": "user", "content": system["content"]}, *rest]
    rest[at] = {**rest[at], "content": f"{system['content']}\n\n{rest[at]['content']}".strip()}
    return rest


def _as_tags(rows: list[JSON]) -> list[JSON]:
    """Calls and what tools answer as text."""
    made: list[JSON] = []
    for row in rows:
        if row["role"] == "tool":
            told = f"<tool_response>\n{row['content']}\n</tool_response>"
            if made and made[-1]["role"] == "user":
                made[-1] = {**made[-1], "content": f"{made[-1]['content']}\n{told}"}
            else:
                made.append({"role": "user", "content": told})
        elif row["role"] == "user" and made and made[-1]["role"] == "user":  # after an answer: many templates want turns to take turns
            made[-1] = {**made[-1], "content": f"{made[-1]['content']}\n{row['content']}"}
        elif row.get("tool_calls"):
            calls = [call.get("function", call) for call in row["tool_calls"]]
            told = "\n".join(f"<tool_call>\n{_call_text(call)}\n</tool_call>" for call in calls)
            rest = {key: value for key, value in row.items() if key != "tool_calls"}
            made.append({**rest, "content": f"{row['content']}\n{told}".strip()})
        else:
            made.append(row)
    return made


def _call_text(call: JSON) -> str:
    return f'{{"name": {json.dumps(call["name"], ensure_ascii=False)}, "arguments": {_text_of(call["arguments"])}}}'


def _with_arguments(row: JSON, *, as_text: bool) -> JSON:
    """Arguments as JSON text, or as the mapping that a text holds."""
    if not row.get("tool_calls"):
        return row
    calls = []
    for call in row["tool_calls"]:
        function = call.get("function", call)
        told = {**function, "arguments": (_text_of if as_text else _mapping_of)(function["arguments"])}
        calls.append({**call, "function": told} if "function" in call else told)
    return {**row, "tool_calls": calls}


def _text_of(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _mapping_of(arguments: Any) -> Any:
    """The mapping that a text holds; what holds none stays."""
    try:
        read = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return arguments
    return read if isinstance(read, dict) else arguments


def _with_ids(rows: list[JSON]) -> list[JSON]:
    """Ids of nine signs for calls, and for the answers to them, which come in their order where they name none."""
    made, names, waiting, count = [], dict[str, str](), list[str](), 0
    for row in rows:
        if row.get("tool_calls"):
            calls = []
            for call in row["tool_calls"]:
                count += 1
                new = f"{count:09d}"
                if call.get("id"):
                    names[call["id"]] = new
                waiting.append(new)
                calls.append({**call, "id": new})
            made.append({**row, "tool_calls": calls})
        elif row["role"] == "tool":
            new = names.get(row.get("tool_call_id") or "") or (waiting[0] if waiting else f"{0:09d}")
            if new in waiting:
                waiting.remove(new)
            made.append({**row, "tool_call_id": new})
        else:
            made.append(row)
    return made


def _common(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
