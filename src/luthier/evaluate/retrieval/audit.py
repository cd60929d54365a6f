"""What to know of a task before trusting a score on it: sizes, copies, ceilings, twins among queries, leaks, lengths, baselines.

A finding is a plain sentence with its number; `findings` lists those that change what a score means.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from luthier.evaluate.retrieval.bm25 import BM25
from luthier.evaluate.retrieval.build.building import contaminated
from luthier.evaluate.retrieval.build.pairs import leaks
from luthier.evaluate.retrieval.formats import open_task
from luthier.evaluate.retrieval.layout import find_tables
from luthier.evaluate.retrieval.metrics import Ideal, discounts
from luthier.evaluate.retrieval.page import score_words
from luthier.evaluate.retrieval.retrieve import Truncation, retrieve, truncation
from luthier.evaluate.retrieval.scoring import ceiling, score
from luthier.evaluate.retrieval.settings import AuditSettings
from luthier.evaluate.retrieval.task import Task, own_documents
from luthier.progress import Progress, quiet
from luthier.records import JSON, read_rows
from luthier.report.wording import Told
from luthier.statistics.resampling import Interval, bootstrap

SATURATED, HOPELESS = 0.90, 0.02  # NDCG@10 of BM25 beyond which a task tells models apart badly
SAMPLE = 2000  # queries looked through for leaks, evenly spaced


@dataclass(frozen=True)
class Lengths:
    """Of texts, in characters."""

    mean: float
    median: float
    most: int


@dataclass(frozen=True)
class Sizes:
    """How much there is of what."""

    queries: int
    documents: int
    judgements: int
    answers_per_query: float
    queries_without_answer: int
    query_characters: Lengths
    document_characters: Lengths
    empty_queries: int
    empty_documents: int


@dataclass(frozen=True)
class Copies:
    """Documents that are byte-identical as the task reads them, and queries whose answer has a copy that is not judged one."""

    distinct_documents: int
    share_distinct: float
    largest_group: int
    queries_with_unjudged_copies: int


@dataclass(frozen=True)
class Twins:
    """Queries of identical text, and those among them whose answers differ: no retriever can serve both."""

    distinct: int
    in_twins: int
    twins_with_different_answers: int


@dataclass(frozen=True)
class Leaks:
    """Queries of which 60 % stand, in one piece, in an answer."""

    looked_at: int
    found: int

    @property
    def share(self) -> float:
        return self.found / self.looked_at


@dataclass(frozen=True)
class Baseline:
    """NDCG@10 of BM25 with its 95 % interval, the share of its first ten that is judged; random: NDCG@10 of any order, in expectation."""

    tokenizer: str
    ndcg: Interval
    recall: float
    judged: float
    random: float

    @property
    def half_width(self) -> float:
        return (self.ndcg.high - self.ndcg.low) / 2

    def to_row(self) -> JSON:
        told = {"tokenizer": self.tokenizer, "ndcg@10": self.ndcg.to_row(), "recall@100": self.recall, "judged@10": self.judged}
        return {"bm25": told | {"half_width": self.half_width}, "random": self.random}


@dataclass(frozen=True)
class Contamination:
    """Shares of the task's queries and of its answers that repeat, or nearly repeat, a training text."""

    training_texts: int
    queries: float
    answers: float


@dataclass(frozen=True)
class Audit:
    """All of it. ceiling: reading of ties -> metric; truncation: of queries and documents, by `model`; account: what was left
    out when it was read; own: queries that are documents and find themselves; findings: what changes a score's meaning."""

    task: JSON
    sizes: Sizes
    copies: Copies
    queries: Twins
    leaks: Leaks
    ceiling: dict[str, dict[str, float]]
    baselines: Baseline
    model: str = ""
    truncation: dict[str, Truncation | None] = field(default_factory=dict)
    contamination: Contamination | None = None
    account: dict[str, int] = field(default_factory=dict)
    own: int = 0
    findings: tuple[str, ...] = ()

    def to_row(self) -> JSON:
        row = asdict(self)
        row |= {"leaks": asdict(self.leaks) | {"share": self.leaks.share}, "baselines": self.baselines.to_row()}
        model = row.pop("model")
        if model:
            row["truncation"] = {"model": model, **row["truncation"]}
        return {name: value for name, value in row.items() if value not in ({}, None)}


def answer(settings: AuditSettings, progress: Progress = quiet) -> Told:
    """The audit of a task by its path or name. Raises as `load_task` does."""
    from luthier.models.opening import open_embedder

    training = [text for path in settings.against for text in _training_texts(path)]
    model = None if settings.model is None else open_embedder(settings.model)
    task = open_task(settings.task, settings)
    progress.step(f"Auditing {task.name}")
    found = audit(task, model=model, training=training, tokenizer=settings.tokenizer)
    return Told(list(_lines(found)), found.to_row())


