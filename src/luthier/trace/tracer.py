"""A tracer of learners: fitted once, then one small state a learner that every answer updates in constant time (SINKT, arXiv 2407.01245).

Items and concepts added later take their place by text and graph, without training; what is predicted for the old ones stays as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from luthier.errors import BadRowError, SettingsError
from luthier.models.embedder import unit_length
from luthier.progress import Progress, quiet
from luthier.statistics.logits import sigmoid
from luthier.statistics.rates import Z95
from luthier.trace.answers import AnswerLog, Catalogue, Concept, Edge, Item
from luthier.trace.bank import Bank, padded
from luthier.trace.calibration import Platt, fit_platt, fit_spreads, spread_at
from luthier.trace.fitting import Epoch, fit, predict_log
from luthier.trace.graph import build_graph, check_prerequisites, nearest_relations
from luthier.trace.learner_model import GraphTracer
from luthier.trace.sequences import Answers
from luthier.trace.settings import TracerSettings, encoder_on
from luthier.trace.sinkt import Nodes, SinktSettings
from luthier.trace.splits import Split, split_learners
from luthier.trace.stepping import ItemTable, LearnerState, Stepper
from luthier.trace.texts import TextVectors, text_vectors
from luthier.trace.tracer_files import Encoded, SavedTracer, not_a_tracer, read_tracer, write_tracer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from luthier.models.embedder import Embedder
    from luthier.models.embedding_cache import EmbeddingCache


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
        self,
        settings: TracerSettings | None = None,
        *,
        embedder: Embedder | None = None,
        cache: EmbeddingCache | None = None,
        device: str = "auto",
    ) -> None:
        """embedder: in place of the one that the settings name. device: of the one that they name, as `--device` has it."""
        self.settings = settings or TracerSettings()
        self._embedder, self._cache, self._device = embedder, cache, device

    @property
    def embedder(self) -> Embedder:
        if self._embedder is None:
            self._embedder = encoder_on(self.settings.encoder, self._device)
        return self._embedder

    def fit(self, log: AnswerLog, split: Split | None = None, *, folder: Path | None = None, progress: Progress = quiet) -> Fitted:
        """Learn from the train part of a split (nine learners of ten where None), and calibrate on its valid part.

        folder: finished epochs are kept there. Raises SettingsError where prerequisites go round in a circle or nothing can be learnt.
        """
        split = split or split_learners(log, shares=(0.9, 0.1, 0.0), seed=self.settings.fit.seed)
        train, valid = split.part(log, "train"), split.part(log, "valid")
        self.module = self._new_module(log.catalogue, len(log.catalogue.items))
        epochs = fit(self.module, train, valid, self.settings.fit, folder=folder, progress=progress)
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

    def save(self, folder: str | Path) -> Path:
        """Write everything to a folder; `Tracer.load` reads it. Raises DiskError, and SettingsError where a number is not finite."""
        bank, module = self.bank, self.module
        tensors = {f"module.{name}": each.numpy() for name, each in module.state_dict().items()}
        tensors |= {"texts.question": module.question_texts.numpy(), "texts.concept": module.concept_texts.numpy()}
        tensors |= {"rates": module.item_rates.numpy(), "trained": bank.trained.astype(np.uint8)}
        for depth, nodes in enumerate(bank.layers):
            tensors |= {f"layer.{depth}.{name}": each.numpy() for name, each in nodes._asdict().items()}
        for kind, table in (("table", bank.table), ("virtual", bank.virtual)):
            tensors |= {f"{kind}.{name}": each for name, each in table._asdict().items()}
        encoded = Encoded(len(module.node_of_item), len(module.concept_texts), module.expert_edges)
        saved = SavedTracer(
            self.settings, module.sinkt.settings, self.platt, self.spreads, self.version, bank.attached, encoded, bank.catalogue, tensors
        )
        return write_tracer(saved, folder)

    @staticmethod
    def load(folder: str | Path, *, embedder: Embedder | None = None, cache: EmbeddingCache | None = None, device: str = "auto") -> Tracer:
        """A tracer that was saved: it gives the predictions it gave. embedder, device: as of `Tracer`. Raises MissingFileError, BadRowError."""
        saved = read_tracer(folder)
        tracer = Tracer(saved.settings, embedder=embedder, cache=cache, device=device)
        try:
            tracer._fill(saved)
        except (ValueError, KeyError, TypeError, IndexError, RuntimeError) as problem:
            raise not_a_tracer(folder, problem) from None
        return tracer

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
        edges = self._edges(catalogue, texts)
        shapes = {name: value for name, value in asdict(self.settings).items() if name not in ("encoder", "graph", "fit")}
        settings = SinktSettings(texts.concept.shape[1], items=items, **shapes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.fit.seed)
            return GraphTracer(settings, build_graph(catalogue.with_edges(edges)), texts, len(catalogue.edges))

    def _fill(self, saved: SavedTracer) -> None:
        """Take the place of the tracer that was saved."""
        whole, tensors, encoded = saved.catalogue, saved.tensors, saved.encoded
        part = Catalogue(whole.items[: encoded.items], whole.concepts[: encoded.concepts], whole.edges[: encoded.edges])
        texts = TextVectors(tensors["texts.question"], tensors["texts.concept"])
        module = GraphTracer(saved.shapes, build_graph(part.with_edges(self._edges(part, texts))), texts, encoded.edges)
        module.load_state_dict({name[7:]: torch.from_numpy(each) for name, each in tensors.items() if name.startswith("module.")})
        module.item_rates = torch.from_numpy(tensors["rates"])
        module.train(False)
        self.module, self.stepper = module, Stepper(module.sinkt)
        depth = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("layer."))
        layers = [Nodes(*(torch.from_numpy(tensors[f"layer.{at}.{kind}"]) for kind in Nodes._fields)) for at in range(depth)]
        table, virtual = (ItemTable(*(tensors[f"{kind}.{name}"] for name in ItemTable._fields)) for kind in ("table", "virtual"))
        trained, encoder = tensors["trained"].astype(bool), module.sinkt.encoder
        self.bank = Bank(whole, layers, table, trained, encoder=encoder, stepper=self.stepper, encode=self.encode, virtual=virtual)
        self.bank.attached, self.platt, self.spreads, self.version = saved.attached, saved.platt, saved.spreads, saved.version

    def _edges(self, catalogue: Catalogue, texts: TextVectors) -> list[Edge]:
        """The relations between concepts that the settings name."""
        edges = list(catalogue.edges) if "expert" in self.settings.graph else []
        if "knn" in self.settings.graph and len(catalogue.concepts) > 1:
            edges += nearest_relations(catalogue, texts.concept)
        return edges

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
