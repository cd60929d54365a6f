"""Replies of a local model and of a server, and the arms that spend one mean temperature in different places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chat_server import ChatServer
from decode_heads import random_head
from luthier.decode import DDS, Edt, evaluation
from luthier.decode.arms import SOURCES, Arm, Bench, dds_for, expected, matched
from luthier.decode.contexts import Context
from luthier.decode.evaluation import Draws, Trial, compare, run_arm, summarise
from luthier.decode.features import read_features
from luthier.decode.labels import Label
from luthier.decode.mappings import Statistics
from luthier.decode.portable import PortableHead
from luthier.decode.rules import Fixed
from luthier.decode.samplers import read_sampler
from luthier.decode.sampling import sample_replies
from luthier.decode.serving import DynamicEndpoint
from luthier.decode.similarity import StateEncoder
from luthier.errors import SettingsError
from luthier.models.endpoint import EndpointModel
from luthier.models.local import LocalModel
from luthier.models.protocol import Prompt, Sampling
from luthier.records import Message

TEXTS = ("What is the weather in Lisbon?", "Please book a table", "Hi", "Hi")
PROMPTS = [Prompt((Message("user", text),)) for text in TEXTS]


@pytest.fixture(scope="module")
def tiny(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder, name="tiny")


def test_a_fixed_temperature_is_the_local_models_own_sampling(tiny: LocalModel):
    made = sample_replies(tiny, PROMPTS, DDS(Fixed(0.8)), max_tokens=10, seed=3)
    plain = tiny.generate(PROMPTS, Sampling(10, 0.8, seed=3))
    assert [reply.text for reply in made] == [answer.text.strip() for answer in plain]
    assert {round(value, 6) for reply in made for value in reply.temperatures} == {0.8}
    assert made[2].text != made[3].text  # equal prompts, other draws


@pytest.mark.parametrize("level", ["sequence", "token"])
def test_a_reply_depends_on_its_number_and_not_on_its_batch(tiny: LocalModel, level: Any):
    dds = DDS(random_head(tiny.module), level=level)
    together = sample_replies(tiny, PROMPTS, dds, max_tokens=8, truncation={"top_p": 0.9})
    for at, prompt in enumerate(PROMPTS):
        (alone,) = sample_replies(tiny, [prompt], dds, max_tokens=8, truncation={"top_p": 0.9}, numbers=[at])
        assert alone.tokens == together[at].tokens
        assert alone.temperatures == pytest.approx(together[at].temperatures, abs=1e-4)
        assert len(alone.temperatures) == len(alone.tokens)
    assert together[2].temperatures[0] == pytest.approx(together[3].temperatures[0], abs=1e-5)
    assert together[0].temperatures[0] != pytest.approx(together[1].temperatures[0], abs=1e-3)


@pytest.mark.parametrize("sampler", ["temperature", "top_k=5", "top_p", "min_p=0.1", "typical_p=0.8"])
def test_every_sampler_runs(tiny: LocalModel, sampler: str):
    replies = sample_replies(tiny, PROMPTS, DDS(Edt(theta=0.3), level="token"), max_tokens=4, truncation=read_sampler(sampler))
    assert all(1 <= len(reply.tokens) <= 4 for reply in replies)


@pytest.mark.parametrize("sampler", ["beam", "top_p=much", "temperature=0.5"])
def test_an_unknown_sampler_is_refused(sampler: str):
    with pytest.raises(SettingsError, match="sampler"):
        read_sampler(sampler)
    with pytest.raises(SettingsError, match="samplers are temperature"):
        sample_replies(None, [], DDS(Fixed(1.0)), max_tokens=1, truncation={"top_p": 7.0})  # type: ignore[arg-type]


def test_each_request_to_a_server_has_its_own_temperature(tiny: LocalModel):
    dds = DDS(random_head(tiny.module), t0=0.9)
    with ChatServer() as server:
        client = DynamicEndpoint(EndpointModel(server.url, "served"), dds, tiny)
        answers = client.generate(PROMPTS, Sampling(7, top_p=0.9))
        sent = {body["messages"][0]["content"]: body for body in server.requests}
    assert len(answers) == 4
    local = sample_replies(tiny, PROMPTS, dds, max_tokens=1)
    for at, text in enumerate(TEXTS):
        assert client.temperatures[at] == pytest.approx(local[at].temperatures[0], abs=1e-4)
        assert sent[text]["temperature"] == pytest.approx(client.temperatures[at], abs=1e-4)
        assert (sent[text]["top_p"], sent[text]["max_tokens"]) == (0.9, 7)
    with pytest.raises(SettingsError, match="at level sequence"):
        DynamicEndpoint(client.server, DDS(random_head(tiny.module), level="token"), tiny)


@pytest.fixture(scope="module")
def bench(tiny: LocalModel) -> Bench:
    labels = [
        Label(
            Context(
                (Message("user", f"{'Tell me' if n % 2 else 'What is'} {n}"),),
                "chat" if n % 2 else "fact",
                f"g{n % 4}",
                () if n % 2 else ("1",),
            ),
            ("It is number 3.",),
            0.5,
        )
        for n in range(8)
    ]
    features = read_features(tiny, labels, along=2)
    head = random_head(tiny.module)
    scores = head.scores(features.states[features.first])
    head.statistics = Statistics(float(scores.mean()), float(scores.min()), float(scores.max()))
    shares = features.statistics[features.first, 0]
    head.entropy = Statistics(float(shares.mean()), float(shares.min()), float(shares.max()))
    portable = PortableHead.imitate(head, features)
    return Bench(labels, features, {"a": head}, {"a": portable}, int(tiny.module.config.vocab_size))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("level", ["sequence", "token", 0.5])
def test_arms_are_brought_to_one_mean(bench: Bench, source: str, level: Any):
    arm = Arm(source, level, head="a")
    t0 = matched(arm, bench, 0.8, range(8))
    made = expected(arm, bench, t0)
    assert made.mean().item() == pytest.approx(0.8, abs=1e-3)
    if source == "fixed":
        assert made.tolist() == pytest.approx([0.8] * 8, abs=1e-3)
    if source == "oracle":
        assert made[1::2].min() > made[::2].max()
    with pytest.raises(SettingsError, match="no base temperature gives a mean of 9"):
        matched(Arm("head", level, head="a"), bench, 9.0, range(8))


@pytest.mark.parametrize("source", ["head", "entropy", "oracle", "portable"])
def test_the_expected_temperature_is_the_one_that_is_drawn_at(tiny: LocalModel, bench: Bench, source: str):
    arm = Arm(source, "sequence", head="a")
    t0 = matched(arm, bench, 0.8, range(8))
    wanted = expected(arm, bench, t0)
    for at in range(8):
        (reply,) = sample_replies(tiny, [Prompt(bench.labels[at].context.messages)], dds_for(arm, bench, t0, at), max_tokens=1)
        assert reply.mean_temperature == pytest.approx(float(wanted[at]), abs=2e-3)


def test_a_stopped_arm_continues_and_pairs_are_compared(tiny: LocalModel, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn = evaluation._draw
    trial = Trial(tiny, StateEncoder(tiny.module, tiny.tokenizer), bench, Draws(m=2, max_tokens=5))
    whole = run_arm(trial, Arm("head", head="a"), range(8), tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 8
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:9])
    asked: list[int] = []
    monkeypatch.setattr(evaluation, "_draw", lambda one, arm, t0, places: asked.append(len(places)) or drawn(one, arm, t0, places))
    done: list[int] = []
    again = run_arm(trial, Arm("head", head="a"), range(8), tmp_path / "cut.jsonl", done.append)
    assert {at: row["replies"] for at, row in again.rows.items()} == {at: row["replies"] for at, row in whole.rows.items()}
    assert done == [3, 5]
    assert sum(asked) == 8  # each of its batches whole: the last digits depend on what is computed beside
    fixed = run_arm(trial, Arm("fixed"), range(8), tmp_path / "cut.jsonl")
    told = compare(whole, fixed).measures
    wanted = sum(whole.rows[at]["distinct_2"] - fixed.rows[at]["distinct_2"] for at in range(1, 8, 2)) / 4
    assert told["distinct_2"] is not None
    assert told["distinct_2"].value == pytest.approx(wanted)
    assert compare(whole, whole).measures["consistency"] == (0, 0, 0)
    row = summarise(whole, bench)
    assert row.realised == pytest.approx(0.8, abs=0.01)
    assert set(row.measures) >= {"correct", "diversity", "repetition"}
