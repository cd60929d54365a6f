"""Faults in real packages, mended by a model with `luthier search repair`: how many of 60, by each strategy, with the same calls.

The faults are those of `benchmarks/repair_faults.py`. What the model is asked is kept in `--folder`, and so is every fault that is done, so the same command goes on
where it was stopped; `--minutes` ends it after the fault that is under way, and the figures are of the faults that every strategy has done.

    python benchmarks/repair.py --minutes 30
    python benchmarks/repair.py --model qwen2.5-coder-1.5b --arms "best-of-n;rethink"
"""

from __future__ import annotations

import ast
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import RESULTS, benchmark
from luthier.models.opening import open_model
from luthier.records.journal import Journal
from luthier.run import RunRecord
from luthier.search.repairing import RepairSettings, run
from luthier.statistics.rates import mcnemar, wilson
from repair_faults import PACKAGES, Fault, faults, put_in, unpacked

ARMS: dict[str, dict[str, Any]] = {
    "lines": {"lines": "only"},
    "lines, then best-of-n": {"lines": "first", "strategy": "best-of-n", "parallel": 4},
    "best-of-n": {"lines": "never", "strategy": "best-of-n", "parallel": 4},
    "rethink": {"lines": "never", "strategy": "rethink"},
    "ldb": {"lines": "never", "strategy": "ldb", "iterations": 16},
    "s-star": {"lines": "never", "strategy": "s-star"},
}


def measure(quick: bool, **options: str) -> dict[str, Any]:
    folder, seed = Path(options["folder"]), int(options["seed"])
    made = faults(1, seed, folder, PACKAGES[2:3]) if quick else _mixed(faults(int(options["faults"]), seed, folder))
    arms = {name: ARMS[name] for name in (options["arms"].split(";") if options["arms"] else ARMS)}
    arms = dict(list(arms.items())[:1]) if quick else arms
    calls = 2 if quick else int(options["calls"])
    model = open_model(options["model"], engine=options["engine"])  # type: ignore[arg-type]
    runs = folder / f"{options['model'].rpartition('/')[2]}-{calls}-calls"
    end = time.monotonic() + 60 * float(options["minutes"])
    with Journal(runs / "done.jsonl", ("arm", "fault")) as journal:
        done = {(row["arm"], row["fault"]): row for row in journal}
        for number, fault in enumerate(made, 1):
            for arm, changes in arms.items():
                if (arm, fault.name) not in done and time.monotonic() < end:
                    settings = changes | {"budget": f"{calls} calls", "model": options["model"], "engine": options["engine"]}
                    row = {"arm": arm, "fault": fault.name, **_mended(fault, settings, model, runs / arm / fault.name, folder)}
                    journal.append(row)
                    done[arm, fault.name] = row
                    print(f"{number} of {len(made)}, {arm}: {fault.name}: {row['came']}", flush=True)
    return {
        "model": options["model"],
        "calls": calls,
        **_figures([fault for fault in made if all((arm, fault.name) in done for arm in arms)], arms, done),
    }


def _mixed(made: list[Fault]) -> list[Fault]:
    """One of each package in turn, so that a part of them is a fair one."""
    places = Counter[str]()
    rank = {}
    for one in made:
        rank[one.name] = places[one.package]
        places[one.package] += 1
    return sorted(made, key=lambda one: (rank[one.name], one.package))


def _mended(fault: Fault, settings: dict[str, Any], model: Any, out: Path, folder: Path) -> dict[str, Any]:
    """Put the fault in, search, and say what came of it. The package lies at the same place each time, so that a stopped search continues."""
    package = next(one for one in PACKAGES if one.project == fault.package)
    root = Path(tempfile.gettempdir()) / "luthier-repair" / fault.name
    shutil.rmtree(root, ignore_errors=True)
    try:
        with unpacked(package, folder) as made:
            right = (made / fault.file).read_text(encoding="utf-8")
            shutil.copytree(made, root)
        put_in(root, fault)
        run(RepairSettings(fault.test, root=str(root), **settings), out, model=model)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return _came(fault, RunRecord.read(out), right)


