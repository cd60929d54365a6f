"""What a probe is put to: questions whose chains are to be written, questions with stored chains, right solutions with an error put in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from luthier.errors import SettingsError
from luthier.probe.settings import AskingSettings, ProbeSettings
from luthier.records import JSON, SkippedRows
from luthier.records.account import note
from luthier.records.choices import ChoiceQuestion, read_choices
from luthier.records.files import evenly


class Asked(NamedTuple):
    """A question, its chains (None where they are to be written), and what is known of each chain."""

    question: ChoiceQuestion
    chains: list[str] | None
    about: list[JSON]


def read_questions(settings: ProbeSettings) -> list[Asked]:
    """Everything that a probe is put to. Raises SettingsError where nothing comes of the settings, BadRowError, MissingFileError."""
    skipped = skipped_rows(settings)
    found = written_questions(settings.data, settings, skipped)
    for path in settings.stored:
        found += _stored(list(read_choices(path, skipped)), path, settings.limit)
    for path in settings.injected:
        found += _injected(path, settings, skipped)
    if not found:
        raise SettingsError(f"{', '.join((*settings.data, *settings.stored, *settings.injected))}: no questions there")
    return found


def written_questions(paths: tuple[str, ...], settings: AskingSettings, skipped: SkippedRows | None = None) -> list[Asked]:
    """Questions of files, whose chains are to be written."""
    return [
        Asked(_grouped(question, path), None, [])
        for path in paths
        for question in evenly(list(read_choices(path, skipped)), settings.limit)
    ]


def skipped_rows(settings: AskingSettings) -> SkippedRows | None:
    return SkippedRows(Path(settings.skip_bad)) if settings.skip_bad else None


def _grouped(question: ChoiceQuestion, path: str) -> ChoiceQuestion:
    return question if question.group else replace(question, group=Path(path).name.split(".")[0])


def _stored(questions: list[ChoiceQuestion], path: str, limit: int | None) -> list[Asked]:
    """Questions with all their stored chains; `limit` counts the questions of each group."""
    by_key: dict[tuple[str, str, tuple[str, ...]], Asked] = {}
    filters: dict[str, str] = {}  # of lm-evaluation-harness, by sample: it writes a row for each filter, with the same chain
    for question in questions:
        if question.chain is None:
            raise SettingsError(f"{question.place}: no chain there; give one in a field `chain`, `completion` or `prediction`")
        grouped = _grouped(question, path)
        if "filter" in question.extra and "doc_id" in question.extra:
            by = str(question.extra["filter"])
            if filters.setdefault(f"{grouped.group}/{question.extra['doc_id']}", by) != by:
                file, _, line = question.place.rpartition(":")
                note("understood", "samples of another filter, whose chain is told already", file, int(line))
                continue
        entry = by_key.setdefault((grouped.group, question.question, question.options), Asked(grouped, [], []))
        assert entry.chains is not None  # noqa: S101
        entry.chains.append(question.chain)
        entry.about.append({name: value for name, value in question.extra.items() if name in ("wrong", "id")})
    groups: dict[str, list[Asked]] = {}
    for entry in by_key.values():
        groups.setdefault(entry.question.group, []).append(entry)
    return [entry for each in groups.values() for entry in evenly(each, limit)]


def _injected(path: str, settings: ProbeSettings, skipped: SkippedRows | None) -> list[Asked]:
    """Questions with a right solution, and the same one with an error in it; those that give no hold for an error are left out."""
    from luthier.probe.labels import corrupt

    questions = [question for question in read_choices(path, skipped) if _solution(question) is not None]
    if not questions:
        raise SettingsError(f"{path}: no right solutions there; give them in a field `solution`, `rationale` or `chain`")
    found: list[Asked] = []
    for question in evenly(questions, settings.limit):
        solution = str(_solution(question))
        made = corrupt(solution, question, settings.seed)
        if made is not None:
            about = {"wrong": True, "error": made.kind, "before": made.before, "after": made.after}
            found.append(Asked(_grouped(question, path), [solution, made.chain], [{"wrong": False}, about]))
    return found


def _solution(question: ChoiceQuestion) -> str | None:
    given: list[Any] = [question.extra.get(name) for name in ("solution", "rationale", "explanation")] + [question.chain]
    return next((each for each in given if isinstance(each, str) and each.strip()), None)
