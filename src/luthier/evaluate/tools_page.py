"""What a run of `luthier evaluate tools` shows: the score table, and some of the wrong answers."""

from __future__ import annotations

from luthier.evaluate.leaderboard import Sum, sums
from luthier.records import JSON
from luthier.report.page import Page
from luthier.report.wording import percent, rate
from luthier.run.record import RunRecord

ANSWERS = "answers.jsonl"
RULES = ("official", "right", "strict", "dialogues")  # as far as a row has them
SHOWN = 10
TITLE = "Function calling"
OWN = "own dialogues"  # the category of all own ones, whatever their type
OWN_READER = "Java and JavaScript are read by Luthier; with pip install 'luthier[bfcl]' they are read as the benchmark reads them"
KINDS = {"own": "own dialogues", "bfcl": "benchmark"}


def draw(run: RunRecord) -> Page:
    """The page of a run; without scores yet, its shell."""
    found, settings = run.results("answers"), run.settings
    tags = tuple(str(settings[name]) for name in ("model", "adapter") if settings.get(name))
    if not found:
        return Page(TITLE, tags=tags)
    wrong = [row for row in run.rows(ANSWERS) if not row.get("strict")]  # strict is never right where the other rule is not
    kinds = found.get("balance", {})
    values = {
        "rows": found["scores"],
        "rules": [[rule for rule in RULES if rule in row] for row in found["scores"]],
        "benchmark": found["benchmark"],
        "dialogues": any(row["category"].startswith("multi_turn_") for row in found["scores"]),
        "own": any("right" in row for row in found["scores"]),
        "first": found["scores"][0],
        "balances": [(KINDS[kind], row) for kind, rows in kinds.items() for row in rows],
        "sums": [(one.name, one.decoding, one.official._asdict(), one.strict._asdict()) for one in sums(found["scores"])],
        "read": [_read(row) for row in found["scores"]],
        "wrong": wrong[:: max(1, len(wrong) // SHOWN)][:SHOWN],
        "wrong_count": len(wrong),
        "source": OWN_READER if found.get("source_reader") == "luthier" else "",
    }
    return Page(TITLE, "evaluate/tools.html.j2", values, tags)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found = run.results("answers")
    width = max(14, *(len(row["category"]) for row in found["scores"]))
    told = [
        f"{row['category']:{width}} {row['decoding']:12} {row['items']:4} items   "
        + "   ".join(f"{rule} {rate(row[rule])}" for rule in RULES if rule in row)
        for row in found["scores"]
    ]
    read = [f"{row['category']:{width}} {row['decoding']:12} {_read(row)}" for row in found["scores"]]
    read += [f"{KINDS['bfcl']}, {one.decoding}: {_sum(one)}" for one in sums(found["scores"])]
    even = [_even(KINDS[kind], row) for kind, rows in found.get("balance", {}).items() for row in rows]
    source = [OWN_READER] if found.get("source_reader") == "luthier" else []
    return [*told, *read, *even, *source, str(run.path / "report.html")]


def _sum(one: Sum) -> str:
    """A figure of the leaderboard in words."""
    official, strict = (rate(mean._asdict()) for mean in (one.official, one.strict))
    return f"{one.name} of the leaderboard {official}, strict {strict}"


def _even(kind: str, row: JSON) -> str:
    called, abstained = rate(row["called"]), rate(row["abstained"])
    return f"{kind}, {row['decoding']}: called where asked {called}, spoke where not {abstained}, mean {percent(round(row['mean'], 3))}"


def _read(row: JSON) -> str:
    """In which form the calls were, how many attempts were in none that is known, and by which rules dialogues are wrong."""
    forms, unread = row.get("forms", {}), row.get("unread", 0)
    told = f"calls read as {', '.join(f'{form} ({count})' for form, count in forms.items())}" if forms else "no calls"
    told += f"; {unread} attempts in no known form" if unread else ""
    failures = ", ".join(f"{failure} ({count})" for failure, count in row.get("failures", {}).items())
    return told + (f"; wrong by {failures}" if failures else "")
