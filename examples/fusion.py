"""What comes from the context, what from memory, and when to say no (knowledge fusion, arXiv 2405.19010): a suite from your own table.

python examples/fusion.py [MODEL]      # without a model: the scripted reader, whose scores are known
"""

import random
import sys
from pathlib import Path

from luthier import open_model
from luthier.evaluate.fusion import Scorer, ScriptedModel, answers, judge, measure
from luthier.records import write_jsonl
from luthier.synthesize.fusion import Columns, FusionSuite, KnowledgeBase, SuiteSettings, split_facts

draw = random.Random(0)
rows = [
    {
        "device": f"Nova {letter}{number}",
        "date": f"{2020 + number % 6}-0{1 + number % 9}-15",
        "weight": f"{draw.randrange(80, 900)} g",
        "firmware": f"{draw.randrange(9)}.{number}.{draw.randrange(99)}",
    }
    for number, letter in enumerate("ABCDEFGH" * 6)
]
write_jsonl(Path("devices.jsonl"), rows)

known = KnowledgeBase.from_paths([Path("devices.jsonl")], Columns(("device",)))
split = split_facts(known, by="random", holdout=0.25)  # one part goes into memory by training, the other stays outside
suite = FusionSuite.build(split, SuiteSettings(per_scenario=4, distractors=(0, 2)))
print(len(suite.facts), "facts,", len(suite.items), "questions,", len(suite.statements), "statements to train on")

model = open_model(sys.argv[1]) if len(sys.argv) > 1 else ScriptedModel("reader", suite.items, suite.memory)
scores = measure(judge(suite.items, list(answers(model, suite.items)), Scorer(suite.facts)))
for name, each in scores.scenarios.items():
    print(f"{name}: {each.right.rate:.0%} right of {each.right.items} ({each.right.low:.0%} to {each.right.high:.0%})")
