"""xAPI statements as answers: who answered which activity, and with what result. Learners' names are hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError
from luthier.records import JSON, SkippedRows, read_rows
from luthier.records.files import set_aside
from luthier.records.learning import AnswerCollector, AnswerLog
from luthier.records.lines import to_text

VERBS = ("answered", "attempted", "passed", "failed", "completed")


def is_statements(path: Path) -> bool:
    """Whether the first row is a statement: an actor, a verb and an object."""
    try:
        _, row = next(iter(read_rows(path)))
    except (StopIteration, BadRowError):
        return False
    return isinstance(row.get("actor"), dict) and isinstance(row.get("verb"), dict)


def read_statements(paths: Sequence[Path], skipped: SkippedRows | None = None) -> AnswerLog:
    """The answers among statements; others are counted in the log's notes. Raises BadRowError with file and line."""
    collector, other = AnswerCollector(), 0
    for path in paths:
        for number, row in read_rows(path, skipped):
            try:
                verb = str((row.get("verb") or {}).get("id", "")).rstrip("/").rsplit("/", 1)[-1]
                correct = _result(row, verb)
                if verb not in VERBS or correct is None:
                    other += 1
                    continue
                tags: list[str | None] = [*_concepts(row)] or [None]
                for concept in tags:
                    collector.add(_actor(row), _object(row), correct, _time(row), concept, number)
            except BadRowError as problem:
                set_aside(problem.at(path, number), to_text(row), skipped)
    try:
        return collector.log(notes=[f"{other} statements are no answers"] if other else [])
    except BadRowError as problem:
        raise problem.at(paths[0], problem.line or 1) from None


def _result(row: JSON, verb: str) -> float | None:
    result = row.get("result") or {}
    score = result.get("score")
    scaled = score.get("scaled") if isinstance(score, dict) else None
    if isinstance(scaled, int | float):
        return min(1.0, max(0.0, float(scaled)))
    if isinstance(result.get("success"), bool):
        return float(result["success"])
    return {"passed": 1.0, "failed": 0.0}.get(verb)


def _actor(row: JSON) -> str:
    """A hash of whatever names the learner."""
    actor = row.get("actor")
    account = actor.get("account") if isinstance(actor, dict) else None
    found: Any = None
    if isinstance(account, dict):
        found = f"{account.get('homePage', '')}/{account.get('name', '')}"
    elif isinstance(actor, dict):
        found = next((actor[name] for name in ("mbox", "mbox_sha1sum", "openid", "name") if actor.get(name)), None)
    if not found:
        raise BadRowError("the statement names no actor (account, mbox, mbox_sha1sum or openid)")
    return hashlib.sha256(str(found).encode()).hexdigest()[:16]


def _object(row: JSON) -> str:
    found = (row.get("object") or {}).get("id")
    if not found:
        raise BadRowError("the statement's object has no id")
    return str(found)


def _concepts(row: JSON) -> list[str]:
    """Grouping activities of the context."""
    context = (row.get("context") or {}).get("contextActivities") or {}
    grouping = context.get("grouping") or []
    some = grouping if isinstance(grouping, list) else [grouping]
    return [str(each["id"]) for each in some if isinstance(each, dict) and each.get("id")]


def _time(row: JSON) -> float | None:
    text = row.get("timestamp") or row.get("stored")
    if text is None:
        return None
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        raise BadRowError(f"the timestamp {str(text)[:40]!r} is not an ISO 8601 time") from None
