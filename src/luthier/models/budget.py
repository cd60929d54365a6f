"""What may be spent on a model, and what was. A call is reserved before it is made, so that nothing overshoots however many are open."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace

from luthier.errors import SettingsError
from luthier.models.protocol import Completion, Prompt
from luthier.records import JSON

_FORM = re.compile(r"\s*+(\d[\d_,]*+(?:\.\d++)?|\.\d++)\s*+(?:(k|m)(?![a-z]))?\s*+([a-z$]++)\s*+", re.IGNORECASE)
_UNITS = {
    **dict.fromkeys(("call", "calls"), ("calls", 1.0)),
    **dict.fromkeys(("token", "tokens"), ("tokens", 1.0)),
    **dict.fromkeys(("s", "sec", "second", "seconds"), ("seconds", 1.0)),
    **dict.fromkeys(("min", "minute", "minutes"), ("seconds", 60.0)),
    **dict.fromkeys(("h", "hour", "hours"), ("seconds", 3600.0)),
    **dict.fromkeys(("usd", "$", "dollar", "dollars"), ("money", 1.0)),
}
_OVERHEAD = 24  # tokens that a chat template adds to a message, at most


@dataclass(frozen=True)
class Prices:
    """US dollars a million tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


@dataclass(frozen=True)
class Spent:
    """calls and tokens of the model, seconds of model and tests, US dollars, programs run, and rounds: calls that had to follow each other."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    money: float = 0.0
    programs: int = 0
    rounds: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def to_row(self) -> JSON:
        return asdict(self) | {"tokens": self.tokens}


@dataclass(frozen=True)
class Budget:
    """The most that may be spent, by a search on one problem, say; None is no limit."""

    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    money: float | None = None

    @staticmethod
    def parse(text: str) -> Budget:
        """`16 calls`, `20k tokens`, `10 min`, `0.50 usd`, or several with commas. Raises SettingsError."""
        found: dict[str, float] = {}
        for part in re.split(r",\s+|;|\band\b", text):
            match = _FORM.fullmatch(part)
            unit = _UNITS.get(match[3].lower()) if match else None
            if match is None or unit is None:
                raise SettingsError(f"--budget is {text!r}; give '16 calls', '20k tokens', '10 min' or '0.50 usd', or several with commas")
            scale = {"k": 1e3, "m": 1e6}.get((match[2] or "").lower(), 1.0)
            amount = float(match[1].replace(",", "").replace("_", "")) * scale * unit[1]
            if not 0 < amount < 1e12:
                raise SettingsError(f"--budget is {text!r}; give an amount above 0")
            found[unit[0]] = amount
        whole = {name: int(found.pop(name)) for name in ("calls", "tokens") if name in found}
        if 0 in whole.values():
            raise SettingsError(f"--budget is {text!r}; give at least 1")
        return Budget(**whole, **found)  # type: ignore[arg-type]

    def __str__(self) -> str:
        told = [f"{self.calls:,} calls" if self.calls else "", f"{self.tokens:,} tokens" if self.tokens else ""]
        told += [f"{self.seconds:g} s" if self.seconds else "", f"{self.money:g} usd" if self.money else ""]
        return ", ".join(part for part in told if part) or "no limit"


def most_tokens(prompt: Prompt) -> int:
    """No tokenizer makes more of a prompt: a token of text is at least one byte."""
    return sum(len((message.content or "").encode()) + _OVERHEAD for message in prompt.messages)


@dataclass
class Ledger:
    """What is spent and reserved under one budget. `stopped` names the limit that was reached first.

    slack: seconds set aside for a call before any was timed; then the longest so far.
    """

    budget: Budget = field(default_factory=Budget)
    prices: Prices = field(default_factory=Prices)
    slack: float = 0.0
    spent: Spent = field(default_factory=Spent)
    stopped: str = ""
    reserved: Spent = field(default_factory=Spent)
    dearest: tuple[int, int] = (0, 0)
    extra: int = 0  # tokens that a server was seen to add to a prompt

    def reserve(self, prompt_tokens: int, completion_tokens: int) -> bool:
        """Set aside one call of at most so many tokens; False, and nothing set aside, where it could overshoot."""
        money = self.prices.of(prompt_tokens, completion_tokens)
        held, spent, budget = self.reserved, self.spent, self.budget
        after = {
            "calls": spent.calls + held.calls + 1,
            "tokens": spent.tokens + held.tokens + prompt_tokens + completion_tokens,
            "seconds": spent.seconds + held.seconds + self.slack,
            "money": spent.money + held.money + money,
        }
        for name, amount in after.items():
            limit = getattr(budget, name)
            if limit is not None and amount > limit * (1 + 1e-12):
                self.stopped = self.stopped or name
                return False
        self.reserved = replace(
            held,
            calls=held.calls + 1,
            prompt_tokens=held.prompt_tokens + prompt_tokens,
            completion_tokens=held.completion_tokens + completion_tokens,
            seconds=held.seconds + self.slack,
            money=held.money + money,
        )
        return True

    def settle(self, prompt_tokens: int, completion_tokens: int, answer: Completion, seconds: float) -> None:
        """The reserved call was made and cost this."""
        self._free(prompt_tokens, completion_tokens)
        self.dearest = (max(self.dearest[0], prompt_tokens), max(self.dearest[1], completion_tokens))
        self.spent = replace(
            self.spent,
            calls=self.spent.calls + 1,
            prompt_tokens=self.spent.prompt_tokens + answer.prompt_tokens,
            completion_tokens=self.spent.completion_tokens + answer.completion_tokens,
            seconds=self.spent.seconds + seconds,
            money=self.spent.money + self.prices.of(answer.prompt_tokens, answer.completion_tokens),
        )

    def release(self, prompt_tokens: int, completion_tokens: int) -> None:
        """The reserved call is not made after all."""
        self._free(prompt_tokens, completion_tokens)

    def end_of_round(self, longest: float) -> None:
        """Calls made side by side are one round."""
        self.spent = replace(self.spent, rounds=self.spent.rounds + 1)
        self.slack = max(self.slack, longest)

    def run(self, seconds: float) -> None:
        """A program was run."""
        self.spent = replace(self.spent, programs=self.spent.programs + 1, seconds=self.spent.seconds + seconds)

    def has_room(self, calls: int) -> bool:
        """Whether so many more calls fit, each as dear as the dearest so far."""
        held = replace(self)
        return all(held.reserve(self.dearest[0], self.dearest[1]) for _ in range(calls))

    def _free(self, prompt_tokens: int, completion_tokens: int) -> None:
        held = self.reserved
        self.reserved = replace(
            held,
            calls=held.calls - 1,
            prompt_tokens=held.prompt_tokens - prompt_tokens,
            completion_tokens=held.completion_tokens - completion_tokens,
            seconds=max(0.0, held.seconds - self.slack),
            money=max(0.0, held.money - self.prices.of(prompt_tokens, completion_tokens)),
        )

    @property
    def is_over(self) -> bool:
        """Whether the time that programs took has used up the budget."""
        return self.budget.seconds is not None and self.spent.seconds >= self.budget.seconds
