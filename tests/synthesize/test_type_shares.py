"""The shares of dialogue types: what is told is made, the others keep their proportions, and nothing told changes nothing."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.synthesize.test_tool_dialogues import ROOMS

from luthier.errors import SettingsError
from luthier.recipes.settings import ToolsSettings
from luthier.synthesize.tools.dialogues import TYPE_SHARES, synthesize_dialogues
from luthier.synthesize.tools.own_dialogues import OWN_SHARES, own_dialogues
from luthier.synthesize.tools.settings import DialogueSettings
from luthier.synthesize.tools.type_shares import with_shares


def test_nothing_told_leaves_the_shares_as_they_are() -> None:
    assert with_shares(OWN_SHARES, {}) == dict(OWN_SHARES)


@given(irrelevant=st.floats(0, 0.6), missing=st.floats(0, 0.3))
def test_told_shares_hold_and_the_others_keep_their_proportions(irrelevant: float, missing: float) -> None:
    told = with_shares(OWN_SHARES, {"irrelevant": irrelevant, "missing_argument": missing})
    assert told["irrelevant"] == pytest.approx(irrelevant)
    assert told["missing_argument"] == pytest.approx(missing)
    assert sum(told.values()) == pytest.approx(sum(OWN_SHARES.values()))
    assert told["single"] * OWN_SHARES["parallel"] == pytest.approx(told["parallel"] * OWN_SHARES["single"])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_dialogues_are_made_in_the_shares_that_are_told(share: float) -> None:
    rows = list(synthesize_dialogues(600, seed=4, shares=with_shares(TYPE_SHARES, {"irrelevant": share})))
    types = Counter(row.extra["type"] for row in rows)
    assert types["irrelevant"] / len(rows) == pytest.approx(share, abs=0.03)


def test_own_dialogues_without_a_question_ask_none() -> None:
    rows = list(own_dialogues(60, [ROOMS], shares=with_shares(OWN_SHARES, {"missing_argument": 0.0})))
    assert rows
    assert not [row for row in rows if row.extra["type"] == "missing_argument"]


def test_shares_that_leave_no_room_for_calls_are_refused() -> None:
    with pytest.raises(SettingsError, match="leave room for single calls"):
        DialogueSettings(apis=("a.yaml",), irrelevant=0.6, missing_argument=0.4)
    with pytest.raises(SettingsError, match=r"--irrelevant 0\.5 and --parallel 0\.5 are together more than 0\.9"):
        ToolsSettings(irrelevant=0.5, parallel=0.5)
    with pytest.raises(SettingsError, match=r"--irrelevant is 1\.2"):
        ToolsSettings(irrelevant=1.2)


def test_shares_of_dialogues_that_are_there_already_are_refused() -> None:
    with pytest.raises(SettingsError, match="there already"):
        ToolsSettings(dialogues="mine.jsonl", irrelevant=0.1)
    with pytest.raises(SettingsError, match="there already"):
        ToolsSettings(dialogues="mine.jsonl", parallel=0.1)
    with pytest.raises(SettingsError, match="there already"):
        DialogueSettings(apis=("a.yaml",), given="mine.jsonl", missing_argument=0.1)
