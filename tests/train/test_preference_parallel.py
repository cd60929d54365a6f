"""Preference tuning in two processes, DDP and FSDP2 under gloo, beside one process on the same pairs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "preference_worker.py"


Records = list[dict[str, Any]]


def run(folder: Path, out: Path, mode: str, processes: int, *sigmas: float) -> list[Records]:
    """For each sigma what each process wrote: losses and margins by step, the margin of evaluation, a digest of its adapters."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    told = ",".join(map(str, sigmas))
    command = [sys.executable, *(launch if processes > 1 else []), str(SCRIPT), str(folder), str(out), mode, told]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [[json.loads((out / f"{mode}-{sigma}-{rank}.json").read_text()) for rank in range(processes)] for sigma in sigmas]


@pytest.mark.slow
def test_two_processes_agree_with_each_other_and_with_one_and_flat_noise_goes_along(tiny_model_folder: Path, tmp_path: Path):
    ((alone,),) = run(tiny_model_folder, tmp_path, "single", 1, 0.0)
    assert alone["known"] == 16
    for mode in ("ddp", "fsdp"):
        (first, second), (flat, other) = run(tiny_model_folder, tmp_path, mode, 2, 0.0, 0.3)
        assert first["adapter"] == second["adapter"], mode
        assert first["known"] == second["known"] == 16, mode
        for name in ("losses", "margins"):
            assert first[name] == pytest.approx(alone[name], rel=2e-3, abs=1e-5), (mode, name)
        assert first["evaluated"] == pytest.approx(alone["evaluated"], rel=2e-3), mode
        assert flat["adapter"] == other["adapter"] != first["adapter"], mode
        assert abs(flat["losses"][0] - 0.693147) > 1e-3, mode  # the policy is noisy, its reference is not
