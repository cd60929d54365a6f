"""Four scripted models whose scores are known beforehand: they test the scorer, and a suite before an expensive model is asked.

reader: states what its context tells; memory: what was infused; both; refuser: never answers. They see the items, not only their text.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from luthier.errors import EngineError, SettingsError
from luthier.evaluate.fusion.asking import prompt
from luthier.models.protocol import GREEDY, Capability, Completion, Progress, Prompt, Samplings, Score, Usage
from luthier.records.fusion import FusionItem, Needed
from luthier.texts.values import states

SCRIPTS = ("reader", "memory", "both", "refuser")
REFUSAL = "I do not know."


class ScriptedModel:
    """One of SCRIPTS over the items of a suite; memory: ids of the infused facts. Raises SettingsError for another script."""

    supports: frozenset[Capability] = frozenset({"generate"})

    def __init__(self, script: str, items: Sequence[FusionItem], memory: AbstractSet[str]) -> None:
        if script not in SCRIPTS:
            raise SettingsError(f"no scripted model {script!r}; choose one of {', '.join(SCRIPTS)}")
        self.name, self.script, self.memory, self.usage = f"scripted:{script}", script, memory, Usage()
        self._items = {prompt(item).messages: item for item in items}

    def generate(self, prompts: Sequence[Prompt], sampling: Samplings = GREEDY, progress: Progress | None = None) -> list[Completion]:
        """The scripted answers. Raises EngineError for a prompt that no item has."""
        made = [self._answer(one) for one in prompts]
        if progress is not None:
            progress(len(made))
        return [Completion(text, "stop", 0, 0) for text in made]

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        raise EngineError(f"{self.name} has no probabilities")

    def _answer(self, asked: Prompt) -> str:
        item = self._items.get(asked.messages)
        if item is None:
            raise EngineError(f"{self.name} was asked something that is no item of its suite")
        told = [one for one in item.needed if self._knows(one, item)]
        if len(told) == len(item.needed) and item.scenario != "S4":
            return item.answer
        form = (
            "It is {value}." if item.form == "bridge" else "The {attribute} of {subject} is {value}."
        )  # neither half names the other's subject
        said = [form.format(attribute=one.attribute, subject=one.subject, value=one.values[0]) for one in told]
        return " ".join(said) or REFUSAL

    def _knows(self, one: Needed, item: FusionItem) -> bool:
        context = "\n".join(snippet.text for snippet in item.context)
        reads = any(states(context, value, one.kind) is not None for value in one.values)
        recalls = one.fact in self.memory and bool(one.values) and one.part == "memory"
        return {"reader": reads, "memory": recalls, "both": reads or recalls, "refuser": False}[self.script]
