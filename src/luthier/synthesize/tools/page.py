"""What a run of `luthier synthesize tools` shows: where the tools come from, what the checks found, ten dialogues."""

from __future__ import annotations

from luthier.records import JSON
from luthier.report.page import Page
from luthier.report.talk import dialogue
from luthier.report.wording import number
from luthier.run.record import RunRecord

CHECKED, HELD_OUT = "checked.jsonl", "held_out.jsonl"
SHOWN = 10
TITLE = "Tool dialogues with known truth"


def draw(run: RunRecord) -> Page:
    """The page of a run; without dialogues that were checked, its shell."""
    pool, made, found = (run.results(step) for step in ("pool", "dialogues", "check"))
    names = tuple(str(name).rpartition("/")[2] for name in run.settings.get("apis", ()))
    if not found:
        return Page(TITLE, tags=names)
    values = {
        "pool": pool,
        "types": made["types"],
        "made": made["made"],
        "check": found,
        "checks": _rule_counts(found),
        "dialogues": [dialogue(row) for row in run.sample(CHECKED, SHOWN)],
    }
    figures = (
        (pool["tools"], "tools collected"),
        (made["made"], "dialogues made"),
        (made["real"], "of them about these tools"),
        (found["passed"], "passed every check"),
    )
    return Page(TITLE, "synthesize/tools/page.html.j2", values, names, tuple((number(value), label) for value, label in figures))


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    pool, made, found = (run.results(step) for step in ("pool", "dialogues", "check"))
    told = [f"{pool['tools']} tools of {pool['read']} read, {pool['duplicates']} of them duplicates"]
    told += [f"  left out, {reason}: {count}" for reason, count in pool["rejected"].items()]
    told.append(
        f"{made['made']} dialogues made, {made['real']} of them about these tools: a tool whose parameters can be put into words gives a list of them"
    )
    told.append(f"{run.path / CHECKED}: {found['passed']} dialogues; {found['checked'] - found['passed']} did not pass the checks")
    told += [f"  {rule}, {found['rules'].get(rule, LEAK)}: broken by {count}" for rule, count in found["failed"].items()]
    held = run.results("held out")
    if held:
        short = (
            "" if held["made"] == held["asked"] else f" of {held['asked']} asked for: there are no more with other requests and other calls"
        )
        told.append(f"{run.path / HELD_OUT}: {held['made']} dialogues{short}, for evaluation")
    return [*told, str(run.path / "report.html")]


LEAK = "nothing of the benchmark's items"  # rule C1, which is not in the table of rules


def _rule_counts(found: JSON) -> list[tuple[str, str, int]]:
    """(rule, meaning, dialogues that broke it) of a step of checks."""
    rules, failed = found.get("rules", {}), found.get("failed", {})
    return [(name, rules.get(name, LEAK), failed.get(name, 0)) for name in dict.fromkeys([*rules, *failed])]
