"""What the command of an infusion says of each stage, and of what a stage left out."""

from __future__ import annotations

from pathlib import Path

from luthier.train.infusion_page import draw, lines
from run_folders import drawn, run_folder

MADE = {"steps": 5, "rows": 20, "general_rows": 3, "loss": 0.5, "made": "adapter", "way": "lora", "trainable_parameters": 9, "left_out": 0}


def test_what_a_stage_left_out_is_said(tmp_path: Path):
    results = {"continued": {**MADE, "left_out": 4, "general_left_out": 2}, "supervised": {**MADE, "general_left_out": 0}}
    run = run_folder(tmp_path, "train infuse", results)
    said = [line for line in lines(run) if "were" in line]
    assert said == [
        "4 rows of continued were left out: too long, or with nothing to learn",
        "2 rows of general text were passed over: longer than max_length, or than two rows of --pack",
    ]
    assert "left out" in drawn(run, draw)


def test_a_run_of_an_earlier_version_is_told(tmp_path: Path):
    assert len(lines(run_folder(tmp_path, "train infuse", {"continued": MADE}))) == 2
