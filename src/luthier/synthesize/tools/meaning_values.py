"""Values of a meaning: names, dates, places, codes, texts of many trades.

`Scene` remembers who and when a dialogue is about, so that an e-mail address is its owner's and a stay ends after it begins. What a schema demands
of the value is the business of `own_values`.
"""

from __future__ import annotations

import base64
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from importlib import resources
from random import Random
from typing import Any

from luthier.synthesize.tools.values import Source

FIRST_DAY = date(2026, 1, 5)
DAYS = 700
_NAMES_KEPT = 400  # first names, and last names, of mimesis
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_HEX = "0123456789abcdef"


@dataclass
class Scene:
    """Who and when one call is about, drawn when it is first asked for."""

    random: Random
    first: str = ""
    last: str = ""
    day: date | None = None
    place: list[str] = field(default_factory=list)

    def person(self) -> tuple[str, str]:
        if not self.first:
            self.first, self.last = self.of("first_names"), self.of("last_names")
        return self.first, self.last

    def where(self, part: int, *, anew: bool = False) -> str:
        """A part of the place that the scene is set in: city, region, country, its two and three letters, a postal code."""
        if not self.place or anew:
            self.place = self.random.choice([place for place in banks()["places"] if place is not self.place])
        return self.place[part]

    def coming(self) -> date:
        """A day of the scene: the first is drawn, those after it follow within three weeks."""
        self.day = (
            FIRST_DAY + timedelta(days=self.random.randrange(DAYS))
            if self.day is None
            else self.day + timedelta(days=self.random.randint(1, 20))
        )
        return self.day

    def anew(self) -> Scene:
        """The same days, another person: for the next entry of a list."""
        return Scene(self.random, day=self.day)

    def of(self, bank: str) -> str:
        return str(self.random.choice(banks()[bank]))


Draw = Callable[[Scene], str | float]


@cache
def banks() -> dict[str, list[Any]]:
    """Words by meaning: those that ship with the package, and names of people, the same ones each time."""
    text = resources.files("luthier.synthesize.tools").joinpath("data/meanings.toml").read_text(encoding="utf-8")
    person = Source(0).fake.person
    names = {
        "first_names": [person.first_name() for _ in range(_NAMES_KEPT)],
        "last_names": [person.last_name() for _ in range(_NAMES_KEPT)],
    }
    return {**tomllib.loads(text), **names}


def value_of(meaning: str, scene: Scene) -> str | float:
    """A value of a meaning: a text, or for a measure a number."""
    return _DRAWS[meaning](scene)


def is_known(meaning: str) -> bool:
    return meaning in _DRAWS


def code_like(example: str, random: Random) -> str:
    """Another text of the shape of an example: `BER-001` as "KQT-417". Words of four letters and more stay as they are."""

    def other(match: re.Match[str]) -> str:
        run = match[0]
        if run.isdigit():
            return "".join(random.choice("123456789" if at == 0 and run[0] != "0" else "0123456789") for at in range(len(run)))
        if len(run) >= 4 and run.isalpha():
            return run
        return "".join(random.choice(_LETTERS) if one.isupper() else random.choice(_LETTERS).lower() for one in run)

    return re.sub(r"[0-9]+|[A-Za-z]+", other, example)


def code_for(noun: str, random: Random) -> str:
    """A code with the initials of what it names: "booking" -> `BO-48213`."""
    head = "".join(one for one in noun.upper() if "A" <= one <= "Z")[:2] or "".join(random.choices(_LETTERS, k=2))
    return f"{head}-{random.randint(1000, 99999)}"


def _text(bank: str) -> Draw:
    return lambda scene: scene.of(bank)


def _two(bank: str) -> Draw:
    """One sentence of a bank, or two."""

    def draw(scene: Scene) -> str:
        first, second = scene.random.sample(banks()[bank], 2)
        return f"{first} {second}" if scene.random.random() < 0.3 else first

    return draw


def _heading(bank: str) -> Draw:
    def draw(scene: Scene) -> str:
        text = scene.of(bank)
        return f"{text} ({scene.of('last_names')})" if scene.random.random() < 0.4 else text

    return draw


def _thing(bank: str) -> Draw:
    def draw(scene: Scene) -> str:
        text = scene.of(bank)
        return f"{scene.of('colours')} {text}" if scene.random.random() < 0.3 else text

    return draw


def _email(scene: Scene) -> str:
    first, last = scene.person()
    plain = "".join(one for one in f"{first}.{last}".lower() if one.isascii() and (one.isalnum() or one == "."))
    return f"{plain}@{scene.of('domains')}"