def audit(task: Task, *, model: Any = None, training: Sequence[str] = (), tokenizer: str = "code", seed: int = 0) -> Audit:
    """Everything above. model: an embedder, for the share of texts it does not read to the end; training: texts it was trained on."""
    sides = (("queries", task.query_texts, "query"), ("documents", task.document_texts, "document"))
    found = Audit(
        {"name": task.name, "split": task.split, "reading": task.reading, "fingerprint": task.fingerprint},
        _sizes(task),
        copies(task),
        query_twins(task),
        _leaks(task),
        ceiling(task, ("ndcg@10", "recall@10")),
        baselines(task, tokenizer, seed),
        "" if model is None else model.name,
        {} if model is None else {side: truncation(model, texts, kind) for side, texts, kind in sides},
        contamination(task, training) if training else None,
        dict(task.account),
        0 if task.without_own else own_documents(task),
    )
    return replace(found, findings=tuple(findings(found)))


def _sizes(task: Task) -> Sizes:
    per_query = [int((task.qrels.gains[task.qrels.offsets[q] : task.qrels.offsets[q + 1]] > 0).sum()) for q in range(len(task.queries))]
    return Sizes(
        len(task.queries),
        len(task.documents),
        len(task.qrels.documents),
        statistics.mean(per_query),
        sum(1 for count in per_query if not count),
        _lengths(task.query_texts),
        _lengths(task.document_texts),
        sum(1 for text in task.query_texts if not text.strip()),
        sum(1 for text in task.document_texts if not text.strip()),
    )


def _lengths(texts: Sequence[str]) -> Lengths:
    sizes = [len(text) for text in texts]
    return Lengths(round(statistics.mean(sizes), 2), statistics.median(sizes), max(sizes))


def copies(task: Task) -> Copies:
    """How much of the corpus repeats itself."""
    import numpy as np

    counts = np.bincount(task.copies)
    good = task.qrels.gains > 0
    answers: dict[int, set[int]] = defaultdict(set)
    for query, document in zip(task.qrels.rows[good].tolist(), task.qrels.documents[good].tolist(), strict=True):
        answers[query].add(document)
    judged = {query: defaultdict(int) for query in answers}  # type: ignore[var-annotated]
    for query, documents in answers.items():
        for document in documents:
            judged[query][int(task.copies[document])] += 1
    hit = sum(1 for numbers in judged.values() if any(counts[number] > there for number, there in numbers.items()))
    return Copies(len(counts), len(counts) / len(task.documents), int(counts.max()), hit)


def query_twins(task: Task) -> Twins:
    """How many queries share their text."""
    groups: dict[int, list[frozenset[int]]] = defaultdict(list)
    for query, cluster in enumerate(task.query_clusters.tolist()):
        answers = frozenset(int(task.copies[document]) for document, gain in task.qrels.of(query).items() if gain > 0)
        groups[cluster].append(answers)
    twins = [answers for answers in groups.values() if len(answers) > 1]
    different = sum(len(answers) for answers in twins if len(set(answers)) > 1)
    return Twins(len(groups), sum(len(answers) for answers in twins), different)


