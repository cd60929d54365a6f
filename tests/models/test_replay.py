from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_server import ChatServer, Reply, completion
from luthier.errors import BadRowError, BudgetError, EngineError, MissingFileError
from luthier.models.endpoint import EndpointModel
from luthier.models.protocol import Capability, Completion, LanguageModel, Progress, Prompt, Sampling, Score, Usage
from luthier.models.replay import BATCH, RecordingModel, ReplayModel
from luthier.records import Message, Tool

SAMPLED = Sampling(temperature=1.0, seed=5)


def ask(text: str, **more: object) -> Prompt:
    return Prompt((Message("user", text),), **more)  # type: ignore[arg-type]


class Parrot:
    """An engine whose answer shows the prompt and the seed it would have drawn with; it fails after `patience` prompts."""

    supports: frozenset[Capability] = frozenset({"generate", "score", "module"})

    def __init__(self, name: str = "parrot", patience: int = 10**9) -> None:
        self.name, self.patience, self.usage = name, patience, Usage()
        self.asked: list[str] = []

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling | None = None, progress: Progress | None = None) -> list[Completion]:
        sampling = sampling or Sampling()
        answers = []
        for index, prompt in enumerate(prompts):
            if len(self.asked) == self.patience:
                raise KeyboardInterrupt
            self.asked.append(str(prompt.messages[-1].content))
            seed = sampling.seed + index if sampling.temperature else "greedy"
            answers.append(Completion(f"{self.asked[-1]} {seed}", "stop", 2, 1))
            self.usage.add(answers[-1])
        return answers

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        self.asked.extend(continuations)
        return [Score((1, len(text)), (-0.5, -math.inf)) for text in continuations]


def record(path: Path, prompts: list[Prompt], sampling: Sampling | None = None, model: LanguageModel | None = None) -> list[Completion]:
    with RecordingModel(model or Parrot(), path) as recording:
        return recording.generate(prompts, sampling or Sampling())


def test_both_are_language_models(tmp_path: Path) -> None:
    record(tmp_path / "r.jsonl", [ask("a")])
    with RecordingModel(Parrot(), tmp_path / "r.jsonl") as recording:
        assert isinstance(recording, LanguageModel)
        assert recording.supports == {"generate", "score"}
    assert isinstance(ReplayModel(tmp_path / "r.jsonl"), LanguageModel)


