"""The items of BFCL, skipped where its wheel cannot be had."""

from __future__ import annotations

import pytest

from luthier.errors import FetchError
from luthier.records.bfcl import CATEGORIES, Item, load_items


@pytest.fixture(scope="session")
def bfcl() -> dict[str, list[Item]]:
    """All items by category."""
    try:
        return {category: load_items(category) for category in CATEGORIES}
    except FetchError as problem:
        pytest.skip(str(problem))
