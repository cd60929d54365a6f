"""Model-written Python, run where it can harm nothing and judged where it can fake nothing."""

from luthier.errors import SandboxError, SandboxUnavailable
from luthier.sandbox.box import CallError, Sandbox
from luthier.sandbox.outcome import InputOutput, Judgement, Limits, Outcome, Task
from luthier.sandbox.rewards import code_reward, make_code_reward, rubric_reward

__all__ = [
    "CallError",
    "InputOutput",
    "Judgement",
    "Limits",
    "Outcome",
    "Sandbox",
    "SandboxError",
    "SandboxUnavailable",
    "Task",
    "code_reward",
    "make_code_reward",
    "rubric_reward",
]
