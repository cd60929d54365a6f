"""Code retrieval (CoIR, arXiv 2407.02883): tasks, retrievers, trustworthy scores, and benchmarks made of your own code."""

from luthier.evaluate.retrieval.bm25 import BM25
from luthier.evaluate.retrieval.metrics import Run, Scores, evaluate_run
from luthier.evaluate.retrieval.retrieve import retrieve
from luthier.evaluate.retrieval.scoring import ceiling, score
from luthier.evaluate.retrieval.search import search
from luthier.evaluate.retrieval.task import Qrels, Task, Texts

__all__ = ["BM25", "Qrels", "Run", "Scores", "Task", "Texts", "ceiling", "evaluate_run", "retrieve", "score", "search"]
