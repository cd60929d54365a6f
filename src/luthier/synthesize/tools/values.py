"""Kinds of values that requests mention: how each is drawn, typed, described, and said without naming its parameter.

A kind knows nothing of tools. `everyday` builds tools out of kinds; `dialogues` asks `guess_kind` for the kind of a real API's parameter.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from luthier.records import JSON

if TYPE_CHECKING:
    from mimesis import Generic

Draw = Callable[["Source"], Any]


class Source:
    """Seeded randomness: a `Random` and mimesis' providers, driven by the same seed."""

    def __init__(self, seed: int) -> None:
        from mimesis import Generic, Locale

        self.random = Random(seed)
        self.fake: Generic = Generic(Locale.EN, seed=seed)


@dataclass(frozen=True)
class Kind:
    """One kind of value.

    names: usual parameter names; about: descriptions of the parameter; said: ways to mention a value `{v}` in a request without
    the parameter's name (`{p}` is a share in percent); ahead: the value can stand before the noun ("find 5 cheap restaurants").
    """

    type: str
    draw: Draw
    names: tuple[str, ...]
    about: tuple[str, ...]
    said: tuple[str, ...]
    ahead: bool = False


def _pick(*options: Any) -> Draw:
    return lambda s: s.random.choice(options)


def _whole(low: int, high: int, step: int = 1) -> Draw:
    return lambda s: s.random.randrange(low, high + 1, step)


def _decimal(low: float, high: float, digits: int = 1) -> Draw:
    return lambda s: round(s.random.uniform(low, high), digits)


def _date(s: Source) -> str:
    return f"{s.random.randint(1990, 2027)}-{s.random.randint(1, 12):02d}-{s.random.randint(1, 28):02d}"


def _written_date(s: Source) -> str:
    day, year = s.random.randint(1, 28), s.random.randint(1990, 2027)
    number, month = s.random.randint(1, 12), str(s.fake.datetime.month())
    ending = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(day, "th")
    forms = (
        f"{month} {day}, {year}",
        f"{day} {month} {year}",
        f"{month} {day}{ending}, {year}",
        f"{year}/{number:02d}/{day:02d}",
        f"{number:02d}/{day:02d}/{year}",
        f"next {s.fake.datetime.day_of_week()}",
        "tomorrow",
        "next month",
        f"{month} {year}",
    )
    return s.random.choice(forms)


def _sentence(s: Source) -> str:
    """A few words, a remark with marks and apostrophes, or two sentences."""
    words = [str(word) for word in s.fake.text.words(s.random.randint(3, 7))]
    plain = " ".join(words).capitalize()
    thing, place = words[0], words[1]
    remarks = (
        plain,
        f"{plain}.",
        f"I love the {thing}! It's always {place} and fresh.",
        f"Don't forget the {thing}, we need it.",
        f"The {thing} was late. I won't order from the {place} again.",
        f"Is the {thing} still on? Let's meet at the {place}.",
        f"What a {thing}: best {place} in years!",
    )
    return s.random.choice(remarks)


def _big(s: Source) -> int:
    sums = (s.random.randrange(500, 100_000, 500), s.random.randrange(100_000, 30_000_000, 50_000), 1_000_000 * s.random.randint(1, 300))
    return s.random.choice(sums)


def _title(s: Source) -> str:
    words = [s.fake.text.word().capitalize() for _ in range(s.random.randint(1, 2))]
    return s.random.choice(["The {}", "{} Road", "A {} Story", "{} Nights", "Beyond the {}", "{}"]).format(" ".join(words))


def _place(s: Source) -> str:
    city = str(s.fake.address.city())
    return s.random.choice([city, city, f"{city}, {s.fake.address.state(abbr=True)}", f"{city}, {s.fake.address.country()}"])


def _several(draw: Draw, low: int = 2, high: int = 4) -> Draw:
    def several(s: Source) -> list[Any]:
        wanted = s.random.randint(low, high)
        found: list[Any] = []
        while len(found) < wanted:
            value = draw(s)
            if value not in found:
                found.append(value)
        return found

    return several


