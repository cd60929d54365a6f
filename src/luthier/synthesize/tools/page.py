"""What a run of `luthier synthesize tools` shows: where the tools come from, what the checks found, ten dialogues."""

from __future__ import annotations

from luthier.records import JSON
from luthier.report.page import Page
from luthier.report.talk import dialogue
from luthier.report.wording import number
from luthier.run.record import RunRecord

CHECKED, HELD_OUT = "checked.jsonl", "held_out.jsonl"
SHOWN = 10
COVERED = (("tools", "of your tools"), ("parameters", "of their parameters"))
MOST_TOLD = 12  # of what is missing, in a terminal
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
        "coverage": found.get("coverage"),
        "passed_types": found.get("types", {}),
        "left_out": pool.get("left_out", {}),
        "dialogues": [dialogue(row) for row in run.sample(CHECKED, SHOWN)],
    }
    figures = [
        (number(pool["tools"]), "tools collected"),
        (number(made["made"]), "dialogues made"),
        (number(made["real"]), "of them about these tools"),
        (number(found["passed"]), "passed every check"),
    ]
    if found.get("coverage"):
        figures += [(" of ".join(map(number, found["coverage"][what])), f"{label} called") for what, label in COVERED]
    return Page(TITLE, "synthesize/tools/page.html.j2", values, names, tuple(figures))


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    pool, made, found = (run.results(step) for step in ("pool", "dialogues", "check"))
    told = [f"{pool['tools']} tools of {pool['read']} read, {pool['duplicates']} of them duplicates"]
    told += [f"  left out, {reason}: {count}" for reason, count in pool["rejected"].items()]
    told += [f"  left out, {name}: {why}" for name, why in list(pool.get("left_out", {}).items())[:MOST_TOLD]]
    told.append(f"{made['made']} dialogues made, {made['real']} of them about these tools")
    told.append(f"{run.path / CHECKED}: {found['passed']} dialogues; {found['checked'] - found['passed']} did not pass the checks")
    told += [f"  {rule}, {found['rules'].get(rule, LEAK)}: broken by {count}" for rule, count in found["failed"].items()]
    told += _covered(found.get("coverage"))
    held = run.results("held out")
    if held:
        short = (
            "" if held["made"] == held["asked"] else f" of {held['asked']} asked for: there are no more with other requests and other calls"
        )
        told.append(f"{run.path / HELD_OUT}: {held['made']} dialogues{short}, for evaluation")
    return [*told, str(run.path / "report.html")]


def _covered(coverage: JSON | None) -> list[str]:
    """How many of the user's tools and parameters the dialogues call, and which not, and why."""
    if not coverage:
        return []
    counts = " and ".join(f"{coverage[what][0]} of {coverage[what][1]} {label}" for what, label in COVERED)
    missing = coverage["missing"]
    told = [
        f"  {one['tool']}{' ' if one['parameter'] else ''}{one['parameter']} is not called: {one['why']}" for one in missing[:MOST_TOLD]
    ]
    more = [f"  and {len(missing) - MOST_TOLD} more: report.html"] if len(missing) > MOST_TOLD else []
    return [f"{counts} are called, each at least {min(coverage['least'].values())} times", *told, *more]


LEAK = "nothing of the benchmark's items"  # rule C1, which is not in the table of rules


def _rule_counts(found: JSON) -> list[tuple[str, str, int]]:
    """(rule, meaning, dialogues that broke it) of a step of checks."""
    rules, failed = found.get("rules", {}), found.get("failed", {})
    return [(name, rules.get(name, LEAK), failed.get(name, 0)) for name in dict.fromkeys([*rules, *failed])]
