"""The diversity head (DDS, arXiv 2406.07850): a small network on a frozen model's own last vector that says how diverse replies should be.

Knows the model it was fitted on by its fingerprint, and refuses another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from luthier.decode.contexts import Context
from luthier.decode.labels import Label, targets
from luthier.decode.mappings import Statistics
from luthier.decode.network import TENSORS, Network, fit_network
from luthier.decode.ridge import fit_ridge
from luthier.decode.settings import Method, Source
from luthier.decode.tap import fingerprint, output_embedding
from luthier.errors import MissingFileError, SettingsError
from luthier.models.local import LocalModel
from luthier.records import JSON, atomic_write

if TYPE_CHECKING:
    import torch

    from luthier.decode.features import Features

WEIGHTS, FOLDS, FACTS = "head.safetensors", "folds.safetensors", "head.json"
FORMAT = 1
METHODS: tuple[Method, ...] = get_args(Method)
SIZES = {"ridge": "strength", "network": "steps"}


@dataclass(frozen=True)
class Outcome:
    """Cross-validation: the network of each fold, which has not seen the fold's contexts, and the fold and score of each context by key."""

    networks: list[Network]
    folds: dict[str, int]
    scores: dict[str, float]


class FittedOn(NamedTuple):
    """The model that a head belongs to. width: of the vectors it reads."""

    name: str
    fingerprint: str
    width: int


