"""What a learner knows, and what comes next, also on items never answered (SINKT, arXiv 2407.01245).

python examples/trace.py [EMBEDDER]      # minilm unless told otherwise
"""

import math
import random
import sys

from luthier import Tracer, open_embedder
from luthier.trace import TracerSettings, recommend
from luthier.trace.answers import AnswerCollector, Catalogue, Concept, Edge, Item
from luthier.trace.settings import FitSettings

CONCEPTS = ["adding numbers", "taking away numbers", "times tables", "sharing equally"]
items = tuple(Item(f"q{at}", f"exercise {at} on {CONCEPTS[at % 4]}", (CONCEPTS[at % 4],)) for at in range(24))
catalogue = Catalogue(items, tuple(Concept(name, name) for name in CONCEPTS), (Edge("adding numbers", "times tables"),))

# 80 made learners, each better at some concepts than at others; `luthier.trace.read_answers` reads yours.
draw, collector = random.Random(0), AnswerCollector()
for learner in range(80):
    skill = [draw.gauss(0, 1.5) for _ in CONCEPTS]
    for turn in range(20):
        at = draw.randrange(24)
        collector.add(f"pupil {learner}", f"q{at}", float(draw.random() < 1 / (1 + math.exp(-skill[at % 4]))), turn)

embedder = open_embedder(sys.argv[1] if len(sys.argv) > 1 else "minilm")
tracer = Tracer(TracerSettings(dim=32, layers=1, fit=FitSettings(epochs=3)), embedder=embedder)
tracer.fit(collector.log(catalogue))

state = tracer.replay([("q0", 1.0), ("q1", 0.0), ("q4", 1.0), ("q5", 0.0)])
for name, each in tracer.mastery(state).items():
    print(f"{name}: {each.chance:.0%} ({each.low:.0%} to {each.high:.0%})")
tracer.add_items([Item("new", "how many are 7 and 8", ("adding numbers",))])
print("an item nobody ever saw:", round(tracer.predict(state, ["new"])["new"], 2))
print("next:", [each.item for each in recommend(tracer, state, 3, (0.2, 0.8))])
