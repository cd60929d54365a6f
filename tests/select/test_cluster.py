"""A real local Ray with two workers gives what one process gives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from luthier.errors import SettingsError
from luthier.records import write_jsonl
from luthier.select import select
from luthier.select.budget import Allowance, Budget
from luthier.select.cluster import PackedRows, RayEngine
from luthier.select.duplicates import OwnWords, digests, signatures
from luthier.select.long_window import AddedBytes, LongZip
from luthier.select.replica import Local
from luthier.select.shards import shard_picks
from luthier.select.zip import SetSizes, Zip
from select_rows import make_rows

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed; pip install 'luthier[cluster]'")
ROWS = [b"", *(str(row).encode() for row in make_rows(900)), b"\xff\x00", b""]


@pytest.fixture(scope="module")
def engine() -> Iterator[RayEngine]:
    with RayEngine(2) as made:
        yield made


def test_packed_rows_are_the_rows() -> None:
    packed = PackedRows.of(ROWS)
    assert list(packed) == ROWS
    assert packed[-3:] == ROWS[-3:]
    assert packed[-1] == b""
    with pytest.raises(IndexError):
        packed[len(ROWS)]
    assert list(PackedRows.of([])) == []


def test_ray_listens_on_the_loopback_address_alone(engine: RayEngine) -> None:
    import ray

    if "RAY_ADDRESS" in os.environ:
        pytest.skip("a cluster of one's own is in use")
    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}


def test_columns_are_those_of_one_process(engine: RayEngine) -> None:
    rows = ROWS * 5  # several batches for each worker
    for scorer in (digests, signatures, OwnWords(frozenset({1})).signatures):
        ours, theirs = engine.columns(scorer, rows), Local().columns(scorer, rows)
        assert ours.keys() == theirs.keys()
        for name, column in theirs.items():
            assert ours[name].dtype == column.dtype
            np.testing.assert_array_equal(ours[name], column)
        assert {name: len(column) for name, column in engine.columns(scorer, []).items()} == dict.fromkeys(theirs, 0)


def test_replicas_pick_what_one_process_picks(engine: RayEngine) -> None:
    def zip_picks(**state: object) -> list[object]:
        search = Zip(ROWS, 200, 20, 10, allowance=Allowance(Budget(60, "rows")), **state)  # type: ignore[arg-type]
        return [pick for new in search.rounds() for pick in new]

    def long_picks(**state: object) -> list[object]:
        search = LongZip(ROWS, k3=10, allowance=Allowance(Budget(60, "rows")), **state)  # type: ignore[arg-type]
        return [pick for new in search.rounds() for pick in new]

    assert zip_picks(state=engine.replica(SetSizes, ROWS)) == zip_picks()
    assert long_picks(state=engine.replica(partial(AddedBytes, window=5000), ROWS)) == long_picks(state=AddedBytes(ROWS, window=5000))


def test_shards_pick_what_they_pick_in_one_process(engine: RayEngine) -> None:
    allowance = Allowance(Budget(60, "rows"))
    ours = shard_picks(ROWS, None, 4, allowance, engine, k3=5, seed=0)
    assert ours == shard_picks(ROWS, None, 4, allowance, Local(), k3=5, seed=0)
    assert len(ours) == 120
    assert allowance.left == 60


@pytest.mark.parametrize("method", ["zip", "zip-long"])
def test_a_selection_with_workers_is_that_without(engine: RayEngine, tmp_path: Path, method: str) -> None:
    rows = make_rows(300)
    rows += [rows[3], rows[10] | {"text": str(rows[10].get("text", "")) + " again"}]
    pool = tmp_path / "pool.jsonl"
    write_jsonl(pool, rows)
    settings = {"budget": "40 rows", "method": method, "k1": 100, "k2": 20, "k3": 10}
    ours, theirs = select(pool, workers=2, **settings), select(pool, **settings)
    assert ours.picks == theirs.picks
    assert ours.dropped == theirs.dropped
    assert ours.report == theirs.report


def test_workers_are_one_at_least() -> None:
    with pytest.raises(SettingsError, match="workers is -1"):
        select([{"text": "a"}], budget="1 row", workers=-1)
