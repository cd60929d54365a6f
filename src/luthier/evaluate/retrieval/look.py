"""Single looks at a retrieval task: search it, write it for other tools."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from luthier.evaluate.retrieval.export import export
from luthier.evaluate.retrieval.formats import open_task
from luthier.evaluate.retrieval.layout import PROVENANCE
from luthier.evaluate.retrieval.opening import open_retriever
from luthier.evaluate.retrieval.retrieve import first_rows, retrieve
from luthier.evaluate.retrieval.settings import ExportSettings, SearchSettings
from luthier.evaluate.retrieval.task import Qrels, Task, Texts
from luthier.progress import Progress, quiet
from luthier.records import read_rows
from luthier.records.files import refuse_taken
from luthier.report.wording import Told

LINES = 6  # of a document that are shown


@dataclass(frozen=True)
class Hit:
    """A document that was found; place: the file and line that it is from, where the task knows them."""

    id: str
    score: float
    place: str
    text: str


def search_task(settings: SearchSettings, progress: Progress = quiet) -> list[Hit]:
    """The first documents for one query."""
    from luthier.models.embedding_cache import EmbeddingCache

    loaded = open_task(settings.task, settings)
    one = Qrels.from_triples(1, [(0, 0, 0)])
    asked = Task(loaded.name, loaded.documents, Texts(["q"], [settings.query]), one, settings.split, settings.reading)
    retriever = open_retriever(settings.model, settings)
    progress.step("Searching")
    found = retrieve(asked, retriever, settings.top, cache=EmbeddingCache(settings.cache), progress=progress.advance).run
    firsts, places = first_rows(asked).tolist(), _places(Path(settings.task))
    hits = [(firsts[number], float(score)) for number, score in zip(found.documents[0], found.scores[0], strict=True) if number >= 0]
    ids = loaded.documents.ids
    return [Hit(ids[row], score, places.get(ids[row], ""), asked.document_texts[row]) for row, score in hits]


def answer_search(settings: SearchSettings, progress: Progress = quiet) -> Told:
    """What is found, each with the first lines of its text."""
    hits = search_task(settings, progress)
    said = []
    for hit in hits:
        said.append(f"{hit.score:.3f}  {hit.id}{f'  {hit.place}' if hit.place else ''}")
        said += [f"       {line}" for line in hit.text.splitlines()[:LINES]]
    return Told(said, [asdict(hit) for hit in hits])


def answer_export(settings: ExportSettings, progress: Progress = quiet) -> Told:
    """Write the task for another tool; tells the folder."""
    refuse_taken(settings.out, [settings.task], replace=progress.replace)
    task = open_task(settings.task, settings)
    out = str(export(task.merged() if settings.merged else task, settings.out, settings.layout))
    return Told([out], {"out": out})


def _places(folder: Path) -> dict[str, str]:
    path = folder / PROVENANCE
    if not path.is_file():
        return {}
    return {str(row["_id"]): f"{row['file']}:{row.get('line', 1)}" for _, row in read_rows(path) if "file" in row}
