"""Recorded answers: `RecordingModel` writes down what an engine says, `ReplayModel` says it again without the engine.

An answer is found by the SHA-256 of everything that shaped it: model name, prompt, sampling, and how often that same request came
before. A stopped recording continues where it was, and asks nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

from luthier.errors import BadRowError, EngineError, MissingFileError
from luthier.models.protocol import (
    GREEDY,
    Capability,
    Completion,
    LanguageModel,
    Progress,
    Prompt,
    Sampling,
    Samplings,
    Score,
    Usage,
    draws,
)
from luthier.records import JSON
from luthier.records.journal import Journal
from luthier.records.lines import parse_row

BATCH = 64  # prompts asked at a time of an engine that answers only when all are done
_EXCERPT = 80


@runtime_checkable
class AnswersOneByOne(Protocol):
    """An engine that hands on each answer as it arrives (`EndpointModel` does)."""

    def generate_each(
        self, prompts: Sequence[tuple[int, Prompt]], sampling: Samplings, on_answer: Callable[[int, Completion], None]
    ) -> None: ...


class RecordingModel:
    """`model`, with each of its answers appended to the JSONL file `path` as it arrives. Use as a context manager, or close it.

    Raises EngineError where the file holds answers of a model with another name.
    """

    def __init__(self, model: LanguageModel, path: Path | str) -> None:
        self.model, self.path, self.name, self.usage = model, Path(path), model.name, model.usage
        self.supports: frozenset[Capability] = model.supports - {"module"}
        self._journal = Journal(path, ("key", "model"))
        self._rows = _by_key(self._journal)
        self._asked = _Occurrences(self.name)
        other = {str(row["model"]) for row in self._rows.values()} - {self.name}
        if other:
            self._journal.close()
            raise EngineError(f"{path} holds answers of {min(other)!r}, not of {self.name!r}; record into another file")

    def generate(self, prompts: Sequence[Prompt], sampling: Samplings = GREEDY, progress: Progress | None = None) -> list[Completion]:
        """Answer every prompt, in order: from the file where it is there, else from the model."""
        asked, keys = self._asked.number(_requests(prompts, sampling))
        missing = [index for index, key in enumerate(keys) if key not in self._rows]
        if progress is not None and len(missing) < len(prompts):
            progress(len(prompts) - len(missing))

        def keep(index: int, completion: Completion) -> None:
            self._keep(keys[index], asdict(completion))
            if progress is not None:
                progress(1)

        self._ask(prompts, missing, sampling, keep)
        self._asked = asked
        return [_completion(self._rows[key]) for key in keys]

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        """As the model scores, and recorded as well."""
        asked, keys = self._asked.number(_score_requests(prompts, continuations))
        missing = [index for index, key in enumerate(keys) if key not in self._rows]
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            scores = self.model.score([prompts[i] for i in batch], [continuations[i] for i in batch])
            for index, score in zip(batch, scores, strict=True):
                self._keep(keys[index], _score_row(score))
        self._asked = asked
        return [_score(self._rows[key]) for key in keys]

    def close(self) -> None:
        self._journal.close()

    def __enter__(self) -> RecordingModel:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, prompts: Sequence[Prompt], missing: Sequence[int], sampling: Samplings, keep: Callable[[int, Completion], None]) -> None:
        if isinstance(self.model, AnswersOneByOne):
            chosen = sampling if isinstance(sampling, Sampling) else [sampling[index] for index in missing]
            self.model.generate_each([(index, prompts[index]) for index in missing], chosen, keep)
            return
        for batch in _runs(missing):
            if isinstance(sampling, Sampling):
                # An engine seeds by the position it sees; the shift keeps what is asked after a stop from repeating earlier draws.
                shifted: Samplings = replace(sampling, seed=sampling.seed + batch[0])
            else:
                shifted = [sampling[index] for index in batch]
            for index, completion in zip(batch, self.model.generate([prompts[i] for i in batch], shifted), strict=True):
                keep(index, completion)

    def _keep(self, key: str, answer: JSON) -> None:
        row = {"key": key, "model": self.name, **answer}
        self._journal.append(row)
        self._rows[key] = row


class ReplayModel:
    """The answers in `path`, and nothing else. `usage` counts what they cost when they were recorded.

    Raises MissingFileError, EngineError where the file holds no answers, and BadRowError for a damaged line.
    """

    supports: frozenset[Capability] = frozenset({"generate", "grammar", "json_schema", "score"})

    def __init__(self, path: Path | str) -> None:
        self.path, self.usage = Path(path), Usage()
        self._rows = _by_key(_read(self.path))
        names = sorted({str(row["model"]) for row in self._rows.values()})
        if len(names) != 1:
            found = f"answers of {len(names)} models" if names else "no recorded answers"
            raise EngineError(f"{path} holds {found}; record one model with RecordingModel(model, path)")
        self.name = names[0]
        self._asked = _Occurrences(self.name)

    def generate(self, prompts: Sequence[Prompt], sampling: Samplings = GREEDY, progress: Progress | None = None) -> list[Completion]:
        """The recorded answers. Raises EngineError for the first prompt that has none."""
        asked, keys = self._asked.number(_requests(prompts, sampling))
        answers = [_completion(self._find(key, prompt)) for key, prompt in zip(keys, prompts, strict=True)]
        for answer in answers:
            self.usage.add(answer)
        self._asked = asked
        if progress is not None:
            progress(len(answers))
        return answers

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        """The recorded scores. Raises EngineError for the first prompt that has none."""
        asked, keys = self._asked.number(_score_requests(prompts, continuations))
        self._asked = asked
        return [_score(self._find(key, prompt)) for key, prompt in zip(keys, prompts, strict=True)]

    def _find(self, key: str, prompt: Prompt) -> JSON:
        if key not in self._rows:
            raise EngineError(
                f"{self.path} holds no answer to {_excerpt(prompt)!r} with these tools and settings; record it: use"
                f" RecordingModel(model, {str(self.path)!r}) where the model {self.name!r} can be asked, and run again"
            )
        return self._rows[key]


@dataclass
class _Occurrences:
    """How often each request was asked, so that the same request asked again is another answer."""

    model: str
    seen: Counter[str] = field(default_factory=Counter)

    def number(self, requests: Sequence[JSON]) -> tuple[_Occurrences, list[str]]:
        """A key for each request, and the counts after them: kept by the caller only once the requests are answered."""
        seen, keys = self.seen.copy(), list[str]()
        for request in requests:
            same = _sha256({"model": self.model, **request})
            keys.append(_sha256({"model": self.model, **request, "occurrence": seen[same]}))
            seen[same] += 1
        return _Occurrences(self.model, seen), keys


def _requests(prompts: Sequence[Prompt], sampling: Samplings) -> list[JSON]:
    return [_request(prompt, one.sampling) for prompt, one in zip(prompts, draws(sampling, len(prompts)), strict=True)]


def _request(prompt: Prompt, sampling: Sampling) -> JSON:
    return {**_prompt_row(prompt), "sampling": asdict(sampling)}


def _score_requests(prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[JSON]:
    if len(prompts) != len(continuations):
        raise EngineError(f"{len(prompts)} prompts but {len(continuations)} continuations to score")
    return [{**_prompt_row(prompt), "continuation": text} for prompt, text in zip(prompts, continuations, strict=True)]


def _prompt_row(prompt: Prompt) -> JSON:
    return {
        "messages": [message.to_row() for message in prompt.messages],
        "tools": [tool.to_row() for tool in prompt.tools],
        "grammar": prompt.grammar,
        "json_schema": prompt.json_schema,
    }


def _sha256(row: JSON) -> str:
    canonical = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _runs(indices: Sequence[int]) -> Iterator[list[int]]:
    """Neighbouring indices together, at most BATCH of them."""
    run: list[int] = []
    for index in indices:
        if run and (index != run[-1] + 1 or len(run) == BATCH):
            yield run
            run = []
        run.append(index)
    if run:
        yield run


def _read(path: Path) -> Iterator[JSON]:
    """Rows without opening the file for writing: it may be read-only, or still growing (a half-written last line is left out)."""
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file; record one with RecordingModel(model, {str(path)!r})")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield parse_row(line)
            except BadRowError as problem:
                raise problem.at(path, number) from None


def _by_key(rows: Journal | Iterator[JSON]) -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    for row in rows:
        if not {"key", "model"} <= row.keys():
            raise EngineError(f"a row of {sorted(row)} is no recorded answer; give a file that RecordingModel wrote")
        found[str(row["key"])] = row
    return found


def _completion(row: JSON) -> Completion:
    try:
        return Completion(row["text"], row["finish"], row["prompt_tokens"], row["completion_tokens"])
    except KeyError as problem:
        raise EngineError(f"a recorded answer of {row['model']!r} lacks {problem}; record it again") from None


def _score_row(score: Score) -> JSON:
    """JSON has no minus infinity (a token ruled out): null stands for it."""
    return {"token_ids": list(score.token_ids), "logprobs": [p if math.isfinite(p) else None for p in score.logprobs]}


def _score(row: JSON) -> Score:
    return Score(tuple(row["token_ids"]), tuple(-math.inf if p is None else p for p in row["logprobs"]))


def _excerpt(prompt: Prompt) -> str:
    words = " ".join((prompt.messages[-1].content or "").split()) if prompt.messages else ""
    return words if len(words) <= _EXCERPT else words[: _EXCERPT - 1] + "…"