def _username(scene: Scene) -> str:
    first, last = scene.person()
    return "".join(one for one in f"{first[:1]}{last}".lower() if one.isascii() and one.isalnum()) + str(scene.random.randint(1, 99))


def _digits(scene: Scene, count: int) -> str:
    return "".join(scene.random.choices("0123456789", k=count))


def _phone(scene: Scene) -> str:
    return f"+{scene.random.choice(['1', '33', '34', '351', '44', '46', '49'])}{scene.random.randint(2, 9)}{_digits(scene, 8)}"


def _end(scene: Scene) -> str:
    return scene.coming().isoformat()


def _birth(scene: Scene) -> str:
    return (date(1948, 1, 1) + timedelta(days=scene.random.randrange(21000))).isoformat()


def _time(scene: Scene) -> str:
    return f"{scene.random.randint(6, 22):02d}:{scene.random.choice((0, 15, 30, 45)):02d}"


def _moment(scene: Scene) -> str:
    return f"{scene.coming().isoformat()}T{_time(scene)}:00Z"


def _week(scene: Scene) -> str:
    year, week, _ = scene.coming().isocalendar()
    return f"{year}-W{week:02d}"


def _plate(scene: Scene) -> str:
    return (
        f"{''.join(scene.random.choices(_LETTERS, k=2))}-{''.join(scene.random.choices(_LETTERS, k=2))} {scene.random.randint(100, 9999)}"
    )


def _isbn(scene: Scene) -> str:
    digits = "978" + _digits(scene, 9)
    total = sum(int(one) * (3 if at % 2 else 1) for at, one in enumerate(digits))
    return digits + str(-total % 10)


def _iban(scene: Scene) -> str:
    body = _digits(scene, 18)
    check = 98 - int(body + "131400") % 97  # "DE00" in numbers, at the end
    return f"DE{check:02d}{body}"


def _address(scene: Scene) -> str:
    return f"{scene.random.randint(1, 180)} {scene.of('streets')}, {scene.where(0)}"


def _cursor(scene: Scene) -> str:
    return base64.b64encode(f"page{scene.random.randint(10, 9999)}".encode()).decode().rstrip("=")


def _url(scene: Scene) -> str:
    return f"https://{scene.of('words')}.{scene.random.choice(('example.com', 'example.org'))}/{scene.of('words')}/{scene.random.randint(1, 999)}"


def uuid(scene: Scene) -> str:
    one = "".join(scene.random.choices(_HEX, k=32))
    return f"{one[:8]}-{one[8:12]}-4{one[13:16]}-{scene.random.choice('89ab')}{one[17:20]}-{one[20:]}"


