"""What a run of `luthier tools evolve` shows: what was made of what, by which operators, what was left out, and some of the tools."""

from __future__ import annotations

import json

from luthier.report.page import Page
from luthier.report.wording import number
from luthier.run.record import RunRecord

POOL = "pool.jsonl"
TITLE = "Tools made of tools"
SHOWN = 10


def draw(run: RunRecord) -> Page:
    """The page of a run; before it is done, its shell."""
    found = run.results("evolve")
    if not found:
        return Page(TITLE)
    most = max(found["operators"].values(), default=1)
    values = {
        "found": found,
        "operators": [(name, count, count / most) for name, count in found["operators"].items()],
        "tools": [
            {**row, "shown": json.dumps(row["parameters"], ensure_ascii=False, indent=1)}
            for row in run.sample(POOL, SHOWN)
            if isinstance(row.get("parameters"), dict) and isinstance(row.get("lineage"), dict)
        ],
    }
    return Page(TITLE, "synthesize/tools/evolution.html.j2", values)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found = run.results("evolve")
    told = [f"{number(found['made'])} tools of {number(found['given'])}, in lines of up to {number(found['generations'])} generations"]
    told += [f"  given and left out, {reason}: {number(count)}" for reason, count in found["given_left_out"].items()]
    if found["given_duplicates"]:
        told.append(f"  given and left out, duplicates of another tool: {number(found['given_duplicates'])}")
    if found["made"] < found["wanted"]:
        told.append(f"  {number(found['wanted'] - found['made'])} fewer than asked for: no more were found that are new")
    told += [f"  not taken, {reason}: {number(count)}" for reason, count in found["left_out"].items()]
    told.append(f"operators: {', '.join(f'{name} {number(count)}' for name, count in found['operators'].items())}")
    if "writer" in found:
        spent = found["writer"]
        told.append(f"written by {spent['model']}: {number(spent['calls'])} calls, {number(spent['completion_tokens'])} tokens written")
    return [*told, str(run.path / POOL), str(run.path / "report.html")]