@dataclass
class DiversityHead:
    """s = sigmoid(w2 . tanh(W1 h + b1) + b2) of the vector h that makes the logits.

    statistics: mean, 5th and 95th percentile of its out-of-fold scores; entropy: those of the normalised entropy on the same contexts.
    facts: how it was fitted.
    """

    network: Network
    statistics: Statistics
    entropy: Statistics
    model: FittedOn
    facts: JSON = field(default_factory=dict)
    outcome: Outcome | None = None
    reads_states = True

    def scores(self, states: torch.Tensor | None, logits: torch.Tensor | None = None) -> torch.Tensor:
        """(rows, width) -> (rows,), in (0, 1). Raises SettingsError where the width is another model's."""
        if states is None or states.shape[-1] != self.model.width:
            found = "none" if states is None else states.shape[-1]
            raise SettingsError(f"the head reads vectors of {self.model.width} numbers and was given {found}; fit it on this model")
        if self.network.w1.device != states.device:
            self.network = self.network.to(states.device)
        return self.network(states)

    def check(self, model: Any) -> None:
        """Raises SettingsError where `model`, a torch module, is not the one it was fitted on."""
        found = fingerprint(model)
        if found != self.model.fingerprint:
            raise SettingsError(
                f"this head was fitted on the model {self.model.name!r} ({self.model.fingerprint[:8]}) and this is another ({found[:8]});"
                " fit a head for it with `luthier decode fit`"
            )

    @classmethod
    def fit(
        cls,
        model: LocalModel,
        labels: Sequence[Label],
        *,
        source: Source = "blend",
        method: Method = "ridge",
        folds: int = 5,
        hidden: int = 256,
        along: int = 6,
        seed: int = 0,
        features: Features | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> DiversityHead:
        """Fit on labelled contexts; the model stays as it is.

        method: "ridge", in closed form, or "network", trained with `hidden` units, which wants thousands of contexts.
        Each context counts once at its end and once along its first reply (`along` positions share that weight; 0 leaves them out).
        Folds keep groups together; out-of-fold scores are in `outcome`. features: read before, for several fits.
        Raises SettingsError where there is too little to learn from.
        """
        import torch

        from luthier.decode.features import read_features

        if method not in METHODS:
            raise SettingsError(f"method is {method!r}; choose one of {', '.join(METHODS)}")
        keys = [label.context.key for label in labels]
        wanted = torch.tensor(targets(labels, source), dtype=torch.float32)
        fold_of = torch.tensor(assign_folds(labels, folds, seed))
        read = features or read_features(model, labels, along=along, progress=progress)
        rows = _Rows(read, fold_of[read.context], wanted[read.context], _weights(read, len(labels)), hidden, seed)
        scores, networks = torch.zeros(len(labels)), list[Network]()
        fitted = [rows.fit(method, fold, folds) for fold in range(folds)]
        for fold, (network, _) in enumerate(fitted):
            ends = read.first & (rows.folds == fold)
            scores[read.context[ends]] = network(read.states[ends])
            networks.append(network)
        size = sorted(size for _, size in fitted)[folds // 2]
        network, size = rows.fit_all(method, size)
        return cls(
            network,
            statistics_of(scores),
            statistics_of(read.statistics[read.first, 0]),
            describe(model),
            {"source": source, "method": method, "folds": folds, "seed": seed, "contexts": len(labels), SIZES[method]: size, "layer": -1},
            Outcome(networks, dict(zip(keys, fold_of.tolist(), strict=True)), dict(zip(keys, scores.tolist(), strict=True))),
        )

    def without(self, context: Context) -> DiversityHead:
        """The head as fitted without that context's fold; itself where the context was not fitted on, or no folds are kept."""
        fold = None if self.outcome is None else self.outcome.folds.get(context.key)
        return self if fold is None or self.outcome is None else replace(self, network=self.outcome.networks[fold], outcome=None)

    def save(self, folder: Path | str) -> None:
        """`head.safetensors` and `head.json` in a folder, and the networks of the folds in `folds.safetensors`. Raises DiskError."""
        from safetensors.torch import save

        if self.outcome is not None:
            by_fold = {f"{at}.{name}": one for at, network in enumerate(self.outcome.networks) for name, one in network.tensors().items()}
            with atomic_write(Path(folder) / FOLDS, "wb") as stream:
                stream.write(save(by_fold))
        with atomic_write(Path(folder) / WEIGHTS, "wb") as stream:
            stream.write(save(self.network.tensors()))
        told = {
            "format": FORMAT,
            "model": self.model._asdict(),
            "statistics": self.statistics._asdict(),
            "entropy": self.entropy._asdict(),
            "facts": self.facts,
            "folds": {} if self.outcome is None else self.outcome.folds,
            "scores": {} if self.outcome is None else self.outcome.scores,
        }
        with atomic_write(Path(folder) / FACTS) as stream:
            json.dump(told, stream, indent=1, ensure_ascii=False)
            stream.write("\n")

    @classmethod
    def load(cls, folder: Path | str, model: Any = None) -> DiversityHead:
        """What `save` wrote; with a torch module, checked against it. Raises MissingFileError, SettingsError."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = Path(folder)
        if not (path / FACTS).is_file() or not (path / WEIGHTS).is_file():
            raise MissingFileError(f"{folder}: no head here ({FACTS} and {WEIGHTS} are expected); make one with `luthier decode fit`")
        try:
            told, tensors = json.loads((path / FACTS).read_text(encoding="utf-8")), load_file(path / WEIGHTS)
            statistics, entropy = (Statistics(**told[name]) for name in ("statistics", "entropy"))
            head = cls(Network(**tensors), statistics, entropy, FittedOn(**told["model"]), told["facts"])
            fits = tensors["w1"].shape == (len(tensors["b1"]), head.model.width) and tensors["w2"].shape == tensors["b1"].shape
            if (path / FOLDS).is_file() and told.get("folds"):
                head.outcome = Outcome(_by_fold(load_file(path / FOLDS)), told["folds"], told["scores"])
        except (ValueError, KeyError, TypeError, SafetensorError) as problem:
            raise SettingsError(f"{folder}: not a head that can be read ({problem}); make it again with `luthier decode fit`") from problem
        if told.get("format") != FORMAT or not fits:
            raise SettingsError(f"{folder}: a head of another format; make it again with `luthier decode fit`")
        if model is not None:
            head.check(model)
        return head


@dataclass(frozen=True)
class _Rows:
    """Positions with their folds, targets and weights, each (n,)."""

    read: Features
    folds: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    hidden: int
    seed: int

    def fit(self, method: Method, fold: int, folds: int) -> tuple[Network, float]:
        """Without a fold; what stops or strengthens the fit is judged on the folds that are left."""
        rows = self.folds != fold
        x, y, w = self.read.states[rows], self.targets[rows], self.weights[rows]
        if method == "ridge":
            return fit_ridge(x, y, w, self.folds[rows], self.read.first[rows])
        held = (self.folds == (fold + 1) % folds)[rows]
        network, steps = fit_network(x, y, w, hidden=self.hidden, seed=self.seed, held=held)
        return network, float(steps)

    def fit_all(self, method: Method, size: float) -> tuple[Network, float]:
        """On everything; size: the steps a network takes."""
        x, y, w = self.read.states, self.targets, self.weights
        if method == "ridge":
            return fit_ridge(x, y, w, self.folds, self.read.first)
        steps = max(1, int(size))
        return fit_network(x, y, w, hidden=self.hidden, seed=self.seed, steps=steps)[0], steps


def _weights(read: Features, contexts: int) -> torch.Tensor:
    """1 at the end of a context, and 1 shared by the positions of its reply; (n,)."""
    import torch

    along = torch.bincount(read.context[~read.first], minlength=contexts).clamp(min=1)
    return torch.where(read.first, torch.tensor(1.0), 1.0 / along[read.context])


def _by_fold(tensors: dict[str, torch.Tensor]) -> list[Network]:
    count = len(tensors) // len(TENSORS)
    return [Network(**{name: tensors[f"{fold}.{name}"] for name in TENSORS}) for fold in range(count)]


def describe(model: LocalModel) -> FittedOn:
    """What a head that is fitted on a model keeps of it."""
    module = model.module
    return FittedOn(model.name, fingerprint(module), int(output_embedding(module).weight.shape[1]))


def statistics_of(scores: torch.Tensor) -> Statistics:
    """Mean and outer percentiles of training scores (n,)."""
    import torch

    low, high = torch.quantile(scores.double(), torch.tensor([0.05, 0.95], dtype=torch.float64)).tolist()
    return Statistics(float(scores.mean()), low, high)


def assign_folds(labels: Sequence[Label], folds: int, seed: int) -> list[int]:
    """A fold for each label: whole groups, the largest first into the emptiest fold, in seeded order. Raises SettingsError."""
    from random import Random

    if folds < 3:
        raise SettingsError(f"folds is {folds}; at least 3 are needed, to train, to stop and to test")
    sizes: dict[str, int] = {}
    for label in labels:
        name = label.context.group or label.context.key
        sizes[name] = sizes.get(name, 0) + 1
    if len(sizes) < folds:
        raise SettingsError(f"{len(sizes)} groups of contexts cannot fill {folds} folds; give more data, or groups, or fewer folds")
    names = sorted(sizes)
    Random(f"folds/{seed}").shuffle(names)
    filled, place = [0] * folds, dict[str, int]()
    for name in sorted(names, key=lambda one: -sizes[one]):
        place[name] = min(range(folds), key=lambda fold: filled[fold])
        filled[place[name]] += sizes[name]
    return [place[label.context.group or label.context.key] for label in labels]
