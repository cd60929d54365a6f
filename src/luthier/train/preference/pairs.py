"""Preference pairs as token ids, with the marks of where the two answers differ. What cannot be trained on is counted, never trained on."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from typing import Any, Literal

from luthier.errors import BadRowError
from luthier.models.chat_template import ChatTemplate, refused
from luthier.records import JSON, PreferencePair
from luthier.texts.alignment import edit_masks
from luthier.train.rows import RefusedRowError
from luthier.train.turn_weights import answer_weight, row_weight

TooLong = Literal["leave-out", "truncate"]
EncodedPair = dict[str, Any]
"""`prompt_ids`, `chosen_ids`, `rejected_ids`; `chosen_diff`, `rejected_diff` (1 where an answer differs from the other); `key`, of the
ids; and where the data bring them along `chosen_weights`, `rejected_weights`, by token, and `weight`, of the pair."""
_PROMPTLESS = "a pair without a prompt: there is nothing the answers follow"
_BY_TOKEN = ("chosen_ids", "rejected_ids", "chosen_weights", "rejected_weights")


@dataclass
class PairCounts:
    """What became of the pairs. examples: the position (from 1) of the first pair of each kind that was left out."""

    kept: int = 0
    identical: int = 0
    empty: int = 0
    too_long: int = 0
    truncated: int = 0
    not_separable: int = 0
    other_turns: int = 0
    first: dict[str, int] = field(default_factory=dict)

    def count(self, kind: str, position: int) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        self.first.setdefault(kind, position)

    def left_out(self) -> str:
        """One line on what is not trained on; empty where everything is."""
        names = {
            "identical": "with identical answers",
            "empty": "with an empty answer",
            "too_long": "too long",
            "not_separable": "whose prompt the chat template renders otherwise once an answer follows",
            "other_turns": "whose answers hold turns that are not the assistant's",
        }
        told = [f"{getattr(self, kind)} {name} (the first: pair {self.first[kind]})" for kind, name in names.items() if getattr(self, kind)]
        return f"left out: {', '.join(told)}" if told else ""

    def to_row(self) -> JSON:
        return {key: value for key, value in asdict(self).items() if key != "first"}


def token_diff(chosen_ids: Sequence[int], rejected_ids: Sequence[int]) -> tuple[list[int], list[int]]:
    """Marks of the tokens in which two answers differ, by a shortest alignment (arXiv 2408.07471, sec. 3).

    In the chosen answer what is inserted or replaces a token, in the rejected one what is deleted or replaced. They depend on the two
    answers only; of several shortest alignments, the one of `texts.alignment` is taken.
    """
    rejected, chosen = edit_masks(rejected_ids, chosen_ids)
    return chosen, rejected


def encode_pairs(
    pairs: Iterable[PreferencePair | JSON], tokenizer: Any, *, max_length: int | None = 1024, too_long: TooLong = "leave-out"
) -> tuple[list[EncodedPair], PairCounts]:
    """The pairs that can be trained on, and what became of the others.

    pairs: typed pairs are rendered by the tokenizer's chat template; rows of strings `prompt`, `chosen`, `rejected` are read as plain
    text that ends with the end-of-sequence token, and rows of ids (`prompt_ids`, `chosen_ids`, `rejected_ids`) are taken as they are.
    max_length: tokens of a prompt with either answer; longer pairs are left out, or their answers cut (a prompt never is).
    """
    counts = PairCounts()
    rows, template = [], ChatTemplate.of(tokenizer)
    left = template.counting()
    for position, pair in enumerate(pairs, 1):
        if isinstance(pair, PreferencePair) and (problem := _unfit(pair)):
            counts.count(problem, position)
            continue
        if isinstance(pair, PreferencePair):
            told = pair.to_row()
            template.count([*told["prompt"], *told["chosen"], *told["rejected"]], left)
        try:
            row = encode_pair(pair, tokenizer)
        except BadRowError as problem:
            raise RefusedRowError(problem.problem, position, pair) from problem
        if row is None:
            counts.count("not_separable", position)
            continue
        longest = len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
        room = longest if max_length is None else max_length - len(row["prompt_ids"])
        cut = max_length is not None and longest > max_length
        if cut and (too_long == "leave-out" or room < 1):
            counts.count("too_long", position)
            continue
        if cut:
            row |= {name: row[name][:room] for name in _BY_TOKEN if name in row}
        if not _says_something(row["chosen_ids"], tokenizer) or not _says_something(row["rejected_ids"], tokenizer):
            counts.count("empty", position)
        elif row["chosen_ids"] == row["rejected_ids"]:
            counts.count("identical", position)
        else:
            row["chosen_diff"], row["rejected_diff"] = token_diff(row["chosen_ids"], row["rejected_ids"])
            row["key"] = _key(row)
            counts.kept += 1
            counts.truncated += cut
            rows.append(row)
    left.say()
    return rows, counts


def encode_pair(pair: PreferencePair | JSON, tokenizer: Any) -> EncodedPair | None:
    """Ids of one pair. The answers begin where the rendered prompt ends, or where it stops being a beginning of prompt and answer.

    None where that is before the prompt's own turns end, so that the prompt's text would be taken for an answer. Raises BadRowError where the row has no prompt, chosen and rejected, or its weights do not fit its answers.
    """
    if isinstance(pair, PreferencePair):
        rendered = _rendered(pair, tokenizer)
        if rendered is None:
            return None
        (prompt, chosen, rejected), extra = rendered, pair.extra
    elif "prompt_ids" in pair:
        prompt, chosen, rejected = ([int(i) for i in pair[f"{name}_ids"]] for name in ("prompt", "chosen", "rejected"))
        extra = pair
    else:
        prompt, chosen, rejected = _plain(pair, tokenizer)
        extra = pair
    if not prompt:
        raise BadRowError(_PROMPTLESS)
    row: EncodedPair = {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}
    for side, ids in (("chosen", chosen), ("rejected", rejected)):
        turns = answer_weight(getattr(pair, side)) if isinstance(pair, PreferencePair) else 1.0
        weights = extra.get(f"{side}_weights")
        if weights is not None and len(weights) != len(ids):
            raise BadRowError(f"{side}_weights has {len(weights)} numbers, but the answer has {len(ids)} tokens")
        if weights is not None or turns != 1:
            row[f"{side}_weights"] = [turns * float(weight) for weight in weights or [1.0] * len(ids)]
    if (weight := row_weight(extra)) != 1:
        row["weight"] = weight
    return row


def _unfit(pair: PreferencePair) -> str:
    """Which count a pair of conversations belongs to that is not trained on; empty where it is."""
    answers = (pair.chosen, pair.rejected)
    if any(message.role != "assistant" for answer in answers for message in answer):
        return "other_turns"
    if not all(any((message.content or "").strip() or message.tool_calls for message in answer) for answer in answers):
        return "empty"
    return ""


def _rendered(pair: PreferencePair, tokenizer: Any) -> tuple[list[int], list[int], list[int]] | None:
    row = pair.to_row()
    if not row["prompt"]:
        raise BadRowError(_PROMPTLESS)  # templates refuse an empty conversation in words of their own
    tools = row.get("tools")
    prompt = _template(tokenizer, row["prompt"], tools, generate=True)
    wholes = [_template(tokenizer, row["prompt"] + row[side], tools) for side in ("chosen", "rejected")]
    start = min(_common(prompt, whole) for whole in wholes)
    if start < len(_template(tokenizer, row["prompt"], tools)):
        return None
    return prompt[:start], wholes[0][start:], wholes[1][start:]


def _plain(row: JSON, tokenizer: Any) -> tuple[list[int], list[int], list[int]]:
    missing = [name for name in ("prompt", "chosen", "rejected") if not isinstance(row.get(name), str)]
    if missing:
        raise BadRowError(f"not a pair of texts: {' and '.join(missing)} missing; the row has {', '.join(row)}")
    prompt = list(tokenizer(row["prompt"])["input_ids"])
    end = tokenizer.eos_token or ""
    wholes = [list(tokenizer(row["prompt"] + row[side].removesuffix(end) + end)["input_ids"]) for side in ("chosen", "rejected")]
    start = min(_common(prompt, whole) for whole in wholes)
    return prompt[:start], wholes[0][start:], wholes[1][start:]


def _template(tokenizer: Any, messages: list[JSON], tools: Any, *, generate: bool = False) -> list[int]:
    template = ChatTemplate.of(tokenizer)
    try:
        return template.ids(messages, tools, generate=generate)
    except Exception as problem:
        if not template.works:
            raise
        raise refused(problem) from problem


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(a, b, strict=False)))


def _says_something(ids: Sequence[int], tokenizer: Any) -> bool:
    return bool(ids) and bool(tokenizer.decode(list(ids), skip_special_tokens=True).strip())


def _key(row: EncodedPair) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for ids in (row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]):
        digest.update(len(ids).to_bytes(4, "little") + array("i", ids).tobytes())
    return digest.hexdigest()
