"""A plugin of pytest that runs inside the sandbox: what each test came to, and which functions and lines it ran, as JSON.

It imports the standard library alone, because the interpreter that loads it is the repository's; pytest, which loads it, is there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from types import CodeType, FrameType
from typing import Any

ROOT = os.environ.get("LUTHIER_ROOT", "/luthier-tree/")
OUT = os.environ.get("LUTHIER_OUT", "/luthier-tree/.luthier-seen.json")
FOLLOW = os.environ.get("LUTHIER_FOLLOW") == "1"
SECONDS = float(os.environ.get("LUTHIER_SECONDS", "60"))  # of the first test that comes to no end; each further one has half as many
MOST = 400  # functions of one test
_left = [SECONDS]
seen: dict[str, Any] = {"tests": {}, "functions": [], "called": {}, "frames": {}, "lines": {}, "doctests": []}
_places: dict[CodeType, int] = {}
_called: dict[CodeType, set[int]] = {}


class NoEnd(BaseException):
    """A test takes too long. No Exception, so that code which catches those does not go on."""


def _end(number: int, frame: FrameType | None) -> None:
    __tracebackhide__ = True
    told = f"no end within {_left[0]:g} s"
    _left[0] /= 2
    raise NoEnd(told)


def pytest_configure(config: Any) -> None:
    """One process, whatever the repository asks of pytest-xdist: what other processes run is not seen here."""
    if getattr(config.option, "dist", "no") != "no":
        config.option.dist, config.option.tx, config.option.numprocesses = "no", [], 0


def pytest_itemcollected(item: Any) -> None:
    if type(item).__name__ == "DoctestItem":  # a test that stands in the code itself
        seen["doctests"].append(item.nodeid)


def _calls(frame: FrameType, event: str, argument: object) -> Any:
    code = frame.f_code
    if not code.co_filename.startswith(ROOT):
        return None
    if code not in _called:
        if len(_called) >= MOST:
            return None
        _called[code] = set()
    return _steps


def _steps(frame: FrameType, event: str, argument: object) -> Any:
    __tracebackhide__ = True
    if event == "line":
        _called[frame.f_code].add(frame.f_lineno)
    return _steps


def pytest_runtest_setup(item: Any) -> None:
    signal.signal(signal.SIGALRM, _end)
    signal.setitimer(signal.ITIMER_REAL, _left[0])
    if FOLLOW:
        _called.clear()
        sys.settrace(_calls)


def pytest_runtest_teardown(item: Any) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    if not FOLLOW:
        return
    sys.settrace(None)
    lines: dict[str, set[int]] = {}
    for code, own in _called.items():
        if code not in _places:
            _places[code] = len(_places)
            seen["functions"].append([code.co_filename, code.co_name, code.co_firstlineno])
        lines.setdefault(code.co_filename, set()).update(own)
    seen["called"][item.nodeid] = [_places[code] for code in _called]
    seen["lines"][item.nodeid] = {file: sorted(own) for file, own in lines.items()}


def pytest_exception_interact(node: Any, call: Any, report: Any) -> None:
    seen["frames"].setdefault(node.nodeid, [[str(entry.path), entry.name, entry.lineno + 1] for entry in call.excinfo.traceback])


def pytest_runtest_logreport(report: Any) -> None:
    told = seen["tests"].setdefault(report.nodeid, {"outcome": "passed", "text": ""})
    if report.failed:
        told["outcome"], told["text"] = "failed", str(report.longrepr)[-6000:]
    elif report.skipped and told["outcome"] == "passed":
        told["outcome"] = "skipped"


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        seen["tests"][report.nodeid or "collection"] = {"outcome": "failed", "text": str(report.longrepr)[-6000:]}


def pytest_sessionfinish(session: Any, exitstatus: int) -> None:
    with open(OUT, "w") as file:  # noqa: PTH123
        json.dump(seen, file)
