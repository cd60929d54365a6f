"""Code retrieval on your own code (CoIR, arXiv 2407.02883): docstrings ask, functions answer, and the score has its interval.

python examples/retrieval.py [EMBEDDER]      # minilm, static, a folder; needs luthier[retrieval]
"""

import ast
import inspect
import json
import shutil
import sys
import textwrap

from luthier import open_embedder
from luthier.evaluate.retrieval import BM25, Qrels, Task, retrieve, score
from luthier.evaluate.retrieval.task import Texts

# Every function with a docstring is a document; the docstring's first line is the query. `luthier evaluate retrieval build` does more.
pairs = []
for module in (json.encoder, json.decoder, textwrap, shutil, ast):
    for name, function in inspect.getmembers(module, inspect.isfunction):
        text, doc = inspect.getsource(function), (function.__doc__ or "").strip()
        if doc and not name.startswith("_"):
            pairs.append((f"{module.__name__}.{name}", text.replace(function.__doc__, ""), doc.splitlines()[0]))
names = [name for name, _, _ in pairs]
documents, queries = (
    Texts(names, [text for _, text, _ in pairs]),
    Texts([f"about {name}" for name in names], [asked for _, _, asked in pairs]),
)
task = Task("docstrings", documents, queries, Qrels.from_triples(len(pairs), ((place, place, 1) for place in range(len(pairs)))))

retrievers = [BM25("code"), *(open_embedder(name) for name in sys.argv[1:])]
for retriever in retrievers:
    ndcg = score(task, retrieve(task, retriever).run).to_row()["ndcg@10"]["expected"]  # over all orders of documents with one score
    print(f"{retriever.name}: nDCG@10 {ndcg['mean']:.3f} ({ndcg['low']:.3f} to {ndcg['high']:.3f}) over {len(pairs)} queries")
