"""Flat noise in two processes: DDP and FSDP2 under gloo, beside a single process on the same data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "flat_worker.py"


Records = list[dict[str, Any]]


def run(folder: Path, out: Path, mode: str, processes: int, *ranks: str) -> list[Records]:
    """For each way of drawing what each process wrote: its losses, a digest of its adapters after training, its base weights, its noise."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(launch if processes > 1 else []), str(SCRIPT), str(folder), str(out), mode, ",".join(ranks)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [[json.loads((out / f"{mode}-{each}-{rank}.json").read_text()) for rank in range(processes)] for each in ranks]


@pytest.mark.slow
def test_two_processes_agree_with_each_other_and_with_one_and_draw_noise_of_their_own_where_told(tiny_model_folder: Path, tmp_path: Path):
    """Shared noise: two ranks with half a batch each take the steps of one process with the whole batch."""
    ((alone,),) = run(tiny_model_folder, tmp_path, "single", 1, "shared")
    for mode in ("ddp", "fsdp"):
        (first, second), (one, other) = run(tiny_model_folder, tmp_path, mode, 2, "shared", "independent")
        assert first["adapter"] == second["adapter"], mode
        assert first["noise"] == second["noise"], mode
        assert first["losses"] == pytest.approx(alone["losses"], rel=2e-4), mode
        assert first["base_before"] == first["base_after"] == second["base_after"], mode
        assert first["noisy"] is True
        assert first["clean_evaluation"] is True
        assert one["noise"] != other["noise"], mode
        assert one["adapter"] == other["adapter"], mode
        assert one["base_before"] == one["base_after"] == other["base_after"], mode
