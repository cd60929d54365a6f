"""How hard a small language model finds a row: the perplexity of its answer, and its instruction-following difficulty (IFD).

IFD is the mean loss of the answer given its prompt over the mean loss of the answer alone (Cherry_LLM, arXiv 2308.12032); a model much
smaller than the one that is trained orders rows nearly alike (Superfiltering, arXiv 2402.00530). This module turns rows into token ids
and losses; `luthier.select.model_sample` says which rows are asked about and which pass.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from luthier.errors import EngineError
from luthier.models import Prompt
from luthier.progress import Progress, quiet
from luthier.records import JSON, Journal, Message
from luthier.select.rows import Exchange, last_exchange

if TYPE_CHECKING:
    from luthier.models.local import LocalModel

MAX_TOKENS = 512  # of an answer the first so many are read, of a prompt the last
BATCH_TOKENS = 2048  # of one batch, padding included: the logits of a large vocabulary fill the memory
JOURNAL = "model-scores.jsonl"


class RowScore(NamedTuple):
    """The score of a row, or the reason why it has none."""

    value: float | None
    reason: str = ""


class Reading(NamedTuple):
    """Token ids that the model sees first, and those after them whose loss is taken."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def perplexities(
    model: LocalModel, rows: Sequence[JSON], *, max_tokens: int = MAX_TOKENS, run: Path | None = None, progress: Progress = quiet
) -> list[RowScore]:
    """Perplexity, exp(mean loss a token), of the last answer of each row after what precedes it; of the whole text where nothing does.

    Prompts are read through the model's chat template; of a text without one, the first token is given and not scored.
    max_tokens: of an answer the first so many are scored, of a prompt the last so many are seen. run: a folder in which losses are kept, so
    that the same call continues. Raises BadRowError, EngineError, DiskError.
    """
    reader = _Reader(model, max_tokens)
    readings = [reader.given(last_exchange(row)) for row in rows]
    losses = _mean_losses(model, [one for one in readings if isinstance(one, Reading)], run=run, progress=progress)
    return [RowScore(None, one) if isinstance(one, str) else RowScore(math.exp(losses[one])) for one in readings]


def ifd_ratios(
    model: LocalModel, rows: Sequence[JSON], *, max_tokens: int = MAX_TOKENS, run: Path | None = None, progress: Progress = quiet
) -> list[RowScore]:
    """IFD of the last answer of each row: mean loss a token after its prompt over mean loss after the template's opening only.

    At 1 and above the prompt does not help the answer. A row without prompt has no ratio. Arguments and errors as for `perplexities`.
    """
    reader = _Reader(model, max_tokens)
    pairs = [reader.given_and_alone(last_exchange(row)) for row in rows]
    readings = [reading for pair in pairs if not isinstance(pair, str) for reading in pair]
    losses = _mean_losses(model, readings, run=run, progress=progress)
    return [RowScore(None, pair) if isinstance(pair, str) else _ratio(losses[pair[0]], losses[pair[1]]) for pair in pairs]


def _mean_losses(
    model: LocalModel, readings: Sequence[Reading], *, run: Path | None = None, progress: Progress = quiet
) -> dict[Reading, float]:
    """Mean negative log-probability (nats a token) of each reading's `after`.

    Long ones go first, in batches that depend on the readings only: a stopped call continues to the very same numbers.
    """
    if run is None:
        return _read_all(model, readings, None, {}, progress)
    with Journal(run / JOURNAL, ("losses",)) as journal:
        known = {key: loss for row in journal for key, loss in row["losses"].items()}
        return _read_all(model, readings, journal, known, progress)


def _read_all(
    model: LocalModel, readings: Sequence[Reading], journal: Journal | None, known: dict[str, float], progress: Progress
) -> dict[Reading, float]:
    distinct = list(dict.fromkeys(readings))
    mark = b"" if journal is None else _fingerprint(model)
    found: dict[Reading, float] = {}
    progress.step("Reading rows with a model", len(distinct))
    for batch in _batches(distinct):
        keys = [_key(mark, reading) for reading in batch] if journal is not None else []
        if journal is not None and all(key in known for key in keys):
            losses = [known[key] for key in keys]
        else:
            losses = _batch_losses(model, batch)
            if journal is not None:
                journal.append({"losses": dict(zip(keys, losses, strict=True))})
        found.update(zip(batch, losses, strict=True))
        progress.update(len(found), len(distinct), "texts")
    return found


