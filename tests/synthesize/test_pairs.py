"""Preference pairs: final answers read as people write them, bridges that put things right with few changes, and a gate that holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import BadRowError, EngineError
from luthier.models.local import LocalModel
from luthier.models.protocol import Completion, Prompt, Usage
from luthier.models.replay import RecordingModel, ReplayModel
from luthier.records import Message, to_pair, write_jsonl
from luthier.synthesize.pairs import (
    AnswerSwap,
    Draft,
    Gate,
    ModelBridger,
    PairReport,
    Question,
    Splice,
    final_answer,
    given_drafts,
    make_pairs,
    read_questions,
    same_answer,
    wrong_drafts,
)
from luthier.texts.alignment import normalised_distance

ASKED = (Message("user", "Where would you light a candle for a romantic mood?\nOptions:\nsynagogue\nbedroom"),)
REFERENCE = "A romantic mood can be set in a bedroom.\nBedroom is a place where one sleeps.\nThe answer is bedroom"
WRONG = "Synagogue is a place of worship. Candles make a mood.\nPeople light candles in a synagogue.\nThe answer is synagogue"
DRAFT = Draft(ASKED, REFERENCE, WRONG, "bedroom")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("So.\nThe answer is bloody mess", "bloody mess"),
        ("The answer is: $1,200.50.", "$1,200.50"),
        ("the final answer is 3.5", "3.5"),
        ("Answer: (B)", "(B)"),
        ("9 - 3 = 6\n#### 6", "6"),
        (r"Hence \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        ("The answer is a, no.\nThe answer is b.", "b"),
        ("I think the answers are many", None),
        ("The answer is 42. This is because 40 + 2 = 42.", "42"),
        ("The answer is dog park because dogs go there.", "dog park"),
        ("The answer is cats, dogs and birds", "cats, dogs and birds"),
        ("The answer is St. Louis", "St. Louis"),
        ("The answer is U.S. Congress.", "U.S. Congress"),
        ("The answer is (B). It fits.", "(B)"),
        ("The answer is 42.\n\nSo, is the answer is clear?", "42"),
        ("", None),
    ],
)
def test_the_answer_a_text_states(text: str, answer: str | None):
    found = final_answer(text)
    assert (None if found is None else found.text) == answer
    if found is not None:
        assert text[found.start : found.end] == answer


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("Bloody Mess", "bloody mess.", True),
        ("the bedroom", "Bedroom", True),
        ("1,200", "1200.0", True),
        ("$5", "5", True),
        ("(B)", "b", True),
        ("12", "12.5", False),
        ("bedroom", "bed room", False),
        ("", "x", False),
        ("10%", "10", False),
        ("$42$", "42", True),
        ("42 apples", "42", True),
        ("42 of 50", "42", False),
        ("B) dog park", "dog park", True),
        ("4a", "4", False),
    ],
)
def test_answers_that_say_the_same(one: str, two: str, same: bool):
    assert same_answer(one, two) is same
    assert same_answer(two, one) is same


def test_a_swap_names_the_right_answer_everywhere_and_changes_nothing_else():
    (made,) = AnswerSwap().bridge([DRAFT])
    assert made == ("Bedroom is a place of worship. Candles make a mood.\nPeople light candles in a bedroom.\nThe answer is bedroom")
    assert Gate().problem(made, DRAFT) == ""


def test_a_splice_takes_the_references_sentences_for_those_that_name_the_wrong_answer():
    (made,) = Splice().bridge([DRAFT])
    assert made is not None
    assert made.splitlines() == [
        "Bedroom is a place where one sleeps. Candles make a mood.",
        "A romantic mood can be set in a bedroom.",
        "The answer is bedroom",
    ]
    assert normalised_distance(made.split(), WRONG.split()) < normalised_distance(REFERENCE.split(), WRONG.split())


def test_numbers_and_letters_are_swapped_where_they_are_the_answer_only():
    draft = Draft(ASKED, "It is 9.\nThe answer is 9", "There are 6 cats, 6 dogs.\nThe answer is 6", "9")
    assert AnswerSwap().bridge([draft]) == ["There are 6 cats, 6 dogs.\nThe answer is 9"]
    letter = Draft(ASKED, "The answer is B", "A cat is a pet.\nThe answer is A", "B")
    assert AnswerSwap().bridge([letter]) == ["A cat is a pet.\nThe answer is B"]


WORDS = st.lists(st.sampled_from(["cat", "dog", "sun", "mat"]), min_size=1, max_size=8).map(" ".join)


@given(WORDS, WORDS, st.sampled_from(["red hat", "Zoë", "42"]), st.sampled_from(["blue (dark)", "7", "a.b"]))
def test_what_a_bridge_makes_states_the_right_answer(thought: str, right_thought: str, wrong: str, right: str):
    draft = Draft(ASKED, f"{right_thought}.\nThe answer is {right}", f"{thought} {wrong}.\nThe answer is {wrong}", right)
    for bridger in (AnswerSwap(), Splice()):
        (made,) = bridger.bridge([draft])
        assert made is not None
        stated = final_answer(made)
        assert stated is not None
        assert same_answer(stated.text, right)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "not bridged"),
        ("  ", "empty"),
        (WRONG + "\n", "unchanged"),
        (WRONG + " indeed", "wrong answer"),
        ("No answer here.", "wrong answer"),
        ("Quite another text with many other words in it, yes.\nThe answer is bedroom", "too far from the draft"),
    ],
)
def test_the_gate_says_why(text: str | None, problem: str):
    assert Gate(farthest=0.7).problem(text, DRAFT) == problem


def test_a_draft_that_is_right_is_not_bridged():
    right = Draft(ASKED, REFERENCE, "Sleep.\nThe answer is Bedroom", "bedroom")
    (row,) = make_pairs([right], AnswerSwap(), report := PairReport())
    assert (row["bridged"], report.refused) == (False, {"draft is right": 1})


def test_drafts_are_wrong_answers_once_each():
    question = Question(ASKED, REFERENCE, "bedroom")
    report = PairReport()
    texts = [WRONG, WRONG, REFERENCE, "No idea.", "Cake.\nThe answer is cake", None, "The answer is bedroom at night"]
    drafts = wrong_drafts([question], [texts], report, per_question=2)
    assert [draft.text for draft in drafts] == [WRONG, "Cake.\nThe answer is cake"]
    assert (report.answers, report.right, report.wrong, report.repeated, report.without_answer) == (7, 1, 2, 1, 1)
    assert (report.cut_off, report.unclear) == (1, 1)
    assert len(wrong_drafts([question], [texts], PairReport())) == 1


def test_rows_are_trls_and_keep_the_original():
    report = PairReport()
    far = Draft(ASKED, REFERENCE, "Yes.\nThe answer is cake is a lie", "bedroom")
    first, second = make_pairs([DRAFT, far], AnswerSwap(), report, Gate(farthest=0.4))
    assert first["bridged"] is True
    assert first["chosen"][0]["content"].startswith("Bedroom is a place of worship.")
    assert first["original_chosen"] == [{"role": "assistant", "content": REFERENCE}]
    assert (first["answer"], first["rejected_answer"], first["bridger"]) == ("bedroom", "synagogue", "answer-swap")
    assert second["bridged"] is False
    assert second["chosen"] == second["original_chosen"]
    assert to_pair(first).rejected[0].content == WRONG
    assert (report.pairs, report.bridged, report.acceptance) == (2, 1, 0.5)
    assert sum(report.before) == sum(report.after) == 2
    assert report.mean_after < report.mean_before
    assert report.refused == {"too far from the draft": 1}


class Editor:
    """An engine that answers from its prompt: it repeats the draft with the reference's last line."""

    name, supports = "editor", frozenset({"generate"})

    def generate(self, prompts, sampling=None, progress=None):
        def edit(prompt: Prompt) -> str:
            _, reference, draft = (prompt.messages[-1].content or "").split("# ")[1:]
            return "\n".join([*draft.splitlines()[1:-1], reference.strip().splitlines()[-1]])

        return [Completion(edit(prompt), "stop", 1, 1) for prompt in prompts]


