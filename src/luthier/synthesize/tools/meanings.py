"""What a parameter means, by the split words of its name and by its description, and values of that meaning.

`meaning_of("firstName", "Given name.")` is the meaning `first_name`; `Scene` remembers who and when a dialogue is about, so that an e-mail
address is its owner's and a stay ends after it begins. What a schema demands of the value is the business of `own_values`.
"""

from __future__ import annotations

import base64
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache, lru_cache
from importlib import resources
from random import Random
from typing import Any

from luthier.synthesize.tools.importers.wording import snake_case
from luthier.synthesize.tools.values import Source

FIRST_DAY = date(2026, 1, 5)
DAYS = 700
_NAMES_KEPT = 400  # first names, and last names, of mimesis
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_HEX = "0123456789abcdef"
_PEOPLE = r"(guest|customer|user|patient|employee|driver|contact|member|author|owner|person|passenger|student|client|teacher|doctor|recipient|tenant|buyer|seller|agent|staff|attendee|worker|technician|rider|applicant|candidate|borrower|reader|player|child|parent|holder)"


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


@lru_cache(maxsize=65536)
def meaning_of(name: str, description: str = "", owner: str = "") -> str:
    """The meaning of a parameter, "" where nothing tells. owner: what it is a part of, "guest" for a guest's `name`."""
    words = words_of(name)
    told = description.lower()
    for pattern, meaning in _TOLD:
        if re.search(pattern, told):
            return meaning
    if words in ("name", "full name", "display name", "title"):
        return _named(f"{told} {owner}", words)
    if words in _TELLING and re.search(
        r"\b(damages?|faults?|defects?|incidents?|issues?|problems?|complaints?|repairs?|maintenance|outage|bugs?)\b", owner
    ):
        return "problem"
    if words in ("text", "comment", "body", "content") and re.search(r"\b(review|rating|feedback)", owner):
        return "review"
    for pattern, meaning in _NAMES:
        if re.search(pattern, words):
            return meaning
    for pattern, meaning in _NAMES:
        if meaning not in ("code", "word") and len(told.split()) <= 4 and re.search(pattern, told.rstrip(".")):
            return meaning
    return ""


@lru_cache(maxsize=65536)
def words_of(name: str) -> str:
    """`bookingId`, `booking_id` and `filter[booking-id]` as "booking id"."""
    return re.sub(r"\s+", " ", snake_case(name).replace("_", " ")).strip() or name.lower()


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


def _named(owner: str, words: str) -> str:
    for pattern, meaning in (
        (_PEOPLE, "person"),
        (r"(card|payee|beneficiary|account)", "person"),
        (r"(company|supplier|vendor|organi[sz]ation|employer|firm|merchant|partner|brand)", "company"),
        (r"(product|item|article|part|good)", "product"),
        (r"(pet|animal)", "pet_name"),
        (r"(city|town|place|location|venue|destination)", "city"),
        (r"(book|song|album|film|movie|track)", "book"),
        (r"(dish|meal|recipe|menu)", "dish"),
        (r"(file|document|attachment)", "file"),
        (r"(medicine|medication|drug)", "medicine"),
        (r"(team|group|folder|list|project|channel|room|area|zone|category)", "group"),
    ):
        if re.search(rf"\b{pattern}", owner):
            return meaning
    return "title" if words == "title" else "group"


_TELLING = frozenset(("description", "details", "text", "message", "summary", "note", "notes", "comment", "problem", "issue"))

