"""Relations between concepts, chosen by a language model from a short list of candidates (SINKT, arXiv 2407.01245, section 3.2).

The model selects and never writes a graph: for each concept it sees up to 30 numbered others, near in text or of the same topic, and names
the numbers of those to know first and of those that are merely related. A model that gives log-probabilities may instead be asked about
each pair, yes or no. Whether the edges are any good is for `luthier.trace.graph.score_relations` to say, against an expert's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from luthier.errors import BadRowError, EngineError, SettingsError
from luthier.models.protocol import LanguageModel, Prompt, Sampling
from luthier.records import JSON, Journal, Message
from luthier.records.lines import parse_row
from luthier.trace.answers import Catalogue, Concept, Edge
from luthier.trace.graph import NEIGHBOURS, nearest_relations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1  # of the wording below: answers to another are not reused
MOST_CANDIDATES = 30
SYSTEM = (
    "You know how the skills of a course build on each other. You get one target skill and a numbered list of other skills. Reply with one "
    'JSON object and nothing else: {"before": [numbers], "related": [numbers]}. "before" holds the numbers of skills that a learner has to '
    'have before starting on the target. "related" holds the numbers of skills that touch the same matter without having to come first. '
    "Choose few, use only numbers of the list, and leave a list empty where none fits."
)
AGAIN = 'That cannot be used. Reply with one JSON object such as {"before": [2], "related": []}, naming only the few that fit, and nothing else.'
QUESTIONS = {
    "prerequisite": 'Does a learner have to master "{source}" before starting on "{target}"? Answer Yes or No.',
    "related": 'Do the skills "{source}" and "{target}" deal with closely related matter? Answer Yes or No.',
}
NAMELESS = ("one skill", "another skill")


@dataclass(frozen=True)
class RelationSettings:
    """ask: `numbers` of a list, or `yes_no` for every pair, which needs a model that scores. candidates: at most 30; batch: targets asked
    at once, which is what a kill may cost; most: edges into a target by `yes_no`; schema: hold the reply to a JSON schema where the engine can.
    """

    ask: Literal["numbers", "yes_no"] = "numbers"
    candidates: int = MOST_CANDIDATES
    batch: int = 16
    most: int = NEIGHBOURS
    schema: bool = True
    max_tokens: int = 256


class Chosen(NamedTuple):
    """Places in a list of candidates, from 0, with log-odds where they are known."""

    before: tuple[int, ...]
    related: tuple[int, ...]
    odds: dict[int, float] = {}  # noqa: RUF012, never changed


class Selection(NamedTuple):
    """edges: without circles of prerequisites, two that are each said to come first being related; dropped: the weakest of each circle; unread: targets whose replies could not be used, which
    keep their nearest texts as `knn` edges; asked: targets that were not in the journal."""

    edges: list[Edge]
    dropped: list[Edge]
    unread: list[str]
    asked: int


def select_relations(
    catalogue: Catalogue,
    vectors: NDArray[np.float32],
    model: LanguageModel,
    *,
    topics: Mapping[str, str] | None = None,
    settings: RelationSettings | None = None,
    journal: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Selection:
    """Edges into every concept, marked `llm`.

    vectors: unit vectors of the concepts' texts, (concepts, d). topics: of concepts that have one. journal: keeps every answer under a hash of
    model, wording and list, so that a stopped run continues and nothing is asked twice. Raises SettingsError, EngineError.
    """
    settings = settings or RelationSettings()
    if not 1 <= settings.candidates <= MOST_CANDIDATES:
        raise SettingsError(f"{settings.candidates} candidates; give 1 to {MOST_CANDIDATES}")
    if settings.ask == "yes_no" and "score" not in model.supports:
        raise EngineError(f"{model.name} gives no log-probabilities, which yes_no needs; use ask='numbers'")
    lists = candidate_lists(catalogue, vectors, topics, settings.candidates)
    keys = [_key(model.name, settings, catalogue.concepts[at], [catalogue.concepts[i] for i in some]) for at, some in enumerate(lists)]
    with nullcontext() if journal is None else Journal(journal) as kept:
        found = {} if kept is None else _kept(kept)
        todo = [at for at, key in enumerate(keys) if key not in found and lists[at]]
        progress(len(keys) - len(todo))
        ask = _ask_numbers if settings.ask == "numbers" else _ask_pairs
        listed = [at for at in range(len(keys)) if lists[at]]
        for first in range(0, len(listed), settings.batch):
            batch = listed[first : first + settings.batch]
            fresh = [at for at in batch if keys[at] not in found]
            # Here a batch is asked whole wherever a run was stopped: the last digits depend on what is computed beside. A server is asked nothing twice.
            some = batch if fresh and "score" in model.supports else fresh
            pairs = [(catalogue.concepts[at], [catalogue.concepts[i] for i in lists[at]]) for at in some]
            for at, chosen in zip(some, ask(model, pairs, settings) if some else [], strict=True):
                if at in fresh:
                    found[keys[at]] = chosen
                    if kept is not None:
                        kept.append(_row(keys[at], catalogue.concepts[at].concept, chosen))
            progress(len(fresh))
    return _selection(catalogue, vectors, lists, [found.get(key) for key in keys], model.name, len(todo))


def candidate_lists(
    catalogue: Catalogue, vectors: NDArray[np.float32], topics: Mapping[str, str] | None = None, limit: int = MOST_CANDIDATES
) -> list[list[int]]:
    """Of each concept the places of up to `limit` others, most alike first: up to half of the same topic, the rest the nearest by cosine."""
    import numpy as np

    if len(vectors) != len(catalogue.concepts):
        raise SettingsError(f"{len(vectors)} vectors for {len(catalogue.concepts)} concepts; give one for each")
    likeness = vectors @ vectors.T
    topic = [(topics or {}).get(concept.concept) for concept in catalogue.concepts]
    lists = []
    for target, row in enumerate(likeness):
        order = [int(at) for at in np.argsort(-row, kind="stable") if at != target]
        same = [at for at in order if topic[at] is not None and topic[at] == topic[target]][: limit // 2]
        held = set(same)
        some = held | set([at for at in order if at not in held][: limit - len(same)])
        lists.append([at for at in order if at in some])
    return lists


def read_numbers(reply: str, count: int) -> Chosen | None:
    """The places that a reply names, from 0; None for anything but an object of lists of whole numbers. Numbers outside 1 to count are dropped."""
    try:
        row = parse_row(reply.strip().encode(errors="surrogatepass"))
    except BadRowError:
        return None
    lists = [row.get("before"), row.get("related")]
    if set(row) != {"before", "related"} or not all(isinstance(some, list) for some in lists):
        return None
    if not all(isinstance(number, int) and not isinstance(number, bool) for some in lists for number in some or ()):
        return None
    before, related = ([number - 1 for number in dict.fromkeys(some or ()) if 1 <= number <= count] for some in lists)
    return Chosen(tuple(before), tuple(at for at in related if at not in before))


def break_circles(edges: Sequence[Edge]) -> tuple[list[Edge], list[Edge]]:
    """Edges without circles of prerequisites, and those left out: of each circle the weakest, the later one of equals, an expert's last.

    Raises SettingsError where an expert's own edges go round.
    """
    strongest = sorted(range(len(edges)), key=lambda at: (edges[at].provenance != "expert", -edges[at].weight))
    after: dict[str, set[str]] = {}
    dropped = set()
    for at in strongest:
        edge = edges[at]
        if edge.relation != "prerequisite":
            continue
        if _leads(after, edge.target, edge.source):
            if edge.provenance == "expert":
                raise SettingsError(f"an expert's prerequisites go round in a circle at {edge.source} -> {edge.target}; remove one of them")
            dropped.add(at)
        else:
            after.setdefault(edge.source, set()).add(edge.target)
    return [e for at, e in enumerate(edges) if at not in dropped], [e for at, e in enumerate(edges) if at in dropped]


def merge_relations(catalogue: Catalogue, found: Sequence[Edge]) -> tuple[Catalogue, list[Edge]]:
    """The catalogue with further edges between concepts that it does not link yet, and those that would close a circle with its own."""
    linked = {(edge.source, edge.target) for edge in catalogue.edges}
    fresh = [edge for edge in found if (edge.source, edge.target) not in linked]
    edges, dropped = break_circles([*catalogue.edges, *fresh])
    return catalogue.with_edges(edges), dropped


def _selection(  # noqa: PLR0917
    catalogue: Catalogue, vectors: NDArray[np.float32], lists: list[list[int]], found: Sequence[Chosen | None], name: str, asked: int
) -> Selection:
    names = [concept.concept for concept in catalogue.concepts]
    edges: list[Edge] = []
    unread = [names[at] for at, chosen in enumerate(found) if chosen is None and lists[at]]
    near = [edge for edge in nearest_relations(catalogue, vectors) if edge.target in set(unread)] if unread else []
    for target, chosen in enumerate(found):
        for relation, some in (("prerequisite", chosen.before), ("related", chosen.related)) if chosen else ():
            for place in some:
                odds = chosen.odds.get(place) if chosen else None
                why = f"{name}: {place + 1} of {len(lists[target])}" if odds is None else f"{name}: log-odds {odds:.2f}"
                weight = 1.0 if odds is None else _sigmoid(odds)
                edges.append(Edge(names[lists[target][place]], names[target], relation, weight, "llm", why))
    kept, dropped = break_circles(_both_ways(edges) + near)
    return Selection(kept, dropped, unread, asked)


def _both_ways(edges: Sequence[Edge]) -> list[Edge]:
    """Two concepts that are each said to come first, and equally so, are related and no more."""
    first = {edge[:2]: edge.weight for edge in edges if edge.relation == "prerequisite"}
    return [
        edge._replace(relation="related", evidence=f"{edge.evidence}, both ways")
        if edge.relation == "prerequisite" and first.get((edge.target, edge.source)) == edge.weight
        else edge
        for edge in edges
    ]


def _ask_numbers(model: LanguageModel, pairs: Sequence[tuple[Concept, list[Concept]]], settings: RelationSettings) -> list[Chosen | None]:
    """Once, and once more where the reply cannot be used."""
    schema = settings.schema and "json_schema" in model.supports
    prompts = [
        Prompt((Message("system", SYSTEM), Message("user", _list(*pair))), json_schema=_schema(len(pair[1])) if schema else None)
        for pair in pairs
    ]
    sampling = Sampling(max_tokens=settings.max_tokens)
    replies = [answer.text for answer in model.generate(prompts, sampling)]
    found = [_selected(reply, len(some)) for reply, (_, some) in zip(replies, pairs, strict=True)]
    unread = [at for at, chosen in enumerate(found) if chosen is None]
    if unread:
        again = [
            Prompt((*prompts[at].messages, Message("assistant", replies[at]), Message("user", AGAIN)), json_schema=prompts[at].json_schema)
            for at in unread
        ]
        for at, answer in zip(unread, model.generate(again, sampling), strict=True):
            found[at] = _selected(answer.text, len(pairs[at][1]))
    return found


def _selected(reply: str, count: int) -> Chosen | None:
    """What a reply names, unless that is the whole of a long list, which selects nothing; small models do that."""
    chosen = read_numbers(reply, count)
    whole = chosen is not None and len(chosen.before) + len(chosen.related) == count > NEIGHBOURS
    return None if whole else chosen


def _ask_pairs(model: LanguageModel, pairs: Sequence[tuple[Concept, list[Concept]]], settings: RelationSettings) -> list[Chosen | None]:
    """By log-odds of Yes against No, less those of the same question about nameless skills: small models lean to one of the two answers
    whatever is asked (contextual calibration, arXiv 2102.09690)."""
    asked = [NAMELESS, *((source.text or source.concept, target.text or target.concept) for target, some in pairs for source in some)]
    odds: dict[str, list[float]] = {}
    for relation, question in QUESTIONS.items():
        prompts = [Prompt((Message("user", question.format(source=a, target=b)),)) for a, b in asked]
        scores = model.score([each for each in prompts for _ in range(2)], ["Yes", "No"] * len(prompts))
        raw = [yes.total - no.total for yes, no in zip(scores[::2], scores[1::2], strict=True)]
        odds[relation] = [each - raw[0] for each in raw[1:]]
    found: list[Chosen | None] = []
    first = 0
    for _, some in pairs:
        before, related = (odds[relation][first : first + len(some)] for relation in QUESTIONS)
        first += len(some)
        best = {at: max(a, b) for at, (a, b) in enumerate(zip(before, related, strict=True)) if max(a, b) > 0}
        chosen = sorted(best, key=lambda at: -best[at])[: settings.most]
        first_ones = tuple(at for at in chosen if before[at] >= related[at])
        found.append(Chosen(first_ones, tuple(at for at in chosen if at not in first_ones), {at: best[at] for at in chosen}))
    return found


def _list(target: Concept, some: Sequence[Concept]) -> str:
    lines = "\n".join(f"{number}. {_shown(concept)}" for number, concept in enumerate(some, 1))
    return f"Target skill: {_shown(target)}\n\nOther skills:\n{lines}"


def _shown(concept: Concept) -> str:
    """A name and, where it says more, the text, on one line."""
    name, text = (" ".join(part.split()) for part in concept)
    return name if not text or text == name else f"{name}: {text[:200]}"


def _schema(count: int) -> JSON:
    numbers = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": count}, "maxItems": count}
    return {
        "type": "object",
        "properties": {"before": numbers, "related": numbers},
        "required": ["before", "related"],
        "additionalProperties": False,
    }


def _key(name: str, settings: RelationSettings, target: Concept, some: Sequence[Concept]) -> str:
    parts = [name, VERSION, settings.ask, settings.most if settings.ask == "yes_no" else settings.schema, target, list(some)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _row(key: str, target: str, chosen: Chosen | None) -> JSON:
    row: JSON = {"key": key, "target": target}
    if chosen is None:
        return row | {"unread": True}
    return row | {"before": chosen.before, "related": chosen.related, "odds": {str(at): each for at, each in chosen.odds.items()}}


def _kept(journal: Journal) -> dict[str, Chosen | None]:
    found: dict[str, Chosen | None] = {}
    for number, row in enumerate(journal, 1):
        try:
            found[row["key"]] = (
                None
                if row.get("unread")
                else Chosen(tuple(row["before"]), tuple(row["related"]), {int(at): float(each) for at, each in row["odds"].items()})
            )
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise BadRowError(f"not a row of relations ({type(problem).__name__}: {problem})", journal.path, number) from None
    return found


def _leads(after: dict[str, set[str]], start: str, goal: str) -> bool:
    """Whether a path of edges goes from one concept to another."""
    seen, open_ = {start}, [start]
    while open_:
        if (here := open_.pop()) == goal:
            return True
        fresh = after.get(here, set()) - seen
        seen |= fresh
        open_ += fresh
    return False


def _sigmoid(value: float) -> float:
    from math import exp

    return 1 / (1 + exp(-value))
