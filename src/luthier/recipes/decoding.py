"""Dynamic decoding from start to end: label contexts, fit a head, measure it against fixed and entropy-only temperatures, use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.packages import file_sha256
from luthier.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.recipes.tools import open_model
from luthier.records import JSON

if TYPE_CHECKING:
    from luthier.decode.contexts import Context


@dataclass(frozen=True)
class LabelInputs:
    """Files of contexts, or the built-in mixture of `chat` and `facts` contexts where there are none, and how replies are drawn.

    model: 'bundled', a transformers folder or, with `endpoint`, a served one. encoder: a transformers folder that compares replies; the
    local model's own states where left out.
    """

    data: tuple[str, ...] = ()
    chat: int = 170
    facts: int = 170
    model: str = "bundled"
    adapter: str | None = None
    endpoint: str | None = None
    encoder: str | None = None
    m: int = 8
    max_tokens: int = 32
    temperature: float = 1.0
    top_p: float = 0.95
    samples: bool = True
    seed: int = 0


def run_label(inputs: LabelInputs, folder: Path, command: str, progress: Progress = quiet, *, api_key: str | None = None) -> JSON:
    """Write `labels.jsonl` in `folder` and return what `run.json` holds; a stopped run asks no reply twice."""
    contexts = _contexts(inputs)
    with RunFolder(folder, "decode label", command, asdict(inputs), inputs.seed) as run:
        run.record["inputs"] = {path: file_sha256(Path(path)) for path in inputs.data}
        keyed = {**asdict(inputs), "files": run.record["inputs"]}
        run.step("labels", keyed, ["labels.jsonl"], lambda: _label(inputs, contexts, folder, progress, api_key))
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        return run.record


def _contexts(inputs: LabelInputs) -> list[Context]:
    from luthier.decode.contexts import mixture, read_contexts

    found = [context for path in inputs.data for context in read_contexts(path)]
    contexts = (
        list({context.key: context for context in found}.values()) if inputs.data else mixture(inputs.chat, inputs.facts, inputs.seed)
    )
    if len(contexts) < 2:
        raise SettingsError("fewer than two contexts; give more data")
    return contexts


def _label(inputs: LabelInputs, contexts: Sequence[Context], folder: Path, progress: Progress, api_key: str | None) -> JSON:
    from luthier.decode.labels import DiversityLabeler
    from luthier.decode.similarity import StateEncoder
    from luthier.models.endpoint import EndpointModel

    if inputs.endpoint is not None and inputs.encoder is None:
        raise SettingsError("a served model shows no states to compare replies with; name an --encoder (a transformers folder)")
    engine: Any
    if inputs.endpoint is not None:
        engine = EndpointModel(inputs.endpoint, inputs.model, api_key)
    else:
        engine = open_model(inputs.model, _path(inputs.adapter))
        engine.batch_size = 64  # replies to one context are read once, and drawn side by side
    encoder = (
        StateEncoder.from_folder(inputs.encoder) if inputs.encoder else StateEncoder(engine.module, engine.tokenizer, name=engine.name)
    )
    labeler = DiversityLabeler(
        engine,
        encoder,
        m=inputs.m,
        max_tokens=inputs.max_tokens,
        temperature=inputs.temperature,
        top_p=inputs.top_p,
        samples=inputs.samples,
        seed=inputs.seed,
    )
    progress.step("replies", len(contexts) * inputs.m if inputs.samples else None)
    phase = ""

    def compared(amount: int) -> None:
        nonlocal phase
        if not phase:
            phase = "compare"
            progress.step(phase, len(contexts))
        progress.advance(amount)

    labels = labeler.run(contexts, folder, progress.advance, compared)
    kinds = {kind: [label for label in labels if label.context.kind == kind] for kind in ("chat", "fact")}
    means = {
        name: {kind: _mean([getattr(label, name) for label in some]) for kind, some in kinds.items()} for name in ("sampled", "referenced")
    }
    return {"contexts": len(labels), "kinds": {kind: len(some) for kind, some in kinds.items()}, "means": means, "encoder": encoder.name}


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


@dataclass(frozen=True)
class FitInputs:
    """Labels that `run_label` wrote, the model they belong to, and how the head is fitted."""

    labels: str
    model: str = "bundled"
    adapter: str | None = None
    source: str = "blend"
    method: str = "ridge"
    folds: int = 5
    hidden: int = 256
    along: int = 6
    seed: int = 0


def run_fit(inputs: FitInputs, folder: Path, command: str, progress: Progress = quiet) -> JSON:
    """Write the head, its portable imitation and `report.html` in `folder` and return what `run.json` holds."""
    with RunFolder(folder, "decode fit", command, asdict(inputs), inputs.seed) as run:
        if Path(inputs.labels).is_file():
            run.record["inputs"] = {inputs.labels: file_sha256(Path(inputs.labels))}
        keyed = {**asdict(inputs), "files": run.record["inputs"]}
        files = ["head.json", "head.safetensors", "folds.safetensors", "portable.json"]
        run.step("fit", keyed, files, lambda: _fit(inputs, folder, progress))
        _write_fit_page(run.record, folder, inputs)
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        return run.record


def _fit(inputs: FitInputs, folder: Path, progress: Progress) -> JSON:
    from luthier.decode.evaluation import agreement
    from luthier.decode.features import read_features
    from luthier.decode.head import DiversityHead
    from luthier.decode.labels import read_labels, targets
    from luthier.decode.portable import PortableHead, entropy_table

    labels = read_labels(inputs.labels)
    wanted = targets(labels, inputs.source)  # type: ignore[arg-type]
    model = open_model(inputs.model, _path(inputs.adapter))
    progress.step("read", len(labels))
    features = read_features(model, labels, along=inputs.along, progress=progress.advance)
    progress.step("fit")
    chosen: Any = {name: getattr(inputs, name) for name in ("source", "method", "folds", "hidden", "seed")}
    head = DiversityHead.fit(model, labels, features=features, **chosen)
    head.save(folder)
    portable = PortableHead.imitate(head, features, seed=inputs.seed)
    portable.facts["entropy_table"] = entropy_table(head, features)
    portable.save(folder / "portable.json")
    held_out = {} if head.outcome is None else head.outcome.scores
    scores = [held_out[label.context.key] for label in labels]
    ends = features.context[features.first]
    entropy = features.statistics[features.first, 0][ends.argsort()].tolist()
    error = sum(abs(a - b) for a, b in zip(scores, wanted, strict=True)) / len(wanted)
    return {
        "contexts": len(labels),
        "source": inputs.source,
        "statistics": head.statistics._asdict(),
        "method": inputs.method,
        "mean_absolute_error": error,
        "agreement": agreement(scores, labels, wanted, entropy),
        "portable": portable.facts["held_out_spearman"],
        "model": head.model,
    }


def _write_fit_page(record: JSON, folder: Path, inputs: FitInputs) -> None:
    from luthier.decode.head import DiversityHead
    from luthier.decode.labels import read_labels, targets
    from luthier.report.decoding_page import Scored, write_fit_page

    labels = read_labels(inputs.labels)
    head = DiversityHead.load(folder)
    scores = {} if head.outcome is None else head.outcome.scores
    wanted = targets(labels, inputs.source)  # type: ignore[arg-type]
    rows = [
        Scored(label.context.messages[-1].content or "", label.context.kind, scores[label.context.key], aim, label.sampled)
        for label, aim in zip(labels, wanted, strict=True)
        if label.context.key in scores
    ]
    write_fit_page(record["steps"]["fit"]["results"], rows, folder / "report.html")


def export_head(head: Path, target: Path) -> Path:
    """Copy the portable imitation of a fitted head to `target`, one JSON file for engines that show no states.

    Raises MissingFileError where the folder has none.
    """
    from luthier.decode.portable import PortableHead

    PortableHead.load(head / "portable.json").save(target)
    return target
