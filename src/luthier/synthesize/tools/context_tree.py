"""Speciation and adaptation (ToolACE, arXiv 2409.00920, sec. 2.1): what APIs can do, as a tree, and a set of its nodes for each API to be made.

The tree grows from documents: imported definitions name their service (the domain), what they act on, and what they do with it. No two APIs get
the same set of nodes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from luthier.records import Tool
from luthier.synthesize.tools.meanings import words_of
from luthier.synthesize.tools.operations import is_verb

LEVELS = ((0.4, 1, 1), (0.4, 2, 3), (0.2, 4, 6))  # share of the APIs, and how many nodes at least and at most: how rich an API is
_TRIES = 24
_LONGEST = 140  # letters of a gloss


@dataclass(frozen=True)
class Functionality:
    """A leaf of the tree: what is done, to what, in which domain, and the definition that said so."""

    domain: str
    subject: str
    name: str
    gloss: str
    tool: Tool = field(compare=False, hash=False)

    @property
    def path(self) -> str:
        return f"{self.domain} / {self.subject} / {self.name}"


class ContextTree:
    """Domain, subject, functionality; in the order in which the definitions came."""

    def __init__(self, leaves: Iterable[Functionality]) -> None:
        self.domains: dict[str, dict[str, list[Functionality]]] = {}
        for leaf in dict.fromkeys(leaves):
            self.domains.setdefault(leaf.domain, {}).setdefault(leaf.subject, []).append(leaf)

    def __len__(self) -> int:
        return sum(len(leaves) for subjects in self.domains.values() for leaves in subjects.values())

    def leaves(self, domain: str) -> list[Functionality]:
        """All of a domain, subject by subject."""
        return [leaf for leaves in self.domains[domain].values() for leaf in leaves]

    def subtree(self, size: int, random: Random) -> tuple[Functionality, ...]:
        """So many leaves of one domain that lie close: of one subject, then of its neighbours. Fewer where the domain has fewer."""
        subjects = self.domains[random.choice(list(self.domains))]
        names = list(subjects)
        first = random.randrange(len(names))
        found: list[Functionality] = []
        for name in names[first:] + names[:first]:
            found += random.sample(subjects[name], min(size - len(found), len(subjects[name])))
            if len(found) == size:
                break
        return tuple(found)


def speciate(tools: Iterable[Tool]) -> ContextTree:
    """The tree of what some definitions can do."""
    return ContextTree(_functionality(tool) for tool in tools)


def node_sets(tree: ContextTree, random: Random, used: set[frozenset[str]]) -> tuple[Functionality, ...] | None:
    """Nodes for one API, a set that no other has; None where none is found in some tries. used: the sets so far, which this one joins."""
    for _ in range(_TRIES):
        least, most = random.choices([(low, high) for _, low, high in LEVELS], [share for share, _, _ in LEVELS])[0]
        nodes = tree.subtree(random.randint(least, most), random)
        key = frozenset(node.path for node in nodes)
        if len(nodes) >= least and key not in used:
            used.add(key)
            return nodes
    return None


def domain_of(tool: Tool) -> str:
    """The service that a tool is of: what its source names, else what stands before the first point of its name."""
    service = tool.source.rpartition(": ")[2] if ": " in tool.source else ""
    return service or (tool.name.split(".")[0] if "." in tool.name else tool.source or "tools")


def mined(tools: Sequence[Tool]) -> dict[str, list[tuple[str, dict[str, object]]]]:
    """Described parameters of simple types, by domain: name and schema. What the operators take new parameters from."""
    bank: dict[str, dict[str, dict[str, object]]] = defaultdict(dict)
    for tool in tools:
        for name, schema in (tool.parameters.get("properties") or {}).items():
            if isinstance(schema, dict) and _is_simple(schema):
                bank[domain_of(tool)].setdefault(name, schema)
    return {domain: list(found.items()) for domain, found in bank.items()}


def _is_simple(schema: dict[str, object]) -> bool:
    kind, told = schema.get("type"), schema.get("description")
    return kind in ("string", "integer", "number", "boolean") and isinstance(told, str) and len(told) >= 10 and set(schema) <= _PLAIN


_PLAIN = {"type", "description", "enum", "minimum", "maximum", "format", "default"}


def _functionality(tool: Tool) -> Functionality:
    *places, last = tool.name.split(".")
    words = words_of(last).split()
    around = [words_of(place) for place in places[1:]]  # `vault.matters.close` is about matters
    rest = [*around, *(word for word in words if not is_verb(word))] or words
    gloss = tool.description.strip().partition(". ")[0].rstrip(".")
    short = gloss if len(gloss) <= _LONGEST else gloss[:_LONGEST].rsplit(" ", 1)[0]
    return Functionality(domain_of(tool), " ".join(rest), " ".join(words), short, tool)
