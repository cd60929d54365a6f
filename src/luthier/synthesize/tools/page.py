"""What a run of `luthier synthesize tools` shows: where the tools come from, what the checks found, ten dialogues."""

from __future__ import annotations

from luthier.records import JSON
from luthier.report.page import Page
from luthier.report.talk import dialogue
from luthier.report.wording import number
from luthier.run.record import RunRecord

POOL, DIALOGUES, CHECKED, HELD_OUT, REVIEW = "pool.jsonl.gz", "dialogues.jsonl", "checked.jsonl", "held_out.jsonl", "review.jsonl"
SHOWN = 10
COVERED = (("tools", "of your tools"), ("parameters", "of their parameters"))
MOST_TOLD = 12  # of what is missing, in a terminal
TITLE = "Tool dialogues with known truth"


def draw(run: RunRecord) -> Page:
    """The page of a run; without dialogues that were checked, its shell."""
    pool, made, found = (run.results(step) for step in ("pool", "dialogues", "check"))
    names = tuple(str(name).rpartition("/")[2] for name in run.settings.get("apis", ()))
    if not found or ("judge" in run.settings and not run.results("experts")):
        return Page(TITLE, tags=names)
    last = run.results("experts") or found
    values = {
        "pool": pool,
        "types": made["types"],
        "made": made["made"],
        "made_by": made,
        "check": found,
        "passed": _passed(run),
        "checks": _rule_counts(found),
        "coverage": last.get("coverage"),
        "passed_types": last.get("types", {}),
        "left_out": pool.get("left_out", {}),
        "dialogues": [dialogue(row) for row in run.sample(CHECKED, SHOWN)],
        "accounts": _accounts(run),
        "dropped": made.get("dropped", {}),
        "words": run.results("words"),
        "experts": run.results("experts"),
    }
    figures = [
        (number(pool["tools"]), "tools collected"),
        (number(made["made"]), "dialogues made"),
        (number(made["real"]), "of them about these tools"),
        (number(_passed(run)), "passed every check"),
    ]
    if last.get("coverage"):
        figures += [(" of ".join(map(number, last["coverage"][what])), f"{label} called") for what, label in COVERED]
    return Page(TITLE, "synthesize/tools/page.html.j2", values, names, tuple(figures))


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    pool, made, found = (run.results(step) for step in ("pool", "dialogues", "check"))
    told = [f"{pool['tools']} tools of {pool['read']} read, {pool['duplicates']} of them duplicates"]
    told += [f"  left out, {reason}: {count}" for reason, count in pool["rejected"].items()]
    told += [f"  left out, {name}: {why}" for name, why in list(pool.get("left_out", {}).items())[:MOST_TOLD]]
    told.append(f"{made['made']} dialogues made, {made['real']} of them about these tools")
    told += _written(run)
    told.append(f"{run.path / CHECKED}: {_passed(run)} dialogues; {found['checked'] - _passed(run)} did not pass the checks")
    told += [f"  {rule}, {found['rules'].get(rule, LEAK)}: broken by {count}" for rule, count in found["failed"].items()]
    told += _covered((run.results("experts") or found).get("coverage"))
    held = run.results("held out")
    if held:
        short = (
            "" if held["made"] == held["asked"] else f" of {held['asked']} asked for: there are no more with other requests and other calls"
        )
        told.append(f"{run.path / HELD_OUT}: {held['made']} dialogues{short}, for evaluation")
    return [*told, str(run.path / "report.html")]


def _passed(run: RunRecord) -> int:
    """Dialogues that passed the rules, and the experts where there were some."""
    return int((run.results("experts") or run.results("check"))["passed"])


def _accounts(run: RunRecord) -> list[tuple[str, JSON]]:
    """What each model cost: (role, account)."""
    found = [("writer", run.results("dialogues").get("writer")), ("writer", run.results("words").get("writer"))]
    return [(role, row) for role, row in [*found, ("judge", run.results("experts").get("judge"))] if row]


def _written(run: RunRecord) -> list[str]:
    """What models did and cost, and what of it was dropped, and why."""
    made, worded, experts = (run.results(step) for step in ("dialogues", "words", "experts"))
    told = [f"  dropped, {reason}: {count}" for reason, count in made.get("dropped", {}).items()]
    if worded:
        told.append(f"requests in other words: {worded['model']} of {worded['dialogues']}; {worded['template']} stay as they were drawn")
        told += [f"  {reason}: {count}" for reason, count in worded["reasons"].items()]
    if experts:
        told.append(
            f"experts: {experts['passed']} passed, {experts['failed']} failed, {experts['unsure']} for a person: luthier tools review {run.path}"
        )
    for role, row in _accounts(run):
        stopped = f"; the budget of {row['stopped_by']} is spent" if row.get("stopped_by") else ""
        told.append(
            f"  {role} {row['model']}: {number(row['calls'])} calls, {number(row['prompt_tokens'] + row['completion_tokens'])} tokens{stopped}"
        )
    return told


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
