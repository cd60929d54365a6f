"""A tracer whose state does not depend on the order of answers: abilities by concept, difficulties of items from answers and from text.

The face is that of `luthier.trace.tracer.Tracer`, which reads the order: take this one for exams, evaluations of models, and wherever time has
no meaning. The learner's state is a small array (`luthier.trace.ability`); items added later have the difficulty that their text tells.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from luthier.errors import BadRowError, MissingFileError
from luthier.models.embedder import Embedder
from luthier.models.embedding_cache import EmbeddingCache
from luthier.records.files import atomic_write
from luthier.trace.answers import AnswerLog, Catalogue, Concept, Edge, Item
from luthier.trace.calibrated import CalibratedItems, read_calibrated, write_calibrated
from luthier.trace.difficulty import TextDifficulty, calibrate_with_text, text_features
from luthier.trace.item_response import Calibration
from luthier.trace.texts import open_embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

TEXT = "text.safetensors"
_TENSORS = ("centre", "scale", "weights", "spread", "left_out")
_NUMBERS = ("middle", "doubt", "penalty", "correlation", "items")


class ConceptMastery(NamedTuple):
    """The chance of a right answer to a concept's items, its 95 % interval, and the answers on the concept that it rests on."""

    chance: float
    low: float
    high: float
    answers: int


