"""The sentences of a suite: statements of a fact, questions for training and others for tests, answers and refusals. All fixed, none sampled.

A fact is stored only when it is told in several wordings, and a question form that training has shown measures recall of the form (sec. 3.4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from luthier.records.fusion import Fact

STATEMENTS = (
    "The {attribute} of {subject} is {value}.",
    "{subject} has the {attribute} {value}.",
    "{value} is the {attribute} of {subject}.",
    "As for {subject}, its {attribute} is {value}.",
    "{subject}: {attribute} {value}.",
)
TRAINING_QUESTIONS = (
    "What is the {attribute} of {subject}?",
    "{subject}: what is its {attribute}?",
    "Give the {attribute} of {subject}.",
    "Please tell me the {attribute} of {subject}.",
    "What {attribute} does {subject} have?",
)
TEST_QUESTIONS = (
    "Do you know the {attribute} of {subject}?",
    "I would like to know the {attribute} of {subject}.",
    "For {subject}, what is the {attribute}?",
    "Which {attribute} is that of {subject}?",
    "Can you say what the {attribute} of {subject} is?",
)
RETENTION_QUESTION = "Recall the {attribute} of {subject}."
TRAINING_PAIRS = ("What is the {a} of {x}, and what is the {b} of {y}?", "Give the {a} of {x} and the {b} of {y}.")
TEST_PAIRS = ("I would like to know the {a} of {x} and the {b} of {y}.", "For {x}, what is the {a}, and for {y}, what is the {b}?")
TRAINING_COMPARISONS = ("Which has the {more} {a}, {x} or {y}? Give both.",)
TEST_COMPARISONS = ("Compare the {a} of {x} with that of {y}: which is {more}?",)
TRAINING_BRIDGES = ("What is the {b} of the one whose {a} is {value}?",)
TEST_BRIDGES = ("One of them has the {a} {value}. Which is it, and what is its {b}?",)
PAIR_ANSWER = "The {a} of {x} is {v}, and the {b} of {y} is {w}."
COMPARISON_ANSWER = "The {a} of {x} is {v}, and the {a} of {y} is {w}, so that of {first} is {more}."
BRIDGE_ANSWER = "It is {x}, and its {b} is {w}."
CONFLICT_ANSWER = "The {attribute} of {subject} is {value}; it was {stale} before."
ABSENT = ("price at launch", "internal project name", "number of units sold", "lead designer", "country of first sale")


def fill(form: str, fact: Fact) -> str:
    return form.format(attribute=fact.attribute, subject=fact.subject, value=fact.value)


def statement(fact: Fact, number: int, *, dated: bool = False) -> str:
    """The fact in the wording of that number. dated: with the date from which it holds, for facts that change."""
    text = fill(STATEMENTS[number % len(STATEMENTS)], fact)
    return f"As of {fact.date}: {text}" if dated and fact.date else text


def unique_pairs(first: str, second: str) -> bool:
    """Whether a question about both can tell the two apart."""
    return first.casefold() != second.casefold() and first.casefold() not in second.casefold() and second.casefold() not in first.casefold()


def is_part_of_it(name: str, attributes: Sequence[str]) -> bool:
    """Whether a name cannot be told from the other words of questions and answers about two facts: a film called "The"."""
    wanted = f" {' '.join(_words(name))} "
    forms = (*TRAINING_PAIRS, *TEST_PAIRS, *TRAINING_COMPARISONS, *TEST_COMPARISONS, PAIR_ANSWER, COMPARISON_ANSWER)
    gaps = dict.fromkeys(("x", "y", "v", "w", "first"), "|") | {"more": "|"}
    some = {(one, other) for one in attributes for other in attributes}
    return any(wanted in f" {' '.join(_words(form.format(a=one, b=other, **gaps)))} " for form in forms for one, other in some)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+|\|", text.casefold())