def _batch_losses(model: LocalModel, batch: Sequence[Reading]) -> list[float]:
    scores = model.score_tokens([(list(reading.before), list(reading.after)) for reading in batch])
    losses = [-score.total / len(score.logprobs) for score in scores]
    if not all(map(math.isfinite, losses)):
        raise EngineError(f"{model.folder}: the model gives no finite loss; its weights are damaged or overflow")
    return losses


def _batches(readings: Sequence[Reading]) -> Iterator[list[Reading]]:
    order = sorted(readings, key=lambda one: (-len(one.before) - len(one.after), one))
    while order:
        size = max(1, BATCH_TOKENS // (len(order[0].before) + len(order[0].after)))
        yield order[:size]
        order = order[size:]


def _ratio(given: float, alone: float) -> RowScore:
    if alone <= 0:
        return RowScore(None, "the model is certain of the answer without its prompt")
    return RowScore(given / alone)


class _Reader:
    """Rows as token ids, or as the reason why they have no score."""

    def __init__(self, model: LocalModel, max_tokens: int) -> None:
        self.model, self.max_tokens = model, max_tokens
        self.opening = self._encode(_opening(model)) or self._start()

    def given(self, exchange: Exchange) -> Reading | str:
        """The answer after its prompt; a text without one after its own first token."""
        if not exchange.before:
            ids = self._encode(exchange.answer)[: self.max_tokens + 1]
            return Reading(ids[:1], ids[1:]) if len(ids) > 1 else "no answer of two tokens or more"
        pair = self.given_and_alone(exchange)
        return pair if isinstance(pair, str) else pair[0]

    def given_and_alone(self, exchange: Exchange) -> tuple[Reading, Reading] | str:
        """The answer after its prompt, and after nothing but what the template writes before any answer."""
        after = self._encode(exchange.answer.strip())[: self.max_tokens]
        if not after:
            return "no answer"
        if not exchange.before:
            return "no prompt"
        try:
            prompt = self.model.render(Prompt(exchange.before, exchange.tools))
        except EngineError as problem:
            return f"the model's chat template refuses it: {problem.__cause__ or problem}"
        return Reading(self._encode(prompt)[-self.max_tokens :], after), Reading(self.opening, after)

    def _encode(self, text: str) -> tuple[int, ...]:
        whole = text.encode("utf-8", "replace").decode()  # half of a surrogate pair is no text to a tokenizer
        return tuple(self.model.tokenizer(whole, add_special_tokens=False)["input_ids"])

    def _start(self) -> tuple[int, ...]:
        tokenizer = self.model.tokenizer
        return (tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id,)


def _opening(model: LocalModel) -> str:
    """What the model's chat template writes between a prompt and its answer, such as `<|im_start|>assistant`."""
    prompt = Prompt((Message("user", "?"),))
    rows = [message.to_row() for message in prompt.messages]
    opened = model.render(prompt)
    closed = model.template.render(rows)
    same = next((at for at, (one, other) in enumerate(zip(opened, closed, strict=False)) if one != other), len(closed))
    return opened[same:]


def _fingerprint(model: LocalModel) -> bytes:
    """Of the files that decide a loss. The tokenizer's are not among them: losses are kept by token ids."""
    digest = hashlib.sha256(f"{model.dtype}{model.hardware.quantize or ''}".encode())
    for folder in (model.folder, model.adapter):
        for path in sorted(Path(folder).iterdir()) if folder is not None else ():
            if path.suffix in (".safetensors", ".bin") or path.name in ("config.json", "adapter_config.json"):
                with path.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.digest()


def _key(mark: bytes, reading: Reading) -> str:
    ids = " ".join(map(str, reading.before)) + "|" + " ".join(map(str, reading.after))
    return hashlib.sha256(mark + ids.encode()).hexdigest()[:32]
