"""A sandbox for all tests of this room, where the machine lets it start, and a problem whose answers are known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from luthier.errors import SandboxUnavailable
from luthier.sandbox import Limits, Sandbox
from luthier.search import Posed, worktree


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    with Sandbox(workers=2, limits=Limits(wall=2, cpu=1.5)) as sandbox:
        try:
            sandbox.call("def ready(): return True", "ready")
        except SandboxUnavailable as problem:
            pytest.skip(str(problem))
        yield sandbox


@pytest.fixture
def doubling() -> Posed:
    text = 'def double(x):\n    """Twice x.\n    >>> double(3)\n    6\n    """\n'
    return Posed("double", text, "double", ("assert double(3) == 6", "assert double(0) == 0", "assert double(-2) == -4"))


@pytest.fixture
def without_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small repositories need none of the plugins of pytest in this environment, which take nine tenths of the time of a run."""
    monkeypatch.setitem(worktree.ENVIRONMENT, "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
