"""The runs behind a diversity head: label contexts by how diverse replies to them are, and fit a head to the labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.decode import label_page, page
from luthier.decode.labels import LABELS, REPLIES, SIMILARITIES
from luthier.decode.settings import FitSettings, LabelSettings
from luthier.errors import SettingsError
from luthier.models.opening import require
from luthier.progress import Progress, quiet
from luthier.records import JSON, write_jsonl
from luthier.run import Run
from luthier.run.folder import Read

if TYPE_CHECKING:
    from luthier.decode.contexts import Context
    from luthier.decode.labels import DiversityLabeler, Label
    from luthier.models.local import LocalModel

SIDE_BY_SIDE = 64  # replies to one context are read once, and drawn at the same time


def label(settings: LabelSettings, out: Path, progress: Progress = quiet) -> Run:
    """Write `labels.jsonl` in `out`; a stopped run asks no reply twice.

    Raises SettingsError where nothing comes of the settings, and what opening the model and reading the contexts raise.
    """
    labelling = _Labelling(settings, _contexts(settings), out, settings.open(), progress)
    if settings.encoder is None:
        require(labelling.model, "module", "comparing replies by the model's own states")
    replying = [*settings.data, *(name for name, _ in settings.reads())]
    reads: list[Read] = [*settings.data, *settings.reads(), *([settings.encoder] if settings.encoder else [])]
    with Run(out, "decode label", settings, reads=reads, progress=progress, draw=label_page.draw) as made:
        uses = [name for name in made.settings if name != "encoder"]
        made.step("replies", labelling.reply, uses=uses, reads=replying, files=[REPLIES] if settings.samples else [])
        made.step("labels", labelling.measure, files=[SIMILARITIES, LABELS], after=["replies"])
    return made


class _Labelling:
    """What the steps of a labelling work on; the encoder is loaded where one of them needs it."""

    def __init__(self, settings: LabelSettings, contexts: Sequence[Context], folder: Path, model: Any, progress: Progress) -> None:
        self.settings, self.contexts, self.folder, self.model, self.progress = settings, contexts, folder, model, progress
        if settings.endpoint is None:
            model.batch_size = SIDE_BY_SIDE

    @cached_property
    def labeler(self) -> DiversityLabeler:
        from luthier.decode.labels import DiversityLabeler
        from luthier.decode.similarity import StateEncoder

        chosen, model = self.settings, self.model
        own = chosen.encoder is None
        encoder = (
            StateEncoder(model.module, model.tokenizer, name=model.name)
            if own
            else StateEncoder.from_folder(chosen.encoder or "", device=chosen.device)
        )
        shared = {name: getattr(chosen, name) for name in ("m", "max_tokens", "temperature", "top_p", "samples", "seed")}
        return DiversityLabeler(model, encoder, **shared)

    def reply(self) -> JSON:
        return {"replies": sum(map(len, self.labeler.sample(self.contexts, self.folder, self.progress)))}

    def measure(self) -> JSON:
        labels = self.labeler.run(self.contexts, self.folder, self.progress)
        kinds = {kind: [label for label in labels if label.context.kind == kind] for kind in ("chat", "fact")}
        means = {
            name: {kind: _mean([getattr(label, name) for label in some]) for kind, some in kinds.items()}
            for name in ("sampled", "referenced")
        }
        counts = {kind: len(some) for kind, some in kinds.items()}
        return {"contexts": len(labels), "kinds": counts, "means": means, "encoder": self.labeler.encoder.name}


def _contexts(settings: LabelSettings) -> list[Context]:
    from luthier.decode.contexts import mixture, read_contexts

    found = [context for path in settings.data for context in read_contexts(path)]
    distinct = list({context.key: context for context in found}.values())
    contexts = distinct if settings.data else mixture(settings.chat, settings.facts, settings.seed)
    if len(contexts) < 2:
        raise SettingsError("fewer than two contexts; give more data")
    return contexts


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def fit(settings: FitSettings, out: Path, progress: Progress = quiet) -> Run:
    """Write the head, its portable imitation and the scores of the contexts in `out`. Raises SettingsError where the labels teach nothing."""
    from luthier.decode.head import FACTS, FOLDS, WEIGHTS, assign_folds
    from luthier.decode.labels import read_labels, targets

    labels = read_labels(settings.labels)
    targets(labels, settings.source)
    assign_folds(labels, settings.folds, settings.seed)
    model = require(settings.open(), "module", "fitting a head")
    with Run(out, "decode fit", settings, reads=[settings.labels, *settings.reads()], progress=progress, draw=page.draw) as made:
        work = partial(_fit, settings, labels, model, out, progress)
        made.step("fit", work, files=[FACTS, WEIGHTS, FOLDS, "portable.json", page.SCORES])
    return made


def _fit(settings: FitSettings, labels: Sequence[Label], model: LocalModel, folder: Path, progress: Progress) -> JSON:
    from luthier.decode.evaluation import agreement
    from luthier.decode.features import read_features
    from luthier.decode.head import DiversityHead
    from luthier.decode.labels import targets
    from luthier.decode.portable import PortableHead, entropy_table

    progress.step("Reading contexts", len(labels))
    features = read_features(model, labels, along=settings.along, progress=progress.advance)
    progress.step("Fitting the head")
    chosen: Any = {name: getattr(settings, name) for name in ("source", "method", "folds", "hidden", "seed")}
    head = DiversityHead.fit(model, labels, features=features, **chosen)
    head.save(folder)
    portable = PortableHead.imitate(head, features, seed=settings.seed)
    portable.facts["entropy_table"] = entropy_table(head, features)
    portable.save(folder / "portable.json")
    held_out = {} if head.outcome is None else head.outcome.scores
    scores = [held_out[label.context.key] for label in labels]
    ends = features.context[features.first]
    entropy = features.statistics[features.first, 0][ends.argsort()].tolist()
    wanted = targets(labels, settings.source)
    rows = zip(labels, scores, wanted, strict=True)
    write_jsonl(folder / page.SCORES, [_scored(label, score, aim) for label, score, aim in rows])
    return {
        "contexts": len(labels),
        "source": settings.source,
        "statistics": head.statistics._asdict(),
        "method": settings.method,
        "mean_absolute_error": sum(abs(a - b) for a, b in zip(scores, wanted, strict=True)) / len(wanted),
        "agreement": agreement(scores, labels, wanted, entropy).to_row(),
        "portable": portable.facts["held_out_spearman"],
        "model": head.model._asdict(),
    }


def _scored(label: Label, score: float, target: float) -> JSON:
    """A row of the scores: a context's last message and kind, its out-of-fold score, its label, the diversity of its sampled replies."""
    text, kind = label.context.messages[-1].content or "", label.context.kind
    return {"text": text, "kind": kind, "score": score, "target": target, "sampled": label.sampled}