def _code(s: Source) -> str:
    letters = "".join(s.random.choices("ABCDEFGHKLMNPQRSTVWXZ", k=s.random.randint(2, 3)))
    return f"{letters}{s.random.choice(['', '-'])}{s.random.randint(100, 99999)}"


_CODE_WORDS = """account buffer cache cart click config cursor data event field form frame graph handler image index item key list log map
model my new node old order page parent profile query queue record result row session shape source state stream table target temp token tree
user value view""".split()  # noqa: SIM905


def _variable(s: Source) -> str:
    """A name as programs have it: `my_data`, `userProfile`, `NodeList`."""
    words = s.random.sample(_CODE_WORDS, s.random.choice((1, 2, 2, 2, 3)))
    style = s.random.random()
    if style < 0.4:
        return "_".join(words)
    capital = [word.capitalize() for word in words]
    return words[0] + "".join(capital[1:]) if style < 0.85 else "".join(capital)


def _expression(s: Source) -> str:
    """A value as programs write it: `new OrderItem(4)`, `user.profile`, `State.OPEN`, `row => row.key`."""
    first, second = s.random.sample(_CODE_WORDS, 2)
    number = s.random.randint(0, 120)
    return s.random.choice(
        (
            f"new {first.capitalize()}{second.capitalize()}({s.random.choice(('', number))})",
            f"{first}.{second}",
            f"{first}.get{second.capitalize()}()",
            f"{first}s[{number}]",
            f"{first.capitalize()}.{second.upper()}",
            f"{first} => {first}.{second}",
            f"{first.capitalize()}::{second}",
            f"{first}.{second} > {number}",
        )
    )


def topic_text(kind: str, source: Source) -> str:
    """A value of a kind as a sentence is about it: "the Moon landing"."""
    return ("the " if kind == "event" else "") + str(kinds()[kind].draw(source))


def _lower(draw: Draw) -> Draw:
    return lambda s: str(draw(s)).lower()


def _fake(provider: str, method: str, **options: Any) -> Draw:
    def draw(s: Source) -> str:
        return str(getattr(getattr(s.fake, provider), method)(**options))

    return draw


def _plain_vegetable(s: Source) -> str:
    return str(s.fake.food.vegetable()).lower().split(",")[0]


@cache
def kinds() -> dict[str, Kind]:
    """Every kind by name: drawn as `_draws` says, called as `kinds.toml` does."""
    made = {}
    for name, (kind, draw) in _draws().items():
        words = _words()[name]
        made[name] = Kind(kind, draw, tuple(words["names"]), tuple(words["about"]), tuple(words["said"]), words.get("ahead", False))
    return made


@cache
def _words() -> dict[str, JSON]:
    return tomllib.loads(Path(__file__).with_name("kinds.toml").read_text(encoding="utf-8"))


