"""Selection towards examples: RDS+ equal to its definition with transformers alone, DSIR by known values, and what both leave."""

import json
import math
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import BadRowError, SettingsError
from luthier.records import write_jsonl
from luthier.select.selection import select
from luthier.select.settings import SelectSettings
from luthier.select.targets import Nearness, divergence, important_picks, nearest_in_turn, ngrams

WORDS = {"sea": "ship wave sail tide harbour", "town": "street tram market square lamp"}
OPEN = {"noise": None, "near": None}


def rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    draw = Random(seed)
    return [{"text": " ".join(draw.choices(WORDS[kind].split(), k=12)), "source": kind} for _ in range(count) for kind in WORDS]


def test_hashed_ngrams_are_words_and_pairs() -> None:
    assert sum(ngrams(b"A b, a").values()) == 4 + 3  # a b , a and their pairs
    assert ngrams(b"A b") == ngrams(b"a  B")
    assert ngrams(b"") == {}


def test_the_weight_of_a_row_is_the_odds_of_its_ngrams() -> None:
    pool, targets = [b"x", b"y", b"y"], [b"x", b"x"]
    scores = {pick.index: pick.score for pick in important_picks(pool, targets)}
    # one more hit for each of 10,000 buckets: targets (2 + 1) / 10,002, the pool (1 + 1) / 10,003 for x; 1 / 10,002 and 3 / 10,003 for y
    assert scores[0] == pytest.approx(math.log(3 / 10_002) - math.log(2 / 10_003))
    assert scores[1] == scores[2] == pytest.approx(math.log(1 / 10_002) - math.log(3 / 10_003))


def test_rows_are_drawn_by_their_weights() -> None:
    pool, targets = [b"x"] * 50 + [b"y"] * 50, [b"x y"]
    first = [next(important_picks(pool, targets, seed=seed)).index < 50 for seed in range(200)]
    assert 70 < sum(first) < 130
    order = [pick.index for pick in important_picks(pool, targets, seed=3)]
    assert sorted(order) == list(range(100))
    assert order == [pick.index for pick in important_picks(pool, targets, seed=3)]


def test_the_divergence_is_0_for_equal_texts_and_grows_with_others() -> None:
    target = [b"ship and sea"]
    assert divergence(target, target) == 0
    assert 0 < divergence([b"ship and tram"], target) < divergence([b"tram in town"], target)


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 99))
def test_each_target_takes_the_nearest_row_that_is_left(count: int, targets: int, seed: int) -> None:
    cosines = np.random.default_rng(seed).random((count, targets)).astype(np.float32)
    found, left = [], set(range(count))
    while left:  # the definition, word for word
        for target in range(targets):
            if left:
                best = max(sorted(left), key=lambda row: cosines[row, target])
                left.remove(best)
                found.append((best, float(cosines[best, target])))
    picks = list(nearest_in_turn(Nearness(list(range(count)), cosines)))
    assert [(pick.index, pick.score) for pick in picks] == found


def test_rds_is_the_weighted_mean_of_the_last_states(tiny_model_folder: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    pool, target = rows(6), [{"text": "a ship on a wave"}, {"text": "a tram in the street"}]
    write_jsonl(tmp_path / "target.jsonl", target)
    given = {"target": (str(tmp_path / "target.jsonl"),), "model": str(tiny_model_folder), "score_rows": None}
    made = select(pool, budget=6, method="rds", **given, **OPEN)
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_model_folder), AutoModel.from_pretrained(tiny_model_folder).eval()

    def vector(text: str) -> torch.Tensor:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].double()
        places = torch.arange(1, len(states) + 1).double()
        return torch.nn.functional.normalize((states * places[:, None]).sum(0) / places.sum(), dim=0)

    aims, points = ([vector(row["text"]) for row in some] for some in (target, pool))
    cosines = np.array([[float(point @ aim) for aim in aims] for point in points], dtype=np.float32)
    wanted = list(nearest_in_turn(Nearness(list(range(len(pool))), cosines)))[:6]
    assert made.indices == [pick.index for pick in wanted]
    assert [pick.score for pick in made.picks] == pytest.approx([pick.score for pick in wanted], abs=1e-5)
    again = select(pool, budget=6, method="rds", run=tmp_path / "run", **given, **OPEN)
    assert again.indices == made.indices
    assert (tmp_path / "run" / "embeddings").is_dir()


def test_rows_outside_the_sample_are_told_so(tiny_model_folder: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "target.jsonl", [{"text": "a ship"}])
    target = (str(tmp_path / "target.jsonl"),)
    made = select(rows(10), budget=3, method="rds", target=target, model=str(tiny_model_folder), score_rows=8, **OPEN)
    assert made.report["dropped"] == {"not scored": 12}
    assert len(made.picks) == 3


def test_dsir_brings_the_picks_nearer_to_the_target(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "target.jsonl", [row for row in rows(20, seed=9) if row["source"] == "sea"])
    made = select(rows(100), budget=40, method="dsir", target=(str(tmp_path / "target.jsonl"),), **OPEN)
    assert made.report["taken_by_source"] == {"sea": 40}
    away = made.report["target_divergence"]
    assert away["picks"] < 0.5 * away["pool"]


def test_every_row_that_a_gate_let_through_has_its_rank_and_score(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "target.jsonl", [{"text": "a ship"}])
    target = (str(tmp_path / "target.jsonl"),)
    for method in ("zip", "zip-long", "random", "stratified", "longest", "own-ratio", "dsir"):
        made = select([*rows(30), {"text": ""}], budget=10, method=method, target=target, k1=30, k2=20, k3=5, **OPEN)
        told = list(made.scores())
        assert sorted(row["rank"] for row in told if "rank" in row) == list(range(1, 61)), method
        assert [row["rank"] for row in told if row["taken"]].count(11) == 0
        assert all(isinstance(row["score"], float) for row in told if "rank" in row)
        assert "rank" not in told[-1]


def test_targets_without_text_or_without_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--target"):
        SelectSettings(budget=3, method="dsir")
    (tmp_path / "empty.jsonl").write_text(json.dumps({"text": " "}))
    with pytest.raises(BadRowError, match="no text in it"):
        select(rows(3), budget=3, method="dsir", target=(str(tmp_path / "empty.jsonl"),))


def test_what_rds_does_not_read_is_refused() -> None:
    for changed in ({"adapter": "somewhere"}, {"dtype": "bfloat16"}):
        with pytest.raises(SettingsError, match="leave --adapter and --dtype out"):
            SelectSettings(budget=3, method="rds", target=("a.jsonl",), **changed)
