"""The rows of a pool that teach most under a budget (ZIP and the entropy law, arXiv 2407.06645), with a reason for every other row.

python examples/select_rows.py
"""

import random
from collections import Counter

from luthier import select

draw = random.Random(0)
THINGS = ["a bridge", "a choir", "a compiler", "a lighthouse", "a market", "a violin", "an eclipse", "an engine", "an orchard", "an index"]
WORDS = ["steel", "light", "wood", "song", "rope", "stone", "glass", "wind", "oil", "ink"]
ASKED = ["How does {} work?", "Who first made {}?", "What does {} cost?", "Tell me a story about {}.", "Why do people like {}?"]


def row(asked: str, answer: str) -> dict:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]}


# 400 rows: a few hundred of their own, many that say the same again, and some noise.
pool = [row(draw.choice(ASKED).format(thing), f"{thing.capitalize()}: " + " ".join(draw.choices(WORDS, k=30))) for thing in THINGS * 25]
pool += draw.choices(pool, k=120)
pool += [row("????", "\ufffd" * 80) for _ in range(30)]
draw.shuffle(pool)

chosen = select(pool, method="zip-long", budget="60 rows", seed=0)
print(len(pool), "rows;", len(chosen.indices), "chosen, the first of them:", pool[chosen.indices[0]]["messages"][0]["content"])
print("left out before choosing:", dict(Counter(gone.gate for gone in chosen.dropped.values())))
last = max(set(range(len(pool))) - set(chosen.indices))
print(f"row {last + 1} was left because", chosen.reason(last))
