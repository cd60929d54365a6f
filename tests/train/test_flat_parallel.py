"""Flat noise in two processes: DDP and FSDP2 under gloo, beside a single process on the same data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "flat_worker.py"


def run(folder: Path, out: Path, mode: str, ranks: str, processes: int) -> list[dict[str, Any]]:
    """What each process wrote: its losses, a digest of its adapters after training, its base weights, its noise."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(launch if processes > 1 else []), str(SCRIPT), str(folder), str(out), mode, ranks]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((out / f"{mode}-{ranks}-{rank}.json").read_text()) for rank in range(processes)]


@pytest.mark.slow
def test_two_processes_agree_with_each_other_and_with_one(tiny_model_folder: Path, tmp_path: Path):
    """Shared noise: two ranks with half a batch each take the steps of one process with the whole batch."""
    (alone,) = run(tiny_model_folder, tmp_path, "single", "shared", 1)
    for mode in ("ddp", "fsdp"):
        first, second = run(tiny_model_folder, tmp_path, mode, "shared", 2)
        assert first["adapter"] == second["adapter"], mode
        assert first["noise"] == second["noise"], mode
        assert first["losses"] == pytest.approx(alone["losses"], rel=2e-4), mode
        assert first["base_before"] == first["base_after"] == second["base_after"], mode
        assert first["noisy"] is True
        assert first["clean_evaluation"] is True


@pytest.mark.slow
def test_processes_draw_noise_of_their_own_unless_told_otherwise(tiny_model_folder: Path, tmp_path: Path):
    for mode in ("ddp", "fsdp"):
        first, second = run(tiny_model_folder, tmp_path, mode, "independent", 2)
        assert first["noise"] != second["noise"], mode
        assert first["adapter"] == second["adapter"], mode
        assert first["base_before"] == first["base_after"] == second["base_after"], mode