def _draws() -> dict[str, tuple[str, Draw]]:
    """The JSON type of each kind, and how a value of it is drawn."""
    text, whole, number = "string", "integer", "number"
    aspects = _pick(*_words()["aspect"]["values"])
    return {
        "city": (text, _place),
        "origin": (text, _place),
        "destination": (text, _place),
        "country": (text, _fake("address", "country")),
        "state": (text, _fake("address", "state")),
        "continent": (text, _fake("address", "continent")),
        "street": (text, lambda s: str(s.fake.address.address())),
        "zip": (text, _fake("address", "zip_code")),
        "person": (text, _fake("person", "full_name")),
        "author": (text, _fake("person", "full_name")),
        "user": (text, _lower(_fake("person", "username"))),
        "email": (text, _lower(_fake("person", "email"))),
        "phone": (text, _fake("person", "phone_number")),
        "job": (text, _fake("person", "occupation")),
        "university": (text, _fake("person", "university")),
        "company": (text, _fake("finance", "company")),
        "bank": (text, _fake("finance", "bank")),
        "ticker": (text, _fake("finance", "stock_ticker")),
        "currency": (text, _fake("finance", "currency_iso_code")),
        "from_currency": (text, _fake("finance", "currency_iso_code")),
        "date": (text, _date),
        "end_date": (text, _date),
        "weekday": (text, _fake("datetime", "day_of_week")),
        "month": (text, _fake("datetime", "month")),
        "time": (text, lambda s: f"{s.random.randint(0, 23):02d}:{s.random.choice([0, 10, 15, 30, 45]):02d}"),
        "year": (whole, _whole(1750, 2026)),
        "season": (text, lambda s: f"{(y := s.random.randint(1995, 2025))}-{y + 1}"),
        "count": (whole, _whole(2, 25)),
        "quantity": (whole, _whole(1, 40)),
        "people": (whole, _whole(1, 12)),
        "money": (number, _whole(20, 5000, 10)),
        "sum": (whole, _big),
        "percent": (number, lambda s: s.random.choice([1, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 7.5, 8, 10, 12, 15, 20, 25]) / 100),
        "age": (whole, _whole(1, 95)),
        "gender": (text, _pick("male", "female")),
        "days": (whole, _whole(1, 30)),
        "hours": (number, _whole(1, 24)),
        "minutes": (whole, _whole(5, 180, 5)),
        "years": (whole, _whole(1, 40)),
        "months": (whole, _whole(1, 24)),
        "km": (number, _whole(1, 900)),
        "miles": (number, _whole(1, 600)),
        "kg": (number, _whole(1, 150)),
        "cm": (number, _whole(10, 210)),
        "celsius": (number, _whole(-30, 120)),
        "speed": (number, _whole(2, 240)),
        "score": (number, _decimal(1, 5)),
        "language": (text, _fake("person", "language")),
        "nationality": (text, _fake("person", "nationality")),
        "dish": (text, _fake("food", "dish")),
        "fruit": (text, _lower(_fake("food", "fruit"))),
        "vegetable": (text, _lower(_fake("food", "vegetable"))),
        "drink": (text, _fake("food", "drink")),
        "color": (text, _lower(_fake("text", "color"))),
        "car": (text, _fake("transport", "car")),
        "maker": (text, _fake("transport", "manufacturer")),
        "phone_model": (text, _fake("hardware", "phone_model")),
        "coding": (text, _fake("development", "programming_language")),
        "title": (text, _title),
        "artwork": (text, _title),
        "genre": (
            text,
            _pick(
                "jazz",
                "rock",
                "comedy",
                "thriller",
                "science fiction",
                "folk",
                "classical",
                "horror",
                "romance",
                "fantasy",
                "blues",
                "drama",
                "mystery",
            ),
        ),
        "sport": (text, _pick("tennis", "basketball", "cricket", "rugby", "hockey", "volleyball", "cycling", "golf", "rowing", "chess")),
        "team": (text, lambda s: f"{s.fake.address.city()} {s.random.choice(['Hawks', 'United', 'Tigers', 'Rovers', 'Bears', 'Stars'])}"),
        "animal": (
            text,
            _pick(
                "otter",
                "gray wolf",
                "barn owl",
                "red fox",
                "bumblebee",
                "salmon",
                "tortoise",
                "penguin",
                "leopard",
                "brown bear",
                "octopus",
                "honey badger",
            ),
        ),
        "topic": (
            text,
            _pick(
                "solar power",
                "volcanoes",
                "machine learning",
                "medieval trade",
                "coral reefs",
                "space travel",
                "printing press",
                "plate tectonics",
                "jazz history",
                "urban farming",
                "black holes",
                "vaccines",
                "Roman law",
                "deep sea mining",
            ),
        ),
        "event": (
            text,
            _pick(
                "Great Fire of London",
                "Moon landing",
                "French Revolution",
                "Treaty of Versailles",
                "Gold Rush",
                "fall of Constantinople",
                "Boston Tea Party",
                "Hundred Years War",
            ),
        ),
        "invention": (text, _pick(*_words()["invention"]["values"])),
        "crime": (text, _pick(*_words()["crime"]["values"])),
        "variable": (text, _variable),
        "expression": (text, _expression),
        "substance": (
            text,
            _pick(
                "water",
                "sodium chloride",
                "ethanol",
                "iron",
                "copper",
                "glucose",
                "carbon dioxide",
                "methane",
                "aluminium",
                "helium",
                "quartz",
                "gold",
            ),
        ),
        "organ": (
            text,
            _pick("heart", "liver", "leaf", "kidney", "neuron", "red blood cell", "muscle cell", "chloroplast", "mitochondria"),
        ),
        "gene": (text, lambda s: s.random.choice(["BRCA", "TP", "MYH", "SOX", "FOX", "COL"]) + str(s.random.randint(1, 99))),
        "sequence": (text, lambda s: str(s.fake.science.dna_sequence(length=s.random.randint(8, 14)))),
        "code": (text, _code),
        "file": (text, lambda s: str(s.fake.file.file_name())),
        "url": (text, lambda s: str(s.fake.internet.url())),
        "ip": (text, _fake("internet", "ip_v4")),
        "text": (text, _sentence),
        "aspect": (text, aspects),
        "aspects": ("array", _several(aspects, 1, 3)),
        "columns": (
            "array",
            _several(_pick("Age", "Income", "Sales", "Height", "Score", "Region", "Price", "Weight", "Education", "Year"), 2, 4),
        ),
        "column": (text, _pick("Profit", "Target_Value", "Churn", "Total_Amount", "Rating", "Speed")),
        "percent_points": (number, lambda s: s.random.choice([1, 2, 2.5, 3, 4, 4.5, 5, 6, 7.5, 8, 10, 12, 15, 20, 30, 40, 60])),
        "shares": (
            "array",
            lambda s: [share / 100 for share in s.random.sample([5, 10, 20, 25, 30, 40, 50, 60, 75], s.random.randint(2, 3))],
        ),
        "written_date": (text, _written_date),
        "written_end": (text, _written_date),
        "word": (text, _fake("text", "word")),
        "shape_size": (number, _whole(1, 60)),
        "ints": ("array", _several(_whole(1, 100), 3, 6)),
        "floats": ("array", _several(_decimal(0, 50), 3, 5)),
        "items": ("array", _several(_plain_vegetable)),
        "cities": ("array", _several(_fake("address", "city"), 2, 3)),
        "names": ("array", _several(_fake("person", "first_name"), 2, 3)),
    }


