"""Values of one object that have to agree: a city lies in the country beside it, a breed is one of the species beside it.

Each is drawn by itself, and some are bound: to options, to a default, to what an earlier call gave. What can be changed is made to go with the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from luthier.records import JSON
from luthier.synthesize.tools.drafts import Draft
from luthier.synthesize.tools.meaning_values import banks
from luthier.synthesize.tools.meanings import meaning_of, words_of

_COUNTRY = {"country_name": 2, "country": 3, "country3": 4}  # where a place of the bank has it
_BESIDE = {"region": 1, "postcode": 5}
_COUNTRIES = tuple(_COUNTRY.values())
_OF_PLACES = frozenset(
    (
        *("city", "cities", "town", "country", "region", "state", "province", "county", "postal", "postcode", "post", "zip"),
        *("code", "name", "location", "place", "address", "iso", "alpha", "2", "3"),
    )
)
_ELSEWHERE = frozenset(("nationality", "citizenship"))  # of a person, wherever the city is
Fits = Callable[[Any, JSON], bool]


def agree(values: JSON, properties: JSON, owner: str, draft: Draft, fits: Fits) -> None:
    """Change what does not agree among the values of an object. owner: words of what it is; fits: whether a value is one of a schema."""
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    if len(texts) < 2:
        return
    meant = {name: meaning_of(name, str(_schema(properties, name).get("description") or ""), owner) for name in texts}
    open_to = _Open(values, properties, draft, fits)
    cities = [name for name, meaning in meant.items() if meaning == "city"]
    for city, country in _pairs(cities, [name for name, meaning in meant.items() if meaning in _COUNTRY]):
        _settle_country(open_to, city, country)
    for city, other in _pairs(cities, [name for name, meaning in meant.items() if meaning in _BESIDE]):
        _settle_beside(open_to, city, other, _BESIDE[meant[other]])
    species = [name for name, meaning in meant.items() if meaning == "species" or (meaning != "breed" and _animal(texts[name]))]
    breeds = [name for name, meaning in meant.items() if meaning == "breed"]
    if len(species) == 1 and len(breeds) == 1:
        _settle_animal(open_to, species[0], breeds[0])


class _Open:
    """The values of an object, and which of them may be others."""

    def __init__(self, values: JSON, properties: JSON, draft: Draft, fits: Fits) -> None:
        self.values, self.random = values, draft.scene.random
        self._properties, self._known, self._fits = properties, draft.known, fits

    def takes(self, name: str, value: str) -> bool:
        """Whether a parameter may have this value: what an earlier call gave stays."""
        if name in self._known and self._known[name] == self.values[name]:
            return bool(value == self.values[name])
        return self._fits(value, _schema(self._properties, name))

    def default(self, name: str) -> str:
        """The default of a parameter where it is a text."""
        found = _schema(self._properties, name).get("default")
        return found if isinstance(found, str) else ""


def _settle_country(has: _Open, city: str, country: str) -> None:
    place, told = _places().get(has.values[city].casefold()), has.values[country]
    if place is None and not any(told.casefold() == one[_form(told)].casefold() for one in _places().values()):
        return  # nothing is known of either
    told = has.default(country) or told  # which shows the form that is wanted
    form = _form(told)
    if place is not None and has.takes(country, wanted := _cased(place[form], told)):
        has.values[country] = wanted
        return
    fitting = [one for one in banks()["places"] if has.takes(city, one[0]) and has.takes(country, _cased(one[form], told))]
    stays = [one for one in fitting if has.values[country] in one]
    if fitting:
        place = has.random.choice(stays or fitting)
        has.values[city], has.values[country] = place[0], _cased(place[form], told)


def _settle_beside(has: _Open, city: str, other: str, part: int) -> None:
    """A region or a postal code of ours is that of the city; one of the API's own says nothing to us."""
    place = next((one for one in banks()["places"] if one[0] == has.values[city]), None)
    if place is not None and has.values[other] in {one[part] for one in banks()["places"]} and has.takes(other, place[part]):
        has.values[other] = place[part]


def _settle_animal(has: _Open, species: str, breed: str) -> None:
    told, of = has.values[species], _species_of(has.values[breed])
    own = _animal(told)
    if of is None or of is own:
        return
    fitting = [] if own is None else [one for one in own[1] if has.takes(breed, one)]
    if fitting:
        has.values[breed] = has.random.choice(fitting)
        return
    named = [cased for one in of[0] for cased in (one, one.capitalize(), one.upper()) if has.takes(species, cased)]
    if named:
        has.values[species] = next((one for one in named if one == _cased(one, told)), named[0])


def _pairs(cities: Sequence[str], others: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The city that each of the others goes with: of the same words besides, as a billing city and country have, or the only one there is."""
    for other in others:
        if _ELSEWHERE.isdisjoint(words_of(other).split()):
            same = [city for city in cities if _besides(city) == _besides(other)]
            found = same or (cities if not _besides(other) else [])
            if len(found) == 1:
                yield found[0], other


def _besides(name: str) -> tuple[str, ...]:
    return tuple(word for word in words_of(name).split() if word not in _OF_PLACES)


@cache
def _places() -> dict[str, list[str]]:
    """Places by the name of their city: those that are drawn, and others that definitions have for examples and options."""
    return {place[0].casefold(): place for place in (*banks()["cities"], *banks()["places"])}


def _form(country: str) -> int:
    """Where a place has its country in the form of this one: its name, or two or three letters."""
    if country.isupper() or len(country) < 4:
        return {2: 3, 3: 4}.get(len(country), 2)
    return 2


def _cased(text: str, like: str) -> str:
    return text.lower() if like.islower() else text.upper() if like.isupper() else text


def _animal(species: str) -> list[list[str]] | None:
    """The names of a species and its breeds."""
    return next((animal for animal in banks()["animals"] if species.casefold() in animal[0]), None)


def _species_of(breed: str) -> list[list[str]] | None:
    return next((animal for animal in banks()["animals"] if any(breed.casefold() == one.casefold() for one in animal[1])), None)


def _schema(properties: JSON, name: str) -> JSON:
    found = properties.get(name)
    return found if isinstance(found, dict) else {}
