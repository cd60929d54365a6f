"""The CoP tree (Chain-of-Probe, section 5): is the chain itself right, told by how its confidence moves.

A classification tree (CART: Gini impurity, cost-complexity pruning) over features of the trajectory, small enough to be read as rules and kept
as JSON.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.probe.chain_trace import ChainTrace
from luthier.records import JSON, atomic_write

if TYPE_CHECKING:
    import numpy as np

FORMAT = "luthier chain judge 1"
FEATURES = (
    "early",
    "changes",
    "decision_share",
    "first",
    "last",
    "least",
    "mean",
    "spread",
    "slope",
    "largest_drop",
    "drop_place",
    "largest_rise",
    "entropy_first",
    "entropy_last",
    "margin_last",
    "mass_first",
    "agrees",
    "steps",
)


def features(trace: ChainTrace) -> tuple[float, ...]:
    """The trajectory of one chain as the numbers named in `FEATURES`.

    `first`, `last`, `least`, `mean`, `spread` and `slope` (by probe) are of the confidence in the final answer; `drop_place` is the largest drop's
    place in the chain, from 0 to 1; `agrees` is 1 where the probe and the chain's text end with the same answer.
    """
    import numpy as np

    held = trace.conf[:, trace.final]
    moves = np.diff(held)
    steps = len(trace.steps)
    slope = float(np.polyfit(np.arange(len(held)), held, 1)[0]) if steps else 0.0
    drop = float(max(0.0, -moves.min())) if steps else 0.0
    top = np.sort(trace.conf[-1])[::-1]
    return (
        float(trace.early),
        float(trace.changes),
        trace.decision_step / steps if steps else 0.0,
        float(held[0]),
        float(held[-1]),
        float(held.min()),
        float(held.mean()),
        float(held.std()),
        slope,
        drop,
        (int(moves.argmin()) + 1) / steps if drop > 0 else 0.0,
        float(max(0.0, moves.max())) if steps else 0.0,
        _entropy(trace.conf[0]),
        _entropy(trace.conf[-1]),
        float(top[0] - top[1]),
        float(trace.mass[0]),
        float(trace.stated == trace.final),
        float(steps),
    )


@dataclass(frozen=True)
class Growth:
    """How trees grow. least: chains in a leaf, at least, or `least_share` of them all where that is more; folds: of the cross-validation."""

    depth: int = 4
    least: int = 20
    least_share: float = 0.02
    folds: int = 5
    seed: int = 0


@dataclass
class Node:
    """A leaf, or a question: `feature` at most `threshold` goes to `below`, else to `above`.

    wrong: the weighted share of wrong chains here; chains: how many of them (unweighted), `faults` of which are wrong.
    """

    wrong: float
    chains: int
    faults: int
    cost: float = 0.0  # weighted impurity, as a share of the root's weight
    feature: str | None = None
    threshold: float = 0.0
    below: Node | None = None
    above: Node | None = None


class ChainJudge:
    """A fitted tree and the probability of "wrong" from which it flags a chain.

    validation: what cross-validation, grouped by question, measured when it was fitted. held_out: for each chain it was fitted on, the
    probability of "wrong" by a tree that had not seen its question; None for a tree that was loaded.
    """

    def __init__(self, root: Node, threshold: float, validation: JSON | None = None, held_out: Sequence[float] | None = None) -> None:
        self.root, self.threshold, self.validation, self.held_out = root, threshold, validation or {}, held_out

    @classmethod
    def fit(
        cls, traces: Sequence[ChainTrace], wrong: Sequence[bool], groups: Sequence[str] | None = None, growth: Growth | None = None
    ) -> ChainJudge:
        """Fit on chains with labels, True for a wrong one.

        groups: chains of one group are never in training and test at once; the questions where left out. Pruning and the threshold, which
        maximises F1 of "wrong", come from cross-validation. Raises SettingsError where there is only one kind of chain.
        """
        import numpy as np

        growth = growth or Growth()
        names = [trace.question.question for trace in traces] if groups is None else list(groups)
        x, y = np.array([features(trace) for trace in traces], dtype=float), np.array(wrong, dtype=bool)
        if len(x) != len(y) or len(x) != len(names):
            raise SettingsError(f"{len(x)} chains, {len(y)} labels, {len(names)} groups")
        if y.all() or not y.any():
            raise SettingsError("a tree needs right and wrong chains; all of these are " + ("wrong" if y.size and y.all() else "right"))
        folds = grouped_folds(names, growth.folds, growth.seed)
        if len(set(folds)) < 2:
            raise SettingsError("a tree needs chains of two questions or more, to be tested on questions it was not fitted on")
        alphas = _alphas(grow(x, y, growth))
        middles = [math.sqrt(a * b) for a, b in itertools.pairwise(alphas)] or [0.0]  # the root alone flags all or none
        held_out = np.zeros((len(middles), len(y)))
        for fold in sorted(set(folds)):
            test = np.array([each == fold for each in folds])
            if not test.any() or y[~test].all() or not y[~test].any():
                continue
            for row, alpha in enumerate(middles):
                pruned = prune(grow(x[~test], y[~test], growth), alpha)
                held_out[row, test] = [probability(pruned, one) for one in x[test]]
        thresholds = [best_threshold(p, y) for p in held_out]
        # The most pruned of equals: fewer rules that say the same.
        best = max(range(len(middles)), key=lambda row: (round(thresholds[row][1], 6), row))
        threshold = thresholds[best][0]
        flagged = held_out[best] >= threshold
        validation = {
            "chains": len(y),
            "wrong": int(y.sum()),
            "groups": len(set(names)),
            "folds": growth.folds,
            "alpha": middles[best],
            "flagged": int(flagged.sum()),
            "flagged_wrong": int((flagged & y).sum()),
            "f1": thresholds[best][1],
        }
        return cls(prune(grow(x, y, growth), middles[best]), threshold, validation, held_out[best].tolist())

    def predict(self, trace: ChainTrace) -> float:
        """The probability that the chain is wrong."""
        return probability(self.root, features(trace))

    def accepts(self, trace: ChainTrace) -> bool:
        """Whether the chain is not flagged as wrong."""
        return self.predict(trace) < self.threshold

    def rules(self) -> str:
        """The tree as nested lines."""
        return "\n".join(_rules(self.root, 0))

    def save(self, path: str | Path) -> None:
        """As JSON that people can read. Raises DiskError."""
        row = {
            "format": FORMAT,
            "features": list(FEATURES),
            "threshold": self.threshold,
            "validation": self.validation,
            "tree": asdict(self.root),
        }
        with atomic_write(path) as stream:
            json.dump(row, stream, indent=1)
            stream.write("\n")

    @classmethod
    def load(cls, path: str | Path) -> ChainJudge:
        """Raises MissingFileError, or BadRowError for a file that is no tree of this version."""
        try:
            row = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as problem:
            raise MissingFileError(
                f"{path}: cannot be read ({problem.strerror}); give a tree that `luthier probe tree fit` wrote"
            ) from None
        except ValueError as problem:
            raise BadRowError(f"not JSON ({problem})", path) from None
        try:
            if row["format"] != FORMAT:
                raise BadRowError(f"format {row['format']!r} where {FORMAT!r} was expected", path)
            return cls(_node(row["tree"]), float(row["threshold"]), row.get("validation"))
        except (KeyError, TypeError, ValueError) as problem:
            raise BadRowError(f"not a tree that judges chains ({type(problem).__name__}: {problem})", path) from None


def grow(x: np.ndarray, y: np.ndarray, growth: Growth) -> Node:
    """A full tree. x: (chains, features); y: (chains,), True for wrong. The two classes weigh the same."""
    import numpy as np

    faults = int(y.sum())
    weights = np.where(y, len(y) / (2 * max(1, faults)), len(y) / (2 * max(1, len(y) - faults)))
    least = max(growth.least, math.ceil(growth.least_share * len(y)))
    return _grow(x, y, weights / weights.sum(), least, growth.depth)


def _grow(x: np.ndarray, y: np.ndarray, weights: np.ndarray, least: int, depth: int) -> Node:
    total = float(weights.sum())
    share = float(weights[y].sum() / total)
    node = Node(share, len(y), int(y.sum()), total * 2 * share * (1 - share))
    split = _best_split(x, y, weights, least) if depth and 0 < node.faults < len(y) else None
    if split is not None:
        column, threshold = split
        below = x[:, column] <= threshold
        node.feature, node.threshold = FEATURES[column], threshold
        node.below = _grow(x[below], y[below], weights[below], least, depth - 1)
        node.above = _grow(x[~below], y[~below], weights[~below], least, depth - 1)
    return node


def _best_split(x: np.ndarray, y: np.ndarray, weights: np.ndarray, least: int) -> tuple[int, float] | None:
    """The feature and the threshold that lower the weighted Gini impurity most; the first of equals."""
    import numpy as np

    best: tuple[float, int, float] | None = None
    whole, wrong = weights.sum(), (weights * y).sum()
    start = 2 * wrong * (whole - wrong) / whole
    for column in range(x.shape[1]):
        order = np.argsort(x[:, column], kind="stable")
        values = x[order, column]
        left, left_wrong = weights[order].cumsum()[:-1], (weights * y)[order].cumsum()[:-1]
        right, right_wrong = whole - left, wrong - left_wrong
        cost = 2 * left_wrong * (left - left_wrong) / left + 2 * right_wrong * (right - right_wrong) / right
        counts = np.arange(1, len(values))
        allowed = (values[1:] > values[:-1]) & (counts >= least) & (len(values) - counts >= least)
        if not allowed.any():
            continue
        cost = np.where(allowed, cost, np.inf)
        at = int(cost.argmin())
        if cost[at] < start - 1e-12 and (best is None or cost[at] < best[0] - 1e-12):
            best = (float(cost[at]), column, float((values[at] + values[at + 1]) / 2))
    return None if best is None else best[1:]


def prune(node: Node, alpha: float) -> Node:
    """The subtree that is cheapest when each leaf costs `alpha`; the node itself is not changed."""
    if node.below is None or node.above is None:
        return node
    below, above = prune(node.below, alpha), prune(node.above, alpha)
    if node.cost <= _cost(below) + _cost(above) + alpha * (_leaves(below) + _leaves(above) - 1):
        return Node(node.wrong, node.chains, node.faults, node.cost)
    return Node(node.wrong, node.chains, node.faults, node.cost, node.feature, node.threshold, below, above)


def probability(node: Node, values: Sequence[float]) -> float:
    """The share of wrong chains in the leaf that these features lead to."""
    while node.below is not None and node.above is not None:
        node = node.below if values[FEATURES.index(str(node.feature))] <= node.threshold else node.above
    return node.wrong


def best_threshold(p: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The probability from which flagging gives the best F1 of "wrong", half-way between two that occur, and that F1; the highest of equals."""
    import numpy as np

    occurring = np.unique(np.round(p, 9))
    best = (1.0, 0.0)
    for threshold in [occurring[0] / 2, *((occurring[1:] + occurring[:-1]) / 2)]:
        flagged = p >= threshold
        hit = int((flagged & y).sum())
        f1 = 2 * hit / (int(flagged.sum()) + int(np.asarray(y).sum()))
        if f1 >= best[1]:
            best = (float(threshold), f1)
    return best


