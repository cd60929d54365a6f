"""Single looks at a retrieval task: audit it, search it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.recipes.retrievers import ModelOptions, open_retriever
from luthier.records import JSON, read_rows

if TYPE_CHECKING:
    from luthier.evaluate.retrieval.task import Task


def audit_task(
    task: str,
    split: str = "test",
    reading: str = "text",
    source: str | None = None,
    *,
    model: str | None = None,
    against: Sequence[str] = (),
    tokenizer: str = "code",
) -> JSON:
    """The audit of a task by its path or name; against: files of training rows or task folders. Raises as `Task.load` does."""
    from luthier.evaluate.retrieval.audit import audit

    training = [text for path in against for text in _training_texts(path)]
    opened = None if model is None else open_retriever(model)
    return audit(load_task(task, split, reading, source), model=opened, training=training, tokenizer=tokenizer)


def search_task(
    task: str,
    query: str,
    split: str = "test",
    reading: str = "text",
    source: str | None = None,
    *,
    model: str = "minilm",
    options: ModelOptions | None = None,
    top: int = 5,
    cache: str | None = None,
    api_key: str | None = None,
) -> list[JSON]:
    """The first documents for one query: id, score, text, and the file and line where the task knows them."""
    from luthier.evaluate.retrieval.retrieve import first_rows, retrieve
    from luthier.evaluate.retrieval.task import Qrels, Task, Texts
    from luthier.models.embedding_cache import EmbeddingCache

    if not query.strip():
        raise SettingsError("the query is empty; say what to look for")
    loaded = load_task(task, split, reading, source)
    asked = Task(loaded.name, loaded.documents, Texts(["q"], [query]), Qrels.from_triples(1, [(0, 0, 0)]), split, loaded.reading)
    found = retrieve(asked, open_retriever(model, options, api_key), top, cache=EmbeddingCache(cache)).run
    rows, places = first_rows(asked), _places(Path(task))
    return [
        {
            "id": loaded.documents.ids[rows[number]],
            "score": float(score),
            "place": places.get(loaded.documents.ids[rows[number]], ""),
            "text": asked.document_texts[rows[number]],
        }
        for number, score in zip(found.documents[0].tolist(), found.scores[0].tolist(), strict=True)
        if number >= 0
    ]


def load_task(task: str, split: str, reading: str, source: str | None) -> Task:
    from luthier.evaluate.retrieval.task import Task

    return Task.load(task, split, reading=reading, source=None if source is None else Path(source))  # type: ignore[arg-type]


def _places(folder: Path) -> dict[str, str]:
    path = folder / "provenance.jsonl"
    if not path.is_file():
        return {}
    return {str(row["_id"]): f"{row['file']}:{row.get('line', 1)}" for _, row in read_rows(path) if "file" in row}


def _training_texts(path: str) -> list[str]:
    """Every text of the rows of a file, or of the tables of a task folder."""
    from luthier.evaluate.retrieval.formats import find_tables

    tables = find_tables(Path(path)) if Path(path).is_dir() else {"corpus": [], "queries": []}
    files = [*tables["corpus"], *tables["queries"]] or [Path(path)]
    return [text for file in files for _, row in read_rows(file) for text in _strings(row)]


def _strings(value: object) -> list[str]:
    """The texts within a row of a sentence's length at least; keys and ids are none."""
    if isinstance(value, str):
        return [value] if len(value.split()) >= 3 else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in _strings(each)]
