"""What a run of searches shows: how many problems are solved and at what cost, and the tree of each: thoughts, rewards, what was rethought
and why. The tree opens and closes without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthier.records import JSON
from luthier.report.page import Page
from luthier.report.wording import duration, number, percent, rate
from luthier.run.record import RunRecord

SEARCHES, PROGRAMS, SCORES = "searches.jsonl", "programs.jsonl", "scores.jsonl"
TITLE = "Programs, searched"
SHOWN = 24
COSTS = (
    ("calls", "calls"),
    ("prompt_tokens", "tokens read"),
    ("completion_tokens", "tokens written"),
    ("programs", "programs run"),
    ("rounds", "rounds"),
)


def draw(run: RunRecord) -> Page:
    """The page of a run; without searches yet, its shell."""
    found, settings = run.results("search"), run.settings
    tags = tuple(str(settings.get(name, "")) for name in ("model", "strategy", "budget"))
    if not found:
        return Page(TITLE, tags=tags)
    scores = {row["task"]: row for row in run.rows(SCORES)}
    programs: dict[str, list[JSON]] = {}
    for row in run.rows(PROGRAMS):
        programs.setdefault(row["task"], []).append(row)
    rows = list(run.rows(SEARCHES))
    values = {
        "found": found,
        "scored": run.results("scores"),
        "cost": costs(found),
        "asked": list(found["asked"].items()),
        "counts": list(found["counts"].items()),
        "stopped": list(found["stopped"].items()),
        "trees": [shown(row, programs.get(row["task"], []), scores.get(row["task"])) for row in _chosen(rows)],
        "total": len(rows),
    }
    return Page(TITLE, "search/page.html.j2", values, tags)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found, scored = run.results("search"), run.results("scores")
    told = [f"{found['passes_public']} of {found['problems']} answers pass the public tests"]
    told += [f"{label}: {rate(scored[kind])}" for kind, label in KINDS if scored.get(kind) and kind != "public"]
    spent = found["spent"]
    money = f", {spent['money']:.4f} usd" if spent.get("money") else ""
    told.append(
        f"spent {number(spent['calls'])} calls, {number(spent['tokens'])} tokens, {duration(spent['seconds'])} of model and tests{money}"
    )
    if found["counts"]:
        told.append("not read: " + ", ".join(f"{what} {count}" for what, count in found["counts"].items()))
    return [*told, str(run.path / "report.html")]


KINDS = (("public", "public tests"), ("private", "private tests"), ("apart", "private tests that are not among the public ones"))


def costs(found: JSON) -> list[tuple[str, str, str]]:
    """What was spent, in sum and a problem."""
    spent, problems = found["spent"], max(1, found["problems"])
    rows = [(label, number(spent.get(name, 0)), number(round(spent.get(name, 0) / problems, 1))) for name, label in COSTS]
    rows.append(("time of model and tests", duration(spent.get("seconds", 0.0)), duration(spent.get("seconds", 0.0) / problems)))
    if spent.get("money"):
        rows.append(("US dollars", f"{spent['money']:.4f}", f"{spent['money'] / problems:.5f}"))
    return rows


def _chosen(rows: Sequence[JSON]) -> list[JSON]:
    """Some searches in their order: those that a rethink changed first, then evenly."""
    telling = [row for row in rows if any(edge["former"] for node in row["tree"]["nodes"] for edge in node["edges"])]
    rest = [row for row in rows if row not in telling]
    left = max(0, SHOWN - len(telling[:SHOWN]))
    picked = telling[:SHOWN] + [rest[at * len(rest) // left] for at in range(min(left, len(rest)))]
    return [row for row in rows if row in picked]


def shown(row: JSON, programs: Sequence[JSON], score: JSON | None) -> JSON:
    """A search as the page draws it: its tree from the root down, each node with its programs."""
    nodes = {node["number"]: node for node in row["tree"]["nodes"]}
    candidates = {one["number"]: one for one in programs}
    answer = candidates.get(row["answer"])
    spent = row["spent"]
    right = None if score is None else score["private"] if score["private"] is not None else None
    return {
        "task": row["task"],
        "passes": row["passes_public"],
        "right": right,
        "stopped": row["stopped"],
        "program": row["program"],
        "told": f"{number(spent['calls'])} calls, {number(spent['tokens'])} tokens, {row['candidates']} programs",
        "answer": answer["number"] if answer else None,
        "root": _node(nodes[0], None, nodes, candidates),
    }


def _node(node: JSON, edge: JSON | None, nodes: dict[int, JSON], candidates: dict[int, JSON]) -> JSON:
    own = [candidates[number] for number in node["candidates"] if number in candidates]
    best = max((one["reward"] for one in own), default=None)
    return {
        "thought": edge["thought"] if edge else "the problem",
        "former": edge["former"] if edge else [],
        "prior": f"{edge['prior']:.2f}" if edge else "",
        "returns": edge["returns"] if edge else node["visits"] - 1,
        "best": f"{edge['best']:.2f}" if edge else "",
        "reward": None if best is None else f"{best:.2f}",
        "passes": any(_passes(one) for one in own),
        "programs": [_program(one) for one in own],
        "feedback": node["feedback"],
        "open": False,
        "edges": [_below(each, nodes, candidates) for each in node["edges"]],
    }


def _below(edge: JSON, nodes: dict[int, JSON], candidates: dict[int, JSON]) -> JSON:
    if edge["node"] is not None:
        return _node(nodes[edge["node"]], edge, nodes, candidates)
    return {"thought": edge["thought"], "former": edge["former"], "prior": f"{edge['prior']:.2f}", "reward": None, "open": True}


def _program(one: JSON) -> JSON:
    tests = one["tried"]["tests"] if one["tried"] else []
    return {
        "number": one["number"],
        "how": one["how"],
        "program": one["program"],
        "reward": f"{one['reward']:.2f}",
        "estimate": None if one["estimate"] is None else f"{one['estimate']:+.2f}",
        "tests": tests,
        "passed": percent(sum(test["kind"] == "passed" for test in tests) / len(tests)) if tests else "not run",
    }


def _passes(one: JSON) -> bool:
    tests: list[Any] = one["tried"]["tests"] if one["tried"] else []
    return bool(tests) and all(test["kind"] == "passed" for test in tests)
