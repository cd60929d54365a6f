"""A reward for reinforcement learning on code: model-written programs run where they can harm and fake nothing.

python examples/sandbox_reward.py
"""

from luthier import Sandbox, code_reward

GOOD = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
FAKE = "import sys\n\nclass Same:\n    def __eq__(self, other):\n        return True\n\ndef add(a, b):\n    return Same()\n"
ESCAPE = "import os\n\ndef add(a, b):\n    os._exit(0)\n"
ENDLESS = "def add(a, b):\n    while True:\n        pass\n"
TESTS = ["assert add(1, 2) == 3", "assert add(5, 5) == 10"]

completions = [GOOD, f"Here it is:\n\n```python\n{GOOD}```", WRONG, FAKE, ESCAPE]
print(code_reward(completions, tests=[TESTS] * 5, entry_point=["add"] * 5))  # as GRPOTrainer(reward_funcs=code_reward) calls it

with Sandbox() as box:
    verdict = box.judge(ENDLESS, TESTS[:1], entry_point="add")
    print(verdict.passed, verdict.outcome.kind)
