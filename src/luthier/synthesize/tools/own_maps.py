"""Entries of a map, an object whose fields no schema names: what its own name, its description or its example says the keys are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from luthier.records import JSON
from luthier.synthesize.tools.drafts import Draft
from luthier.synthesize.tools.meaning_values import value_of
from luthier.synthesize.tools.meanings import words_of


class Entry(NamedTuple):
    """A key, and what its value may be; no texts where the schema alone says it."""

    key: str
    texts: tuple[str, ...] = ()


_VARIABLES = {
    "LOG_LEVEL": "debug info warning",
    "REGION": "eu-west-1 us-east-2",
    "PORT": "8080 9000 3000",
    "TIMEOUT": "15 30 60",
    "DEBUG": "true false",
    "CACHE_SIZE": "256 512",
    "API_URL": "https://api.example.org",
    "WORKERS": "2 4 8",
}
_HEADERS = {
    "Accept": "application/json text/csv",
    "Accept-Language": "de en-GB fr",
    "Cache-Control": "no-cache no-store",
    "X-Request-Id": "req-4821 req-7730",
    "User-Agent": "desk/2.1 probe/0.4",
    "If-Match": "a71c 90fe",
}
_LABELS = {
    "team": "billing support research platform",
    "environment": "staging production testing",
    "source": "newsletter referral fair",
    "channel": "web phone shop",
    "season": "spring summer autumn winter",
    "region": "north south coast",
    "priority": "low normal high",
    "origin": "import survey partner",
}
_SETTINGS = {
    "theme": "dark light",
    "units": "metric imperial",
    "mode": "fast careful quiet",
    "format": "short long",
    "layout": "grid list",
    "quality": "draft standard best",
    "language": "de en fr",
    "sound": "on off",
}
_KINDS: tuple[tuple[re.Pattern[str], dict[str, str]], ...] = (
    (re.compile(r"\b(env|environ|environment|environment variables?|env vars?)\b"), _VARIABLES),
    (re.compile(r"\bheaders?\b"), _HEADERS),
    (re.compile(r"\b(settings?|options?|preferences?|config|configuration|parameters|params)\b"), _SETTINGS),
)
_OF_PEOPLE = re.compile(r"\b(scores?|grades?|points|marks|ratings?|hours|votes|shares|attendance|absences)\b")
_OF_WARES = re.compile(r"\b(quantit(y|ies)|stock|inventory|items?|prices?|amounts?|counts?|orders?|units|discounts?|products?)\b")
_OF_LANGUAGES = re.compile(r"\b(translations?|locali[sz]ed|locali[sz]ations?|by (language|locale)|per (language|locale)|language codes?)\b")
_LONGEST = 400  # of a description in which an example is looked for


def entries(name: str, schema: JSON, draft: Draft) -> Iterator[Entry]:
    """Keys in a random order, each with its values: those of the example first."""
    told = str(schema.get("description") or "")
    about = f"{words_of(name)} {told.lower()}"
    inner = schema.get("additionalProperties")
    numeric = isinstance(inner, dict) and inner.get("type") in ("integer", "number")
    random = draft.scene.random
    shown = shown_in(told)
    yield from random.sample(shown, len(shown))
    if _OF_LANGUAGES.search(about):
        found = [Entry(one) for one in ("en", "de", "fr", "es", "it", "nl")]
    elif numeric and (people := _OF_PEOPLE.search(about) or _OF_WARES.search(about)):
        meaning = "first_name" if people.re is _OF_PEOPLE else "product"
        found = [Entry(str(value_of(meaning, draft.scene.anew()))) for _ in range(8)]
    else:
        kinds = next((one for pattern, one in _KINDS if pattern.search(words_of(name))), None)
        kinds = kinds or next((one for pattern, one in _KINDS[:2] if pattern.search(about)), _LABELS)
        found = [Entry(key, tuple(values.split())) for key, values in kinds.items()]
    yield from random.sample(found, len(found))


def shown_in(told: str) -> list[Entry]:
    """The entries of the first JSON object in a description: `Labels, e.g. {"team": "billing"}.` has one."""
    start = told.find("{")
    if start < 0 or len(told) > _LONGEST:
        return []
    try:
        found, _ = json.JSONDecoder().raw_decode(told, start)
    except (json.JSONDecodeError, RecursionError):
        return []
    return [Entry(key, (value,) if isinstance(value, str) else ()) for key, value in found.items()] if isinstance(found, dict) else []
