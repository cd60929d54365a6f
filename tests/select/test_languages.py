"""Language groups of real sentences, and of what is no language."""

import random

import junk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.select.languages import UNCLAIMED, language_group

SENTENCES = {
    "English": "user: What is the capital of France, and how many people live there?",
    "Spanish": "El hotel está muy cerca del mar, pero las habitaciones son pequeñas.",
    "French": "Le train est en retard et nous ne savons pas quand il part pour Lyon.",
    "German": "Der Zug ist zu spät und wir wissen nicht, wie lange das noch dauert.",
    "Italian": "Il treno è in ritardo e non sappiamo che ora arriva nella città.",
    "Portuguese": "O hotel não é muito longe da praia, mas os quartos são pequenos.",
    "Dutch": "De trein is niet op tijd en het is de vraag wat voor een dag dat wordt.",
    "Polish": "Nie wiem, jak to się stało, że pociąg jest spóźniony.",
    "Cyrillic": "Поезд опаздывает, и мы не знаем, когда он придёт.",
    "Greek": "Το τρένο έχει καθυστέρηση και δεν ξέρουμε πότε θα φτάσει.",
    "Arabic": "القطار متأخر ولا نعرف متى سيصل.",
    "Chinese": "火车晚点了，我们不知道什么时候到。",
    "Japanese": "電車が遅れていて、いつ着くかわかりません。",
    "Hangul": "기차가 늦어서 언제 도착할지 모르겠습니다.",
    "Code": "def add(a, b):\n    total = a + b\n    print(total)\n    return total\n\nadd(1, 2)\n",
}


@pytest.mark.parametrize("group", SENTENCES)
def test_sentences_are_told_apart(group):
    assert language_group(SENTENCES[group].encode()) == group


def test_a_foreign_text_with_an_english_tag_is_foreign():
    assert language_group(("user: " + SENTENCES["Cyrillic"] + "\nassistant: ok").encode()) == "Cyrillic"


@pytest.mark.parametrize("kind", ["base64", "mash", "hex"])
def test_noise_is_claimed_by_no_language(kind):
    draw = random.Random(5)
    groups = [language_group(junk.KINDS[kind](draw, "").encode()) for _ in range(200)]
    assert groups.count(UNCLAIMED) >= 195


@pytest.mark.parametrize("text", ["", " ", "\n\n", "42", "...", "🎻🎻🎻"])
def test_what_has_no_words_is_claimed_by_none(text):
    assert language_group(text.encode()) == UNCLAIMED


@given(st.binary(max_size=300))
def test_any_bytes_have_a_group(data):
    assert isinstance(language_group(data), str)
