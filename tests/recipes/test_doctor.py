"""What the doctor finds and what it advises, and the cache: sizes, emptying, names that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command import luthier
from luthier.recipes import doctor
from luthier.recipes.doctor import cache_sizes


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("LUTHIER_CACHE", str(folder))
    (folder / "wheels" / "deep").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "wheels" / "a").write_bytes(b"x" * 1000)
    (folder / "wheels" / "deep" / "b").write_bytes(b"x" * 24)
    (folder / "models" / "c").write_bytes(b"x" * 10)
    return folder


def test_every_thing_is_looked_at_and_said(cache: Path) -> None:
    said = luthier("doctor", "--offline").stdout
    for what in ("python", "processor", "memory", "versions", "gpu", "disk here", "sandbox", "extras", "hub: not asked: offline"):
        assert what in said
    rows = json.loads(luthier("doctor", "--offline", "--json").stdout)
    assert {row["state"] for row in rows} <= {"ok", "absent", "broken"}
    assert all(row["seen"] for row in rows)
    assert all(row["cure"] for row in rows if row["state"] != "ok")


def test_what_is_broken_ends_with_1_and_a_cure(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK", 1e9)
    said = luthier("doctor", "--offline", ok=False).stdout
    assert "broken disk here" in said
    assert "free some" in said
    assert "2 broken: disk here, disk of the cache" in said


def test_a_hub_that_does_not_answer_is_no_fault(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    (found,) = doctor._hub(offline=False)
    assert found.state == "absent"
    assert "does not answer" in found.seen
    assert "models list" in found.cure


def test_the_cache_is_counted_and_emptied_by_name(cache: Path) -> None:
    assert cache_sizes() == {"models": 10, "wheels": 1024}
    (cache / "link").symlink_to(cache / "wheels")
    assert "wheels" in luthier("cache").stdout
    assert "nothing: no folder of the cache" in luthier("cache", "nothing", ok=False).stderr
    assert "..: no folder of the cache" in luthier("cache", "..", ok=False).stderr
    assert "link: no folder of the cache" in luthier("cache", "link", ok=False).stderr
    assert "emptied" in luthier("cache", "wheels").stdout
    assert cache_sizes() == {"models": 10, "wheels": 0}
    assert (cache / "wheels").is_dir()


def test_no_cache_yet_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "none"))
    assert cache_sizes() == {}
    assert "0.0 MiB" in luthier("cache").stdout
