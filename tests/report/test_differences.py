"""Two texts as pieces: the words of each, and the unmarked ones in common."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from luthier.report.differences import marked

TEXTS = st.text(st.sampled_from("ab <&\n"), max_size=30)


@given(TEXTS, TEXTS)
def test_pieces_are_the_words_and_unmarked_ones_are_common(one: str, two: str):
    left, right = marked(one, two)
    for text, pieces in ((one, left), (two, right)):
        assert [piece.text for piece in pieces if piece.text != "\n"] == text.split()
    kept = [[piece.text for piece in side if not piece.differs] for side in (left, right)]
    assert kept[0] == kept[1]
