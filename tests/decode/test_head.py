"""The head: what it learns when there is something to learn, folds, its file, its model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decode_heads import load, random_head
from luthier.decode import DDS, DiversityHead
from luthier.decode.contexts import Context
from luthier.decode.features import Features, logit_statistics, read_features
from luthier.decode.head import assign_folds
from luthier.decode.labels import Label
from luthier.decode.portable import PortableHead, entropy_table
from luthier.decode.tap import StateTap, fingerprint
from luthier.errors import MissingFileError, SettingsError
from luthier.models.local import LocalModel
from luthier.models.protocol import Prompt
from luthier.records import Message
from luthier.statistics.ranks import spearman


def labels_of(count: int, groups: int = 12) -> list[Label]:
    """Contexts whose labels alternate by kind."""
    return [
        Label(
            Context(
                (Message("user", f"{'Tell' if n % 2 else 'What'} {n}"),),
                "chat" if n % 2 else "fact",
                f"g{n % groups}",
                ("x",) if n % 2 == 0 else (),
            ),
            (f"reply {n}",),
            0.2 + 0.6 * ((n * 7) % count) / count,
        )
        for n in range(count)
    ]


def synthetic(labels: list[Label], noise: float = 0.5) -> Features:
    """States that hold each label's diversity in one direction, among 63 that hold nothing."""
    random = torch.Generator().manual_seed(2)
    states = torch.randn(len(labels), 64, generator=random)
    signal = torch.tensor([label.sampled or 0.0 for label in labels])
    states[:, 5] = 8 * signal + noise * torch.randn(len(labels), generator=random)
    statistics = torch.rand(len(labels), 5, generator=random)
    return Features(states, statistics, torch.arange(len(labels)), torch.ones(len(labels), dtype=torch.bool))


@pytest.fixture(scope="module")
def tiny(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder, name="tiny")


@pytest.mark.parametrize(("method", "least"), [("ridge", 0.7), ("network", 0.4)])
def test_it_finds_what_the_states_hold_and_nothing_in_noise(tiny: LocalModel, method: Any, least: float):
    labels = labels_of(240)
    features = synthetic(labels)
    head = DiversityHead.fit(tiny, labels, source="samples", method=method, hidden=16, features=features)
    scores = np.array([head.outcome.scores[label.context.key] for label in labels])
    wanted = np.array([label.sampled for label in labels])
    assert spearman(scores, wanted) > least
    assert head.statistics.low < head.statistics.mean < head.statistics.high
    assert spearman(head.scores(features.states).numpy(), wanted) > 0.7
    shuffled = Features(
        features.states[torch.randperm(240, generator=torch.Generator().manual_seed(0))], *list(vars(features).values())[1:]
    )
    noise = DiversityHead.fit(tiny, labels, source="samples", method=method, hidden=16, features=shuffled)
    assert abs(spearman(np.array([noise.outcome.scores[label.context.key] for label in labels]), wanted)) < 0.35
    again = DiversityHead.fit(tiny, labels, source="samples", method=method, hidden=16, features=features)
    assert again.outcome.scores == head.outcome.scores  # seeded


@given(st.integers(3, 6), st.integers(6, 20), st.integers(0, 3))
def test_folds_keep_groups_together_and_are_even(folds: int, groups: int, seed: int):
    labels = labels_of(groups * 5, groups)
    made = assign_folds(labels, folds, seed)
    assert set(made) == set(range(folds))
    by_group: dict[str, set[int]] = {}
    for label, fold in zip(labels, made, strict=True):
        by_group.setdefault(label.context.group, set()).add(fold)
    assert all(len(some) == 1 for some in by_group.values())
    sizes = np.bincount(made)
    assert sizes.max() - sizes.min() <= 5


def test_a_context_is_scored_by_a_network_that_has_not_seen_its_fold(tiny: LocalModel, tmp_path: Path):
    labels = labels_of(60)
    features = synthetic(labels)
    head = DiversityHead.fit(tiny, labels, source="samples", features=features)
    head.save(tmp_path)
    again = DiversityHead.load(tmp_path, tiny.module)
    for one in (head, again):
        for at, label in enumerate(labels):
            held = one.without(label.context).scores(features.states[at][None]).item()
            assert held == pytest.approx(head.outcome.scores[label.context.key], abs=1e-6)
    unseen = Context((Message("user", "never seen"),))
    assert torch.equal(again.without(unseen).network.w1, head.network.w1)
    assert again.statistics == head.statistics
    assert again.facts == head.facts


