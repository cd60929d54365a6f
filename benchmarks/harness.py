"""What every benchmark shares: `--quick`, `--out`, a JSON file, and one last line of figures."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
RESULTS = Path(__file__).parent / "results"


def benchmark(
    name: str, measure: Callable[..., dict[str, Any]], line: Callable[[dict[str, Any]], str], text: str | None, **extra: str
) -> None:
    """Parse the options, run `measure(quick, **extra)`, write its figures with the machine's, print the line.

    extra: further options with their default values, e.g. run="runs/tools" for `--run`.
    """
    from luthier.records import atomic_write
    from luthier.run.machine import device

    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.json")
    for option, default in extra.items():
        parser.add_argument(f"--{option}", default=default, help=f"default: {default}")
    options = parser.parse_args()
    figures = measure(options.quick, **{option: getattr(options, option) for option in extra})
    with atomic_write(options.out) as stream:
        json.dump({"benchmark": name, "quick": options.quick, "device": device().to_row(), **figures}, stream, indent=1)
        stream.write("\n")
    print(f"{name}: {line(figures)}")