def test_a_model_edits_with_task_reference_and_draft_before_it(tmp_path: Path):
    engine = Editor()
    engine.usage = Usage()  # type: ignore[attr-defined]
    with RecordingModel(engine, tmp_path / "edits.jsonl") as recorded:  # type: ignore[arg-type]
        (made,) = ModelBridger(recorded).bridge([DRAFT])
    assert made == "\n".join([*WRONG.splitlines()[:-1], "The answer is bedroom"])
    assert Gate().problem(made, DRAFT) == ""
    again = ModelBridger(ReplayModel(tmp_path / "edits.jsonl"))
    assert again.bridge([DRAFT]) == [made]  # found by its content, without the engine
    with pytest.raises(EngineError, match="holds no answer"):
        again.bridge([Draft(ASKED, REFERENCE, WRONG + "!", "bedroom")])


def test_an_editor_cut_off_bridges_nothing(tiny_model_folder: Path):
    assert ModelBridger(LocalModel(tiny_model_folder), max_tokens=2).bridge([DRAFT]) == [None]


ROWS = [
    {"problem": "p", "solution": "s\nThe answer is x", "answer": "x"},
    {"question": "q", "answer": "9 - 3 = 6\n#### 6"},
    {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "The answer is y."}]},
    {"prompt": "p", "chosen": "c", "rejected": "r"},
    {"instruction": "i", "output": "The answer is z"},
]


