"""Model-written Python, run where it can harm nothing and judged where it can fake nothing."""

from luthier.sandbox.box import CallError, Sandbox
from luthier.sandbox.outcome import InputOutput, Judgement, Limits, Outcome, Task

__all__ = ["CallError", "InputOutput", "Judgement", "Limits", "Outcome", "Sandbox", "Task"]
