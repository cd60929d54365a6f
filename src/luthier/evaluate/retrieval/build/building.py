"""Makes a retrieval task out of code that lies at hand, in a run folder that is the task's; every drop is counted, and every document says
where it is from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from random import Random

from luthier.errors import MissingFileError, SettingsError
from luthier.evaluate.retrieval.build import page
from luthier.evaluate.retrieval.build.assembly import assemble_pairs, near_twins
from luthier.evaluate.retrieval.build.commits import commit_pairs
from luthier.evaluate.retrieval.build.pairs import CODE_RECIPES, Drops, Pair
from luthier.evaluate.retrieval.build.sources import read_functions
from luthier.evaluate.retrieval.build.tables import column_pairs, sql_pairs, tool_pairs
from luthier.evaluate.retrieval.formats import write_meta, write_tables
from luthier.evaluate.retrieval.layout import META, NAMED, PROVENANCE, Tables, find_tables, find_task
from luthier.evaluate.retrieval.settings import BuildSettings
from luthier.evaluate.retrieval.tables import read_texts
from luthier.progress import Progress, quiet
from luthier.records import JSON, write_jsonl
from luthier.run import Run

TABLES = ("corpus.jsonl", "queries.jsonl", "qrels", PROVENANCE, META)
SHOWN = 10


@dataclass(frozen=True)
class Source:
    """What the sources give: pairs, documents nobody asks for, a time for each pair where there is one, and what was left out."""

    pairs: list[Pair]
    others: list[Pair]
    times: list[float] | None
    drops: Drops

    def digest(self) -> str:
        """Hash of all that a task is made of."""
        told = json.dumps([[astuple(pair) for pair in (*self.pairs, *self.others)], self.times], sort_keys=True)
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def run(settings: BuildSettings, out: Path, progress: Progress = quiet) -> Run:
    """Write a BEIR folder with `provenance.jsonl` (file, line, commit of each document); the step `task` holds the counts.

    The same sources and settings give the same bytes. Raises SettingsError, MissingFileError, BadRowError.
    """
    progress.step("Reading the sources")
    source = read_sources(settings)
    excluded = [(name, _tables(name)) for name in settings.exclude]
    files = [(f"{name}/{file.parent.name}/{file.name}", file) for name, found in excluded for file in (*found.corpus, *found.queries)]
    hashes = {", ".join(settings.sources): source.digest()}
    with Run(out, "evaluate retrieval build", settings, reads=files, hashes=hashes, progress=progress, draw=page.draw) as made:
        made.step("task", partial(_make, source, settings, out, progress), files=TABLES)
    return made


def read_sources(settings: BuildSettings) -> Source:
    """The pairs of the sources, less what repeats an excluded task."""
    drops = Drops()
    pairs, others, times = _pairs(settings, drops)
    if settings.exclude:
        pairs, times = _without(pairs, times, settings.exclude, drops)
    if not pairs:
        dropped = ", ".join(f"{count} for: {reason}" for reason, count in drops.reasons.most_common(3))
        told = f"left out were {dropped}" if dropped else "nothing of its kind is there"
        raise SettingsError(f"{', '.join(settings.sources)}: no pair is left to make a task of ({told}); take another source")
    return Source(pairs, others, times, drops)


def contaminated(texts: Sequence[str], known: Sequence[str]) -> set[int]:
    """The texts that repeat, or nearly repeat (Jaccard of five-token runs 0.8), one of the known ones."""
    distinct = list(dict.fromkeys(known))
    twins = near_twins([*distinct, *texts])
    return {later - len(distinct) for later, earlier in twins.items() if later >= len(distinct) and earlier < len(distinct)}


def _make(source: Source, settings: BuildSettings, folder: Path, progress: Progress) -> JSON:
    progress.step("Making the task")
    built = assemble_pairs(
        source.pairs,
        near=settings.near,
        train=settings.train,
        dev=settings.dev,
        seed=settings.seed,
        times=source.times,
        distractors=source.others,
    )
    write_tables(folder, built.documents, built.queries, built.splits)
    write_jsonl(folder / PROVENANCE, built.provenance)
    name = settings.name or f"{settings.recipe}-{'-'.join(Path(source).name for source in settings.sources)}"
    write_meta(folder, name, {"recipe": settings.recipe, "seed": settings.seed, "counts": built.counts})
    shown = Random(settings.seed).sample(source.pairs, min(SHOWN, len(source.pairs)))
    return {
        "name": name,
        "counts": built.counts,
        "dropped": dict(sorted(source.drops.reasons.items())),
        "shown": [{"query": pair.query, "document": pair.document, "source": pair.source} for pair in shown],
    }


def _pairs(settings: BuildSettings, drops: Drops) -> tuple[list[Pair], list[Pair], list[float] | None]:
    """(pairs, documents nobody asks for, a time for each pair or None)."""
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
        return [pair for path in paths for pair in column_pairs(path, *settings.named_columns, drops)], [], None
    pairs, others = tool_pairs(paths, drops)
    return pairs, others, None


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


def _all_texts(path: str) -> list[str]:
    """Every text of a task, of all splits of a folder."""
    tables = _tables(path)
    return [text for kind in ("corpus", "queries") if tables.of(kind) for text in read_texts(tables.of(kind), kind).texts]


def _tables(path: str) -> Tables:
    """The tables of a task folder, or of `coir:NAME`. Raises MissingFileError."""
    found = find_task(path).tables if path.startswith(NAMED) else find_tables(Path(path))
    if not found.corpus:
        raise MissingFileError(f"{path}: no task there to exclude (expected corpus.jsonl or a table in corpus/)")
    return found