def test_another_model_is_an_error(tiny: LocalModel, tiny_model_folder: Path, tmp_path: Path):
    head = random_head(tiny.module)
    head.save(tmp_path)
    wide = load(tiny_model_folder)
    assert fingerprint(wide) == fingerprint(wide.bfloat16())  # a narrower copy is the same model
    other = load(tiny_model_folder)
    with torch.no_grad():
        other.model.layers[0].mlp.up_proj.weight.mul_(1.05)
    for use in (lambda: DiversityHead.load(tmp_path, other), lambda: DDS(head).processor(other)):
        with pytest.raises(SettingsError, match=r"was fitted on the model 'tiny'.* and this is another"):
            use()
    with pytest.raises(SettingsError, match="reads vectors of 64 numbers and was given 8"):
        head.scores(torch.zeros(2, 8))
    with pytest.raises(SettingsError, match="was given none"):
        head.scores(None)


def test_a_damaged_head_is_named(tiny: LocalModel, tmp_path: Path):
    with pytest.raises(MissingFileError, match="no head here"):
        DiversityHead.load(tmp_path)
    random_head(tiny.module).save(tmp_path)
    told = json.loads((tmp_path / "head.json").read_text())
    for change in ({"format": 9}, {"model": {**told["model"], "width": 65}}, {"statistics": {"mean": 1}}):
        (tmp_path / "head.json").write_text(json.dumps({**told, **change}))
        with pytest.raises(SettingsError, match="make it again"):
            DiversityHead.load(tmp_path)
    (tmp_path / "head.json").write_text(json.dumps(told))
    (tmp_path / "head.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(SettingsError, match="not a head that can be read"):
        DiversityHead.load(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": 2}, "at least 3 are needed"),
        ({"folds": 13}, "12 groups of contexts cannot fill 13 folds"),
        ({"method": "forest"}, "method is 'forest'"),
    ],
)
def test_settings_without_meaning_are_refused(tiny: LocalModel, settings: dict[str, Any], message: str):
    labels = labels_of(40)
    with pytest.raises(SettingsError, match=message):
        DiversityHead.fit(tiny, labels, source="samples", features=synthetic(labels), **settings)


def test_features_are_those_of_single_passes(tiny: LocalModel):
    labels = [
        Label(Context((Message("user", text),)), (reply,), 0.5)
        for text, reply in (("What is the weather in Lisbon?", "It is raining today, take care"), ("Hi", ""), ("Book a table", "yes"))
    ]
    read = read_features(tiny, labels, along=3)
    tap = StateTap(tiny.module)
    for at, label in enumerate(labels):
        before = tiny.tokenizer(tiny.render(Prompt(label.context.messages)), add_special_tokens=False)["input_ids"]
        after = tiny.tokenizer(label.replies[0], add_special_tokens=False)["input_ids"] if label.replies[0] else []
        with torch.no_grad():
            logits = tiny.module(input_ids=torch.tensor([before + after])).logits[0]
        states = tap.states[0]
        rows = (read.context == at).nonzero()[:, 0]
        assert len(rows) == 1 + min(3, len(after))
        assert read.first[rows].tolist() == [True] + [False] * (len(rows) - 1)
        places = [len(before) - 1] if len(rows) == 1 else [len(before) - 1, len(before), *range(len(before) + 1, len(states))]
        assert torch.allclose(read.states[rows[0]], states[places[0]], atol=1e-4)
        assert torch.allclose(read.statistics[rows[0]], logit_statistics(logits[places[0]][None])[0], atol=1e-4)
        if len(rows) > 2:  # the last place is the end of the reply
            assert torch.allclose(read.states[rows[-1]], states[-1], atol=1e-4)


def test_the_portable_head_follows_where_logits_tell(tiny: LocalModel):
    labels = labels_of(200)
    features = synthetic(labels, noise=0.01)
    statistics = features.statistics.clone()
    statistics[:, 0] = (features.states[:, 5] / 8).clamp(0, 1)  # entropy tells all
    told = Features(features.states, statistics, features.context, features.first)
    head = DiversityHead.fit(tiny, labels, source="samples", features=told)
    portable = PortableHead.imitate(head, told)
    assert portable.facts["held_out_spearman"] > 0.8
    assert portable.facts["imitates"]["name"] == "tiny"
    table = entropy_table(head, told)
    assert sum(row["positions"] for row in table) == 200
    assert table[0]["score"] < table[-1]["score"]
    assert [row["entropy_to"] for row in table] == sorted(row["entropy_to"] for row in table)
