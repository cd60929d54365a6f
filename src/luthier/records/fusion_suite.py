"""A fusion suite on disk, read and proved: hashes of its files, labels recomputed from fact ids, contexts that neither leak nor lack a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.packages import file_sha256
from luthier.records.conversations import JSON
from luthier.records.files import read_rows
from luthier.records.fusion import Fact, FusionItem, Needed, Scenario, read_items, scenario_of
from luthier.records.lines import parse_row
from luthier.texts.values import states

FACTS, ITEMS, RETENTION = "facts.jsonl", "items.jsonl", "retention.jsonl"
STATEMENTS, CONVERSATIONS, MANIFEST = "continued.jsonl", "supervised.jsonl", "manifest.json"
Stage = Literal["continued", "supervised"]
STAGES: tuple[Stage, ...] = ("continued", "supervised")  # of infusion, in their order


@dataclass(frozen=True)
class Suite:
    """facts: by id; memory: ids of those that are infused; retention: their closed-book questions."""

    folder: Path
    facts: dict[str, Fact]
    memory: frozenset[str]
    items: tuple[FusionItem, ...]
    retention: tuple[FusionItem, ...]
    manifest: JSON


def read_suite(folder: str | Path) -> Suite:
    """The suite that `luthier synthesize fusion` wrote. Raises MissingFileError, BadRowError, and SettingsError where a file is not as it was
    written or a label is not the computed one."""
    place = Path(folder)
    if not (place / MANIFEST).is_file():
        raise MissingFileError(
            f"{folder}: no fusion suite here ({MANIFEST} is missing); make one with: luthier synthesize fusion DOCS --out {folder}"
        )
    manifest, files = _manifest(place / MANIFEST)
    for name, told in files.items():
        if not (place / name).is_file():
            raise MissingFileError(f"{place / name} does not exist; build the suite again")
        if file_sha256(place / name) != told:
            raise SettingsError(f"{place / name} is not as it was written (its hash differs from {MANIFEST}); build the suite again")
    facts, memory = dict[str, Fact](), set[str]()
    for line, row in read_rows(place / FACTS):
        try:
            facts[str(row["id"])] = Fact.from_row({name: value for name, value in row.items() if name != "memory"})
            memory |= {row["id"]} if row["memory"] else set()
        except (KeyError, TypeError) as damage:
            raise BadRowError(f"not a fact of a suite ({type(damage).__name__}: {damage})", place / FACTS, line) from None
    items, retention = tuple(read_items(place / ITEMS)), tuple(read_items(place / RETENTION))
    problem = next(problems(items, memory), None)
    if problem is not None:
        raise SettingsError(f"{place / ITEMS}: {problem}; build the suite again")
    return Suite(place, facts, frozenset(memory), items, retention, manifest)


def _manifest(path: Path) -> tuple[JSON, dict[str, str]]:
    """The manifest, and the hashes of the files by name."""
    try:
        manifest = parse_row(path.read_bytes())
        return manifest, {name: told["sha256"] for name, told in manifest["files"].items()}
    except BadRowError as problem:
        raise BadRowError(problem.problem, path) from None
    except (KeyError, TypeError, AttributeError) as problem:
        raise BadRowError(f"not the manifest of a suite ({type(problem).__name__}: {problem}); build the suite again", path) from None


def problems(items: Sequence[FusionItem], memory: AbstractSet[str]) -> Iterator[str]:
    """What is wrong with the items: a label other than the computed one, a context that lacks a value it should hold or gives one away."""
    for item in items:
        label = computed_label(item, memory)
        if label != item.scenario:
            yield f"{item.id} is labelled {item.scenario}, but its fact ids make it {label}"
        yield from (f"{item.id}: {told}" for told in _context_problems(item))


def computed_label(item: FusionItem, memory: AbstractSet[str]) -> Scenario | None:
    """The scenario by set computation over the ids of the item's facts; a conflict's fact is in the context and in memory."""
    shown = frozenset(fact for snippet in item.context for fact in snippet.facts)
    if item.stale:
        return "C" if item.needed_ids <= shown and item.needed_ids <= memory else None
    return scenario_of(item.needed_ids, shown, memory)


def _context_problems(item: FusionItem) -> Iterator[str]:
    for one in item.needed:
        if item.scenario != "C":
            shown = [snippet for snippet in item.context if _tells(snippet.text, one)]
            if one.part == "external" and not shown:
                yield f"the context lacks {one.values[0]!r}"
            if one.part != "external" and shown:
                yield f"the context gives {one.values[0]!r} away"
        if any(snippet.role == "distractor" and _tells(snippet.text, one) for snippet in item.context):
            yield f"a distractor states {one.values[0]!r}"


def _tells(text: str, one: Needed) -> bool:
    return any(states(text, value, one.kind) is not None for value in one.values)