def _leaks(task: Task) -> Leaks:
    step = max(1, len(task.queries) // SAMPLE)
    looked = range(0, len(task.queries), step)
    found = 0
    for query in looked:
        answers = [document for document, gain in task.qrels.of(query).items() if gain > 0]
        found += any(leaks(task.query_texts[query], task.document_texts[document]) for document in answers)
    return Leaks(len(looked), found)


def baselines(task: Task, tokenizer: str = "code", seed: int = 0) -> Baseline:
    """What words alone reach, and what chance does."""
    found = retrieve(task, BM25(tokenizer), 100)
    scored = score(task, found.run, ("ndcg@10", "recall@100", "judged@10"))
    values = scored.by_reading["expected"]
    interval = bootstrap(values.of("ndcg@10"), task.query_clusters, seed)
    return Baseline(tokenizer, interval, values.means["recall@100"], values.means["judged@10"], random_ndcg(task))


def random_ndcg(task: Task, depth: int = 10) -> float:
    """NDCG of documents in random order, in closed form: every place holds the mean gain of the corpus."""
    import numpy as np

    ideal = Ideal.of(task.qrels).gains
    total = ideal.sum(axis=1)
    best = ideal[:, :depth] @ discounts(min(depth, ideal.shape[1]))
    reached = total / len(task.documents) * discounts(min(depth, len(task.documents))).sum()
    return float(np.divide(reached, best, out=np.zeros(len(best)), where=best > 0).mean())


def contamination(task: Task, training: Sequence[str]) -> Contamination:
    """How much of the task a model that was trained on these texts has seen."""
    answers = sorted({int(document) for document in task.qrels.documents[task.qrels.gains > 0]})
    seen = contaminated([task.document_texts[document] for document in answers], training)
    queries = len(contaminated(task.query_texts, training)) / len(task.queries)
    return Contamination(len(training), queries, len(seen) / max(1, len(answers)))


def findings(found: Audit) -> list[str]:
    """What changes the meaning of a score, in sentences."""
    return [*_of_texts(found), *_of_scores(found), *_of_models(found)]


def _of_texts(found: Audit) -> Iterator[str]:
    sizes, doubled, asked = found.sizes, found.copies, found.queries
    if doubled.share_distinct < 1:
        yield (
            f"{sizes.documents - doubled.distinct_documents:,} of {sizes.documents:,} documents are copies of others; "
            f"{doubled.queries_with_unjudged_copies:,} queries have an answer with a copy that does not count"
        )
    expected, worst = (found.ceiling[ties]["ndcg@10"] for ties in ("expected", "worst"))
    if expected < 0.999:
        yield (
            f"a perfect retriever gets NDCG@10 {expected:.3f} in expectation and {worst:.3f} at worst; "
            "judge scores by that or by the merged reading"
        )
    if asked.twins_with_different_answers:
        yield (
            f"{asked.twins_with_different_answers:,} queries share their text with others that have other answers; "
            f"only {asked.distinct:,} are distinct"
        )
    if sizes.empty_documents or sizes.empty_queries:
        yield f"{sizes.empty_queries:,} queries and {sizes.empty_documents:,} documents are empty"
    if found.own:
        yield f"{found.own:,} queries are documents of the corpus and find themselves; --without-own leaves them out of what is found"
    if found.leaks.share > 0.01:
        yield f"{found.leaks.share:.1%} of the queries stand word for word in their answer"


def _of_scores(found: Audit) -> Iterator[str]:
    value = found.baselines.ndcg.mean
    if value > SATURATED:
        yield f"BM25 reaches {value:.3f}: the task is solved by matching words and tells models apart badly"
    if value < HOPELESS:
        yield f"BM25 reaches {value:.3f} only: words do not help; check that queries and answers belong together"
    if found.baselines.half_width > 0.04:
        yield f"{found.sizes.queries:,} queries leave an interval of ±{found.baselines.half_width:.3f}: smaller differences are noise"


def _of_models(found: Audit) -> Iterator[str]:
    for side, cut in found.truncation.items():
        if cut and cut.cut > 0.05:
            yield f"{cut.cut:.0%} of the {side} are longer than the {cut.max_length} tokens that {found.model} reads"
    if (seen := found.contamination) and (seen.queries or seen.answers):
        yield f"{seen.queries:.1%} of the queries and {seen.answers:.1%} of the answers repeat training texts"


def _lines(found: Audit) -> Iterator[str]:
    task, sizes, bm25 = found.task, found.sizes, found.baselines
    yield (
        f"{task['name']} ({task['split']}, {task['reading']}): {sizes.queries:,} queries of {found.queries.distinct:,} texts, "
        f"{sizes.documents:,} documents of {found.copies.distinct_documents:,} texts, {sizes.answers_per_query:.2f} answers a query"
    )
    yield f"characters: query {sizes.query_characters.mean:,}, document {sizes.document_characters.mean:,} on average"
    expected, worst = (100 * found.ceiling[ties]["ndcg@10"] for ties in ("expected", "worst"))
    yield f"NDCG@10 of a perfect retriever: {expected:.2f} in expectation, {worst:.2f} at worst"
    yield f"NDCG@10 of BM25 ({bm25.tokenizer}): {score_words(bm25.ndcg.to_row())}; of random order: {100 * bm25.random:.2f}"
    for reason, count in found.account.items():
        yield f"left out: {count:,}  {reason}"
    for finding in found.findings or ("nothing found that changes what a score means",):
        yield f"- {finding}"


def _training_texts(path: str) -> list[str]:
    """Every text of the rows of a file, or of the tables of a task folder."""
    tables = find_tables(Path(path)) if Path(path).is_dir() else None
    files = [*tables.corpus, *tables.queries] if tables is not None else []
    return [text for file in files or [Path(path)] for _, row in read_rows(file) for text in _strings(row)]


def _strings(value: object) -> list[str]:
    """The texts within a row of a sentence's length at least; keys and ids are none."""
    if isinstance(value, str):
        return [value] if len(value.split()) >= 3 else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in _strings(each)]
