"""One sandbox for all tests of this room, where the machine lets it start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from luthier.errors import SandboxUnavailable
from luthier.sandbox import Limits, Sandbox


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    with Sandbox(workers=2, limits=Limits(wall=2, cpu=1.5)) as sandbox:
        try:
            sandbox.call("def ready(): return True", "ready")
        except SandboxUnavailable as problem:
            pytest.skip(str(problem))
        yield sandbox
