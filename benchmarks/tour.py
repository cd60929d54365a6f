"""A newcomer's way: every command of docs/tour.md as it is printed there, in an empty folder and a new environment, with its time.

Needs git and an index to install from. What is done is kept in `--folder`, so a stopped run goes on; a service is started, asked for its page and
stopped with Ctrl-C. --quick: only what needs no installation and no training, in the environment that runs this.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from importlib import resources
from pathlib import Path
from typing import Any

from harness import benchmark

ROOT = Path(__file__).parents[1]
QUICK = ("luthier doctor", "luthier view runs")
SERVICES = ("luthier view", "luthier serve", "luthier trace serve")
ENVIRONMENT = "environment.json"


def measure(quick: bool, folder: str) -> dict[str, Any]:
    place = Path(folder).resolve()
    place.mkdir(parents=True, exist_ok=True)
    (place / "runs").mkdir(exist_ok=True)
    shutil.copy(resources.files("luthier.synthesize.tools") / "data" / "library_desk.yaml", place / "openapi.yaml")
    if quick:  # in the environment that runs this, whatever an earlier tour left
        place = place / "quick"
        (place / "runs").mkdir(parents=True, exist_ok=True)
    kept = place / "steps.json"
    steps: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.is_file() and not quick else []
    for chapter, line in commands((ROOT / "docs" / "tour.md").read_text(encoding="utf-8")):
        if any(step["line"] == line for step in steps) or (quick and line not in QUICK):
            continue
        start = time.perf_counter()
        run(line.replace("git clone URL", f"git clone --quiet {ROOT}"), place)
        steps.append({"chapter": chapter, "line": line, "seconds": round(time.perf_counter() - start, 1)})
        kept.write_text(json.dumps(steps, indent=1))
        print(f"{steps[-1]['seconds']:8.1f} s  {line}", flush=True)
    return {"steps": steps, "minutes": round(sum(step["seconds"] for step in steps) / 60, 1)}


def commands(page: str) -> list[tuple[str, str]]:
    """The lines of its shell blocks without their remarks, each with the heading it stands under."""
    found, chapter = [], ""
    for part in re.split(r"(?m)^(?=## |```)", page):
        if part.startswith("## "):
            chapter = part[3:].splitlines()[0]
        elif part.startswith("```sh\n"):
            found += [(chapter, line.split("   #")[0].rstrip()) for line in part.splitlines()[1:] if line.strip()]
    return found


def run(line: str, place: Path) -> None:
    """In the folder and the environment that the lines before left."""
    kept = place / ENVIRONMENT
    left = json.loads(kept.read_text()) if kept.is_file() else {}
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **left}
    inside = environment.get("PWD", str(place)) if left else str(place)
    if line.startswith(SERVICES):
        visit(line, inside, environment)
        return
    home = {"HOME": str(place)} if ".bashrc" in line else {}  # the reader's, not this machine's
    tell = (
        "import json, os; print(json.dumps({n: os.environ[n] for n in ('PATH', 'VIRTUAL_ENV') if n in os.environ} | {'PWD': os.getcwd()}))"
    )
    script = f"{line} && {sys.executable} -c \"{tell}\" > '{kept}.part'"
    subprocess.run(["bash", "-c", script], cwd=inside, env=environment | home, check=True, stdout=subprocess.DEVNULL)
    Path(f"{kept}.part").replace(kept)
    for name in ("openapi.yaml", "runs"):  # the clone is the folder that the reader stays in
        here = Path(json.loads(kept.read_text())["PWD"]) / name
        if not here.exists():
            here.symlink_to(place / name)


def visit(line: str, inside: str, environment: dict[str, str]) -> None:
    """Starts a service, reads its page, stops it as a person does."""
    served = subprocess.Popen(
        ["bash", "-c", f"exec {line}"], cwd=inside, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert served.stdout is not None
    try:
        address = next((found[0] for text in served.stdout if (found := re.search(r"http://[\w.:]+/?\S*", text))), None)
        if address is None:
            raise SystemExit(f"{line}: it ended without an address")
        with urllib.request.urlopen(address, timeout=30) as page:  # noqa: S310 - an address on this machine, which the service printed
            if page.status != 200:
                raise SystemExit(f"{line}: {address} answers {page.status}")
    finally:
        served.send_signal(signal.SIGINT)
        try:
            served.wait(60)
        except subprocess.TimeoutExpired:
            served.kill()
            raise SystemExit(f"{line}: Ctrl-C does not end it") from None


def line(figures: dict[str, Any]) -> str:
    told = [f"{step['line'][:40]} {step['seconds']:.0f} s" for step in figures["steps"] if step["seconds"] >= 1]
    return f"{len(figures['steps'])} commands in {figures['minutes']} min: {'; '.join(told)}"


if __name__ == "__main__":
    benchmark("tour", measure, line, __doc__, folder="runs/tour")
