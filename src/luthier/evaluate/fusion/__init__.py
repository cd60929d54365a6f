"""What a model takes from its context, what from memory, and when it says no: scores of a fusion suite (arXiv 2405.19010, sec. 4)."""

from luthier.evaluate.fusion.asking import BATCH, Answer, answer_room, answers, known_facts, with_memory
from luthier.evaluate.fusion.judging import JudgeAgreement, agreement
from luthier.evaluate.fusion.measures import Judged, compare, judge, measure
from luthier.evaluate.fusion.scores import FusionScores
from luthier.evaluate.fusion.scoring import Scorer, Verdict
from luthier.evaluate.fusion.scripted import SCRIPTS, ScriptedModel

__all__ = [
    "BATCH",
    "SCRIPTS",
    "Answer",
    "FusionScores",
    "JudgeAgreement",
    "Judged",
    "Scorer",
    "ScriptedModel",
    "Verdict",
    "agreement",
    "answer_room",
    "answers",
    "compare",
    "judge",
    "known_facts",
    "measure",
    "with_memory",
]
