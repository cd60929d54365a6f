"""A program found by spending calls (RethinkMCTS, arXiv 2409.09584): thoughts, programs, and what running them says.

python examples/search.py [MODEL]      # qwen2.5-coder-0.5b writes better programs than the default
"""

import sys

from luthier import Sandbox, open_model, solve
from luthier.search import Posed, SearchSettings

TESTS = ("assert clip(5, 0, 3) == 3", "assert clip(-1, 0, 3) == 0", "assert clip(2, 0, 3) == 2")
problem = Posed("clip", "Write clip(x, low, high), which gives x, but at least low and at most high.", "clip", TESTS)

model = open_model(sys.argv[1] if len(sys.argv) > 1 else "bundled")
with Sandbox() as box:  # programs of models run here alone
    solved = solve(problem, model, box, SearchSettings(strategy="rethink", budget="4 calls", max_tokens=64))

print(f"{solved.spent.calls} calls, {solved.spent.tokens} tokens; stopped: {solved.stopped}")
print("passes the tests:", solved.passes)
print(solved.program or "no program")
