"""The portable head and its vLLM processor, driven through the interface that vLLM documents."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from enum import Enum, auto
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luthier.decode import DDS
from luthier.decode.features import logit_statistics
from luthier.decode.mappings import Statistics
from luthier.decode.network import Network
from luthier.decode.portable import PortableHead
from luthier.decode.vllm import DynamicTemperature
from luthier.errors import MissingFileError, SettingsError


class Direction(Enum):
    UNIDIRECTIONAL = auto()
    SWAP = auto()


@dataclass
class Update:
    """vLLM's BatchUpdate."""

    batch_size: int
    removed: list[int] = field(default_factory=list)
    added: list[tuple[int, Any, list[int], list[int]]] = field(default_factory=list)
    moved: list[tuple[int, int, Direction]] = field(default_factory=list)


def asked(temperature: float = 1.0, **extra: Any) -> Any:
    return SimpleNamespace(temperature=temperature, extra_args=extra or None)


def some_head() -> PortableHead:
    random = torch.Generator().manual_seed(1)
    network = Network(torch.randn(16, 5, generator=random), torch.zeros(16), torch.randn(16, generator=random), torch.tensor(0.2))
    return PortableHead(network, Statistics(0.5, 0.3, 0.7), {"imitates": {"name": "tiny"}})


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DynamicTemperature:
    some_head().save(tmp_path / "portable.json")
    monkeypatch.setenv("LUTHIER_PORTABLE_HEAD", str(tmp_path / "portable.json"))
    return DynamicTemperature(None, torch.device("cpu"), False)


def rows(count: int = 4) -> torch.Tensor:
    return 4 * torch.randn(count, 50, generator=torch.Generator().manual_seed(5))


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=60))
def test_statistics_are_their_definitions(logits: list[float]):
    top = max(logits)
    weights = [math.exp(one - top) for one in logits]
    p = sorted((one / sum(weights) for one in weights), reverse=True)
    scale = math.log(len(p))
    entropy = -sum(one * math.log(one) for one in p if one > 0)
    varentropy = sum(one * math.log(one) ** 2 for one in p if one > 0) - entropy**2
    wanted = [entropy / scale, p[0], p[0] - p[1], varentropy / scale**2, sum(p[:20])]
    assert logit_statistics(torch.tensor([logits]))[0].tolist() == pytest.approx(wanted, abs=2e-4)


def test_statistics_are_finite_where_tokens_are_ruled_out():
    told = logit_statistics(torch.tensor([[0.0, -math.inf, -math.inf], [1.0, 1.0, -math.inf]]))
    assert torch.isfinite(told).all()
    assert told[0].tolist() == pytest.approx([0, 1, 1, 0, 1], abs=1e-6)


def test_saved_and_loaded_it_says_the_same(tmp_path: Path):
    head = some_head()
    head.save(tmp_path / "head.json")
    again = PortableHead.load(tmp_path / "head.json")
    assert torch.allclose(again.scores(None, rows()), head.scores(None, rows()))
    assert again.statistics == head.statistics
    assert json.loads((tmp_path / "head.json").read_text())["inputs"][0] == "entropy"
    with pytest.raises(MissingFileError, match="luthier decode fit"):
        PortableHead.load(tmp_path / "none.json")
    for text in ("{", "{}", '{"format": "other", "inputs": []}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(SettingsError, match=r"bad\.json"):
            PortableHead.load(tmp_path / "bad.json")


def test_the_entry_point_names_the_processor():
    found = [one for one in entry_points(group="vllm.logits_processors") if one.name == "luthier_dynamic"]
    if not found:
        pytest.skip("the installed copy of the package is older than its entry point")
    assert found[0].load() is DynamicTemperature


def test_rows_that_ask_get_the_temperature_of_the_transformers_processor(processor: DynamicTemperature):
    assert processor.is_argmax_invariant()
    processor.update_state(
        Update(
            4,
            added=[
                (0, asked(0.9, dynamic=1), [1], []),
                (1, asked(0.9), [1], []),
                (2, asked(0.6, dynamic=2.5), [1], []),
                (3, asked(0.0, dynamic=1), [1], []),
            ],
        )
    )
    raw = rows()
    base = torch.tensor([0.9, 0.9, 0.6, 1.0])[:, None]
    made = processor.apply((raw / base).clone())
    for row, t0, k in ((0, 0.9, None), (2, 0.6, 2.5)):
        wanted = DDS(some_head(), t0=t0, k=k, level="token").rule.temperatures(None, raw[row : row + 1])
        assert torch.allclose(made[row], raw[row] / wanted, rtol=1e-4)
        assert abs(wanted.item() - t0) > 1e-3
    assert torch.equal(made[1], raw[1] / 0.9)
    assert torch.equal(made[3], raw[3])
    assert torch.equal(made.argmax(-1), raw.argmax(-1))


@given(st.lists(st.sampled_from(["add", "plain", "remove", "move", "swap", "none"]), max_size=25), st.randoms(use_true_random=False))
def test_requests_are_followed_between_rows(actions: list[str], random: Any):
    """Beside a model of the batch that knows nothing of the processor."""
    processor = DynamicTemperature(None, None, False)
    processor.head = some_head()
    batch: dict[int, float | None] = {}
    for number, action in enumerate(actions):
        update, size = Update(8), 0.1 + number / 100
        if action in ("add", "plain"):
            row = random.randrange(8)
            batch[row] = size if action == "add" else None
            update.added.append((row, asked(size, dynamic=1) if action == "add" else asked(size), [], []))
        elif action == "remove" and batch:
            row = random.choice(sorted(batch))
            del batch[row]
            update.removed.append(row)
        elif action == "move" and batch:
            source, target = random.choice(sorted(batch)), random.randrange(8)
            if source != target:
                batch[target] = batch.pop(source)
                update.moved.append((source, target, Direction.UNIDIRECTIONAL))
        elif action == "swap" and len(batch) > 1:
            one, other = random.sample(sorted(batch), 2)
            batch[one], batch[other] = batch[other], batch[one]
            update.moved.append((one, other, Direction.SWAP))
        processor.update_state(None if action == "none" else update)
        assert {row: told[0] for row, told in processor.requests.items()} == {row: one for row, one in batch.items() if one is not None}


def test_without_a_head_or_a_wish_nothing_happens(processor: DynamicTemperature, monkeypatch: pytest.MonkeyPatch):
    raw = rows()
    assert torch.equal(processor.apply(raw.clone()), raw)
    monkeypatch.delenv("LUTHIER_PORTABLE_HEAD")
    idle = DynamicTemperature(None, None, False)
    idle.update_state(Update(1, added=[(0, asked(1.0, dynamic=1), [], [])]))
    assert torch.equal(idle.apply(raw.clone()), raw)


def test_a_wish_without_meaning_is_refused_when_the_request_comes():
    DynamicTemperature.validate_params(asked(1.0, dynamic=True))
    DynamicTemperature.validate_params(asked(1.0, dynamic=0))
    for value in ("much", 0.5, -1):
        with pytest.raises(ValueError, match="give 1, or a strength above 1"):
            DynamicTemperature.validate_params(asked(1.0, dynamic=value))