def test_questions_are_read_from_the_usual_layouts(tmp_path: Path):
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    found = list(read_questions(tmp_path / "rows.jsonl"))
    assert [question.answer for question in found] == ["x", "6", "y", None, "z"]
    assert [question.prompt[-1].content for question in found] == ["p", "q", "u", "p", "i"]
    assert [question.rejected for question in found] == [None, None, None, "r", None]
    assert found[4].place.endswith("rows.jsonl:5")


def test_tools_and_other_columns_go_along_and_an_earlier_bridge_is_not_the_reference(tmp_path: Path):
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}
    row = {
        "prompt": "p",
        "chosen": "Swapped.\nThe answer is x",
        "rejected": "r\nThe answer is y",
        "original_chosen": "The answer is x",
        "bridged": True,
        "tools": [tool],
        "id": 7,
        "answer": "x",
    }
    write_jsonl(tmp_path / "rows.jsonl", [row])
    (question,) = read_questions(tmp_path / "rows.jsonl")
    assert question.solution == "The answer is x"
    (made,) = make_pairs(given_drafts([question], PairReport()), AnswerSwap(), PairReport())
    assert made["original_chosen"] == [{"role": "assistant", "content": "The answer is x"}]
    assert (made["id"], made["tools"], made["answer"]) == (7, [tool], "x")
    assert made["chosen"] == [{"role": "assistant", "content": "r\nThe answer is x"}]


def test_a_column_of_others_is_not_the_reference(tmp_path: Path):
    write_jsonl(
        tmp_path / "rows.jsonl",
        [{"prompt": "p", "chosen": "The answer is x", "rejected": "The answer is y", "original_chosen": "The answer is y"}],
    )
    assert next(read_questions(tmp_path / "rows.jsonl")).solution == "The answer is x"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"problem": "p"}, "rows.jsonl:1: a question needs a text in one of solution, rationale, answer"),
        ({"messages": [{"role": "user", "content": "u"}]}, "rows.jsonl:1: the last turn is not the assistant's"),
        ({"question": "Which?", "choices": ["tea", "buns"], "answer": "B"}, "rows.jsonl:1: a question with 'choices'"),
        ({"x": 1}, "rows.jsonl:1: no known layout"),
    ],
)
def test_rows_that_are_no_questions_are_named(tmp_path: Path, row: dict[str, object], message: str):
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(BadRowError, match=message):
        list(read_questions(tmp_path / "rows.jsonl"))
