"""Errors that speak to the person at the keyboard: what was wrong, where, what to do.

The command line prints them on one line and exits with code 2; `--debug` shows the traceback.
"""

from __future__ import annotations

from pathlib import Path


class LuthierError(Exception):
    """Anything the user can mend: a bad row, a missing file, an unreachable server."""


class BadRowError(LuthierError):
    """A row that cannot be read, named by its file and line."""

    def __init__(self, problem: str, path: str | Path | None = None, line: int | None = None) -> None:
        self.problem, self.path, self.line = problem, path, line
        super().__init__(f"{place(path, line)}{problem}")

    def at(self, path: str | Path, line: int) -> BadRowError:
        """The same problem, placed."""
        return BadRowError(self.problem, path, line)


class MissingFileError(LuthierError):
    """A file or folder that does not exist or cannot be opened."""


class DiskError(LuthierError):
    """A file cannot be written: full disk, no permission, a folder in its place."""


class FetchError(LuthierError):
    """A package or file could not be fetched, or its hash is not the expected one."""


class EngineError(LuthierError):
    """A model engine cannot do what was asked, or its server does not answer."""


TOO_LONG = "context_length_exceeded"  # in OpenAI's words


class PromptError(EngineError):
    """One prompt that cannot be asked, while others can: the chat template refuses it, or there is no room for it. code: as OpenAI's servers say it."""

    def __init__(self, problem: str, code: str = "invalid_prompt") -> None:
        self.code = code
        super().__init__(problem)


class BudgetError(EngineError):
    """The limit of calls or tokens that the user set is reached."""


class ToolSpecError(LuthierError):
    """An API description that cannot be read as tools."""


class SettingsError(LuthierError):
    """A setting that has no meaning, or contradicts another."""


class SandboxError(LuthierError):
    """The sandbox itself failed, twice: never a verdict about a program."""


class SandboxUnavailable(SandboxError):  # noqa: N818 - the name says it
    """This machine does not let the sandbox start: what stops it, and the cure."""


def place(path: str | Path | None, line: int | None) -> str:
    """`file:line: ` as editors understand it; empty parts are left out."""
    if path is None:
        return ""
    return f"{path}: " if line is None else f"{path}:{line}: "