_DRAWS: dict[str, Draw] = {
    "initials": lambda scene: "".join(name[:1] for name in scene.person()),
    "first_name": lambda scene: scene.person()[0],
    "last_name": lambda scene: scene.person()[1],
    "person": lambda scene: " ".join(scene.person()),
    "username": _username,
    "email": _email,
    "phone": _phone,
    "birth_date": _birth,
    "start_date": _end,
    "end_date": _end,
    "date": _end,
    "moment": _moment,
    "time": _time,
    "past_date": lambda scene: (FIRST_DAY - timedelta(days=scene.random.randint(20, 3600))).isoformat(),
    "ticker": _text("tickers"),
    "licence": lambda scene: f"{scene.random.choice(_LETTERS)}{_digits(scene, 7)}{scene.random.choice(_LETTERS)}",
    "problem": _two("problems"),
    "week": _week,
    "month": lambda scene: scene.coming().isoformat()[:7],
    "year": lambda scene: str(scene.random.randint(1998, 2027)),
    "weekday": lambda scene: scene.random.choice(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")),
    "epoch": lambda scene: str(1_767_600_000 + 900 * scene.random.randrange(60_000)),
    "airport": _text("airports"),
    "airline": _text("airlines"),
    "airline_code": _text("airline_codes"),
    "flight": lambda scene: f"{scene.of('airline_codes')}{scene.random.randint(100, 2999)}",
    "currency": _text("currencies"),
    "country": lambda scene: scene.where(3),
    "country3": lambda scene: scene.where(4),
    "country_name": lambda scene: scene.where(2),
    "language": _text("languages"),
    "locale": _text("locales"),
    "timezone": _text("timezones"),
    "region": lambda scene: scene.where(1),
    "city": lambda scene: scene.where(0, anew=True),
    "postcode": lambda scene: scene.where(5),
    "street": lambda scene: f"{scene.random.randint(1, 180)} {scene.of('streets')}",
    "house_number": lambda scene: str(scene.random.randint(1, 180)),
    "address": _address,
    "coordinates": lambda scene: f"{scene.random.uniform(36, 60):.4f},{scene.random.uniform(-9, 24):.4f}",
    "latitude": lambda scene: round(scene.random.uniform(36, 60), 4),
    "longitude": lambda scene: round(scene.random.uniform(-9, 24), 4),
    "ip": lambda scene: f"203.0.113.{scene.random.randint(1, 254)}",
    "url": _url,
    "host": lambda scene: f"{scene.of('words')}.example.org",
    "vin": lambda scene: "".join(scene.random.choices("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", k=17)),
    "plate": _plate,
    "isbn": _isbn,
    "iban": _iban,
    "bic": lambda scene: "".join(scene.random.choices(_LETTERS, k=4)) + scene.where(3) + _digits(scene, 2),
    "barcode": lambda scene: _digits(scene, 13),
    "password": lambda scene: f"{scene.of('words').capitalize()}-{scene.of('words')}-{scene.random.randint(10, 99)}",
    "tracking": lambda scene: f"1Z{_digits(scene, 10)}",
    "cursor": _cursor,
    "key": lambda scene: f"{scene.of('words')}-{scene.random.randint(1000, 9999)}",
    "arn": lambda scene: f"arn:aws:{scene.of('words')}:eu-west-1:{_digits(scene, 12)}:{scene.of('words')}/{_digits(scene, 4)}",
    "version": lambda scene: f"{scene.random.randint(1, 4)}.{scene.random.randint(0, 12)}.{scene.random.randint(0, 9)}",
    "colour": _text("colours"),
    "hex_colour": _text("shades"),
    "material": _text("materials"),
    "brand": _text("brands"),
    "car_maker": _text("car_makers"),
    "car_model": _text("car_models"),
    "fuel": _text("fuels"),
    "medicine": _text("medicines"),
    "symptom": _text("symptoms"),
    "diagnosis": _text("diagnoses"),
    "allergy": _text("allergies"),
    "speciality": _text("specialities"),
    "species": _text("species"),
    "breed": _text("breeds"),
    "pet_name": _text("pet_names"),
    "cuisine": _text("cuisines"),
    "dish": _text("dishes"),
    "ingredient": _text("ingredients"),
    "genre": _text("genres"),
    "book": _text("books"),
    "department": _text("departments"),
    "job": _text("jobs"),
    "skill": _text("skills"),
    "company": _text("companies"),
    "team": _text("teams"),
    "product": _thing("products"),
    "sku": lambda scene: f"{''.join(scene.random.choices(_LETTERS, k=3))}-{scene.random.randint(100, 9999)}",
    "category": _text("categories"),
    "tag": _text("tags"),
    "topic": _text("topics"),
    "field": _text("fields"),
    "subject": _heading("subjects"),
    "title": _heading("titles"),
    "reason": _text("reasons"),
    "review": _two("reviews"),
    "note": _two("notes"),
    "message": _two("messages"),
    "description": _heading("descriptions"),
    "lost": _text("things"),
    "instruction": _text("instructions"),
    "file": _text("files"),
    "mime": _text("mimes"),
    "room": lambda scene: str(100 * scene.random.randint(1, 9) + scene.random.randint(1, 40)),
    "seat": lambda scene: f"{scene.random.randint(1, 38)}{scene.random.choice('ABCDEF')}",
    "gate": lambda scene: f"{scene.random.choice('ABCD')}{scene.random.randint(1, 40)}",
    "unit": _text("units"),
    "size": _text("sizes"),
    "sort": _text("sorts"),
    "direction": _text("orders"),
    "event": _text("events"),
    "plan": _text("plans"),
    "method": _text("methods"),
    "carrier": _text("carriers"),
    "status": _text("statuses"),
    "voucher": lambda scene: f"{scene.of('words').upper()}{scene.random.randint(10, 50)}",
    "group": _text("groups"),
    "uuid": uuid,
    "relation": _text("relations"),
    "reaction": _text("reactions"),
    "repository": _text("repositories"),
    "branch": _text("branches"),
    "commit": lambda scene: "".join(scene.random.choices(_HEX, k=scene.random.choice((7, 8)))),
    "folder": _text("folders"),
    "path": _text("paths"),
}