def _came(fault: Fault, record: RunRecord, right: str) -> dict[str, Any]:
    found = record.results("search")
    fix, spent = found["fix"], found["spent"]
    offered = any(each.startswith(f"{fault.file}:") and each.endswith(f" {fault.function}") for each in found["functions"])
    edits = Counter(_outcome(row["tried"]["tests"]) for row in record.rows("programs.jsonl"))
    reason = "the function with the fault is not shown" if not offered else next((name for name in REASONS if edits[name]), "no program")
    return {
        "solved": fix is not None,
        "as_it_was": fix is not None and ast.dump(ast.parse(fix["files"].get(fault.file, ""))) == ast.dump(ast.parse(right)),
        "came": "solved" if fix is not None else reason,
        "edits": dict(edits),
        "kind": fault.kind,
        **{name: spent[name] for name in ("calls", "tokens", "seconds")},
    }


REASONS = ("breaks the rest", "the test still fails", "leaves it as it was", "no such function in the answer", "no Python")


def _outcome(tests: list[dict[str, Any]]) -> str:
    """What an edit came to."""
    first, rest = tests
    if first["kind"] == "load_error":
        return "no Python" if "no Python" in first["detail"] else "leaves it as it was" if "leaves" in first["detail"] else REASONS[3]
    return "the test still fails" if first["kind"] != "passed" else "solved" if rest["kind"] == "passed" else "breaks the rest"


def _figures(made: list[Fault], arms: dict[str, Any], done: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    rows = {arm: [done[arm, fault.name] for fault in made] for arm in arms}
    told = {}
    for arm, own in rows.items():
        edits = Counter[str]()
        for row in own:
            edits.update(row["edits"])
        told[arm] = {
            "solved": wilson(sum(row["solved"] for row in own), len(own)).to_row(),
            "as_it_was": sum(row["as_it_was"] for row in own),
            "came": dict(Counter(row["came"] for row in own)),
            "edits": dict(edits),
            "kinds": {
                kind: [sum(row["solved"] for row in own if row["kind"] == kind), count]
                for kind, count in Counter(row["kind"] for row in own).items()
            },
            **{name: sum(row[name] for row in own) / max(1, len(own)) for name in ("calls", "tokens", "seconds")},
        }
    any_of = sum(any(rows[arm][at]["solved"] for arm in arms) for at in range(len(made)))
    first, *others = arms
    pairs = {f"{first}, not {other}": _pair(rows[first], rows[other]) for other in others}
    return {"faults": [asdict(fault) for fault in made], "arms": told, "solved_by_any": wilson(any_of, len(made)).to_row(), "pairs": pairs}


def _pair(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> dict[str, Any]:
    """Faults that only the one or only the other solved, and the p of McNemar's test."""
    only = sum(mine["solved"] and not theirs["solved"] for mine, theirs in zip(one, other, strict=True))
    lost = sum(theirs["solved"] and not mine["solved"] for mine, theirs in zip(one, other, strict=True))
    return {"only_first": only, "only_second": lost, "p": mcnemar(only, lost)}


def line(figures: dict[str, Any]) -> str:
    told = [
        f"{arm} {_rate(own['solved'])}, {own['calls']:.1f} calls, {own['tokens']:,.0f} tokens, {own['seconds']:.0f} s"
        for arm, own in figures["arms"].items()
    ]
    return f"{figures['model']}, {len(figures['faults'])} faults, {figures['calls']} calls: {'; '.join(told)}; any of them {_rate(figures['solved_by_any'])}"


def _rate(row: dict[str, Any]) -> str:
    return f"{100 * row['rate']:.0f} % ({100 * row['low']:.0f}-{100 * row['high']:.0f})"


if __name__ == "__main__":
    benchmark(
        "repair",
        measure,
        line,
        __doc__,
        model="qwen2.5-coder-0.5b",
        engine="llamacpp",
        faults="60",
        calls="16",
        arms="",
        minutes="600",
        seed="1",
        folder=str(RESULTS / "repair"),
    )
