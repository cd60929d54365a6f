"""What a model would answer before its chain of thought and after each step of it (Chain-of-Probe, arXiv 2406.16144).

python examples/probe.py [MODEL]
"""

import sys

from luthier import open_model, probe_chain

model = open_model(sys.argv[1] if len(sys.argv) > 1 else "bundled")
options = ["lions", "humans", "bunnies", "grass"]
chain = "Predators are animals that hunt other animals.\nLions and humans hunt, and grass is a plant.\nPredators hunt smaller animals.\nThe answer is C."

trace = probe_chain(model, "Predators eat", options, chain)  # without a chain the model writes one
for step, row in enumerate(trace.conf):
    print(
        "before the chain" if step == 0 else f"after step {step}    ",
        "  ".join(f"{option} {chance:.2f}" for option, chance in zip(options, row, strict=True)),
    )
print("answers:", [options[answer] for answer in trace.answers], "- changes:", trace.changes, "- decided from the start:", trace.early)
