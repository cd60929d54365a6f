"""Multiple-choice questions from the layouts in use, and answers found in texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import BadRowError
from luthier.records import SkippedRows, write_jsonl
from luthier.records.choices import ChoiceQuestion, match_option, read_choices, stated_choice, to_choice

PLANETS = ("Mars", "Venus", "the Moon")


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Which one is red?", "options": list(PLANETS), "answer": "Mars"},
        {"question": "Which one is red?", "choices": list(PLANETS), "answer": 0},
        {"question": "Which one is red?", "choices": list(PLANETS), "answer": "A"},
        {"question": "Which one is red?", "choices": {"text": list(PLANETS), "label": ["1", "2", "3"]}, "answerKey": "1"},
        {"question_stem": "Which one is red?", "choices": {"text": list(PLANETS), "label": ["A", "B", "C"]}, "answerKey": "A"},
        {
            "question": {
                "stem": "Which one is red?",
                "choices": [{"text": one, "label": letter} for one, letter in zip(PLANETS, "ABC", strict=True)],
            },
            "answerKey": "A",
        },
        {"question": "Which one is red?", "options": {"A": "Mars", "B": "Venus", "C": "the Moon"}, "answer": "(A)"},
        {"problem": "Which one is red?\nOptions:\nMars\nVenus\nthe Moon", "solution": "The answer is Mars", "answer": "mars"},
        {"question": "Which one is red?\nOptions:\n(A) Mars\n(B) Venus\n(C) the Moon", "target": "(A)"},
        {"question": "Which one is red?\nChoices:\n- Mars\n- Venus\n- the Moon", "target": "Mars"},
        {"doc": {"question": "Which one is red?", "choices": list(PLANETS), "answer": 0}, "resps": [["It is Mars."]], "doc_id": 4},
    ],
)
def test_layouts_read_alike(row: dict[str, object]):
    found = to_choice(row)
    assert (found.question, found.options, found.answer) == ("Which one is red?", PLANETS, 0)
    assert found.chain == ("It is Mars." if "resps" in row else None)


def test_tasks_with_few_targets_have_these_for_options(tmp_path: Path):
    rows = [
        {"task": "logic", "question": "not True is", "prediction": "So False.", "target": "False"},
        {"task": "logic", "question": "not False is", "prediction": "So True.", "target": "True"},
        *({"task": "sums", "question": f"{n} + 1 =", "target": str(n + 1)} for n in range(20)),
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    skipped = SkippedRows()
    found = list(read_choices(tmp_path / "rows.jsonl", skipped))
    assert [(one.options, one.answer, one.group, one.chain) for one in found] == [
        (("False", "True"), 0, "logic", "So False."),
        (("False", "True"), 1, "logic", "So True."),
    ]
    assert skipped.count == 20


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"text": "x"}, "a question needs a text"),
        ({"question": "x", "options": ["a"]}, "two options or more; it has 1"),
        ({"question": "x", "options": ["a", " "]}, "an option is empty"),
        ({"question": "x", "options": ["a", "A "]}, "is there twice"),
        ({"question": "x", "options": [str(n) for n in range(27)]}, "at most 26"),
        ({"question": "x", "options": ["a", "b"], "answer": 2}, "not a place among 2"),
        ({"question": "x", "options": ["a", "b"], "answer": "zebra"}, "is none of the options"),
        ({"question": "x", "options": 7}, "neither a list of texts"),
        ({"question": " ", "options": ["a", "b"]}, "the question is empty"),
    ],
)
def test_bad_rows_say_what_is_wrong_and_where(row: dict[str, object], problem: str, tmp_path: Path):
    write_jsonl(tmp_path / "rows.jsonl", [{"question": "ok", "options": ["a", "b"]}, row])
    with pytest.raises(BadRowError, match=f"rows.jsonl:2: .*{problem}"):
        list(read_choices(tmp_path / "rows.jsonl"))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("So the answer is Venus.", 1),
        ("The answer is (B).", 1),
        ("The answer is B. Venus", 1),
        ("Answer: option c", 2),
        ("The answer is the moon, because it is near.", 2),
        ("#### A", 0),
        ("The answer is \\boxed{C}", 2),
        ("The answer is Jupiter.", None),
        ("I do not know.", None),
        ("The answer is Mars. No: the answer is Venus.", 1),
        ("The answer is the planet Mars", 0),
        ("The answer is Mars or Venus", None),
        ("The answer is (D)", None),
    ],
)
def test_the_option_a_text_states(text: str, place: int | None):
    assert stated_choice(text, PLANETS) == place


@given(
    st.lists(st.text("abcdefg ", min_size=2, max_size=8), min_size=2, max_size=6, unique_by=lambda one: " ".join(one.split())), st.data()
)
def test_an_option_in_its_own_words_is_found(options: list[str], data: st.DataObject):
    options = [f"x{option.strip()}x" for option in options]
    if len(set(options)) < len(options):
        return
    place = data.draw(st.integers(0, len(options) - 1))
    assert match_option(options[place], options) == place


def test_questions_are_written_with_and_without_letters():
    question = ChoiceQuestion("Red?", ("Mars", "Venus"))
    assert question.lettered() == "Red?\nA. Mars\nB. Venus"
    assert question.listed() == "Red?\n- Mars\n- Venus"


@pytest.mark.parametrize(
    ("row", "right"),
    [
        ({"question": "Least?", "choices": {"text": ["2 newtons", "1 newton"], "label": ["1", "2"]}, "answerKey": "1"}, "2 newtons"),
        ({"question": "Least?", "choices": {"text": ["2 newtons", "1 newton"], "label": ["1", "2"]}, "answerKey": 2}, "1 newton"),
        ({"question": "Which?", "choices": {"text": ["B", "A"], "label": ["A", "B"]}, "answerKey": "A"}, "B"),
        ({"question": "Sum?", "options": {"A": "2", "B": "1"}, "answer": "B"}, "1"),
        ({"question": "Sum?", "options": ["3", "1", "2", "0"], "answer": "2"}, "2"),
        ({"question": "Sum?", "options": ["3", "1", "2", "0"], "answer": 2}, "2"),
        ({"ctx": "A boat", "endings": ["10", "3", "2", "1"], "label": "3"}, "1"),
        ({"question": "x", "choices": ["C", "C++", "C#"], "answer": "C++"}, "C++"),
        ({"question": "x", "choices": ["one", "two"], "answer": "(b)"}, "two"),
        ({"question": "x", "choices": ["one", "two"], "answer": ["B"]}, "two"),
        ({"question": "x", "choices": ["one", "two"], "answer": 1.0}, "two"),
        ({"question": "x", "choices": ["1/2", "1/3"], "answer": "0.5"}, "1/2"),
    ],
)
def test_labels_go_before_texts_and_places_before_what_they_look_like(row: dict[str, object], right: str):
    found = to_choice(row)
    assert found.answer is not None
    assert found.options[found.answer] == right


def rows_read(tmp_path: Path, rows: list[dict[str, object]]) -> list[int | None]:
    write_jsonl(tmp_path / "in.jsonl", rows)
    return [question.answer for question in read_choices(tmp_path / "in.jsonl")]


OPTIONS = {"options": ["oak", "elm", "ash", "fir"]}
COLUMNS = {"opa": "oak", "opb": "elm", "opc": "ash", "opd": "fir"}  # MedMCQA, whose own files count from 1 and the hub's from 0


@pytest.mark.parametrize(("field", "options"), [("answer", OPTIONS), ("cop", COLUMNS), ("label", OPTIONS)])
@pytest.mark.parametrize(("numbers", "places"), [([1, 4, 2], [0, 3, 1]), ([1, 3, 2], [1, 3, 2]), ([0, 3], [0, 3]), ([1.0, 4.0], [0, 3])])
def test_numbers_of_a_file_count_from_one_where_one_is_that_of_the_last(tmp_path, field, options, numbers, places):
    assert rows_read(tmp_path, [{"question": f"Which {at}?", **options, field: number} for at, number in enumerate(numbers)]) == places


def test_a_file_that_has_a_zero_counts_from_zero(tmp_path):
    with pytest.raises(BadRowError, match=r"in\.jsonl:2: the answer 4 is not a place among 4 options"):
        rows_read(tmp_path, [{"question": "Which?", **OPTIONS, "answer": number} for number in (0, 4)])


def test_numbers_that_are_labels_or_texts_are_no_places(tmp_path):
    hub = {"choices": {"text": ["oak", "elm", "ash", "fir"], "label": ["1", "2", "3", "4"]}}
    assert rows_read(tmp_path, [{"question": "Q", **hub, "answer": "4"}, {"question": "Q", **hub, "answer": 1}]) == [3, 0]
    assert rows_read(
        tmp_path,
        [{"question": "Q", "options": ["4", "2", "1"], "answer": "4"}, {"question": "Q", "options": ["4", "2", "1"], "answer": "1"}],
    ) == [0, 2]


@pytest.mark.parametrize(
    ("row", "question", "right"),
    [
        ({"context": "All are.", "query": "So?", **OPTIONS, "correct_option": 2}, "All are.\nSo?", "ash"),  # LogiQA
        (
            {
                "flores_passage": "Rain.",
                "question": "So?",
                "mc_answer1": "oak",
                "mc_answer2": "elm",
                "mc_answer3": "ash",
                "correct_answer_num": "2",
            },
            "Rain.\nSo?",
            "elm",
        ),  # Belebele
        (
            {"context": "Rain.", "question": "So?", "answer0": "oak", "answer1": "elm", "answer2": "ash", "label": 2},
            "Rain.\nSo?",
            "ash",
        ),  # Cosmos QA
        ({"startphrase": "He", "ending0": "ran", "ending1": "sat", "label": 1}, "He", "sat"),  # SWAG
        (
            {"dialogue": ["M: Hi.", "W: Yes?"], "question": "So?", "choice": ["oak", "elm"], "answer": "elm"},
            "M: Hi.\nW: Yes?\nSo?",
            "elm",
        ),  # DREAM
        ({"context": "Rain.", "question": "So?", "answers": ["oak", "elm", "ash"], "correct_answer_id": 0}, "Rain.\nSo?", "oak"),  # QuAIL
        ({"Problem": "So?", "options": "a ) 38 , b ) 27,5 , c ) none of these", "correct": "b"}, "So?", "27,5"),  # MathQA
        ({"question": "So?", "choices": ["no", "yes"], "answer": True}, "So?", "yes"),
    ],
)
def test_still_more_layouts(row, question, right):
    found = to_choice(row)
    assert (found.question, found.options[found.answer]) == (question, right)


def test_an_answer_that_is_kept_back_is_none(tmp_path):
    assert rows_read(tmp_path, [{"goal": "How?", "sol1": "so", "sol2": "thus", "label": -1}, {"question": "Q", **COLUMNS, "cop": -1}]) == [
        None,
        None,
    ]


def test_a_question_of_yes_or_no_has_these_for_options():
    found = to_choice({"question": "is riga in latvia", "passage": "Riga is its capital.", "answer": True, "title": "Riga"})
    assert (found.question, found.options, found.answer) == ("Riga is its capital.\nis riga in latvia", ("no", "yes"), 1)
    assert found.extra == {"title": "Riga"}


def test_a_table_without_a_header_is_read_as_mmlus(tmp_path):
    (tmp_path / "anatomy_test.csv").write_text('"Which, of these?",oak,elm,ash,fir,B\nAnd now?,a,b,c,d,D\n')
    found = list(read_choices(tmp_path / "anatomy_test.csv"))
    assert [(one.question, one.options, one.answer) for one in found] == [
        ("Which, of these?", ("oak", "elm", "ash", "fir"), 1),
        ("And now?", ("a", "b", "c", "d"), 3),
    ]
    (tmp_path / "headed.csv").write_text("question,A,B\nWhich?,oak,elm\n")  # of a file whose last column is an option
    assert [one.answer for one in read_choices(tmp_path / "headed.csv")] == [None]
    (tmp_path / "turned.csv").write_text("question,D,C,B,A\nWhich?,oak,elm,ash,fir\n")
    assert [one.options for one in read_choices(tmp_path / "turned.csv")] == [("fir", "ash", "elm", "oak")]


def test_an_answer_that_may_mean_two_options_is_refused():
    with pytest.raises(BadRowError, match="the letter of one option and the text of another"):
        to_choice({"question": "Which?", "options": ["B", "A"], "answer": "A"})


@pytest.mark.parametrize(
    "row",
    [
        {"doc": {"Question": "Which one is red?", "choices": ["Venus", "Mars"], "answer": "(B)"}, "resps": [["x"]]},
        {"Question": "Which one is red?", "Correct Answer": "Mars", "Incorrect Answer 1": "Venus", "Incorrect Answer 2": "Pluto"},
        {"question": "Which one is red?", "A": "Venus", "B": "Mars", "answer": "B"},
        {"question": "Which one is red?", "option_a": "Venus", "option_b": "Mars", "option_c": None, "answer": "b"},
        {"question": "Which one is red?", "opa": "Venus", "opb": "Mars", "cop": 1},
        {"sentence": "Which one is red?", "option1": "Venus", "option2": "Mars", "answer": "2"},
        {"question": "Which one is red?", "answerA": "Venus", "answerB": "Mars", "answerC": "Pluto", "label": "2"},
        {"goal": "Which one is red?", "sol1": "Venus", "sol2": "Mars", "label": 1},
        {"question": "Which one is red?", "correct_answer": "Mars", "distractor1": "Venus", "distractor2": "Pluto"},
        {"question": "Which one is red?", "mc1_targets": {"choices": ["Mars", "Venus"], "labels": [1, 0]}},
        {"query": "Which one is red?", "choices": ["Venus", "Mars"], "gold": 1},
        {"question": "Which one is red?", "options": '["Venus", "Mars"]', "answer": "B"},
        {"question": "Which one is red?", "options": {"A": "Venus", "B": "Mars", "C": None}, "answer_idx": "B"},
    ],
)
def test_more_layouts_read_alike(row: dict[str, object]):
    found = to_choice(row)
    assert found.question == "Which one is red?"
    assert found.answer is not None
    assert found.options[found.answer] == "Mars"


def test_what_is_read_before_the_question_stands_before_it():
    row = {"article": "Mars has rust.", "question": "Why red?", "options": ["rust", "paint"], "answer": "A"}
    assert to_choice(row).question == "Mars has rust.\nWhy red?"
    copa = {"premise": "It rained.", "question": "effect", "choice1": "The road is wet.", "choice2": "It snowed.", "label": 0}
    assert to_choice(copa).question == "It rained.\nWhat happened as a result?"
    assert to_choice(copa).answer == 0
