"""Code retrieval (CoIR, arXiv 2407.02883): tasks, retrievers, trustworthy scores, and benchmarks made of your own code."""

from luthier.evaluate.retrieval.bm25 import BM25
from luthier.evaluate.retrieval.formats import load_task, save_task
from luthier.evaluate.retrieval.metrics import evaluate_run
from luthier.evaluate.retrieval.retrieve import retrieve
from luthier.evaluate.retrieval.scoring import score
from luthier.evaluate.retrieval.task import Qrels, Task

__all__ = ["BM25", "Qrels", "Task", "evaluate_run", "load_task", "retrieve", "save_task", "score"]
