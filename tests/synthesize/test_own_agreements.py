"""Values of one object that have to agree: cities and their countries, breeds and their species, whatever binds one of them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from luthier.records import JSON
from luthier.synthesize.tools.drafts import Draft, parameters_of
from luthier.synthesize.tools.meaning_values import Scene, banks
from luthier.synthesize.tools.own_values import draw_arguments

PLACES = {place[0]: place for place in (*banks()["cities"], *banks()["places"])}
BREEDS = {breed: species[0] for species, breeds in banks()["animals"] for breed in breeds}
TEXT: JSON = {"type": "string"}


def drawn(properties: JSON, known: JSON | None = None, tries: int = 60) -> list[JSON]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    made = [
        draw_arguments(schema, Draft(Scene(Random(seed)), frozenset(parameters_of(schema)), {}, known or {}), "book a stay")
        for seed in range(tries)
    ]
    assert all(isinstance(one, dict) for one in made)
    return made


@pytest.mark.parametrize("names", [("city", "country"), ("country", "city"), ("town", "countryCode"), ("country_name", "city")])
@pytest.mark.parametrize(
    "country",
    [
        TEXT,
        {"type": "string", "enum": ["United States", "France", "Germany", "Japan"]},
        {"type": "string", "enum": ["us", "fr"]},
        {"type": "string", "minLength": 2, "maxLength": 2, "default": "US"},
        {"type": "string", "description": "Three-letter country code."},
    ],
)
def test_a_city_lies_in_the_country_beside_it(names: tuple[str, str], country: JSON) -> None:
    city, other = sorted(names, key=lambda name: "country" in name)
    for one in drawn({name: country if "country" in name else TEXT for name in names}):
        assert one[other].casefold() in {part.casefold() for part in PLACES[one[city]][2:5]}
        assert one[other] in country.get("enum", [one[other]])


def test_cities_of_options_and_examples_bring_their_country() -> None:
    for city in ({"type": "string", "enum": ["Paris", "Tokyo", "Munich"]}, {"type": "string", "const": "Sydney"}):
        for one in drawn({"country": {"type": "string", "description": "Two-letter country code."}, "city": city}):
            assert one["country"] == PLACES[one["city"]][3]


def test_two_ends_have_each_their_own() -> None:
    names = ["origin_country", "destination_country", "origin_city", "destination_city"]
    for one in drawn(dict.fromkeys(names, TEXT)):
        for end in ("origin", "destination"):
            assert one[f"{end}_country"] in PLACES[one[f"{end}_city"]]


def test_postal_codes_and_regions_go_with_the_city() -> None:
    for one in drawn(dict.fromkeys(["postal_code", "region", "country", "city"], TEXT)):
        assert {one["postal_code"], one["region"], one["country"]} <= set(PLACES[one["city"]])


def test_what_an_earlier_call_gave_stays() -> None:
    for one in drawn({"city": TEXT, "country": {"type": "string", "description": "Country name."}}, {"country": "Japan"}):
        assert one == {"city": "Kyoto", "country": "Japan"}
    for one in drawn({"city": TEXT, "country": TEXT}, {"city": "Nowhere", "country": "Japan"}):
        assert one == {"city": "Nowhere", "country": "Japan"}


def test_a_default_shows_the_form_of_a_country() -> None:
    for one in drawn({"city": TEXT, "country": {"type": "string", "default": "United States"}}):
        assert one["country"] == PLACES[one["city"]][2]


def test_a_nationality_and_a_country_of_birth_are_free() -> None:
    elsewhere = {"type": "string", "enum": ["FR", "US"]}
    made = drawn({"city": TEXT, "nationality": elsewhere, "birth_country": elsewhere})
    for name in ("nationality", "birth_country"):
        assert any(one[name] not in PLACES[one["city"]] for one in made)


def test_nothing_is_made_up_where_nothing_is_known() -> None:
    bound = {"city": {"type": "string", "enum": ["Tórshavn"]}, "country": {"type": "string", "enum": ["FO"]}}
    assert drawn(bound, tries=3) == [{"city": "Tórshavn", "country": "FO"}] * 3


@pytest.mark.parametrize(
    "properties",
    [
        {"species": TEXT, "breed": TEXT},
        {"breed": TEXT, "species": {"type": "string", "enum": ["DOG", "CAT", "OTHER"]}},
        {"type": {"type": "string", "enum": ["cat", "rabbit"]}, "breed": TEXT},
        {"species": {"type": "string", "enum": ["Dog", "Cat"]}, "breed": {"type": "string", "enum": ["Siamese", "Poodle"]}},
        {"species": {"type": "string", "description": "Species of the pet, e.g. dog."}, "breed": {"type": "string", "enum": ["Persian"]}},
    ],
)
def test_a_breed_is_one_of_the_species_beside_it(properties: JSON) -> None:
    for one in drawn(properties):
        species = next(one[name] for name in ("species", "type") if name in one)
        assert BREEDS[one["breed"]] == species.lower()


def test_every_species_and_breed_that_is_drawn_is_known() -> None:
    assert set(banks()["breeds"]) <= BREEDS.keys()
    assert {name for species, _ in banks()["animals"] for name in species} >= set(banks()["species"])


def test_other_values_stay_as_they_are_drawn() -> None:
    schema: dict[str, Any] = {"city": TEXT, "nights": {"type": "integer"}, "guest": TEXT}
    assert drawn(schema, tries=5) == drawn(schema, tries=5)
