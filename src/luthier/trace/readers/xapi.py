"""xAPI statements as answers: who answered which activity, and with what result. Learners' names are hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError
from luthier.records import JSON, SkippedRows, read_rows
from luthier.records.account import note_strange
from luthier.records.files import set_aside
from luthier.records.numbers import finite_number
from luthier.texts.dates import read_moment
from luthier.trace.answers import AnswerCollector, AnswerLog
from luthier.trace.readers.places import Clock, located, place_of

_ACTOR = frozenset(["actor", "account", "name", "homePage", "mbox", "mbox_sha1sum", "openid"])
_RESULT = frozenset(["result", "success", "score", "scaled", "raw", "min", "max"])
_KNOWN = _ACTOR | _RESULT | {"verb", "id", "object", "context", "contextActivities", "grouping", "timestamp", "stored"}
VERBS = ("answered", "attempted", "passed", "failed", "completed")


def is_statements(path: Path) -> bool:
    """Whether the first row is a statement (an actor, a verb and an object), or holds a list of them as a store answers."""
    try:
        _, row = next(iter(read_rows(path)))
    except (StopIteration, BadRowError):
        return False
    return isinstance(row.get("statements"), list) or (isinstance(row.get("actor"), dict) and isinstance(row.get("verb"), dict))


def read_statements(paths: Sequence[Path], skipped: SkippedRows | None = None) -> AnswerLog:
    """The answers among statements; others are counted in the log's notes. Raises BadRowError with file and line."""
    collector, clock, other, unscaled = AnswerCollector(), Clock(), 0, 0
    for file, path in enumerate(paths):
        for number, row in _statements(path, skipped):
            try:
                verb = str(_part(row, "verb").get("id", "")).rstrip("/").rsplit("/", 1)[-1]
                correct = _result(row, verb)
                if verb not in VERBS or correct is None:
                    open_score = verb in VERBS and _part(_part(row, "result"), "score").get("raw") is not None
                    other, unscaled = other + (not open_score), unscaled + open_score
                    continue
                actor, item, time = _actor(row), _object(row), _time(row)
                clock.check(time is not None)
                tags: list[str | None] = [*_concepts(row)] or [None]
                note_strange("statements", row, _KNOWN, path, number)
                for concept in tags:
                    collector.add(actor, item, correct, time, concept, place_of(file, number))
            except BadRowError as problem:
                set_aside(problem.at(path, number), row, skipped)
    told = [f"{other} statements are no answers"] if other else []
    told += [f"{unscaled} statements have a score without its max"] if unscaled else []
    try:
        return collector.log(notes=told, once=True)
    except BadRowError as problem:
        raise located(problem, paths) from None


def _statements(path: Path, skipped: SkippedRows | None) -> Iterator[tuple[int, JSON]]:
    """One a row, or several in a row's `statements`."""
    for number, row in read_rows(path, skipped):
        if not isinstance(row.get("statements"), list):
            yield number, row
            continue
        for each in row["statements"]:
            if isinstance(each, dict):
                yield number, each
            else:
                set_aside(BadRowError("one of the statements is no object", path, number), each, skipped)


def _part(row: JSON, name: str) -> JSON:
    """A field that holds an object; an empty one where it is missing. Raises BadRowError."""
    found = row.get(name)
    if found is not None and not isinstance(found, dict):
        raise BadRowError(f"{name} is not an object of fields")
    return found or {}


def _result(row: JSON, verb: str) -> float | None:
    """The share that was right: the scaled score, else the raw one between its least and its most, else the success, else the verb."""
    result = _part(row, "result")
    score = _part(result, "score")
    scaled = finite_number(score.get("scaled"))
    if scaled is not None:
        return min(1.0, max(0.0, scaled))
    share = _share(score)
    if share is not None:
        return share
    if isinstance(result.get("success"), bool):
        return float(result["success"])
    return {"passed": 1.0, "failed": 0.0}.get(verb)


def _share(score: JSON) -> float | None:
    """A raw score from 0, or its least, to its most; None where it or its most is not told. Raises BadRowError."""
    if score.get("raw") is None or score.get("max") is None:
        return None
    raw, least, most = (finite_number(score.get(name)) for name in ("raw", "min", "max"))
    least = 0.0 if score.get("min") is None else least
    if raw is None or least is None or most is None:
        raise BadRowError("raw, min and max of the score must be numbers")
    if not least <= raw <= most or least == most:
        raise BadRowError(f"the raw score {raw:g} does not lie between {least:g} and {most:g}")
    return (raw - least) / (most - least)


def _actor(row: JSON) -> str:
    """A hash of whatever names the learner."""
    actor = _part(row, "actor")
    account = _part(actor, "account")
    found: Any = f"{account.get('homePage', '')}/{account.get('name', '')}" if account else None
    found = found or next((actor[name] for name in ("mbox", "mbox_sha1sum", "openid", "name") if actor.get(name)), None)
    if not found:
        raise BadRowError("the statement names no actor (account, mbox, mbox_sha1sum or openid)")
    return hashlib.sha256(str(found).strip().encode()).hexdigest()[:16]


def _object(row: JSON) -> str:
    found = _part(row, "object").get("id")
    if not found:
        raise BadRowError("the statement's object has no id")
    return str(found).strip()


def _concepts(row: JSON) -> list[str]:
    """Grouping activities of the context."""
    grouping = _part(_part(row, "context"), "contextActivities").get("grouping") or []
    some = grouping if isinstance(grouping, list) else [grouping]
    return list(dict.fromkeys(str(each["id"]) for each in some if isinstance(each, dict) and each.get("id")))


def _time(row: JSON) -> float | None:
    text = row.get("timestamp") or row.get("stored")
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        found = read_moment(str(text))
        if found is None:
            raise BadRowError(f"the timestamp {str(text)[:40]!r} is not an ISO 8601 time") from None
        when = found
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
