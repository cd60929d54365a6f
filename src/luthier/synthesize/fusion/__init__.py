"""Fusion suites from documents: facts, a split into memory and external knowledge, questions labelled by computation, contexts, infusion sets (arXiv 2405.19010)."""

from luthier.synthesize.fusion.facts import Columns, KnowledgeBase, Update
from luthier.synthesize.fusion.splitting import Half, Split, split_facts
from luthier.synthesize.fusion.suite import FusionSuite, SuiteSettings

__all__ = ["Columns", "FusionSuite", "Half", "KnowledgeBase", "Split", "SuiteSettings", "Update", "split_facts"]
