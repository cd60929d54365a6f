"""`build`: a retrieval task out of code that lies at hand, in one call; every drop is counted, and every document says where it is from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from luthier.errors import SettingsError
from luthier.evaluate.retrieval.build.assembly import Built, Near, assemble_pairs, near_twins
from luthier.evaluate.retrieval.build.commits import commit_pairs
from luthier.evaluate.retrieval.build.pairs import CODE_RECIPES, Drops, Pair
from luthier.evaluate.retrieval.build.sources import read_functions
from luthier.evaluate.retrieval.build.tables import column_pairs, sql_pairs, tool_pairs
from luthier.evaluate.retrieval.formats import write_meta, write_tables
from luthier.evaluate.retrieval.task import Task
from luthier.records import JSON, atomic_write, write_jsonl
from luthier.records.lines import to_text

TABLE_RECIPES = ("commit2diff", "sql", "pairs", "tools")
RECIPES = (*CODE_RECIPES, *TABLE_RECIPES)


@dataclass(frozen=True)
class BuildSettings:
    """recipe: one of RECIPES. sources: folders, installed packages or `stdlib`; a git repository; .sql files; tables; dialogues.

    train, dev: shares of the queries; the rest is test. near: what becomes of near-copies of answers in the corpus. exclude: tasks whose queries
    and documents, or what nearly repeats them, must not come in. columns: query and document of the recipe `pairs`.
    """

    recipe: str
    sources: tuple[str, ...]
    train: float = 0.0
    dev: float = 0.0
    near: Near = "mark"
    exclude: tuple[str, ...] = ()
    columns: tuple[str, str] = ("query", "document")
    name: str | None = None
    seed: int = 0


def build(settings: BuildSettings, folder: Path | str) -> JSON:
    """Write a BEIR folder with `provenance.jsonl` (file, line, commit of each document) and `build.json` (counts), and return the counts.

    The same sources and settings give the same bytes. Raises SettingsError, MissingFileError, BadRowError.
    """
    drops = Drops()
    pairs, others, times = _pairs(settings, drops)
    if settings.exclude:
        pairs, times = _without(pairs, times, settings.exclude, drops)
    built = assemble_pairs(
        pairs, near=settings.near, train=settings.train, dev=settings.dev, seed=settings.seed, times=times, distractors=others
    )
    report: JSON = {"settings": asdict(settings), "counts": built.counts, "dropped": dict(sorted(drops.reasons.items()))}
    _write(built, settings, report, Path(folder))
    return report


def _pairs(settings: BuildSettings, drops: Drops) -> tuple[list[Pair], list[Pair], list[float] | None]:
    """(pairs, documents nobody asks for, a time for each pair or None)."""
    if not settings.sources:
        raise SettingsError("no source: name a folder, an installed package, or stdlib")
    paths = [Path(source) for source in settings.sources]
    if settings.recipe in CODE_RECIPES:
        tests = settings.recipe == "test2code"
        functions = list(chain.from_iterable(read_functions(source, tests=tests) for source in settings.sources))
        return list(CODE_RECIPES[settings.recipe](functions, drops, settings.seed)), [], None
    if settings.recipe == "commit2diff":
        dated = [each for path in paths for each in commit_pairs(path, drops)]
        return [pair for pair, _ in dated], [], [when for _, when in dated]
    if settings.recipe == "sql":
        return [pair for path in paths for pair in sql_pairs(path, drops)], [], None
    if settings.recipe == "pairs":
        return [pair for path in paths for pair in column_pairs(path, *settings.columns, drops)], [], None
    if settings.recipe == "tools":
        pairs, others = tool_pairs(paths, drops)
        return pairs, others, None
    raise SettingsError(f"unknown recipe {settings.recipe!r}; choose one of {', '.join(RECIPES)}")


def _without(pairs: list[Pair], times: list[float] | None, tasks: Sequence[str], drops: Drops) -> tuple[list[Pair], list[float] | None]:
    """The pairs of which neither side repeats, or nearly repeats, a text of these tasks."""
    known = list(dict.fromkeys(text for path in tasks for text in _all_texts(path)))
    asked = {" ".join(text.split()).lower() for text in known}
    bad = contaminated([pair.document for pair in pairs], known)
    kept = []
    for at, pair in enumerate(pairs):
        if " ".join(pair.query.split()).lower() in asked:
            drops.add("query stands in an excluded task")
        elif at in bad:
            drops.add("document nearly repeats an excluded task")
        else:
            kept.append(at)
    return [pairs[at] for at in kept], None if times is None else [times[at] for at in kept]


def contaminated(texts: Sequence[str], known: Sequence[str]) -> set[int]:
    """The texts that repeat, or nearly repeat (Jaccard of five-token runs 0.8), one of the known ones."""
    distinct = list(dict.fromkeys(known))
    twins = near_twins([*distinct, *texts])
    first = {}
    for later, earlier in twins.items():
        first[later] = earlier
    return {later - len(distinct) for later, earlier in first.items() if later >= len(distinct) and earlier < len(distinct)}


def _all_texts(path: str) -> list[str]:
    """Every text of a task folder, of all splits."""
    from luthier.evaluate.retrieval.formats import find_tables, read_texts

    tables = find_tables(Path(path))
    if not tables["corpus"]:
        return list(Task.load(path).document_texts)  # raises with the right words
    return [text for kind in ("corpus", "queries") for text in read_texts(tables[kind], kind).texts]


def _write(built: Built, settings: BuildSettings, report: JSON, folder: Path) -> None:
    write_tables(folder, built.documents, built.queries, built.splits)
    write_jsonl(folder / "provenance.jsonl", built.provenance)
    name = settings.name or f"{settings.recipe}-{'-'.join(Path(source).name for source in settings.sources)}"
    write_meta(folder, name, {"recipe": settings.recipe, "seed": settings.seed, "counts": built.counts})
    with atomic_write(folder / "build.json") as stream:
        stream.write(to_text(report) + "\n")
