"""Kinds of values that requests mention: how each is drawn, typed, described, and said without naming its parameter.

A kind knows nothing of tools. `everyday` builds tools out of kinds; `dialogues` asks `guess_kind` for the kind of a real API's parameter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
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


_ASPECTS = (
    "price",
    "size",
    "opening hours",
    "start date",
    "release date",
    "winner",
    "author",
    "ingredients",
    "population",
    "summary",
    "ranking",
    "cast",
    "address",
    "history",
    "rating",
    "location",
    "weight",
    "side effects",
    "symptoms",
    "height",
    "owner",
    "background",
    "results",
    "schedule",
    "statistics",
    "contact",
    "origin",
    "net worth",
    "speed",
    "power",
    "damage",
    "durability",
    "end date",
    "location",
    "creator",
    "material",
    "budget",
    "length",
    "judge",
    "verdict",
    "plaintiff",
    "defendant",
    "witnesses",
    "charges",
    "fine",
    "date",
    "time",
    "place",
    "casualties",
    "causes",
    "consequences",
    "leaders",
    "participants",
    "genre",
    "duration",
    "language",
    "plot",
    "characters",
    "reviews",
    "sales",
    "revenue",
    "employees",
    "founder",
    "headquarters",
    "products",
    "profit",
    "market share",
    "mileage",
    "engine",
    "color",
    "safety rating",
    "diet",
    "habitat",
    "lifespan",
    "predators",
    "range",
    "dosage",
    "ingredients list",
    "interactions",
    "area",
    "climate",
    "currency",
    "capital",
    "goals",
    "assists",
    "age",
    "team",
    "salary",
    "position",
    "titles",
    "nationality",
    "biography",
    "education",
    "works",
    "style",
    "value",
)


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
    """Every kind by name."""
    text, whole, number = "string", "integer", "number"
    return {
        "city": Kind(
            text,
            _place,
            ("city", "location", "place", "town", "area"),
            ("Name of the city.", "The location to look at.", "City, optionally with state or country."),
            ("in {v}", "for {v}", "around {v}", "near {v}", "at {v}"),
        ),
        "origin": Kind(
            text,
            _place,
            ("origin", "start_location", "from_city", "departure_city", "start"),
            ("Where the trip starts.", "The starting point."),
            ("from {v}", "starting in {v}", "leaving {v}", "departing from {v}"),
        ),
        "destination": Kind(
            text,
            _place,
            ("destination", "end_location", "to_city", "arrival_city", "end"),
            ("Where the trip ends.", "The destination."),
            ("to {v}", "ending in {v}", "heading to {v}", "bound for {v}"),
        ),
        "country": Kind(
            text,
            _fake("address", "country"),
            ("country", "country_name", "region", "nation"),
            ("The country of interest.", "Name of the country."),
            ("in {v}", "for {v}", "of {v}", "within {v}"),
        ),
        "state": Kind(
            text,
            _fake("address", "state"),
            ("state", "state_name", "region", "jurisdiction"),
            ("The state, written out.", "State or region."),
            ("in {v}", "for the state of {v}", "in the state of {v}"),
        ),
        "continent": Kind(
            text, _fake("address", "continent"), ("continent",), ("The continent.",), ("in {v}", "on the continent of {v}", "across {v}")
        ),
        "street": Kind(
            text,
            lambda s: str(s.fake.address.address()),
            ("address", "street_address", "delivery_address"),
            ("Street address.",),
            ("at {v}", "to {v}", "for {v}"),
        ),
        "zip": Kind(
            text,
            _fake("address", "zip_code"),
            ("zip_code", "postal_code", "zipcode"),
            ("The postal code.",),
            ("in {v}", "for zip code {v}", "around {v}"),
        ),
        "person": Kind(
            text,
            _fake("person", "full_name"),
            ("name", "person", "full_name", "customer", "person_name"),
            ("Full name of the person.", "The name of the person."),
            ("for {v}", "of {v}", "named {v}", "about {v}"),
        ),
        "author": Kind(
            text,
            _fake("person", "full_name"),
            ("author", "artist", "creator", "composer", "director"),
            ("Who made the work.", "Name of its author."),
            ("by {v}", "from {v}", "made by {v}", "of {v}"),
        ),
        "user": Kind(
            text,
            _lower(_fake("person", "username")),
            ("username", "user_id", "user", "account"),
            ("The user's account name.", "User to act on."),
            ("for user {v}", "for {v}", "of {v}"),
        ),
        "email": Kind(
            text,
            _lower(_fake("person", "email")),
            ("email", "recipient", "email_address", "to"),
            ("E-mail address.",),
            ("to {v}", "for {v}", "using {v}"),
        ),
        "phone": Kind(
            text, _fake("person", "phone_number"), ("phone", "phone_number", "mobile"), ("Phone number.",), ("at {v}", "on {v}", "to {v}")
        ),
        "job": Kind(
            text,
            _fake("person", "occupation"),
            ("job_title", "occupation", "position", "role"),
            ("The occupation.",),
            ("as a {v}", "for a {v}", "for the position of {v}"),
        ),
        "university": Kind(
            text,
            _fake("person", "university"),
            ("university", "school", "institution"),
            ("Name of the school.",),
            ("at {v}", "for {v}", "from {v}"),
        ),
        "company": Kind(
            text,
            _fake("finance", "company"),
            ("company", "company_name", "organization", "brand", "firm"),
            ("Name of the company.",),
            ("of {v}", "for {v}", "at {v}", "by {v}"),
        ),
        "bank": Kind(text, _fake("finance", "bank"), ("bank", "bank_name"), ("Name of the bank.",), ("at {v}", "with {v}", "from {v}")),
        "ticker": Kind(
            text,
            _fake("finance", "stock_ticker"),
            ("symbol", "ticker", "stock_symbol"),
            ("Ticker symbol of the stock.",),
            ("of {v}", "for {v}", "on {v}"),
        ),
        "currency": Kind(
            text,
            _fake("finance", "currency_iso_code"),
            ("currency", "currency_code", "target_currency"),
            ("Currency code such as EUR.", "Three-letter currency code."),
            ("in {v}", "to {v}", "using {v}"),
        ),
        "from_currency": Kind(
            text,
            _fake("finance", "currency_iso_code"),
            ("from_currency", "base", "source_currency"),
            ("Currency to convert from.",),
            ("from {v}", "of {v}"),
        ),
        "date": Kind(
            text,
            _date,
            ("date", "day", "start_date", "on_date", "check_in"),
            ("Date in the form YYYY-MM-DD.", "The date (YYYY-MM-DD)."),
            ("on {v}", "for {v}", "as of {v}", "dated {v}"),
        ),
        "end_date": Kind(
            text,
            _date,
            ("end_date", "until", "check_out", "to_date", "due_date"),
            ("Last date, YYYY-MM-DD.", "End date in the form YYYY-MM-DD."),
            ("until {v}", "up to {v}", "ending {v}", "till {v}"),
        ),
        "weekday": Kind(
            text,
            _fake("datetime", "day_of_week"),
            ("day", "weekday", "day_of_week"),
            ("Day of the week.",),
            ("on {v}", "for {v}", "every {v}"),
        ),
        "month": Kind(
            text, _fake("datetime", "month"), ("month", "month_name"), ("Name of the month.",), ("in {v}", "for {v}", "during {v}")
        ),
        "time": Kind(
            text,
            lambda s: f"{s.random.randint(0, 23):02d}:{s.random.choice([0, 10, 15, 30, 45]):02d}",
            ("time", "start_time", "at_time"),
            ("Time of day, HH:MM.",),
            ("at {v}", "from {v}", "around {v}"),
        ),
        "year": Kind(
            whole,
            _whole(1750, 2026),
            ("year", "in_year", "release_year", "season_year"),
            ("The year.", "Year of interest."),
            ("in {v}", "for {v}", "from {v}", "for the year {v}"),
        ),
        "season": Kind(
            text,
            lambda s: f"{(y := s.random.randint(1995, 2025))}-{y + 1}",
            ("season",),
            ("Season in the form 2010-2011.",),
            ("in the {v} season", "for {v}", "during {v}"),
        ),
        "count": Kind(
            whole,
            _whole(2, 25),
            ("limit", "count", "number", "num_results", "max_results", "top_n"),
            ("How many results to return.", "The number of results wanted.", "Number of items."),
            ("showing {v} results", "- I want {v} of them", "(give me {v})", "limited to {v}", "and list {v} of them", "top {v} only"),
            ahead=True,
        ),
        "quantity": Kind(
            whole,
            _whole(1, 40),
            ("quantity", "amount", "num_items", "units"),
            ("How many units.", "The quantity."),
            ("- {v} of them", "({v} pieces)", "for {v} units", "times {v}"),
            ahead=True,
        ),
        "people": Kind(
            whole,
            _whole(1, 12),
            ("guests", "party_size", "num_people", "participants", "adults", "players"),
            ("How many people.", "Number of people taking part."),
            ("for {v} people", "for a group of {v}", "for {v} guests", "with {v} people"),
        ),
        "money": Kind(
            number,
            _whole(20, 5000, 10),
            ("amount", "price", "budget", "max_price", "cost", "salary"),
            ("Amount of money in dollars.", "Sum of money.", "Price limit in USD."),
            ("for ${v}", "with {v} dollars", "of {v} dollars", "up to ${v}", "under {v} USD"),
        ),
        "sum": Kind(
            whole,
            _big,
            ("principal", "loan_amount", "investment", "income", "initial_amount", "property_value"),
            ("The sum of money, in dollars.", "Amount at the start."),
            ("of ${v}", "with ${v}", "of {v} dollars", "on ${v}", "starting with {v}"),
        ),
        "percent": Kind(
            number,
            lambda s: s.random.choice([1, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 7.5, 8, 10, 12, 15, 20, 25]) / 100,
            ("rate", "interest_rate", "discount", "growth_rate", "annual_rate", "tax_rate"),
            ("The rate as a decimal, 0.05 for 5%.", "Rate, e.g. 0.1 means 10 percent."),
            ("at {p}%", "at a rate of {p}%", "of {p} percent", "with {p}%", "at {v}"),
        ),
        "age": Kind(
            whole,
            _whole(1, 95),
            ("age", "age_years", "patient_age"),
            ("Age in years.",),
            ("for a {v}-year-old", "aged {v}", "who is {v} years old", "at age {v}"),
        ),
        "gender": Kind(
            text,
            _pick("male", "female"),
            ("gender", "sex"),
            ("Gender, 'male' or 'female'.",),
            ("for a {v} person", "for a {v}", "who is {v}"),
        ),
        "days": Kind(
            whole,
            _whole(1, 30),
            ("days", "num_days", "duration", "forecast_days", "nights"),
            ("Number of days.", "Length in days."),
            ("for {v} days", "over {v} days", "for the next {v} days", "lasting {v} days"),
        ),
        "hours": Kind(
            number,
            _whole(1, 24),
            ("hours", "duration", "time", "num_hours"),
            ("Number of hours.", "Duration in hours."),
            ("for {v} hours", "over {v} hours", "lasting {v} hours", "after {v} hours"),
        ),
        "minutes": Kind(
            whole,
            _whole(5, 180, 5),
            ("minutes", "duration", "duration_minutes", "time_limit"),
            ("Number of minutes.", "Duration in minutes."),
            ("for {v} minutes", "in {v} minutes", "lasting {v} minutes", "within {v} minutes"),
        ),
        "years": Kind(
            whole,
            _whole(1, 40),
            ("years", "term", "time", "num_years", "period"),
            ("Number of years.", "Term in years."),
            ("for {v} years", "over {v} years", "after {v} years", "in {v} years", "for a term of {v} years"),
        ),
        "months": Kind(
            whole,
            _whole(1, 24),
            ("months", "num_months", "period_months"),
            ("Number of months.",),
            ("for {v} months", "over {v} months", "during {v} months"),
        ),
        "km": Kind(
            number,
            _whole(1, 900),
            ("distance", "radius", "distance_km", "range"),
            ("Distance in kilometers.",),
            ("within {v}km", "over {v} kilometers", "for {v} km", "up to {v} km away"),
        ),
        "miles": Kind(
            number,
            _whole(1, 600),
            ("distance", "miles", "mileage"),
            ("Distance in miles.",),
            ("for {v} miles", "over {v} miles", "within {v} miles"),
        ),
        "kg": Kind(
            number,
            _whole(1, 150),
            ("weight", "mass", "weight_kg"),
            ("Weight in kilograms.", "Mass in kg."),
            ("weighing {v} kg", "of {v}kg", "with {v} kilograms", "at {v}kg", "who weighs {v}kg"),
        ),
        "cm": Kind(
            number,
            _whole(10, 210),
            ("height", "length", "height_cm", "width"),
            ("Length in centimeters.", "Height in cm."),
            ("{v} cm tall", "of {v}cm", "measuring {v} centimeters", "that is {v}cm"),
        ),
        "celsius": Kind(
            number,
            _whole(-30, 120),
            ("temperature", "temp", "initial_temperature"),
            ("Temperature in degrees Celsius.",),
            ("at {v} degrees", "at {v}°C", "with {v}C", "with {v} degrees Celsius"),
        ),
        "speed": Kind(
            number,
            _whole(2, 240),
            ("speed", "velocity", "initial_speed"),
            ("Speed in km/h.", "Speed in meters per second."),
            ("at {v} km/h", "moving at {v}m/s", "with a speed of {v}", "at {v}km/h"),
        ),
        "score": Kind(
            number,
            _decimal(1, 5),
            ("rating", "min_rating", "score"),
            ("Lowest rating, 1 to 5.",),
            ("rated at least {v}", "with {v} stars or more", "with a rating of {v}"),
        ),
        "language": Kind(
            text,
            _fake("person", "language"),
            ("language", "target_language", "lang"),
            ("The language.", "Language to use."),
            ("in {v}", "into {v}", "to {v}", "for {v} speakers"),
        ),
        "nationality": Kind(
            text,
            _fake("person", "nationality"),
            ("nationality", "style", "cuisine", "origin"),
            ("Where it comes from, as an adjective.",),
            ("of {v} style", "that is {v}", "- {v} please"),
            ahead=True,
        ),
        "dish": Kind(
            text,
            _fake("food", "dish"),
            ("dish", "recipe", "food", "meal", "item"),
            ("Name of the dish.", "The food."),
            ("for {v}", "of {v}", "with {v}"),
        ),
        "fruit": Kind(
            text,
            _lower(_fake("food", "fruit")),
            ("ingredient", "fruit", "main_ingredient", "product", "crop"),
            ("The main ingredient.", "Which fruit."),
            ("with {v}", "made of {v}", "for {v}", "of {v}"),
        ),
        "vegetable": Kind(
            text,
            _lower(_fake("food", "vegetable")),
            ("plant", "vegetable", "crop", "plant_type"),
            ("The plant.", "Kind of plant."),
            ("for {v}", "of {v}", "with {v}"),
        ),
        "drink": Kind(
            text, _fake("food", "drink"), ("drink", "beverage", "cocktail"), ("Name of the drink.",), ("for a {v}", "of {v}", "with {v}")
        ),
        "color": Kind(
            text,
            _lower(_fake("text", "color")),
            ("color", "colour", "background"),
            ("The colour.",),
            ("in {v}", "colored {v}", "that is {v}"),
            ahead=True,
        ),
        "car": Kind(
            text,
            _fake("transport", "car"),
            ("car", "model", "vehicle", "car_model"),
            ("Make and model of the vehicle.",),
            ("for a {v}", "of a {v}", "with the {v}"),
        ),
        "maker": Kind(
            text,
            _fake("transport", "manufacturer"),
            ("brand", "make", "manufacturer"),
            ("The manufacturer.",),
            ("by {v}", "from {v}", "made by {v}"),
            ahead=True,
        ),
        "phone_model": Kind(
            text,
            _fake("hardware", "phone_model"),
            ("product", "device", "item", "product_name"),
            ("Name of the product.",),
            ("of the {v}", "for the {v}", "for a {v}"),
        ),
        "coding": Kind(
            text,
            _fake("development", "programming_language"),
            ("language", "programming_language"),
            ("Programming language.",),
            ("in {v}", "written in {v}", "using {v}"),
            ahead=True,
        ),
        "title": Kind(
            text,
            _title,
            ("title", "book", "movie", "song", "name", "work"),
            ("Title of the work.", "The title."),
            ("'{v}'", "of '{v}'", "called {v}", 'for "{v}"', "titled '{v}'"),
        ),
        "artwork": Kind(
            text, _title, ("artwork", "painting", "piece", "sculpture"), ("Name of the piece of art.",), ("'{v}'", "called '{v}'", "of {v}")
        ),
        "genre": Kind(
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
            ("genre", "category", "type", "style"),
            ("The genre.",),
            ("in the {v} genre", "of type {v}", "- {v} please", "that is {v}"),
            ahead=True,
        ),
        "sport": Kind(
            text,
            _pick("tennis", "basketball", "cricket", "rugby", "hockey", "volleyball", "cycling", "golf", "rowing", "chess"),
            ("sport", "activity", "game", "discipline"),
            ("The sport.",),
            ("in {v}", "for {v}", "of {v}"),
            ahead=True,
        ),
        "team": Kind(
            text,
            lambda s: f"{s.fake.address.city()} {s.random.choice(['Hawks', 'United', 'Tigers', 'Rovers', 'Bears', 'Stars'])}",
            ("team", "team_name", "club", "opponent"),
            ("Name of the team.",),
            ("of the {v}", "for the {v}", "for {v}"),
        ),
        "animal": Kind(
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
            ("animal", "species", "species_name", "breed"),
            ("The animal species.",),
            ("of the {v}", "for the {v}", "about {v}s", "for a {v}"),
        ),
        "topic": Kind(
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
            ("topic", "subject", "query", "keyword", "theme"),
            ("The topic.", "Subject to look for.", "Search words."),
            ("about {v}", "on {v}", "regarding {v}", "on the topic of {v}"),
            ahead=True,
        ),
        "event": Kind(
            text,
            _pick(
                "the Great Fire of London",
                "the Moon landing",
                "the French Revolution",
                "the Treaty of Versailles",
                "the Gold Rush",
                "the fall of Constantinople",
                "the Boston Tea Party",
                "the Hundred Years War",
            ),
            ("event", "event_name", "historical_event"),
            ("The historical event.",),
            ("of {v}", "about {v}", "for {v}", "during {v}"),
        ),
        "substance": Kind(
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
            ("substance", "material", "compound", "element", "chemical"),
            ("The substance.", "Name of the material."),
            ("of {v}", "for {v}", "made of {v}"),
        ),
        "organ": Kind(
            text,
            _pick("heart", "liver", "leaf", "kidney", "neuron", "red blood cell", "muscle cell", "chloroplast", "mitochondria"),
            ("part", "organ", "cell_type", "structure"),
            ("The part of the organism.",),
            ("of the {v}", "for the {v}", "in the {v}"),
        ),
        "gene": Kind(
            text,
            lambda s: s.random.choice(["BRCA", "TP", "MYH", "SOX", "FOX", "COL"]) + str(s.random.randint(1, 99)),
            ("gene", "gene_name", "gene_id", "protein"),
            ("Name of the gene.",),
            ("of {v}", "for the gene {v}", "for {v}"),
        ),
        "sequence": Kind(
            text,
            lambda s: str(s.fake.science.dna_sequence(length=s.random.randint(8, 14))),
            ("sequence", "dna_sequence", "dna"),
            ("The DNA sequence.",),
            ("{v}", "of {v}", "for the sequence {v}"),
        ),
        "code": Kind(
            text,
            _code,
            ("id", "order_id", "code", "reference", "case_number", "tracking_number", "flight_number"),
            ("The identifier.", "Reference number."),
            ("for {v}", "with the number {v}", "{v}", "number {v}", "with id {v}"),
        ),
        "file": Kind(
            text,
            lambda s: str(s.fake.file.file_name()),
            ("file_name", "filename", "path", "file"),
            ("Name of the file.", "Path of the file."),
            ("in {v}", "of {v}", "from the file {v}", "to {v}"),
        ),
        "url": Kind(
            text, lambda s: str(s.fake.internet.url()), ("url", "link", "website"), ("The web address.",), ("from {v}", "at {v}", "for {v}")
        ),
        "ip": Kind(text, _fake("internet", "ip_v4"), ("ip", "ip_address", "host"), ("The IP address.",), ("for {v}", "of {v}", "at {v}")),
        "text": Kind(
            text,
            _sentence,
            ("text", "message", "content", "body", "sentence", "note"),
            ("The text.", "Content of the message."),
            ("'{v}'", "saying '{v}'", ": '{v}'", 'with the text "{v}"', '"{v}"'),
        ),
        "aspect": Kind(
            text,
            _pick(*_ASPECTS),
            ("info_type", "detail", "specific_info", "aspect", "field", "information"),
            ("Which information to return.", "The detail that is wanted.", "What to look up, e.g. 'size' or 'history'."),
            ("- I need the {v}", "and tell me the {v}", "(only the {v})", "- what is the {v}?", "to learn the {v}"),
        ),
        "aspects": Kind(
            "array",
            _several(_pick(*_ASPECTS), 1, 3),
            ("details", "fields", "metrics", "information", "stats"),
            ("What to return.", "The details that are wanted, e.g. ['size', 'price']."),
            ("- I need the {v}", "and tell me the {v}", "with the {v}", "- only the {v}", "including {v}"),
        ),
        "columns": Kind(
            "array",
            _several(_pick("Age", "Income", "Sales", "Height", "Score", "Region", "Price", "Weight", "Education", "Year"), 2, 4),
            ("predictors", "columns", "variables", "features"),
            ("Names of the columns.", "The variables to use."),
            ("with {v}", "using {v}", "for the columns {v}", "on {v}"),
        ),
        "column": Kind(
            text,
            _pick("Profit", "Target_Value", "Churn", "Total_Amount", "Rating", "Speed"),
            ("target", "outcome", "column", "label"),
            ("Name of the column.", "The variable to predict."),
            ("to predict '{v}'", "against {v}", "with target {v}"),
        ),
        "percent_points": Kind(
            number,
            lambda s: s.random.choice([1, 2, 2.5, 3, 4, 4.5, 5, 6, 7.5, 8, 10, 12, 15, 20, 30, 40, 60]),
            ("rate", "interest_rate", "percentage", "annual_rate", "growth"),
            ("The rate in percent.", "Percentage, e.g. 5 for 5%.", "Yearly rate (in %)."),
            ("at {v}%", "at a rate of {v}%", "of {v} percent", "with {v}%"),
        ),
        "shares": Kind(
            "array",
            lambda s: [share / 100 for share in s.random.sample([5, 10, 20, 25, 30, 40, 50, 60, 75], s.random.randint(2, 3))],
            ("weights", "shares", "contributions"),
            ("Shares as decimals.", "Weights between 0 and 1."),
            ("with {q}", "of {q}", "contributing {q}"),
        ),
        "written_date": Kind(
            text,
            _written_date,
            ("date", "day", "start_date", "on_date", "when"),
            ("The date.", "Date of interest.", "When, as in 'March 5, 2024'."),
            ("on {v}", "for {v}", "as of {v}", "dated {v}", "{v}"),
        ),
        "written_end": Kind(
            text,
            _written_date,
            ("end_date", "until", "check_out", "due_date"),
            ("The last date.", "When it ends."),
            ("until {v}", "up to {v}", "to {v}", "till {v}"),
        ),
        "word": Kind(
            text, _fake("text", "word"), ("word", "term", "tag", "label"), ("The word.",), ("'{v}'", "for the word {v}", "of {v}")
        ),
        "shape_size": Kind(
            number,
            _whole(1, 60),
            ("size", "length", "dimension"),
            ("Size in the chosen unit.",),
            ("of {v}", "with a size of {v}", "{v} long"),
        ),
        "ints": Kind(
            "array",
            _several(_whole(1, 100), 3, 6),
            ("numbers", "values", "data", "scores", "dataset"),
            ("List of numbers.", "The data points."),
            ("of {v}", "for {v}", "for the numbers {v}", "given {v}", "in {v}"),
        ),
        "floats": Kind(
            "array",
            _several(_decimal(0, 50), 3, 5),
            ("measurements", "values", "samples", "prices"),
            ("List of measurements.",),
            ("of {v}", "for {v}", "with the values {v}", "from {v}"),
        ),
        "items": Kind(
            "array",
            _several(_plain_vegetable),
            ("ingredients", "items", "products", "foods"),
            ("List of items.", "The ingredients."),
            ("with {v}", "for {v}", "containing {v}", "using {v}"),
        ),
        "cities": Kind(
            "array",
            _several(_fake("address", "city"), 2, 3),
            ("cities", "locations", "stops", "places"),
            ("List of cities.",),
            ("for {v}", "through {v}", "in {v}", "visiting {v}"),
        ),
        "names": Kind(
            "array",
            _several(_fake("person", "first_name"), 2, 3),
            ("attendees", "names", "players", "members"),
            ("List of names.",),
            ("with {v}", "for {v}", "including {v}"),
        ),
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