@dataclass(frozen=True)
class Clue:
    """How to recognise a kind by a parameter's name."""

    pattern: re.Pattern[str]
    kind: str


_CLUES = tuple(
    Clue(re.compile(pattern), kind)
    for pattern, kind in (
        (r"(^|_)(city|town|locality)$", "city"),
        (r"country(_name)?$", "country"),
        (r"(^|_)e_?mail(_address)?$", "email"),
        (r"phone", "phone"),
        (r"(^|_)(ip|ip_address)$", "ip"),
        (r"(url|uri|link|website)$", "url"),
        (r"(end|until|to)_(date|time)$", "end_date"),
        (r"(date|day)$", "date"),
        (r"(^|_)year$", "year"),
        (r"month$", "month"),
        (r"(max_results|limit|count|page_size|max_items|top|max_records)$", "count"),
        (r"(user_?name|user_id|user|owner|account_id|principal)$", "user"),
        (r"(language|language_code|locale)$", "language"),
        (r"currency", "currency"),
        (r"(file|path|filename|prefix|folder)$", "file"),
        (r"(title|subject)$", "title"),
        (r"(description|message|text|content|comment|reason|summary|body)$", "text"),
        (r"(first_name|full_name|author|person)$", "person"),
        (r"(company|organization|publisher)$", "company"),
        (r"(tag|keyword|label|term)$", "word"),
        (r"(query|search|topic|q)$", "topic"),
        (r"(price|amount|cost)$", "money"),
        (r"(hours?)$", "hours"),
        (r"minutes?$", "minutes"),
        (r"days?$", "days"),
        (r"address$", "street"),
        (r"postal_code|zip", "zip"),
        (r"(_id|id|arn|name|key|number|code|identifier|resource|group)$", "code"),
    )
)


def guess_kind(name: str, schema: JSON) -> Kind | None:
    """The kind of a real API's parameter by its name; None where the name says nothing or the types disagree."""
    for clue in _CLUES:
        if clue.pattern.search(name.lower()):
            kind = kinds()[clue.kind]
            return kind if kind.type == schema.get("type") or (kind.type, schema.get("type")) == ("integer", "number") else None
    return None
