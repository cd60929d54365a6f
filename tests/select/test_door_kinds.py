"""Kinds of pools at the door: what rows share by design says nothing, signs tell texts apart, odd real rows are no noise, weights are numbers."""

from __future__ import annotations

import random

import pytest

from luthier.errors import BadRowError
from luthier.select.duplicates import near_duplicates
from luthier.select.guard import noise_scores
from luthier.select.rows import quality_of, row_text, weight_of
from luthier.texts.grams import normalised_words, signed_words

RULES = " ".join(f"Rule {n}: answer the captain of pier {n % 7} before the crew and name the berth." for n in range(60))
TOOLS = [{"name": f"tool_{n}", "description": RULES[:200], "parameters": {"type": "object", "properties": {}}} for n in range(20)]
NAMES = "Anna Bruno Clara Dario Elena Fabio Greta Hugo Ines Jonas Karla Leon Mira Nils Olga Paul Quirin Rosa Sven Tilda".split()  # noqa: SIM905


def talk(number: int) -> list[dict]:
    name, other = NAMES[number], NAMES[(number * 7 + 3) % 20]
    return [
        {"role": "user", "content": f"Where does the boat of {name} lie today, and who watches over it at night {number}?"},
        {"role": "assistant", "content": f"{name}'s boat is at pier {number * 3}; {other} keeps the watch until {number % 12} o'clock."},
    ]


def shared(layout: str, number: int) -> dict:
    turns = talk(number)
    system = {"role": "system", "content": RULES}
    return {
        "system turn": {"messages": [system, *turns]},
        "developer turn": {"messages": [{**system, "role": "developer"}, *turns]},
        "sharegpt": {
            "conversations": [
                {"from": "system", "value": RULES},
                {"from": "human", "value": turns[0]["content"]},
                {"from": "gpt", "value": turns[1]["content"]},
            ]
        },
        "tools column": {"messages": turns, "tools": TOOLS},
        "system column": {
            "system": RULES,
            "conversations": [{"from": "human", "value": turns[0]["content"]}, {"from": "gpt", "value": turns[1]["content"]}],
        },
        "pairs": {
            "prompt": [system, turns[0]],
            "chosen": [turns[1]],
            "rejected": [{"role": "assistant", "content": f"No {NAMES[number]}."}],
        },
    }[layout]


@pytest.mark.parametrize("layout", ["system turn", "developer turn", "sharegpt", "tools column", "system column", "pairs"])
def test_rows_that_share_their_system_prompt_or_tools_are_no_near_duplicates(layout):
    rows = [row_text(shared(layout, number)).encode() for number in range(20)]
    assert near_duplicates(rows) == {}
    again = row_text(shared(layout, 4)).replace("today", "now").encode()
    assert near_duplicates([*rows, again], 0.7) == {20: 4}


INSTRUCTION = " ".join(f"Rule {number} says that part {number * 7} of each entry is to be named by its kind." for number in range(12))


@pytest.mark.parametrize("words", [20, 200, 900])
def test_rows_that_share_a_long_instruction_are_no_near_duplicates(words):
    rng = random.Random(words)
    rule = " ".join(rng.choices(INSTRUCTION.split(), k=words))
    inputs = [" ".join(rng.choices(("amber", "birch", "cedar", "delta", "ember", "fjord"), k=24)) for _ in range(24)]
    rows = [
        row_text({"messages": [{"role": "user", "content": f"{rule}\n\nEntry: {text}"}, {"role": "assistant", "content": text[:5]}]})
        for text in inputs
    ]
    assert near_duplicates([row.encode() for row in rows]) == {}
    again = f"{rows[7]} indeed"
    assert near_duplicates([row.encode() for row in (*rows, again)]) == {24: 7}


def test_long_texts_that_many_rows_repeat_are_near_duplicates():
    rng = random.Random(4)
    text = rng.choices([f"word{number}" for number in range(400)], k=300)
    rows = [" ".join([*text[:at], "changed", *text[at + 1 :]]).encode() for at in range(3, 300, 9)]
    assert len(near_duplicates(rows)) >= 0.9 * len(rows)  # those whose change stands just where a shared beginning ends may be missed


def test_a_row_of_nothing_but_a_system_turn_is_what_it_says():
    rows = [row_text({"messages": [{"role": "system", "content": text}]}).encode() for text in (RULES, RULES + " Indeed.", "Other rules.")]
    assert near_duplicates(rows) == {1: 0}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 3 + 4?", "What is 3 - 4?"),
        ("Is a < b true when a is 2?", "Is a > b true when a is 2?"),
        ("Write hello world in C++ today", "Write hello world in C# today"),
        ("The rest is -5 degrees tonight", "The rest is +5 degrees tonight"),
        ("Compute x == y for me please", "Compute x >= y for me please"),
        ("What is 2*3 in the end", "What is 2/3 in the end"),
        ("Give 5% of the sum to Ann", "Give $5 of the sum to Ann"),
        ("Find A ∪ B of these sets", "Find A ∩ B of these sets"),
        ("if (a && b) go on now", "if (a || b) go on now"),
    ],
)
def test_signs_and_operators_count(one, other):
    assert normalised_words(one) == normalised_words(other)
    assert signed_words(one) != signed_words(other)
    assert near_duplicates([one.encode(), other.encode()]) == {}


def test_hyphens_and_marks_of_markdown_do_not_count():
    plain = "A well known list of three and more. First item and bold words / others. Title of it"
    marked = "A well-known list of three and/or more.\n- First *item* and **bold** words / others.\n# Title of it\n---\n"
    assert signed_words(plain.replace(" / ", " ").replace("and more", "and or more")) == signed_words(marked.replace(" / ", " "))


def test_real_rows_that_quote_ciphers_tables_and_code_are_no_noise():
    draw = random.Random(0)
    subjects, verbs, places = (
        ["captain", "pilot", "clerk", "guest"],
        ["waits", "works", "sleeps", "walks"],
        ["pier", "dock", "office", "boat"],
    )

    def prose(count: int) -> str:
        return " ".join(
            f"The {draw.choice(subjects)} {draw.choice(verbs)} near the {draw.choice(places)} and is calm." for _ in range(count)
        )

    rows = [prose(8) for _ in range(400)]
    cipher = "".join(draw.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=150))
    numbers = ", ".join(str(draw.randrange(10**6)) for _ in range(25))
    odd = [
        f"{prose(3)} {cipher} {prose(2)}",
        f"{prose(3)}\n[{numbers}]\n{prose(2)}",
        f"{prose(4)} https://x.org/{cipher[:80]}?q={numbers[:60]}",
    ]
    noise = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz0123456789+/=", k=450))
    scores = noise_scores([row.encode() for row in [*rows, *odd, noise]], ["talks"] * 404)
    assert max(scores[:403]) < 4
    assert scores[403] > 4


@pytest.mark.parametrize(
    ("value", "number"), [(0.5, 0.5), ("0.9", 0.9), (" 3 ", 3.0), (None, None), ("", None), (0, 0.0), (7, 7.0), ("1e-3", 0.001)]
)
def test_a_weight_is_a_number_or_its_text(value, number):
    assert weight_of({"quality": value}, "quality") == quality_of({"quality": value}, "quality") == number
    assert weight_of({}, "quality") is None


@pytest.mark.parametrize("value", ["high", True, [1], {"a": 1}, float("nan"), "inf", -1, "-0.5"])
def test_what_is_no_weight_is_refused_by_its_column(value):
    with pytest.raises(BadRowError, match="column 'quality' is"):
        weight_of({"quality": value}, "quality")
    assert quality_of({"quality": -1}, "quality") == -1