class OrderFreeTracer:
    """Fit on answers, or `OrderFreeTracer.load` one that was saved.

    encoder: `minilm`, `static` or a folder; reads the text of an item or, where it has none, the texts of its concepts. parameters: of an
    item, 1 or 2. calibration: of the items that were fitted on; text: None where too few of them have answers.
    """

    calibration: Calibration
    text: TextDifficulty | None
    catalogue: Catalogue

    def __init__(
        self, encoder: str = "minilm", parameters: int = 1, *, embedder: Embedder | None = None, cache: EmbeddingCache | None = None
    ) -> None:
        """embedder: in place of the one that `encoder` names."""
        self.encoder, self.parameters, self._embedder, self._cache = encoder, parameters, embedder, cache

    def fit(self, log: AnswerLog) -> None:
        """Calibrate the items of a log, those with few answers by their text as well."""
        self.catalogue = log.catalogue
        written = [item._replace(text=self._written(item)) for item in log.catalogue.items]
        told = replace(log, catalogue=replace(log.catalogue, items=tuple(written)))
        self.calibration, self.text = calibrate_with_text(told, self._features, self.parameters)
        self._fitted = self._model = self.calibration.model(log)

    # --- a learner ----------------------------------------------------------------------------------------------------------

    def start(self) -> Array:
        """A learner of whom nothing is known."""
        return self._model.start()

    def update(self, state: Array, item: str, correct: float) -> Array:
        """The state after one more answer, in constant time; the order of updates changes nothing. Raises BadRowError or SettingsError."""
        return self._model.update(self._wide(state), self._place(item), correct)

    def replay(self, answers: Iterable[tuple[str, float]]) -> Array:
        """The state after a whole history."""
        import numpy as np

        rows = [(self._place(item), correct) for item, correct in answers]
        return self._model.state_of(np.array([row[0] for row in rows], dtype=np.int64), np.array([row[1] for row in rows]))

    def predict(self, state: Array, items: Sequence[str] | None = None) -> dict[str, float]:
        """The chance of a right answer to each item, of all of them where None. Raises BadRowError for an unknown one."""
        names = [item.item for item in self.catalogue.items] if items is None else items
        chances = self._model.predict(self._wide(state), [self._place(name) for name in names])
        return dict(zip(names, chances.tolist(), strict=True))

    def mastery(self, state: Array, concepts: Sequence[str] | None = None) -> dict[str, ConceptMastery]:
        """By concept, of all of them where None; over the items that were fitted on. Raises BadRowError for an unknown one."""
        model = replace(self._fitted, concepts=self._model.concepts)
        known = model.mastery(self._wide(state))
        places = self.catalogue.concept_places
        names = list(places) if concepts is None else concepts
        missing = next((name for name in names if name not in places), None)
        if missing is not None:
            raise BadRowError(f"the concept {missing!r} is not known")
        return {
            name: ConceptMastery(float(known.probability[at]), float(known.low[at]), float(known.high[at]), int(known.evidence[at]))
            for name in names
            for at in (places[name],)
        }

    # --- what comes later ---------------------------------------------------------------------------------------------------

    def add_items(self, items: Sequence[Item]) -> None:
        """New items, of known concepts, have the difficulty their text tells, and its doubt; nothing else moves. Raises BadRowError."""
        import numpy as np

        catalogue = replace(self.catalogue, items=(*self.catalogue.items, *items))
        model, many = self._model, len(items)
        if self.text is None:
            mean, sd = (np.full(many, float(each.mean())) for each in self.calibration.prior)
        else:
            mean, sd = self.text.predict(self._features([self._written(item) for item in items]))
        doubt = np.zeros(len(model.difficulty)) if model.difficulty_sd is None else model.difficulty_sd
        self._model = replace(
            model,
            difficulty=np.r_[model.difficulty, mean],
            difficulty_sd=np.r_[doubt, sd],
            concepts_of=catalogue.concepts_of,
            discrimination=np.r_[model.slopes, np.ones(many)],
        )
        self.catalogue = catalogue

    def add_concepts(self, concepts: Sequence[Concept], edges: Sequence[Edge] = ()) -> None:
        """New concepts, of which no learner is known to know anything yet; stored states stay valid. Raises BadRowError."""
        known = self.catalogue
        self.catalogue = replace(known, concepts=(*known.concepts, *concepts), edges=(*known.edges, *edges))
        self._model = replace(self._model, concepts=len(self.catalogue.concepts))

    # --- on disk ------------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> Path:
        """Write what was fitted (items added later are not) as safetensors. Raises DiskError."""
        import numpy as np
        from safetensors.numpy import save

        folder, model = Path(folder), self._fitted
        fitted = replace(self.catalogue, items=self.catalogue.items[: len(model.difficulty)])
        told = replace(self.calibration, sd=model.sd)
        write_calibrated(folder / "calibration.safetensors", CalibratedItems(told, fitted, model.spread))
        numbers = {} if self.text is None else {name: getattr(self.text, name) for name in _NUMBERS}
        tensors = {} if self.text is None else {name: np.ascontiguousarray(getattr(self.text, name)) for name in _TENSORS}
        about = {"encoder": self.encoder, "parameters": self.parameters, "numbers": numbers}
        with atomic_write(folder / TEXT, "wb") as stream:
            stream.write(save(tensors, {"luthier": json.dumps(about)}))
        return folder

    @staticmethod
    def load(folder: str | Path) -> OrderFreeTracer:
        """A tracer that was saved; texts of its items are not kept. Raises MissingFileError or BadRowError."""
        from safetensors import SafetensorError, safe_open

        file, items = Path(folder) / TEXT, read_calibrated(folder)
        if not file.is_file():
            raise MissingFileError(f"{file} does not exist; give the folder of a saved order-free tracer")
        try:
            with safe_open(file, "numpy") as opened:
                about = json.loads(opened.metadata()["luthier"])
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # not a dict
            tracer = OrderFreeTracer(str(about["encoder"]), int(about["parameters"]))
            tracer.text = TextDifficulty(**tensors, **about["numbers"]) if tensors else None
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
            raise BadRowError(f"not a saved tracer ({type(problem).__name__}: {problem})", file) from None
        tracer.calibration, tracer.catalogue = items.calibration, items.catalogue
        tracer._fitted = tracer._model = items.model()
        return tracer

    # --- names and texts ----------------------------------------------------------------------------------------------------

    def _place(self, item: str) -> int:
        place = self.catalogue.item_places.get(item)
        if place is None:
            raise BadRowError(f"the item {item!r} is not known; add it with add_items")
        return place

    def _written(self, item: Item) -> str:
        if item.text.strip():
            return item.text
        texts = {concept.concept: concept.text or concept.concept for concept in self.catalogue.concepts}
        return ", ".join(texts.get(name, name) for name in item.concepts)

    def _features(self, texts: Sequence[str]) -> Array:
        self._embedder = self._embedder or open_embedder(self.encoder)
        return text_features(texts, self._embedder, self._cache)

    def _wide(self, state: Array) -> Array:
        """The state with a row for concepts that were added after it was stored."""
        import numpy as np

        missing = self._model.concepts + 1 - len(state)
        return state if missing <= 0 else np.insert(state, [len(state) - 1] * missing, 0.0, axis=0)
