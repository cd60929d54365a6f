"""Model-written Python, run where it can harm nothing and judged where it can fake nothing."""

from luthier.sandbox.box import CallError, Sandbox
from luthier.sandbox.outcome import InputOutput, Judgement, Limits, Task
from luthier.sandbox.rewards import code_reward, rubric_reward

__all__ = ["CallError", "InputOutput", "Judgement", "Limits", "Sandbox", "Task", "code_reward", "rubric_reward"]
