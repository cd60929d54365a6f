"""How diverse the replies to a context are, or should be: the targets of the diversity head (DDS, arXiv 2406.07850, label generator).

From replies a model samples, from several human replies, from the kind of the context, or blended: a weak model's replies vary where it
does not know, not only where many replies are right.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, get_args

from luthier.decode.contexts import Context, fields_read, to_context
from luthier.decode.settings import Source
from luthier.decode.similarity import match_f1, mean_similarity
from luthier.errors import BadRowError, SettingsError
from luthier.models.protocol import LanguageModel, Prompt, Sampling
from luthier.models.replay import RecordingModel
from luthier.progress import Progress, quiet
from luthier.records import JSON, Journal, read_rows, write_jsonl
from luthier.records.account import note_strange

if TYPE_CHECKING:
    from luthier.decode.similarity import StateEncoder

SOURCES: tuple[Source, ...] = get_args(Source)
UNRELATED_PAIRS = 200  # replies to different contexts that are compared to find the zero of the similarity
REPLIES, SIMILARITIES, LABELS = "replies.jsonl", "similarities.jsonl", "labels.jsonl"


@dataclass(frozen=True)
class Label:
    """A context with what was measured on it.

    replies: the model's samples. sampled, referenced: their diversity and that of the human replies, in [0, 1], None where there are none.
    """

    context: Context
    replies: tuple[str, ...] = ()
    sampled: float | None = None
    referenced: float | None = None

    def to_row(self) -> JSON:
        return {**self.context.to_row(), "replies": list(self.replies), "sampled": self.sampled, "referenced": self.referenced}


class DiversityLabeler:
    """Samples `m` replies to each context and measures how much they differ.

    model: any engine; the one that is to be decoded, or a stronger one. encoder: compares replies; `similarity.StateEncoder` of the model
    itself, or a BERT. samples: False measures references only. Raises SettingsError for settings without meaning.
    """

    def __init__(
        self,
        model: LanguageModel,
        encoder: StateEncoder,
        *,
        m: int = 8,
        max_tokens: int = 32,
        temperature: float = 1.0,
        top_p: float = 0.95,
        samples: bool = True,
        seed: int = 0,
    ) -> None:
        if m < 2:
            raise SettingsError(f"m is {m}; diversity needs at least 2 replies")
        if temperature <= 0:
            raise SettingsError(f"temperature is {temperature}; labels are sampled at a temperature above 0")
        self.model, self.encoder, self.m, self.samples, self.seed = model, encoder, m, samples, seed
        self.sampling = Sampling(max_tokens, temperature, top_p, seed=seed)

    def run(self, contexts: Sequence[Context], folder: Path, progress: Progress = quiet) -> list[Label]:
        """Labels of distinct contexts, written to `folder/labels.jsonl`; stopped work continues from the journals beside it."""
        if len({context.key for context in contexts}) < len(contexts):
            raise SettingsError("some contexts are there twice; give each once")
        replies = self.sample(contexts, folder, progress)
        progress.step("Comparing replies", len(contexts))
        zero = self._unrelated(contexts, replies)
        labels = []
        with Journal(folder / SIMILARITIES, ("of", "sampled", "referenced")) as journal:
            known = {row["of"]: row for row in journal}
            for context, said in zip(contexts, replies, strict=True):
                row = self._compare(context, said, known, journal)
                measured = (diversity(row[name], zero) for name in ("sampled", "referenced"))
                labels.append(Label(context, said, *measured))
                progress.advance()
        write_jsonl(folder / LABELS, (label.to_row() for label in labels))
        return labels

    def sample(self, contexts: Sequence[Context], folder: Path, progress: Progress = quiet) -> list[tuple[str, ...]]:
        """The replies to each context: from `folder/replies.jsonl` where they are there, else from the model; none without samples."""
        if not self.samples:
            return [() for _ in contexts]
        progress.step("Sampling replies", len(contexts) * self.m)
        prompts = [Prompt(context.messages) for context in contexts for _ in range(self.m)]
        with RecordingModel(self.model, folder / REPLIES) as model:
            made = [answer.text.strip() for answer in model.generate(prompts, self.sampling, progress.advance)]
        return [tuple(made[at : at + self.m]) for at in range(0, len(made), self.m)]

    def _compare(self, context: Context, said: tuple[str, ...], known: dict[str, JSON], journal: Journal) -> JSON:
        """Mean similarities of a context's replies: from the journal where the same texts were compared by the same encoder."""
        told = json.dumps([self.encoder.name, context.key, said, context.references], ensure_ascii=False)
        name = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        if name not in known:
            row = {"of": name, "sampled": self._similarity(said), "referenced": self._similarity(context.references)}
            journal.append(row)
            known[name] = row
        return known[name]

    def _similarity(self, texts: Sequence[str]) -> float | None:
        return mean_similarity(self.encoder.encode(texts)) if len(texts) > 1 else None

    def _unrelated(self, contexts: Sequence[Context], replies: Sequence[tuple[str, ...]]) -> float:
        """Mean similarity of texts that answer different contexts: what counts as nothing in common."""
        texts = [said[0] if said else (context.references or ("",))[0] for context, said in zip(contexts, replies, strict=True)]
        texts = [text for text in texts if text]
        if len(texts) < 2:
            return 0.0
        random = Random(f"unrelated/{self.seed}")
        texts = random.sample(texts, min(len(texts), 2 * UNRELATED_PAIRS))
        states = self.encoder.encode(texts)
        pairs = [random.sample(range(len(states)), 2) for _ in range(UNRELATED_PAIRS)]
        return sum(match_f1(states[a], states[b]) for a, b in pairs) / len(pairs)


