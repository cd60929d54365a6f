from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.models.local import LocalModel
from luthier.models.precision import fast_dtype


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({}, torch.float32),
    ],
)
def test_a_cpu_computes_in_bf16_only_with_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, Any], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert fast_dtype("cpu") is dtype


def test_an_older_torch_is_asked_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    for answer, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda answer=answer: answer, raising=False)
        assert fast_dtype("cpu") is dtype


@pytest.mark.skipif(torch.cuda.is_available(), reason="about CPUs")
@pytest.mark.parametrize("native", [True, False])
def test_half_precision_weights_are_widened_where_the_cpu_is_slow_with_them(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    stored = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.bfloat16)
    stored.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(tmp_path)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native}, raising=False)

    model = LocalModel(tmp_path)
    expected = torch.bfloat16 if native else torch.float32
    assert model.module.dtype == model.training_dtype == expected
    weight = stored.model.layers[0].mlp.up_proj.weight
    assert torch.equal(model.module.model.layers[0].mlp.up_proj.weight, weight.to(expected))
    explicit = LocalModel(tmp_path, dtype="bfloat16")
    assert explicit.module.dtype == explicit.training_dtype == torch.bfloat16


@pytest.mark.skipif(torch.cuda.is_available(), reason="about CPUs")
def test_float32_weights_stay_as_stored(tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert LocalModel(tiny_model_folder).module.dtype == torch.float32
