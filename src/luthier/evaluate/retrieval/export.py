"""Tasks for other tools: the BEIR layout, and a module that gives the same folder to mteb as a task of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from luthier.errors import SettingsError
from luthier.evaluate.retrieval.formats import save_task
from luthier.evaluate.retrieval.settings import Layout
from luthier.evaluate.retrieval.task import Task
from luthier.records import atomic_write

MODULE = '''"""{name} as a task of mteb (2.x), read from the BEIR folder beside this file: `mteb.evaluate(model, [{label}()])`."""

import csv
import json
from pathlib import Path

from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

FOLDER = Path(__file__).parent


class {label}(AbsTaskRetrieval):
    ignore_identical_ids = {own}
    metadata = TaskMetadata(
        name={label!r}, description={name!r}, reference=None, type="Retrieval", category="t2t", modalities=["text"],
        eval_splits=[{split!r}], eval_langs=["eng-Latn", "python-Code"], main_score="ndcg_at_10",
        dataset={{"path": "local/{label}", "revision": {fingerprint!r}}}, date=None, domains=["Programming", "Written"],
        task_subtypes=["Code retrieval"], license=None, annotations_creators="derived", dialect=[], sample_creation="found",
        bibtex_citation="", is_public=False,
    )

    def load_data(self, num_proc=None, **kwargs):
        if self.data_loaded:
            return
        corpus = [json.loads(line) for line in (FOLDER / "corpus.jsonl").open(encoding="utf-8")]
        queries = [json.loads(line) for line in (FOLDER / "queries.jsonl").open(encoding="utf-8")]
        judged = {{}}
        with (FOLDER / "qrels" / "{split}.tsv").open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream, delimiter="\\t", quoting=csv.QUOTE_NONE):
                judged.setdefault(row["query-id"], {{}})[row["corpus-id"]] = int(row["score"])
        self.dataset = {{"default": {{{split!r}: {{
            "corpus": Dataset.from_list([{{"id": row["_id"], "title": {title}, "text": row["text"]}} for row in corpus]),
            "queries": Dataset.from_list([{{"id": row["_id"], "text": row["text"]}} for row in queries if row["_id"] in judged]),
            "relevant_docs": judged,
            "top_ranked": None,
        }}}}}}
        self.data_loaded = True
'''


def export(task: Task, folder: Path | str, layout: Layout = "beir") -> Path:
    """Write the task as a BEIR folder; with `mteb` also `mteb_task.py`. mteb reads titles; they are left out where the task's reading is text."""
    if layout not in get_args(Layout):
        raise SettingsError(f"layout is {layout!r}; choose one of {', '.join(get_args(Layout))}")
    out = save_task(task, folder)
    if layout == "mteb":
        title = 'row["title"]' if task.reading == "title+text" else '""'
        text = MODULE.format(
            name=re.sub(r"[\"\\\n\r{}]", " ", task.name),
            label=class_name(task.name),
            split=_plain(task.split),
            fingerprint=task.fingerprint,
            own=task.without_own,
            title=title,
        )
        with atomic_write(out / "mteb_task.py") as stream:
            stream.write(text)
    return out


def class_name(name: str) -> str:
    """`doc2code-stdlib` is `Doc2codeStdlibRetrieval`."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    label = "".join(word[:1].upper() + word[1:] for word in words) or "Local"
    return f"{label if label[0].isalpha() else 'Task' + label}Retrieval"


def _plain(split: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", split):
        raise SettingsError(f"the split {split!r} cannot be exported to mteb; use letters, digits, - and _")
    return split