# Clues in descriptions are strong ones: standards and forms that are named. The first that fits counts.
_TOLD: tuple[tuple[str, str], ...] = (
    (r"\bhh:mm\b(?!:ss)", "time"),
    (r"\byyyy-mm-dd\b(?!t)", "date"),
    (r"\bairline code|iata airline|carrier code", "airline_code"),
    (r"\biata\b|airport code", "airport"),
    (r"iso.?3166.*(alpha.?3|three.letter)|three.letter country", "country3"),
    (r"iso.?3166|(two|2).letter country|country code", "country"),
    (r"iso.?4217|currency code", "currency"),
    (r"iso.?639|language code", "language"),
    (r"\be\.?164\b", "phone"),
    (r"\bbcp.?47\b", "locale"),
    (r"iana time ?zone|tz database|olson", "timezone"),
    (r"iso week", "week"),
    (r"flight number", "flight"),
    (r"room number", "room"),
    (r"(licen[cs]e|number|registration) plate", "plate"),
    (r"\bisbn\b", "isbn"),
    (r"\biban\b", "iban"),
    (r"\bunix (time|epoch)|epoch (seconds|time)|seconds since", "epoch"),
    (r"\bhex(adecimal)? colou?r|colou?r in hex", "hex_colour"),
    (r"mime type|media type", "mime"),
    (r"^e-?mail( address)?\b", "email"),
    (r"^why\b", "reason"),
    (r"\blost\b|left behind", "lost"),
)
# Clues in names, the narrow ones first.
_NAMES: tuple[tuple[str, str], ...] = (
    (r"\b(first|given) ?name$|^forename", "first_name"),
    (r"\b(last|family) ?name$|^surname", "last_name"),
    (r"\b(user ?name|login|handle|nickname)$", "username"),
    (r"\be ?mails?( address(es)?)?$|^(to|cc|bcc|reply to)$", "email"),
    (r"\b(phone|mobile|telephone|fax|cell)( number)?s?$|^(tel|msisdn)$", "phone"),
    (r"\b(birth ?(date|day)|date of birth|dob|born( on)?)$", "birth_date"),
    (r"\b(time ?zone|tz)$", "timezone"),
    (
        r"\b(check ?out|(end|until|through|to|return|expir\w*|due|last|valid until|closing|dropoff|drop off|finish|leaving)( (date|day|on))?)$",
        "end_date",
    ),
    (
        r"\b(employed|hired|joined|issued|purchased|bought|founded|acquired|manufactured|worked|member|built|installed|moved in)( (since|on|at|date))?$",
        "past_date",
    ),
    (r"\b(check ?in|(start|from|since|begin|arrival|pick ?up|departure|first|valid from|opening|depart)( (date|day|on))?)$", "start_date"),
    (r"\b(date|day|on|deadline)$", "date"),
    (r"\b(date ?time|timestamp|at|when)$", "moment"),
    (r"\b(time|hour of day)$", "time"),
    (r"\bweek$", "week"),
    (r"\bmonth$", "month"),
    (r"\byear$", "year"),
    (r"\b(weekday|day of week)s?$", "weekday"),
    (r"\b(airline|carrier) code$", "airline_code"),
    (r"\bairlines?$", "airline"),
    (r"\b(airport|origin airport|destination airport|iata)( code)?s?$", "airport"),
    (r"\b(flight)( (number|no|code))?$", "flight"),
    (r"\bcurrenc(y|ies)( code)?$", "currency"),
    (r"\bcountry name$", "country_name"),
    (r"\b(countr(y|ies)( code)?|nationality)$", "country"),
    (r"\blocale$", "locale"),
    (r"\b(language|lang)s?( code)?$", "language"),
    (r"\b(state|province|region|county|district)$", "region"),
    (r"\b(city|town|municipality|locality|cities|location|place|origin|destination|from city|to city)s?$", "city"),
    (r"\b(zip|postal|post)( ?code)?$|^postcode$|\bpincode$", "postcode"),
    (r"\b(street|address line|line) ?[12]?$", "street"),
    (r"\b(house|street|building) (number|no)$", "house_number"),
    (r"\baddress$", "address"),
    (r"\b(coordinates|coords|lat ?lon|lat ?lng|geo point|gps)$", "coordinates"),
    (r"\b(latitude|lat)$", "latitude"),
    (r"\b(longitude|lon|lng|long)$", "longitude"),
    (r"\b(ip|ip address|ipv4)$", "ip"),
    (r"\b(url|uri|link|website|web ?hook|callback|endpoint|homepage)s?$", "url"),
    (r"\b(host|hostname|domain)$", "host"),
    (r"\b(vin|chassis number)$", "vin"),
    (r"\b(plate|licen[cs]e plate|registration( number)?)$", "plate"),
    (r"\bisbn$", "isbn"),
    (r"\b(ticker|stock symbol|symbol)$", "ticker"),
    (r"\b(licen[cs]e number|licen[cs]e no|driver licen[cs]e|passport( number)?)$", "licence"),
    (r"\biban$", "iban"),
    (r"\b(bic|swift)( code)?$", "bic"),
    (r"\b(ean|gtin|upc|barcode)$", "barcode"),
    (r"\b(password|secret|passphrase)$", "password"),
    (r"\b(tracking)( (number|code|id|no))?$", "tracking"),
    (r"\b(cursor|page token|next token|continuation( token)?|offset token)$", "cursor"),
    (r"\b(idempotency|request|correlation|dedup\w*) (key|id)$", "key"),
    (r"\barns?$", "arn"),
    (r"\b(version)$", "version"),
    (r"\b(colou?rs?)$", "colour"),
    (r"\bmaterials?$", "material"),
    (r"\b(brand|manufacturer)$", "brand"),
    (r"\b(car|vehicle)? ?(make|maker)$", "car_maker"),
    (r"\b(car|vehicle) model$", "car_model"),
    (r"\bfuel( type)?$", "fuel"),
    (r"\b(medication|medicine|drug|prescription)s?$", "medicine"),
    (r"\b(symptom|complaint)s?$", "symptom"),
    (r"\bdiagnos[ie]s$", "diagnosis"),
    (r"\b(allergy|allergies|allergens?|intolerances?)$", "allergy"),
    (r"\bspecial(i)?ty$|\bspeciali[sz]ation$", "speciality"),
    (r"\bspecies$", "species"),
    (r"\bbreeds?$", "breed"),
    (r"\bcuisines?$", "cuisine"),
    (r"\b(dish|dishes|meal|recipe)s?$", "dish"),
    (r"\bingredients?$", "ingredient"),
    (r"\bgenres?$", "genre"),
    (r"\b(book|film|movie|song|album|track)( title)?$", "book"),
    (r"\bdepartments?$", "department"),
    (r"\b(job title|job|occupation|position|profession|role)$", "job"),
    (r"\b(company|organi[sz]ation|employer|supplier|vendor|merchant|customer company)( name)?$", "company"),
    (r"\b(team)( name)?$", "team"),
    (
        rf"\b{_PEOPLE}( (full )?name)?$|\b(assignee|sender|created by|assigned to|requested by|host name|by|attendees|participants|authors)$",
        "person",
    ),
    (r"\b(product|article|item)( name)?s?$", "product"),
    (r"\b(sku|article number|part number|item code|product code|model number|catalog(ue)? number)$", "sku"),
    (r"\b(categor(y|ies)|section)$", "category"),
    (r"\b(tag|label|keyword)s?$", "tag"),
    (r"\b(query|search|q|search term|keywords|topic|question|term|text query)$", "topic"),
    (r"\b(subject|headline|heading)$", "subject"),
    (r"\b(title|summary|name of task|task name)$", "title"),
    (r"\b(reason|cause|justification)s?$", "reason"),
    (r"\b(review|feedback|comment text|testimonial)$", "review"),
    (r"\b(note|notes|comment|comments|remark|remarks|special requests?|memo|annotation)$", "note"),
    (r"\b(message|body|text|content|sms|greeting|html|markdown|post)$", "message"),
    (r"\b(description|details|about|bio|info|observation|abstract)$", "description"),
    (r"\b(instruction|instructions|custom|task|todo|work|request|action)$", "instruction"),
    (r"\b(file ?name|file|path|attachment|document)s?$", "file"),
    (r"\b(mime ?type|content type)$", "mime"),
    (r"\b(room|suite|unit|flat|apartment|office|desk)( (number|no))?s?$", "room"),
    (r"\b(seat)( (number|no))?s?$", "seat"),
    (r"\b(gate|terminal|platform|bay|dock|aisle|shelf|locker)( (number|no))?$", "gate"),
    (r"\b(table)( (number|no))?$", "room"),
    (r"\b(units?( of measure)?|uom)$", "unit"),
    (r"\bsizes?$", "size"),
    (r"\b(sort|sort by|order by|sorted by)$", "sort"),
    (r"\b(order|direction|sort order|sort direction)$", "direction"),
    (r"\bevents?( types?)?$", "event"),
    (r"\b(plan|tier|package|subscription)$", "plan"),
    (r"\b(payment )?method$", "method"),
    (r"\b(carrier|courier|shipping company)$", "carrier"),
    (r"\bstatus(es)?$|\bstate$", "status"),
    (r"\b(voucher|coupon|promo|discount|gift card|promotion)( code)?$", "voucher"),
    (r"\b(group|list|folder|channel|project|collection|playlist|board|zone|area|warehouse|store|branch|site)( name)?$", "group"),
    (r"\b(id|ids|uid|guid|uuid|code|codes|number|numbers|no|ref|reference|key|token|identifier|arn|sku|hash|slug)$", "code"),
)


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
    "company": _text("companies"),
    "team": _text("teams"),
    "product": _thing("products"),
    "sku": lambda scene: f"{''.join(scene.random.choices(_LETTERS, k=3))}-{scene.random.randint(100, 9999)}",
    "category": _text("categories"),
    "tag": _text("tags"),
    "topic": _text("topics"),
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
}