def diversity(similarity: float | None, unrelated: float = 0.0) -> float | None:
    """D = 1 - similarity, on a scale where unrelated texts have similarity 0; clipped to [0, 1]. None stays None."""
    if similarity is None:
        return None
    if unrelated >= 1:  # whatever is said, it is the same
        return 0.0
    return min(1.0, max(0.0, 1 - (similarity - unrelated) / (1 - unrelated)))


def targets(labels: Sequence[Label], source: Source = "blend") -> list[float]:
    """Scores s* in [0, 1], one a context: raw diversities of the source, stretched from their least to their largest.

    blend takes human replies where there are several, 0 for facts with known answers, samples elsewhere; task is 1 for chat, 0 for facts.
    Raises SettingsError where a context has no such label, or all are alike.
    """
    if source not in SOURCES:
        raise SettingsError(f"source is {source!r}; choose one of {', '.join(SOURCES)}")
    raw = [_raw(label, source, number) for number, label in enumerate(labels, 1)]
    low, high = min(raw, default=0.0), max(raw, default=0.0)
    if high - low < 1e-9:
        raise SettingsError(f"all {len(raw)} labels of source {source!r} are alike; there is nothing to learn from them")
    return [(value - low) / (high - low) for value in raw]


def _raw(label: Label, source: Source, number: int) -> float:
    context = label.context
    task = 1.0 if context.kind == "chat" else 0.0
    known = 0.0 if context.kind == "fact" and context.answers else label.sampled
    blended = label.referenced if label.referenced is not None else known
    value = {"samples": label.sampled, "references": label.referenced, "task": task, "blend": blended}[source]
    if value is None:
        lacking = "several references" if source == "references" else "sampled replies"
        raise SettingsError(f"label {number} has no {lacking}, which source {source!r} needs; choose another source or label anew")
    return value


def read_labels(path: Path | str) -> list[Label]:
    """What `DiversityLabeler` wrote. Raises BadRowError with the line."""
    found = []
    for line, row in read_rows(path):
        try:
            context = to_context(row)
            measured = [row["sampled"], row["referenced"]]
            if any(value is not None and not isinstance(value, int | float) for value in measured):
                raise BadRowError("`sampled` and `referenced` are numbers or null")
        except KeyError as missing:
            raise BadRowError(f"not a label: {missing} is missing; `luthier decode label` writes labels", path, line) from None
        except BadRowError as problem:
            raise problem.at(path, line) from None
        note_strange("labels", row, fields_read(row) | {"sampled", "referenced", "replies"}, path, line)
        found.append(Label(context, tuple(row.get("replies", ())), *measured))
    return found
