"""Pairs from a repository's history: what a commit says it does asks for the change it made. Reads the history with git; runs no code of it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from luthier.errors import MissingFileError, SettingsError
from luthier.evaluate.retrieval.build.pairs import Drops, Pair

FEWEST_WORDS, MOST_WORDS = 4, 60
MOST_FILES, MOST_LINES = 3, 400
_START, _FIELD = "\x1e", "\x1f"  # control characters that git puts between commits and their fields
_DULL = re.compile(r"^(?:revert|merge|bump|release|version|update changelog|wip|fixup!|squash!)\b", re.IGNORECASE)


def commit_pairs(repository: Path, drops: Drops, *, suffixes: tuple[str, ...] = (".py",)) -> Iterator[tuple[Pair, float]]:
    """(pair, time of the commit in seconds), oldest first: the message's subject, and the unified diff of its source files.

    Left out and counted: merges, reverts and version bumps, messages of fewer than 4 words, and commits of no or more than 3 source files.
    Raises MissingFileError where there is no repository, SettingsError where git is missing or fails.
    """
    if not repository.is_dir():
        raise MissingFileError(f"{repository}: no such folder; name a git repository")
    told = _git(repository)
    for chunk in told.split(_START)[1:]:
        commit, when, subject, diff = chunk.split(_FIELD, 3)
        reason, kept = _judge(subject, diff, suffixes)
        if reason:
            drops.add(reason)
            continue
        yield Pair(subject.strip(), kept, commit, {"commit": commit, "time": int(when)}), float(when)


def _judge(subject: str, diff: str, suffixes: tuple[str, ...]) -> tuple[str, str]:
    """(why it is left out, else the diff of its source files)."""
    words = subject.split()
    if _DULL.match(subject.strip()):
        return "revert, merge, release or unfinished", ""
    if not FEWEST_WORDS <= len(words) <= MOST_WORDS:
        return f"message not of {FEWEST_WORDS} to {MOST_WORDS} words", ""
    parts = [part for part in re.split(r"(?m)^(?=diff --git )", diff) if part.startswith("diff --git ")]
    sources = [part for part in parts if part.splitlines()[0].endswith(suffixes)]
    if not 1 <= len(sources) <= MOST_FILES:
        return f"not of 1 to {MOST_FILES} source files", ""
    # Hashes and line numbers tell nothing; what is left is what was changed and where.
    lines = [line for part in sources for line in part.splitlines() if not line.startswith(("index ", "diff --git ", "similarity "))]
    if len(lines) > MOST_LINES:
        return f"diff of more than {MOST_LINES} lines", ""
    return "", "\n".join(lines)


def _git(repository: Path) -> str:
    command = [
        "git",
        "-C",
        str(repository),
        "log",
        "--no-merges",
        "--reverse",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--no-show-signature",
        "--patch",
        "--unified=2",
        f"--format={_START}%H{_FIELD}%ct{_FIELD}%s{_FIELD}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise SettingsError("the recipe commit2diff needs git; install it") from None
    if done.returncode != 0:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise SettingsError(f"{repository}: git cannot read its history ({words[-1] if words else 'no reason given'})")
    return done.stdout.decode("utf-8", "replace")
