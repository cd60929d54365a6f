"""Dates of numbers in documents: one way of reading for a column, what shows it, and what is counted where nothing does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from luthier.models.protocol import Completion
from luthier.records.fusion import Fact
from luthier.synthesize.fusion import Columns, KnowledgeBase
from luthier.synthesize.fusion.documents import Text, read_documents
from luthier.synthesize.fusion.extraction import extract_facts
from luthier.synthesize.fusion.facts import FLAG, NO_DATE, OPEN, plain_date
from luthier.synthesize.fusion.settings import FusionSettings


class Told:
    """A model that always answers this."""

    supports: frozenset[str] = frozenset()

    def __init__(self, text: str) -> None:
        self.text = text

    def generate(self, prompts: Any, sampling: Any, progress: Any = None) -> list[Completion]:
        return [Completion(self.text, "stop", 0, 0) for _ in prompts]


def table(path: Path, *rows: str, head: str = "product,price,updated") -> Path:
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def dates(kb: KnowledgeBase) -> dict[str, str | None]:
    return {fact.subject: fact.date for fact in kb.facts}


def test_an_update_goes_the_way_that_its_column_shows(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "A,10,10/02/2023", "A,12,01/12/2023", "B,5,25/03/2023")
    kb = KnowledgeBase.from_paths([path])
    ((old, new),) = [(one.old, one.new) for one in kb.updates]
    assert (old.value, old.date, new.value, new.date) == ("10", "2023-02-10", "12", "2023-12-01")
    assert (dates(kb), kb.dropped) == ({"B": "2023-03-25"}, {})
    turned = KnowledgeBase.from_paths([table(tmp_path / "a.csv", "A,10,10/02/2023", "A,12,01/12/2023", "B,5,03/25/2023")])
    assert [(one.old.value, one.old.date) for one in turned.updates] == [("12", "2023-01-12")]


def test_nothing_shows_what_stands_first_so_it_is_counted_or_told(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "A,10,10/02/2023", "A,12,01/12/2023", "B,5,05/05/2023")
    kb = KnowledgeBase.from_paths([path])
    assert kb.updates == ()
    assert dates(kb) == {"B": "2023-05-05"}
    assert kb.dropped == {f"row's {OPEN}": 2, "contradiction without an order in time": 2}
    for order, old in (("day", "2023-02-10"), ("month", "2023-01-12")):
        assert [one.old.date for one in KnowledgeBase.from_paths([path], Columns(order=order)).updates] == [old]
    assert FusionSettings((str(path),), dates="month-first").columns.order == "month"


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["05/06/2024", "16/07/2022"], ["2024-06-05", "2022-07-16"]),
        (["05/06/2024", "07/16/2022"], ["2024-05-06", "2022-07-16"]),
        (["05.06.2024", "07.08.2022"], ["2024-06-05", "2022-08-07"]),
        (["05/06/2024 09:30", "16/07/2022 9:30"], ["2024-06-05 09:30", "2022-07-16 9:30"]),
        (["5 June 2024", "2022-07-16"], ["5 June 2024", "2022-07-16"]),
        (["05/06/2024", "07/08/2022"], []),
        (["16/07/2022", "07/16/2022", "05/06/2024"], ["2022-07-16", "2022-07-16"]),
    ],
)
def test_values_are_written_so_that_they_can_be_read_one_way_only(tmp_path: Path, cells: list[str], values: list[str]) -> None:
    path = table(tmp_path / "a.csv", *(f"P{at},{cell},red" for at, cell in enumerate(cells)), head="product,release,colour")
    kb = KnowledgeBase.from_paths([path])
    assert [fact.value for fact in sorted(kb.facts, key=lambda fact: fact.subject) if fact.attribute == "release"] == values
    left = len(cells) - len(values)
    assert kb.dropped == ({OPEN: left} if left else {})


def test_each_column_shows_its_own_and_helps_those_of_its_document_that_show_nothing(tmp_path: Path) -> None:
    table(tmp_path / "eu.csv", "A,05/06/2024,25/03/2023", "B,07/06/2024,26/03/2023", head="product,release,tested")
    table(tmp_path / "us.csv", "C,05/06/2024,03/25/2023", head="product,release,tested")
    table(tmp_path / "mixed.csv", "D,05/06/2024,13/03/2023,03/25/2023", head="product,release,tested,sold")
    kb = KnowledgeBase.from_paths([tmp_path])
    found = {(fact.subject, fact.attribute): fact.value for fact in kb.facts}
    assert found["A", "release"] == "2024-06-05"
    assert found["C", "release"] == "2024-05-06"
    assert (found["D", "tested"], found["D", "sold"]) == ("2023-03-13", "2023-03-25")
    assert ("D", "release") not in found
    assert kb.dropped == {OPEN: 1}


def test_a_date_that_is_none_is_counted(tmp_path: Path) -> None:
    kb = KnowledgeBase.from_paths([table(tmp_path / "a.csv", "A,10,soon", "B,5,31/31/2023", "C,6,n/a", "D,7,13/1/24")])
    assert dates(kb) == {"A": None, "B": None, "C": None, "D": "2024-01-13"}
    assert kb.dropped == {NO_DATE: 2}


def test_cells_of_yes_and_no_are_called_what_they_are(tmp_path: Path) -> None:
    kb = KnowledgeBase.from_paths([table(tmp_path / "a.csv", "A,yes,10", "B,No,11", "C,,12", head="product,in stock,price")])
    assert kb.dropped == {FLAG: 2, "missing or empty cell": 1}


def test_a_markdown_table_and_its_text_are_one_document_each(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "Made on 25/03/2023.\n\n| product | price | updated |\n|---|---|---|\n| A | 10 | 05/06/2023 |\n| B | 11 | 16/06/2023 |\n"
    )
    (text,) = [one for one in read_documents([tmp_path / "a.md"]) if isinstance(one, Text)]
    assert text.order == "day"
    assert dates(KnowledgeBase.from_paths([tmp_path / "a.md"])) == {"A": "2023-06-05", "B": "2023-06-16"}


@pytest.mark.parametrize(("order", "value"), [("day", "2024-06-05"), ("month", "2024-05-06"), (None, None)])
def test_dates_of_running_text_follow_their_document(order: Any, value: str | None) -> None:
    told = {"facts": [{"subject": "Pump A", "attribute": "release date", "value": "05/06/2024"}]}
    dropped: Counter[str] = Counter()
    passage = Text("Pump A came out on 05/06/2024.", "t", None, "t.txt", order)
    found: list[Fact] = extract_facts(Told(json.dumps(told)), [passage], dropped)
    assert [fact.value for fact in found] == ([] if value is None else [value])
    assert dict(dropped) == ({f"extracted fact: {OPEN}": 1} if value is None else {})


def test_other_values_stay_as_they_are() -> None:
    for value in ("1/2", "10/02/2023 or later", "10-02", "v1.2.2023", "12", "10/02/23"):
        assert plain_date(value, None) == value
