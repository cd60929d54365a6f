"""The command line, run in the tests' own process, which has torch in memory already."""

from __future__ import annotations

import contextlib
import io
import logging
from typing import NamedTuple

import pytest

from luthier.cli.main import main


class Said(NamedTuple):
    """What a command printed and how it ended."""

    stdout: str
    stderr: str
    code: int


def luthier(*words: object, ok: bool = True) -> Said:
    """Run a command and hold it to succeed, or with ok=False to fail."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    logging.disable(logging.NOTSET)  # --quiet silences the whole process
    code = int(ended.value.code or 0)
    assert (code == 0) is ok, err.getvalue()
    return Said(out.getvalue(), err.getvalue(), code)
