"""Preference pairs from right answers and a model's own wrong ones, bridged as BMC does (arXiv 2408.07471, sec. 3)."""

from luthier.synthesize.pairs.bridging import AnswerSwap, Bridger, Draft, Gate, ModelBridger, Splice
from luthier.synthesize.pairs.making import PairReport, given_drafts, make_pairs, wrong_drafts
from luthier.synthesize.pairs.questions import Question, read_questions
from luthier.texts.answers import final_answer, same_answer

__all__ = [
    "AnswerSwap",
    "Bridger",
    "Draft",
    "Gate",
    "ModelBridger",
    "PairReport",
    "Question",
    "Splice",
    "final_answer",
    "given_drafts",
    "make_pairs",
    "read_questions",
    "same_answer",
    "wrong_drafts",
]
