"""Conversations as the rows that are trained on: tokens by the model's own chat template, and which of them the assistant says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from luthier.errors import BadRowError, EngineError
from luthier.models.chat_template import ChatTemplate, Masked, refused
from luthier.models.loading import loading
from luthier.models.local import LocalModel
from luthier.records import JSON, Conversation
from luthier.records.account import current, note
from luthier.train.rows import RefusedRowError
from luthier.train.shared_prompts import Encoded
from luthier.train.turn_weights import IGNORED, token_weights, weighted_row

T = TypeVar("T")


def encode(conversation: Conversation, tokenizer: Any) -> Encoded:
    """`input_ids` and `labels` of a conversation; labels are -100 outside what the assistant says, and where a turn or the row weighs 0.

    `weights`, a number a token, where others than 0 and 1 are given. Raises BadRowError for a row that the chat template refuses or does not
    tell apart, and for weights that cannot be placed.
    """
    row, template = conversation.to_row(), ChatTemplate.of(tokenizer)
    messages, tools = row["messages"], row.get("tools")
    made = _asked_of(template, template.masked, messages, tools)
    return _encoded(conversation, made, lambda count: template.before(messages, count, tools))


def encode_parts(conversation: Conversation, tokenizer: Any) -> list[Encoded]:
    """The same as several rows, where the template renders turns otherwise once others follow, as Mistral's does with tools: the conversation up to each turn
    that would change, with that turn to learn, token by token what it is asked for."""
    row, template = conversation.to_row(), ChatTemplate.of(tokenizer)
    parts = _asked_of(template, template.parts, row["messages"], row.get("tools"))
    if len(parts) == 1:
        return [_encoded(conversation, parts[0].made, lambda count: template.before(row["messages"], count, row.get("tools")))]
    turns = [message for message in conversation.messages if message.role == "assistant"]
    rows = [_encoded(replace(conversation, messages=tuple(turns[at] for at in part.turns)), part.made, _untold) for part in parts]
    return [one for one in rows if any(label != IGNORED for label in one["labels"])] or rows[-1:]


def encode_all(conversations: Iterable[Conversation], model: LocalModel) -> list[Encoded]:
    """The same of many. Raises EngineError for a template that renders nothing, BadRowError with the row's position for one that it refuses."""
    return [row for rows in encode_each(conversations, model) for row in rows]


def encode_each(conversations: Iterable[Conversation], model: LocalModel) -> list[list[Encoded]]:
    """The rows of each conversation."""
    rows: list[list[Encoded]] = []
    with loading(model.folder, "chat template", "mend the template, or give another model"):
        if not model.template.answers:
            raise EngineError(
                f"{model.folder}: the chat template renders nothing of what the assistant says; mend it, or give another model"
            )
        left = model.template.counting()
        for position, one in enumerate(conversations, 1):
            model.template.count(one.to_row()["messages"], left, trained=True)
            try:
                rows.append(encode_parts(one, model.tokenizer))
            except BadRowError as problem:
                raise RefusedRowError(problem.problem, position, one) from problem
        left.say()
        if more := [each for each in rows if len(each) > 1]:
            _say_parts(len(more), sum(map(len, more)), model)
        if rows and not model.template.trains_stop():
            logging.getLogger("luthier").warning(
                "%s: the chat template's {%% generation %%} marks leave out the token that ends a turn, so stopping is not learned",
                model.folder,
            )
    return rows


def _asked_of(template: ChatTemplate, ask: Callable[[list[JSON], Any], T], messages: list[JSON], tools: Any) -> T:
    try:
        return ask(messages, tools)
    except Exception as problem:
        if not template.works:
            raise
        raise refused(problem) from problem


def _encoded(conversation: Conversation, made: Masked, prefix: Callable[[int], Sequence[int]]) -> Encoded:
    labels = [token if said else IGNORED for token, said in zip(made.ids, made.mask, strict=True)]
    return weighted_row(made.ids, labels, token_weights(conversation, made.mask, prefix, made.ids))


def _untold(count: int) -> Sequence[int]:
    raise BadRowError("its turns are rendered otherwise once others follow, and have weights of their own; give them one weight")


def _say_parts(conversations: int, rows: int, model: LocalModel) -> None:
    """Into the account of the command, else as a warning."""
    told = f"{'conversation' if conversations == 1 else 'conversations'} whose turns the chat template renders otherwise once others follow"
    if current() is not None:
        note("understood", f"{told}: the row up to each such turn is trained on, {rows} rows in all", rows=conversations)
    else:
        logging.getLogger("luthier").warning(
            "%s: %d %s; the row up to each such turn is trained on, %d rows in all", model.folder, conversations, told, rows
        )
