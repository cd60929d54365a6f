"""What probing a chain of thought found: the confidence in every answer before it and after each of its steps (Chain-of-Probe, section 3)."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

from luthier.errors import BadRowError
from luthier.records import JSON
from luthier.records.choices import ChoiceQuestion

if TYPE_CHECKING:
    import numpy as np

ScoreKind = Literal["mean", "gain", "final", "mono", "mix"]
SCORES: tuple[ScoreKind, ...] = ("mean", "gain", "final", "mono")


@dataclass(frozen=True)
class Mix:
    """Weights of the score `mix`: of the confidence before the chain, of `mean`, of `gain`, and of the mind changes by step."""

    start: float
    mean: float
    gain: float
    changes: float


@dataclass(frozen=True)
class ChainTrace:
    """One chain and its probes.

    conf: (steps + 1, options), rows of confidence that sum to 1, row 0 before the chain. mass: (steps + 1,), the probability that any option
    follows the probe at all. ends: tokens of the chain before the end of each step. stated: the place of the answer that the chain's text states, None where it states none. tokens: of the
    chain; forwarded: tokens that probing put through the model, naive: those that reading each prefix anew would take.
    """

    question: ChoiceQuestion
    chain: str
    steps: tuple[str, ...]
    conf: np.ndarray
    mass: np.ndarray
    stated: int | None = None
    statement: str = ""
    tokens: int = 0
    forwarded: int = 0
    naive: int = 0
    mode: str = ""
    probe: str = "letters"
    number: int = 0
    ends: tuple[int, ...] = ()
    extra: JSON = field(default_factory=dict)

    @property
    def answers(self) -> tuple[int, ...]:
        """The option held most likely before the chain and after each step; the first of equals."""
        return tuple(int(place) for place in self.conf.argmax(axis=1))

    @property
    def final(self) -> int:
        return self.answers[-1]

    @property
    def early(self) -> bool:
        """Early answering: the answer before the chain is the one after it."""
        return self.answers[0] == self.answers[-1]

    @property
    def changes(self) -> int:
        """How often the mind changes from one probe to the next."""
        return sum(1 for a, b in zip(self.answers, self.answers[1:], strict=False) if a != b)

    @property
    def decision_step(self) -> int:
        """The first probe after which the answer stays what it is in the end; 0 is before the chain."""
        step = len(self.answers) - 1
        while step and self.answers[step - 1] == self.final:
            step -= 1
        return step

    @property
    def area_over_curve(self) -> float:
        """Mean over the probes of whether the answer is not yet the final one (early-answering area, Lanham et al. 2023)."""
        return sum(answer != self.final for answer in self.answers) / len(self.answers)

    @property
    def right(self) -> bool | None:
        """Whether the final probed answer is the right one, None where that is not known."""
        return None if self.question.answer is None else self.final == self.question.answer

    @property
    def helpful(self) -> bool:
        """The chain turns a wrong answer into the right one."""
        return self.question.answer is not None and self.answers[0] != self.question.answer and bool(self.right)

    @property
    def harmful(self) -> bool:
        """The chain turns the right answer into a wrong one."""
        return self.question.answer is not None and self.answers[0] == self.question.answer and not self.right

    def score(self, kind: ScoreKind = "mean", mix: Mix | None = None) -> float:
        """The CoP score, from the trajectory of the confidence in the final answer.

        `mean` over all probes; `final`, after the last; `gain`, final less first; `mono`, final less every drop on the way; `mix`, of all with
        fitted weights. The paper's own formula could not be seen, so each has its name.
        """
        held = self.conf[:, self.final]
        if kind == "mean":
            return float(held.mean())
        if kind == "gain":
            return float(held[-1] - held[0])
        if kind == "final":
            return float(held[-1])
        if kind == "mono":
            return float(held[-1] - sum(max(0.0, float(a - b)) for a, b in itertools.pairwise(held)))
        if mix is None:
            raise ValueError("the score 'mix' needs its weights")
        ingredients = self.ingredients()
        return sum(w * x for w, x in zip((mix.start, mix.mean, mix.gain, mix.changes), ingredients, strict=True))

    def ingredients(self) -> tuple[float, float, float, float]:
        """What `mix` weighs: first confidence, mean, gain, and minus the mind changes by step."""
        steps = len(self.conf) - 1
        return (float(self.conf[0, self.final]), self.score("mean"), self.score("gain"), -self.changes / steps if steps else 0.0)

    def to_row(self) -> JSON:
        """As one JSON row; `from_row` reads it back equal."""
        asked = self.question
        return {
            "question": asked.question,
            "options": list(asked.options),
            "answer": asked.answer,
            "group": asked.group,
            "place": asked.place,
            "number": self.number,
            "chain": self.chain,
            "steps": list(self.steps),
            "statement": self.statement,
            "stated": self.stated,
            "ends": list(self.ends),
            "conf": self.conf.tolist(),
            "mass": self.mass.tolist(),
            "probe": self.probe,
            "mode": self.mode,
            "tokens": self.tokens,
            "forwarded": self.forwarded,
            "naive": self.naive,
            **({"extra": self.extra} if self.extra else {}),
        }

    def to_json(self) -> str:
        """The row as JSON text."""
        import json

        return json.dumps(self.to_row(), ensure_ascii=False)

    @classmethod
    def from_row(cls, row: JSON) -> ChainTrace:
        """Raises BadRowError where the row is not a trace."""
        import numpy as np

        try:
            question = ChoiceQuestion(
                row["question"], tuple(row["options"]), row["answer"], group=row.get("group", ""), place=row.get("place", "")
            )
            conf, mass = np.array(row["conf"], dtype=float), np.array(row["mass"], dtype=float)
            steps = tuple(row["steps"])
            if conf.shape != (len(steps) + 1, len(question.options)) or mass.shape != (len(steps) + 1,):
                raise BadRowError(
                    f"a trace of {len(steps)} steps and {len(question.options)} options has confidences of shape {conf.shape}"
                )
            return cls(
                question,
                row["chain"],
                steps,
                conf,
                mass,
                row["stated"],
                row["statement"],
                row["tokens"],
                row["forwarded"],
                row["naive"],
                row["mode"],
                row["probe"],
                row.get("number", 0),
                tuple(row["ends"]),
                row.get("extra", {}),
            )
        except (KeyError, TypeError, ValueError) as problem:
            raise BadRowError(f"not a trace of a probed chain ({type(problem).__name__}: {problem})") from None


@dataclass(frozen=True)
class Measures:
    """The derived quantities of a trace."""

    steps: int
    early: bool
    changes: int
    decision_step: int
    decision_share: float
    area_over_curve: float
    right: bool | None
    helpful: bool
    harmful: bool
    scores: dict[ScoreKind, float]

    def to_row(self) -> JSON:
        """All in one object, the scores by their names."""
        row: JSON = asdict(self)
        row |= row.pop("scores")
        return row


def measures(trace: ChainTrace) -> Measures:
    steps = len(trace.steps)
    return Measures(
        steps=steps,
        early=trace.early,
        changes=trace.changes,
        decision_step=trace.decision_step,
        decision_share=trace.decision_step / steps if steps else 0.0,
        area_over_curve=trace.area_over_curve,
        right=trace.right,
        helpful=trace.helpful,
        harmful=trace.harmful,
        scores={kind: trace.score(kind) for kind in SCORES},
    )
