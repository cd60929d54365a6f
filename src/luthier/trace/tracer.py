"""A tracer of learners: fitted once, then one small state a learner that every answer updates in constant time (SINKT, arXiv 2407.01245).

Items and concepts added later take their place by text and graph, without training; what is predicted for the old ones stays as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from luthier.errors import BadRowError, SettingsError
from luthier.models.embedder import unit_length
from luthier.statistics.logits import sigmoid
from luthier.statistics.rates import Z95
from luthier.trace.answers import AnswerLog, Catalogue, Concept, Edge, Item
from luthier.trace.bank import Bank, padded
from luthier.trace.calibration import Platt, fit_platt, fit_spreads, spread_at
from luthier.trace.fitting import Epoch, FitSettings, fit, predict_log
from luthier.trace.graph import build_graph, check_prerequisites, nearest_relations
from luthier.trace.learner_model import GraphTracer
from luthier.trace.sequences import Answers
from luthier.trace.sinkt import Nodes, SinktSettings
from luthier.trace.splits import Split, split_learners
from luthier.trace.stepping import LearnerState, Stepper
from luthier.trace.texts import open_embedder, text_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from luthier.models.embedder import Embedder
    from luthier.models.embedding_cache import EmbeddingCache
    from luthier.trace.advice import Influence, Recommendation

GRAPHS = ("qmatrix", "expert", "knn")


@dataclass(frozen=True)
class TracerSettings:
    """encoder: `minilm`, `static` or a folder. graph: `qmatrix` always; `expert` for the catalogue's own relations, `knn` for nearest texts.

    The rest as in `SinktSettings`; fit: how it is trained.
    """

    encoder: str = "minilm"
    graph: tuple[str, ...] = ("qmatrix", "expert")
    dim: int = 64
    layers: int = 2
    attention: Literal["projected", "raw"] = "projected"
    dropout: float = 0.3
    item_residual: bool = True
    evidence: bool = True
    fit: FitSettings = field(default_factory=FitSettings)


class Mastery(NamedTuple):
    """The chance that an item of the concept is answered right, its 95 % interval, and the answers on the concept that it rests on."""

    chance: float
    low: float
    high: float
    answers: float


class Fitted(NamedTuple):
    """What a fit found: its epochs, and the split it was made on."""

    epochs: tuple[Epoch, ...]
    split: Split


class Tracer:
    """Fit on answers, or `Tracer.load` one that was saved.

    module: the torch model; bank: items and concepts with their vectors; stepper: the weights for one answer at a time; platt: how logits of
    trained and of other items become chances; spreads: of mastery, by evidence; version: changes where stored states lose their meaning.
    """

    module: GraphTracer
    bank: Bank
    stepper: Stepper
    platt: tuple[Platt, Platt]
    spreads: list[float]
    version: str

    def __init__(
        self, settings: TracerSettings | None = None, *, embedder: Embedder | None = None, cache: EmbeddingCache | None = None
    ) -> None:
        """embedder: in place of the one that the settings name. Raises SettingsError for a kind of graph that there is not."""
        self.settings = settings or TracerSettings()
        wrong = next((kind for kind in self.settings.graph if kind not in GRAPHS), None)
        if wrong is not None:
            raise SettingsError(f"there is no graph {wrong!r}; choose {', '.join(GRAPHS)}")
        self._embedder, self._cache = embedder, cache

    @property
    def embedder(self) -> Embedder:
        if self._embedder is None:
            self._embedder = open_embedder(self.settings.encoder)
        return self._embedder

    def fit(
        self, log: AnswerLog, split: Split | None = None, *, folder: Path | None = None, tell: Callable[[str], None] = lambda _: None
    ) -> Fitted:
        """Learn from the train part of a split (nine learners of ten where None), and calibrate on its valid part.

        folder: finished epochs are kept there. Raises SettingsError where prerequisites go round in a circle or nothing can be learnt.
        """
        split = split or split_learners(log, shares=(0.9, 0.1, 0.0), seed=self.settings.fit.seed)
        train, valid = split.part(log, "train"), split.part(log, "valid")
        self.module = self._new_module(log.catalogue, len(log.catalogue.items))
        epochs = fit(self.module, train, valid, self.settings.fit, folder=folder, tell=tell)
        trained = np.zeros(len(log.catalogue.items), dtype=bool)
        trained[np.unique(train.item)] = True
        self._calibrate(valid)
        self._freeze(log.catalogue, trained)
        return Fitted(tuple(epochs), split)

    def start(self) -> LearnerState:
        """A learner of whom nothing is known."""
        return self.stepper.start(len(self.bank.concepts), self.version)

    def update(self, state: LearnerState, item: str, correct: float) -> LearnerState:
        """The state after an answer; correct in [0, 1]. Raises BadRowError for an unknown item or a score outside, SettingsError for a state of another graph."""
        self._check(state)
        if not 0 <= correct <= 1:
            raise BadRowError(f"correct is {correct}; it must lie between 0 and 1")
        row = self.bank.row(item)
        return self.stepper.update(state, self.bank.table.concept[row], self.bank.members[row], float(correct))

    def replay(self, answers: Iterable[tuple[str, float]]) -> LearnerState:
        """The state after a whole history."""
        state = self.start()
        for item, correct in answers:
            state = self.update(state, item, correct)
        return state

    def predict(self, state: LearnerState, items: Sequence[str] | None = None) -> dict[str, float]:
        """The calibrated chance of each item, of all of them where None."""
        rows = np.arange(len(self.bank.items)) if items is None else np.array([self.bank.row(item) for item in items], dtype=np.int64)
        names = self.bank.items
        return {names[row].item: float(chance) for row, chance in zip(rows, self.chances(state, rows), strict=True)}

    def chances(self, state: LearnerState, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The same by places of items, (n,) -> (n,)."""
        self._check(state)
        logits = self.stepper.logits(state, self.bank.table.part[rows], *self.bank.counts(state, rows))
        return self.calibrated(logits, self.bank.trained[rows])

    def calibrated(self, logits: NDArray[np.float64], trained: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Chances from logits; items that training answered have a scale of their own. (n,), (n,) -> (n,)."""
        return np.where(trained, self.platt[0].chance(logits), self.platt[1].chance(logits))

    def mastery(self, state: LearnerState, concepts: Sequence[str] | None = None) -> dict[str, Mastery]:
        """Of each concept the chance of an item that asks nothing else, with interval and evidence."""
        self._check(state)
        many = len(self.bank.concepts)
        rows = np.arange(many) if concepts is None else np.array([self.bank.concept_row(name) for name in concepts], dtype=np.int64)
        answers, right = (padded(each, many)[rows] for each in (state.concept_answers, state.concept_right))
        logits = self.stepper.logits(state, self.bank.virtual.part[rows], answers, right)
        middle = self.platt[1].scale * logits + self.platt[1].shift
        reach = Z95 * spread_at(self.spreads, answers.astype(np.float64))
        middle, low, high = (sigmoid(middle + side * reach) for side in (0, -1, 1))
        return {
            self.bank.concepts[row].concept: Mastery(float(middle[at]), float(low[at]), float(high[at]), float(answers[at]))
            for at, row in enumerate(rows)
        }

    def add_items(self, items: Sequence[Item]) -> None:
        """New questions read the concepts and nothing reads them: old predictions and stored states stay as they are. Raises BadRowError."""
        self.bank.add_items(items)

    def add_concepts(self, concepts: Sequence[Concept], edges: Sequence[Edge] = ()) -> None:
        """New concepts read the sources of edges that lead to them; edges to old concepts wait for `refresh`. Raises BadRowError."""
        self.bank.add_concepts(concepts, edges)

    def refresh(self) -> None:
        """Encode the whole enlarged graph anew: old vectors move, so the version changes and states must be replayed."""
        catalogue, trained, before = self.bank.catalogue, self.bank.trained, self.module
        self.module = self._new_module(catalogue, before.sinkt.settings.items)
        self.module.load_state_dict(before.state_dict())
        self.module.item_rates[: len(before.item_rates)] = before.item_rates
        self._freeze(catalogue, trained)

    def recommend(
        self, state: LearnerState, n: int = 10, target: tuple[float, float] = (0.4, 0.7), respect_prereq: bool = True
    ) -> list[Recommendation]:
        """Items to ask next, see `luthier.trace.advice.recommend`."""
        from luthier.trace.advice import recommend

        return recommend(self, state, n, target, respect_prerequisites=respect_prereq)

    def explain(self, history: Sequence[tuple[str, float]], item: str) -> tuple[float, list[Influence]]:
        """The chance of an item after a history, and what each answer changed, see `luthier.trace.advice.explain`."""
        from luthier.trace.advice import explain

        return explain(self, history, item)

    def save(self, folder: str | Path) -> Path:
        """Write everything to a folder; `Tracer.load` reads it."""
        from luthier.trace.tracer_files import save_tracer

        return save_tracer(self, folder)

    @staticmethod
    def load(folder: str | Path) -> Tracer:
        """A tracer that was saved. Raises MissingFileError, BadRowError."""
        from luthier.trace.tracer_files import load_tracer

        return load_tracer(folder)

    def export(self, path: str | Path) -> Path:
        """Write one step as an ONNX graph, see `luthier.trace.tracer_files.export_onnx`."""
        from luthier.trace.tracer_files import export_onnx

        return export_onnx(self, path)

    def concepts_of(self, item: str) -> tuple[str, ...]:
        """The names of an item's concepts. Raises BadRowError."""
        return tuple(self.bank.concepts[place].concept for place in self.bank.members[self.bank.row(item)])

    @property
    def catalogue(self) -> Catalogue:
        return self.bank.catalogue

    def _new_module(self, catalogue: Catalogue, items: int) -> GraphTracer:
        """Fresh weights on the graph of a catalogue; items: how many of them have a residual."""
        check_prerequisites(catalogue.edges)
        texts = text_vectors(build_graph(catalogue), self.embedder, self._cache)
        edges = list(catalogue.edges) if "expert" in self.settings.graph else []
        if "knn" in self.settings.graph and len(catalogue.concepts) > 1:
            edges += nearest_relations(catalogue, texts.concept)
        shapes = {name: value for name, value in asdict(self.settings).items() if name not in ("encoder", "graph", "fit")}
        settings = SinktSettings(texts.concept.shape[1], items=items, **shapes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.fit.seed)
            return GraphTracer(settings, build_graph(catalogue.with_edges(edges)), texts, len(catalogue.edges))

    def _calibrate(self, valid: AnswerLog) -> None:
        """On validation learners, of items with their residual and of the same items by text alone, as unseen ones are read."""
        self.platt, self.spreads = (Platt(), Platt()), [1.0] * 5
        if len(valid):
            answers = Answers(valid)
            full, text = (predict_log(self.module, answers, text_only=only) for only in (False, True))
            self.platt = (fit_platt(full, valid.correct), fit_platt(text, valid.correct))
            self.spreads = fit_spreads(self.platt[0].scale * full + self.platt[0].shift, valid)

    def _freeze(self, catalogue: Catalogue, trained: NDArray[np.bool_]) -> None:
        """The tables for one answer at a time."""
        self.module.train(False)
        with torch.inference_mode():
            layers = [Nodes(*(each.clone() for each in nodes)) for nodes in self.module.layers()]
            nodes, means = self.module.vectors()
            node = self.module.node_of_item
            question = self.module.sinkt.item_vectors(nodes.question[node], self.module.residual_row)
        self.stepper = Stepper(self.module.sinkt)
        table = self.stepper.table(question.numpy(), means[node].numpy(), self.module.item_rates.numpy())
        self.bank = Bank(catalogue, layers, table, trained, encoder=self.module.sinkt.encoder, stepper=self.stepper, encode=self.encode)
        self.version = _version(layers[-1], self.stepper)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """New texts, past the cache on disk, whose shards are made for many; rounded as it rounds them."""
        return unit_length(self.embedder.encode(list(texts)).astype(np.float16).astype(np.float32))

    def _check(self, state: LearnerState) -> None:
        if state.version != self.version:
            raise SettingsError(
                f"the state comes from version {state.version} of the graph, the tracer is at {self.version}; replay the learner's answers"
            )


def _version(nodes: Nodes, stepper: Stepper) -> str:
    digest = hashlib.sha256(nodes.concept.numpy().tobytes())
    digest.update(stepper.recurrent.tobytes())
    return digest.hexdigest()[:12]
