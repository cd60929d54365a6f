"""Relations that a language model chooses, against prerequisites of school arithmetic written down by hand: precision and recall of what it
says comes first, and of its edges of any kind, beside the two nearest texts; chance is the share of all ordered pairs that the hand wrote.

`--server` with `--model` asks a server that speaks OpenAI's protocol; without it the bundled model answers, in both ways of asking.
"""

from __future__ import annotations

from typing import Any

from harness import benchmark

# skill: those it needs directly
SKILLS: dict[str, tuple[str, ...]] = {
    "counting to 20": (),
    "reading and writing numbers": ("counting to 20",),
    "adding whole numbers": ("reading and writing numbers",),
    "subtracting whole numbers": ("adding whole numbers",),
    "times tables": ("adding whole numbers",),
    "multiplying whole numbers": ("times tables",),
    "dividing whole numbers": ("multiplying whole numbers", "subtracting whole numbers"),
    "the idea of a fraction": ("dividing whole numbers",),
    "equivalent fractions": ("the idea of a fraction", "multiplying whole numbers"),
    "adding fractions": ("equivalent fractions",),
    "multiplying fractions": ("the idea of a fraction", "multiplying whole numbers"),
    "decimal numbers": ("the idea of a fraction", "reading and writing numbers"),
    "percentages": ("decimal numbers", "multiplying fractions"),
    "ratios": ("equivalent fractions",),
    "negative numbers": ("subtracting whole numbers",),
    "solving linear equations": ("negative numbers", "dividing whole numbers"),
    "perimeter of a rectangle": ("adding whole numbers",),
    "area of a rectangle": ("multiplying whole numbers",),
    "area of a triangle": ("area of a rectangle", "dividing whole numbers"),
    "mean of a list of numbers": ("adding whole numbers", "dividing whole numbers"),
}
QUICK = 8


def measure(quick: bool, server: str, model: str) -> dict[str, Any]:
    from luthier.models.endpoint import EndpointModel
    from luthier.models.minilm import bundled_embedder
    from luthier.trace.answers import Catalogue, Concept, Edge
    from luthier.trace.graph import nearest_relations, score_relations
    from luthier.trace.relations import RelationSettings, select_relations

    names = list(SKILLS)[: QUICK if quick else None]
    catalogue = Catalogue(concepts=tuple(Concept(name, name) for name in names))
    expert = [Edge(before, name) for name in names for before in SKILLS[name] if before in names]
    vectors = bundled_embedder().encode(names)
    answering: Any = EndpointModel(server, model) if server else _bundled()
    found = {"nearest": nearest_relations(catalogue, vectors, 2)}
    figures: dict[str, Any] = {"model": answering.name, "skills": len(names), "chance": len(expert) / (len(names) * (len(names) - 1))}
    for ask in ("numbers",) if server else ("numbers", "yes_no"):
        chosen = select_relations(catalogue, vectors, answering, settings=RelationSettings(ask=ask, most=2))
        ours = [edge for edge in chosen.edges if edge.provenance == "llm"]
        found[f"{ask}, first"] = [edge for edge in ours if edge.relation == "prerequisite"]
        found[f"{ask}, any"] = ours
        figures[f"{ask}_unread"], figures[f"{ask}_dropped"] = len(chosen.unread), len(chosen.dropped)
    return figures | {"scores": {name: score_relations(edges, expert)._asdict() for name, edges in found.items()}}


def _bundled() -> Any:
    from luthier.models import known
    from luthier.models.local import LocalModel

    return LocalModel(known.pull(), name=known.DEFAULT)


def line(figures: dict[str, Any]) -> str:
    parts = [
        f"{name} {each['found']} edges, precision {each['precision']:.2f}, recall {each['recall']:.2f}"
        for name, each in figures["scores"].items()
    ]
    unread = figures["numbers_unread"]
    return f"{figures['model']} on {figures['skills']} skills: {'; '.join(parts)}; chance {figures['chance']:.2f}; {unread} replies unread"


if __name__ == "__main__":
    benchmark("trace_relations", measure, line, __doc__, server="", model="")
