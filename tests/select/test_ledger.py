"""The ledger: what goes in comes out, later lines stand, damage is named by file and line, and a data set is known by its rows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.select.ledger import Version, add_metric, add_version, group_of, measure_data, read_ledger
from luthier.select.profile import ratio_profile

FULL = Version(
    name="v1",
    group="g",
    fingerprint="f1",
    rows=10,
    ratio={"32K": 3.2, "1M": 3.5, "all": 4.0},
    loss=2.5,
    seed=3,
    loss_epoch=2.25,
    bits_per_byte=0.9,
    tokens=1234,
    window=(5, 25),
    metric=6.5,
    setup={"base": "tiny", "recipe": {"batch": 8}},
)
LEAST = Version(name="v2", group="g", fingerprint="f2", rows=0, ratio={"32K": 3.0}, loss=2.4)

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
versions = st.builds(
    Version,
    name=st.text(min_size=1),
    group=st.sampled_from(["g", "h"]),
    fingerprint=st.text("0123456789abcdef", min_size=1, max_size=3),
    rows=st.integers(0, 10**9),
    ratio=st.fixed_dictionaries({"32K": st.floats(0.1, 1e4)}, optional={"all": st.floats(0.1, 1e4)}),
    loss=finite,
    seed=st.integers(0, 3),
    loss_epoch=st.none() | finite,
    bits_per_byte=st.none() | finite,
    tokens=st.none() | st.integers(0, 10**12),
    window=st.none() | st.tuples(st.integers(0, 99), st.integers(100, 999)),
    metric=st.none() | finite,
    setup=st.dictionaries(st.text(), st.none() | st.booleans() | st.text()),
)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    ledger = tmp_path / "new" / "law.jsonl"
    add_version(ledger, FULL)
    add_version(ledger, LEAST)
    assert read_ledger(ledger) == [FULL, LEAST]
    assert FULL.index == pytest.approx(1.25)
    assert LEAST.index is None


@given(st.lists(versions, min_size=1, max_size=6))
def test_any_versions_survive_the_file_in_the_order_of_their_first_lines(tmp_path_factory: Any, made: list[Version]) -> None:
    ledger = tmp_path_factory.mktemp("law") / "law.jsonl"
    for version in made:
        add_version(ledger, version)
    last = {version.key: version for version in made}
    assert read_ledger(ledger) == list(last.values())


def test_a_later_line_of_a_run_stands_but_changed_data_is_another_version(tmp_path: Path) -> None:
    ledger = tmp_path / "law.jsonl"
    one = Version("v", "g", "f1", 1, {"32K": 3.0}, 2.5)
    again = Version("v", "g", "f1", 1, {"32K": 3.0}, 2.75)
    changed = Version("v", "g", "f2", 1, {"32K": 3.1}, 2.5)
    for version in (one, changed, again):
        add_version(ledger, version)
    assert read_ledger(ledger) == [again, changed]


def test_a_metric_is_noted_for_the_newest_data_of_a_name_and_for_one_seed_or_all(tmp_path: Path) -> None:
    ledger = tmp_path / "law.jsonl"
    old = Version("v", "g", "f1", 1, {"32K": 3.0}, 2.5)
    new = [Version("v", "g", "f2", 1, {"32K": 3.0}, 2.5, seed=seed) for seed in (0, 1)]
    for version in (old, *new):
        add_version(ledger, version)
    assert [version.seed for version in add_metric(ledger, "v", 6.5)] == [0, 1]
    assert [version.metric for version in read_ledger(ledger)] == [None, 6.5, 6.5]
    add_metric(ledger, "v", 7, seed=1)
    assert [version.metric for version in read_ledger(ledger)] == [None, 6.5, 7.0]


def test_a_metric_without_a_version_or_with_two_groups_is_refused(tmp_path: Path) -> None:
    ledger = tmp_path / "law.jsonl"
    add_version(ledger, FULL)
    with pytest.raises(SettingsError, match=r"has no version 'other'; it has v1"):
        add_metric(ledger, "other", 1.0)
    with pytest.raises(SettingsError, match=r"has no version 'v1' of seed 9"):
        add_metric(ledger, "v1", 1.0, seed=9)
    with pytest.raises(BadRowError, match="metric is nan"):
        add_metric(ledger, "v1", math.nan)
    add_version(ledger, Version("v1", "h", "f1", 1, {"32K": 3.0}, 2.5))
    with pytest.raises(SettingsError, match="in several groups"):
        add_metric(ledger, "v1", 1.0)
    assert [version.metric for version in read_ledger(ledger)] == [6.5, None]


GOOD = {"name": "v", "group": "g", "fingerprint": "f", "rows": 3, "ratio": {"32K": 3.0}, "loss": 2.5}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": ""}, "name is ''; a text"),
        ({"group": 3}, "group is 3; a text"),
        ({"rows": -1}, "rows is -1; a whole number"),
        ({"rows": 2.5}, "rows is 2.5; a whole number"),
        ({"seed": True}, "seed is True; a whole number"),
        ({"tokens": -5}, "tokens is -5; a whole number"),
        ({"ratio": {"1M": 2.0}}, "ratio has no window 32K"),
        ({"ratio": [3.0]}, "ratio has no window 32K"),
        ({"ratio": {"32K": 0}}, "ratio 32K is 0; a number above 0"),
        ({"ratio": {"32K": 3, "all": "4"}}, "ratio all is '4'"),
        ({"loss": "2.5"}, "loss is '2.5'"),
        ({"loss": None}, "loss is None"),
        ({"metric": "good"}, "metric is 'good'"),
        ({"window": [1]}, "window is [1]; two steps"),
        ({"setup": "tiny"}, "setup is not an object"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    ledger = tmp_path / "law.jsonl"
    ledger.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD | change) + "\n")
    with pytest.raises(BadRowError) as caught:
        read_ledger(ledger)
    assert str(caught.value).startswith(f"{ledger}:2: ")
    assert told in str(caught.value)


@pytest.mark.parametrize("field", GOOD)
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    ledger = tmp_path / "law.jsonl"
    ledger.write_text(json.dumps({name: value for name, value in GOOD.items() if name != field}) + "\n")
    with pytest.raises(BadRowError, match=rf"law.jsonl:1: no {field};"):
        read_ledger(ledger)


def test_a_damaged_ledger_is_not_added_to(tmp_path: Path) -> None:
    ledger = tmp_path / "law.jsonl"
    ledger.write_text("not JSON\n")
    with pytest.raises(BadRowError, match=r"law.jsonl:1: not JSON"):
        add_version(ledger, FULL)
    assert ledger.read_text() == "not JSON\n"


def test_half_a_line_of_a_killed_process_is_passed_over_and_a_whole_one_without_its_end_is_kept(tmp_path: Path) -> None:
    ledger = tmp_path / "law.jsonl"
    add_version(ledger, FULL)
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + whole[:40])
    assert read_ledger(ledger) == [FULL]
    add_version(ledger, LEAST)
    assert read_ledger(ledger) == [FULL, LEAST]
    ledger.write_bytes(whole.removesuffix(b"\n"))
    add_version(ledger, LEAST)
    assert read_ledger(ledger) == [FULL, LEAST]


def test_a_later_release_may_write_more_and_a_missing_ledger_is_said(tmp_path: Path) -> None:
    ledger = tmp_path / "law.jsonl"
    ledger.write_text(json.dumps(GOOD | {"something_new": [1, 2]}) + "\n")
    assert [version.name for version in read_ledger(ledger)] == ["v"]
    with pytest.raises(MissingFileError, match=r"nothing.jsonl: cannot be read"):
        read_ledger(tmp_path / "nothing.jsonl")
    with pytest.raises(MissingFileError):
        read_ledger(tmp_path)


@settings(max_examples=6)  # a compressor with a window of 128 MiB takes a fifth of a second to set up
@given(st.lists(st.text(min_size=1), min_size=1, max_size=30), st.randoms())
def test_a_data_set_is_its_rows_in_any_order(texts: list[str], random: Any) -> None:
    facts = measure_data(texts)
    other = list(texts)
    random.shuffle(other)
    assert measure_data(iter(other)).fingerprint == facts.fingerprint
    assert measure_data([*texts, texts[0]]).fingerprint != facts.fingerprint
    data = [text.encode("utf-8", "replace") for text in texts]
    assert (facts.rows, facts.size) == (len(texts), sum(map(len, data)))
    assert facts.ratio == ratio_profile(texts)
    assert facts.sample == tuple(data)


def test_the_sample_of_a_large_set_is_drawn_from_all_of_it_and_always_the_same() -> None:
    texts = [f"row {number}" for number in range(5000)]
    sample = measure_data(texts).sample
    assert len(set(sample)) == len(sample) == 256
    assert sample == measure_data(texts).sample
    assert 2000 < sum(int(text.split()[1]) for text in sample) / 256 < 3000


@pytest.mark.parametrize("texts", [[], ["", b""]])
def test_data_without_text_is_refused(texts: list[Any]) -> None:
    with pytest.raises(SettingsError, match="the data has no text"):
        measure_data(texts)


def test_the_group_does_not_depend_on_the_order_of_settings() -> None:
    assert group_of({"a": 1, "b": {"c": 2, "d": 3}}) == group_of({"b": {"d": 3, "c": 2}, "a": 1})
    assert group_of({"a": 1}) != group_of({"a": 2})
