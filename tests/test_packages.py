"""Wheels from the package index: fetched by pip, checked by hash, never trusted without it."""

from __future__ import annotations

import hashlib
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from luthier.errors import FetchError
from luthier.packages import Wheel, cache_folder, fetch_wheel, file_sha256, unpack_wheel


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's only source, and an empty cache."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    return shelf


def put_wheel(shelf: Path, content: str = "weights") -> Wheel:
    """A small real wheel on the shelf."""
    path = shelf / "small_wheel-1.2-py3-none-any.whl"
    info = "small_wheel-1.2.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small_wheel/data.txt", content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: small-wheel\nVersion: 1.2\nRequires-Dist: missing\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return Wheel("small-wheel", "1.2", hashlib.sha256(path.read_bytes()).hexdigest())


def test_the_cache_is_where_the_user_wants_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("LUTHIER_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path("/home/someone/.cache/luthier")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert cache_folder() == Path("/var/cache/luthier")
    monkeypatch.setenv("LUTHIER_CACHE", "/data/luthier")
    assert cache_folder() == Path("/data/luthier")
    monkeypatch.setenv("LUTHIER_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path("/home/someone/.cache/luthier")


def test_a_wheel_is_fetched_once_without_its_dependencies(shelf: Path):
    wheel = put_wheel(shelf)
    first = fetch_wheel(wheel)
    assert file_sha256(first) == wheel.sha256
    assert list((cache_folder() / "wheels").iterdir()) == [first]
    next(shelf.iterdir()).unlink()
    assert fetch_wheel(wheel) == first


def test_a_wheel_with_another_hash_is_refused_and_not_kept(shelf: Path):
    put_wheel(shelf)
    assert_one_line(Wheel("small-wheel", "1.2", "0" * 64), "small-wheel 1.2.*HASH")
    assert list((cache_folder() / "wheels").iterdir()) == []


@pytest.mark.parametrize("wheel", [Wheel("no-such-project", "1.0", "0" * 64), Wheel("small-wheel", "9.9", "0" * 64)])
def test_an_unknown_project_or_version_is_named(shelf: Path, wheel: Wheel):
    put_wheel(shelf)
    assert_one_line(wheel, f"could not download {wheel.label}: .*{wheel.project}=={wheel.version}")


def assert_one_line(wheel: Wheel, pattern: str) -> None:
    with pytest.raises(FetchError, match=pattern) as caught:
        fetch_wheel(wheel)
    assert "\n" not in str(caught.value)


def test_a_damaged_wheel_in_the_cache_is_replaced(shelf: Path):
    wheel = put_wheel(shelf)
    kept = fetch_wheel(wheel)
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    assert file_sha256(fetch_wheel(wheel)) == wheel.sha256


def test_a_damaged_wheel_is_not_used_even_where_no_other_can_be_had(shelf: Path):
    wheel = put_wheel(shelf)
    fetch_wheel(wheel).write_bytes(b"not a wheel")
    next(shelf.iterdir()).unlink()
    assert_one_line(wheel, "could not download small-wheel 1.2")


def test_a_cache_that_cannot_be_written_is_named(shelf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    wheel = put_wheel(shelf)
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("LUTHIER_CACHE", str(blocked / "cache"))
    assert_one_line(wheel, "cannot store small-wheel 1.2 in .*a file.*LUTHIER_CACHE")


def test_a_wheel_is_unpacked_once(shelf: Path):
    wheel = put_wheel(shelf, "first")
    folder = unpack_wheel(wheel)
    assert (folder / "small_wheel" / "data.txt").read_text() == "first"
    before = (folder / "small_wheel" / "data.txt").stat()
    again = (unpack_wheel(wheel) / "small_wheel" / "data.txt").stat()
    assert (again.st_ino, again.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("harm", ["change", "same size", "add", "remove", "cut manifest", "no manifest"])
def test_a_cache_that_was_changed_is_made_again(shelf: Path, harm: str, caplog: pytest.LogCaptureFixture):
    wheel = put_wheel(shelf, "first")
    folder = unpack_wheel(wheel)
    data, manifest = folder / "small_wheel" / "data.txt", folder / ".manifest.json"
    if harm == "remove":
        data.unlink()
    elif harm == "add":
        (folder / "small_wheel" / "more.py").write_text("import os")
    elif harm.endswith("manifest"):
        manifest.write_text(manifest.read_text()[:10]) if harm.startswith("cut") else manifest.unlink()
    else:
        data.write_text("worst" if harm == "same size" else "worse than before")
    folder = unpack_wheel(wheel)
    assert (folder / "small_wheel" / "data.txt").read_text() == "first"
    assert not (folder / "small_wheel" / "more.py").exists()
    assert "made again" in caplog.text


def test_a_copied_cache_is_read_once_and_used(shelf: Path):
    wheel = put_wheel(shelf, "first")
    folder = unpack_wheel(wheel)
    data = folder / "small_wheel" / "data.txt"
    os.utime(data, (1, 1))
    assert unpack_wheel(wheel) == folder
    assert data.stat().st_mtime == 1


def test_wheels_that_differ_only_in_their_bytes_are_unpacked_apart(shelf: Path):
    first = unpack_wheel(put_wheel(shelf, "first"))
    second = unpack_wheel(put_wheel(shelf, "second"))
    assert [(folder / "small_wheel" / "data.txt").read_text() for folder in (first, second)] == ["first", "second"]


def test_a_wheel_that_cannot_be_unpacked_is_named(shelf: Path):
    wheel = put_wheel(shelf)
    fetch_wheel(wheel)
    (cache_folder() / "unpacked").write_text("")
    with pytest.raises(FetchError, match=r"cannot unpack small-wheel 1\.2 into .*unpacked.*LUTHIER_CACHE"):
        unpack_wheel(wheel)


def test_a_damaged_folder_that_many_find_at_once_is_made_again(shelf: Path):
    wheel = put_wheel(shelf)
    folder = unpack_wheel(wheel)
    for number in range(20):
        (folder / f"small_wheel/more{number}").mkdir()
        (folder / f"small_wheel/more{number}/code.py").write_text("")
    with ThreadPoolExecutor(8) as several:
        assert {each.result() for each in [several.submit(unpack_wheel, wheel) for _ in range(8)]} == {folder}
    assert sorted(path.name for path in (folder / "small_wheel").iterdir()) == ["data.txt"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