def grouped_folds(groups: Sequence[str], folds: int, seed: int) -> list[int]:
    """A fold for each entry; entries of one group share it, and folds have about equally many groups."""
    names = sorted(set(groups))
    Random(seed).shuffle(names)
    place = {name: number % folds for number, name in enumerate(names)}
    return [place[group] for group in groups]


def _alphas(root: Node) -> list[float]:
    """The prices of a leaf at which the pruned tree changes, from 0 to what leaves the root alone."""
    found, node = [0.0], root
    while node.below is not None:
        price = min(_weakest(node))
        found.append(max(price, found[-1]))
        node = prune(node, price * (1 + 1e-9) + 1e-12)
    return found


def _weakest(node: Node) -> list[float]:
    if node.below is None or node.above is None:
        return []
    saved = node.cost - _cost(node)
    return [saved / (_leaves(node) - 1), *_weakest(node.below), *_weakest(node.above)]


def _cost(node: Node) -> float:
    return node.cost if node.below is None or node.above is None else _cost(node.below) + _cost(node.above)


def _leaves(node: Node) -> int:
    return 1 if node.below is None or node.above is None else _leaves(node.below) + _leaves(node.above)


def _rules(node: Node, depth: int) -> list[str]:
    pad = "  " * depth
    if node.below is None or node.above is None:
        return [f"{pad}wrong {node.wrong:.0%}   ({node.faults} of {node.chains} chains)"]
    return [
        f"{pad}if {node.feature} <= {node.threshold:.4g}:",
        *_rules(node.below, depth + 1),
        f"{pad}else:",
        *_rules(node.above, depth + 1),
    ]


def _node(row: Any) -> Node:
    node = Node(float(row["wrong"]), int(row["chains"]), int(row["faults"]), float(row["cost"]))
    if row["feature"] is not None:
        if row["feature"] not in FEATURES:
            raise ValueError(f"unknown feature {row['feature']!r}")
        node.feature, node.threshold = row["feature"], float(row["threshold"])
        node.below, node.above = _node(row["below"]), _node(row["above"])
    return node


def _entropy(p: np.ndarray) -> float:
    import numpy as np

    kept = p[p > 0]
    return float(-(kept * np.log(kept)).sum())