@given(st.lists(st.text(max_size=3), max_size=20))
def test_a_replay_says_what_was_recorded(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    path = tmp_path_factory.mktemp("replay") / "r.jsonl"
    prompts = [ask("first"), *map(ask, words)]
    answers = record(path, prompts, SAMPLED)
    replay = ReplayModel(path)
    steps: list[int] = []
    assert replay.generate(prompts, SAMPLED, steps.append) == answers
    assert sum(steps) == len(prompts)
    assert replay.name == "parrot"
    assert (replay.usage.calls, replay.usage.prompt_tokens) == (len(prompts), 2 * len(prompts))


def test_the_same_request_again_is_another_answer(tmp_path: Path) -> None:
    answers = record(tmp_path / "r.jsonl", [ask("a")] * 3, SAMPLED)
    assert [a.text for a in answers] == ["a 5", "a 6", "a 7"]
    replay = ReplayModel(tmp_path / "r.jsonl")
    assert [replay.generate([ask("a")], SAMPLED)[0].text for _ in range(3)] == ["a 5", "a 6", "a 7"]
    with pytest.raises(EngineError, match="no answer to 'a'"):
        replay.generate([ask("a")], SAMPLED)


@pytest.mark.parametrize(
    ("prompt", "sampling"),
    [
        (ask("b"), Sampling()),
        (ask("a"), Sampling(max_tokens=1)),
        (ask("a"), Sampling(stop=("x",))),
        (ask("a", tools=(Tool("f", "", {}),)), Sampling()),
        (ask("a", grammar="start: x"), Sampling()),
        (ask("a", json_schema={}), Sampling()),
        (Prompt((Message("system", "a"),)), Sampling()),
    ],
)
def test_anything_that_shapes_an_answer_is_part_of_the_key(tmp_path: Path, prompt: Prompt, sampling: Sampling) -> None:
    record(tmp_path / "r.jsonl", [ask("a")])
    replay = ReplayModel(tmp_path / "r.jsonl")
    with pytest.raises(EngineError, match=r"r\.jsonl holds no answer to .*RecordingModel"):
        replay.generate([prompt], sampling)
    assert replay.generate([ask("a")])[0].text == "a greedy"  # the miss counted nothing


@pytest.mark.parametrize("stop_at", [0, 1, BATCH, BATCH + 7, 3 * BATCH])
def test_a_stopped_recording_continues_and_asks_nothing_twice(tmp_path: Path, stop_at: int) -> None:
    prompts = [ask(str(n % 50)) for n in range(3 * BATCH)]
    whole = record(tmp_path / "whole.jsonl", prompts, SAMPLED)
    first, second = Parrot(patience=stop_at), Parrot()
    if stop_at < len(prompts):
        with pytest.raises(KeyboardInterrupt):
            record(tmp_path / "r.jsonl", prompts, SAMPLED, first)
    else:
        record(tmp_path / "r.jsonl", prompts, SAMPLED, first)
    kept = len((tmp_path / "r.jsonl").read_text().splitlines())
    assert kept == stop_at - stop_at % BATCH
    assert record(tmp_path / "r.jsonl", prompts, SAMPLED, second) == whole
    assert len(second.asked) == len(prompts) - kept
    assert (tmp_path / "r.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_half_written_line_is_dropped_and_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    answers = record(path, [ask("a"), ask("b")])
    path.write_bytes(path.read_bytes()[:-10])
    assert ReplayModel(path).generate([ask("a")]) == answers[:1]
    with pytest.raises(EngineError, match="no answer to 'b'"):
        ReplayModel(path).generate([ask("b")])
    parrot = Parrot()
    assert record(path, [ask("a"), ask("b")], model=parrot) == answers
    assert parrot.asked == ["b"]


def test_a_replay_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    record(path, [ask("a")])
    path.write_bytes(path.read_bytes() + b'{"key": "half')
    before = path.read_bytes()
    ReplayModel(path).generate([ask("a")])
    assert path.read_bytes() == before


def test_an_endpoint_is_recorded_answer_by_answer(tmp_path: Path) -> None:
    """A budget stops the first job; the second pays only for what is missing, with the seeds of the whole job."""

    def answer(request: Reply) -> Reply:
        return completion(f"{request['messages'][-1]['content']} {request['seed']}")

    prompts = [ask(str(n)) for n in range(10)]
    path = tmp_path / "r.jsonl"
    with ChatServer(answer) as server:
        with pytest.raises(BudgetError):
            record(path, prompts, SAMPLED, EndpointModel(server.url, "m", concurrency=3, max_calls=6))
        assert len(path.read_text().splitlines()) == 6
        answers = record(path, prompts, SAMPLED, EndpointModel(server.url, "m", concurrency=3, max_calls=4))
        assert len(server.requests) == 10
    assert [a.text for a in answers] == [f"{n} {5 + n}" for n in range(10)]
    assert ReplayModel(path).generate(prompts, SAMPLED) == answers


def test_after_a_failure_the_same_object_can_go_on(tmp_path: Path) -> None:
    with ChatServer() as server, RecordingModel(EndpointModel(server.url, "m", max_calls=1), tmp_path / "r.jsonl") as model:
        with pytest.raises(BudgetError):
            model.generate([ask("a"), ask("b")])
        assert model.generate([ask("a")])[0].text == "echo a"
        assert len(server.requests) == 1


def test_scores_are_recorded_too(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    prompts, continuations = [ask("a"), ask("a")], ["x", "yy"]
    with RecordingModel(Parrot(), path) as recording:
        scores = recording.score(prompts, continuations)
    parrot = Parrot()
    with RecordingModel(parrot, path) as recording:
        assert recording.score(prompts, continuations) == scores
    assert parrot.asked == []
    assert ReplayModel(path).score(prompts, continuations) == scores
    assert scores[1] == Score((1, 2), (-0.5, -math.inf))
    with pytest.raises(EngineError, match="no answer to 'a'"):
        ReplayModel(path).score([ask("a")], ["other"])
    with pytest.raises(EngineError, match="2 prompts but 1 continuations"):
        ReplayModel(path).score(prompts, ["x"])


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with pytest.raises(MissingFileError, match="no such file; record one"):
        ReplayModel(path)
    path.write_text("")
    with pytest.raises(EngineError, match="no recorded answers"):
        ReplayModel(path)
    path.write_text('{"hello": 1}\n')
    with pytest.raises(EngineError, match="no recorded answer"):
        ReplayModel(path)
    path.write_text("nonsense\n")
    with pytest.raises(BadRowError, match=r"r\.jsonl:1: not JSON"):
        ReplayModel(path)


def test_one_file_holds_one_model(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    record(path, [ask("a")])
    with pytest.raises(EngineError, match="holds answers of 'parrot', not of 'crow'"):
        RecordingModel(Parrot("crow"), path)
    row = json.loads(path.read_text())
    assert row.keys() == {"key", "model", "text", "finish", "prompt_tokens", "completion_tokens"}
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "key": "k", "model": "crow"}) + "\n")
    with pytest.raises(EngineError, match="answers of 2 models"):
        ReplayModel(path)
