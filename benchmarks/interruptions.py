"""Stops every command that keeps a run at random moments (SIGKILL, SIGTERM, SIGINT), continues it with the same words, and holds what it wrote
against an undisturbed run: how many stops lost nothing. `--quick` tries three commands once."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "cli")]
OWN = ("run.json", "report.html", ".lock")
TIMES = ("cpu", "wall")  # of a judged program
CURVE = "curve"  # of a search: calls, tokens, seconds, whether solved
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
QUICK = ("probe run", "select run", "decode label")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--stops", type=int, default=10, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    out = chosen.out or ROOT / "benchmarks" / "results" / f"interruptions{'-quick' if chosen.quick else ''}.json"
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    from run_cases import CASES, Materials

    names, stops = (QUICK, 1) if chosen.quick else (tuple(CASES), chosen.stops)
    draw = random.Random(chosen.seed)
    kept: dict[str, Any] = json.loads(out.read_text()) if out.is_file() and not chosen.quick else {}
    with tempfile.TemporaryDirectory() as scratch:
        at = Materials(Path(scratch), tiny_model(Path(scratch) / "model"))
        for name in names:
            if name in kept:
                continue
            words = [*name.split(), *map(str, CASES[name](at)), "--quiet", "--out"]
            start = time.perf_counter()
            call([*words, f"{scratch}/whole"])
            took = time.perf_counter() - start
            lost = [fault for number in range(stops) if (fault := stopped(words, Path(scratch), took, draw, number))]
            kept[name] = {"stops": stops, "seconds": round(took, 1), "lost": lost}
            for folder in Path(scratch).glob("whole*"):
                remove(folder)
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(kept, indent=1) + "\n")
            print(f"{name}: {stops} stops, {len(lost)} lost something{': ' + '; '.join(lost) if lost else ''}", flush=True)
    told = [kept[name] for name in names]
    print(
        f"interruptions: {sum(one['stops'] for one in told)} stops of {len(told)} commands, {sum(len(one['lost']) for one in told)} lost something"
    )


def stopped(words: list[str], scratch: Path, took: float, draw: random.Random, number: int) -> str:
    """Stop a run once, continue it, and say what is not as it should be; empty where all is."""
    out, sign = scratch / f"cut{number}", draw.choice(SIGNALS)
    with subprocess.Popen(
        [sys.executable, "-m", "luthier", *words, str(out)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        try:
            process.wait(draw.uniform(0.2, 0.95) * took)
        except subprocess.TimeoutExpired:
            process.send_signal(sign)
    call([*words, str(out)])
    found, wanted = digests(out), digests(scratch / "whole")
    other = sorted(name for name in {**found, **wanted} if found.get(name) != wanted.get(name))
    faults = [f"{sign.name}: {name} is another" for name in other]
    faults += [f"{sign.name}: {path.name} left behind" for path in out.rglob(".*.part")]
    status = json.loads((out / "run.json").read_text())["status"]
    faults += [] if status == "done" else [f"{sign.name}: status {status}"]
    remove(out)
    return ", ".join(faults)


def digests(out: Path) -> dict[str, str]:
    """Of every file but the record and the page, times taken out."""
    found = {}
    for path in sorted(out.rglob("*")):
        place = path.relative_to(out)
        if path.is_file() and path.name not in OWN and "checkpoints" not in place.parts:
            found[str(place)] = hashlib.sha256(untimed(path)).hexdigest()
    return found


def untimed(path: Path) -> bytes:
    if path.suffix not in (".json", ".jsonl"):
        return path.read_bytes()
    text = path.read_text()
    return json.dumps(
        without_times([json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text))
    ).encode()


def without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [without_times(item) for item in value]
    if isinstance(value, dict):
        value = {name: [[*point[:2], *point[3:]] for point in item] if name == CURVE else item for name, item in value.items()}
        return {name: without_times(item) for name, item in value.items() if "seconds" not in name and name not in TIMES}
    return value


def call(words: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "luthier", *words], check=True, stdout=subprocess.DEVNULL)


def remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def tiny_model(folder: Path) -> Path:
    import conftest

    return conftest.write_tiny_model(folder)


if __name__ == "__main__":
    main()
