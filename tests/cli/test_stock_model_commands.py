"""Every command that asks or trains a model, with models as they come: on templates without marks, without tools, without a system turn."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_cases import CASES, Materials

from command import luthier
from luthier.errors import FetchError
from luthier.packages import BFCL, fetch_wheel
from stock_templates import stock, write_architecture

COMMANDS = ["train sft", "train preference", "train infuse", "probe run", "probe online", "probe sharpness", "decode label", "decode fit"]
COMMANDS += ["evaluate choice", "evaluate tools"]


@pytest.fixture(scope="module", params=["gemma", "llama3_1", "qwen3"])
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Materials:
    folder = tmp_path_factory.mktemp(f"stock-{request.param}")
    model = write_architecture("qwen2", folder / "model")
    (model / "chat_template.jinja").write_text(stock(request.param), encoding="utf-8")
    return Materials(folder, model)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_model_as_it_comes(name: str, at: Materials, tmp_path: Path) -> None:
    if name == "evaluate tools":
        try:
            fetch_wheel(BFCL)
        except FetchError as problem:
            pytest.skip(str(problem))
    luthier(*name.split(), *map(str, CASES[name](at)), "--quiet", "--out", str(tmp_path / "out"))
    assert (tmp_path / "out" / "report.html").is_file()
