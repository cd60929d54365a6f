"""Trains an embedder on pairs with sentence-transformers: in-batch negatives, a temperature of 0.05, no batch with a text twice.

The texts of a batch are all different, so that no copy of an answer counts as wrong. Works for static embeddings and for transformers alike; a
stopped training continues from its checkpoint.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.models.hardware import DEVICE, chosen_device
from luthier.models.loading import POOLER, load_module, loading
from luthier.records import JSON
from luthier.train.warmup import warming_trainer

if TYPE_CHECKING:
    from luthier.models.transformer_embedder import TransformerEmbedder

CHECKPOINTS = "checkpoints"
POOLING = {"mean": "mean", "weighted-mean": "weightedmean", "last": "lasttoken", "cls": "cls"}  # as sentence-transformers calls it


@dataclass(frozen=True)
class RetrieverSettings:
    """epochs, batch_size, learning_rate (None: 0.02 for static embeddings, 5e-5 for transformers), warmup share; scale: 1 / temperature.

    seconds: stop after so many, None for no limit; save_seconds: between checkpoints, what a kill may cost. max_length: tokens read of a text by a transformer. device: as `--device` has it.
    """

    epochs: float = 5.0
    batch_size: int = 512
    learning_rate: float | None = None
    warmup: float = 0.1
    scale: float = 20.0
    seconds: float | None = None
    save_seconds: float = 60.0
    max_length: int | None = 128
    device: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class TrainedRetriever:
    """What a training was and cost. loss: the last one that was logged."""

    pairs: int
    steps: int
    loss: float
    cpu_seconds: float
    settings: RetrieverSettings

    def to_row(self) -> JSON:
        return asdict(self)


def train_retriever(
    pairs: Sequence[tuple[str, str]],
    base: Path,
    folder: Path,
    settings: RetrieverSettings | None = None,
    *,
    static: bool = False,
    progress: Callable[[int, int, float], None] | None = None,
) -> TrainedRetriever:
    """Train on (query, document) and write a sentence-transformers folder under `folder`.

    Continues from the checkpoint that a stopped training of the same pairs left in `folder`.

    base: the model to begin with; static: it is a folder of static embeddings. Raises SettingsError, EngineError.
    """
    chosen = settings or RetrieverSettings()
    if len(pairs) < 2:
        raise SettingsError(f"{len(pairs)} pairs to train on; in-batch negatives need at least 2")
    if chosen.batch_size < 2 or chosen.epochs <= 0:
        raise SettingsError("batch_size must be 2 or more and epochs above 0")
    check_device(chosen.device, static=static)
    from luthier.train.steps import latest_checkpoint

    start, checkpoints = time.process_time(), folder / CHECKPOINTS
    model = _open(base, static, chosen)
    trainer = _trainer(model, pairs, folder, chosen, static=static, progress=progress)
    result = trainer.train(resume_from_checkpoint=latest_checkpoint(checkpoints))
    _save(model, folder, None if static else _reader(base))
    shutil.rmtree(checkpoints, ignore_errors=True)
    return TrainedRetriever(
        pairs=len(pairs),
        steps=int(result.global_step),
        loss=next((row["loss"] for row in reversed(trainer.state.log_history) if "loss" in row), float(result.training_loss)),
        cpu_seconds=round(time.process_time() - start, 1),
        settings=chosen,
    )


def check_device(device: str, *, static: bool) -> None:
    """Raises SettingsError for a device that is not here, or on which such a model is not trained."""
    if static and device not in ("auto", "cpu"):
        raise SettingsError(f"--device {device}: static embeddings are a table, which is trained on the CPU; leave --device out")
    if device not in ("auto", "cpu", "cuda", "cuda:0", "mps") and DEVICE.fullmatch(device):
        number = device.partition(":")[2]
        raise SettingsError(f"--device {device}: training takes the first GPU that it sees; start it with CUDA_VISIBLE_DEVICES={number}")
    chosen_device(device)


def _open(base: Path, static: bool, settings: RetrieverSettings) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    except ImportError:
        raise SettingsError("training a retriever needs sentence-transformers; run: pip install 'luthier[retrieval]'") from None
    if static:
        from luthier.models.static_embedder import StaticEmbedder

        source = StaticEmbedder(base)
        model = SentenceTransformer(modules=[StaticEmbedding(source.tokenizer, embedding_weights=source.table)], device="cpu")
    else:
        from transformers import AutoModel

        device = chosen_device(settings.device)
        with loading(base, "model"):
            model = SentenceTransformer(str(base), local_files_only=True, trust_remote_code=False, device=device)
        if (reader := _reader(base)) is not None:
            load_module(AutoModel, base, without=POOLER)  # refuses a folder that lacks weights, which the line above made up
            _read_as(model, reader)
        if settings.max_length is not None:
            model.max_seq_length = settings.max_length
    model.model_card_data.generate_widget_examples = False  # the user's texts do not belong in a card
    return model


def _reader(base: Path) -> TransformerEmbedder | None:
    """What reads the base elsewhere, and so what training makes of it; None where sentence-transformers itself does."""
    from luthier.models.opening import open_embedder
    from luthier.models.transformer_embedder import TransformerEmbedder

    found = open_embedder(base)
    return found if isinstance(found, TransformerEmbedder) else None


def _read_as(model: Any, reader: TransformerEmbedder) -> None:
    """Texts as they stand and the pooling of `reader`: of a folder that is not its own, sentence-transformers would take a causal model's last token,
    and put each text into a chat where the model has a template."""
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    for module in model:
        if isinstance(module, Transformer):
            module.modality_config.pop("message", None)
        elif isinstance(module, Pooling):
            module.pooling_mode = POOLING[reader.pooling]


def _save(model: Any, folder: Path, reader: TransformerEmbedder | None) -> None:
    """Save the model, to be read by as many tokens as the base is."""
    if reader is not None:
        model.max_seq_length = reader.max_length
    model.save(str(folder), safe_serialization=True, create_model_card=False)
    if reader is not None:  # sentence-transformers writes the length into the tokenizer alone
        told = folder / "sentence_bert_config.json"
        told.write_text(
            json.dumps({**json.loads(told.read_bytes()), "max_seq_length": reader.max_length}, indent=2) + "\n", encoding="utf-8"
        )


def _trainer(
    model: Any,
    pairs: Sequence[tuple[str, str]],
    folder: Path,
    settings: RetrieverSettings,
    *,
    static: bool,
    progress: Callable[[int, int, float], None] | None,
) -> Any:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers.trainer_callback import PrinterCallback

    rows = Dataset.from_dict({"anchor": [query for query, _ in pairs], "positive": [document for _, document in pairs]})
    rate = settings.learning_rate or (0.02 if static else 5e-5)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=min(settings.batch_size, len(pairs)),
        learning_rate=rate,
        warmup_steps=settings.warmup,
        seed=settings.seed,
        batch_sampler="no_duplicates",
        save_strategy="no",
        save_total_limit=1,
        logging_steps=5,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        use_cpu=static or chosen_device(settings.device) == "cpu",
    )
    trainer = warming_trainer(SentenceTransformerTrainer)(
        model=model,
        args=arguments,
        train_dataset=rows,
        loss=MultipleNegativesRankingLoss(model, scale=settings.scale),
        callbacks=[_watch(progress, settings)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _watch(progress: Callable[[int, int, float], None] | None, settings: RetrieverSettings) -> Any:
    """A callback that tells how far training is, saves it now and then, and ends it when its time is up."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.begun = self.saved = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            now = time.monotonic()
            if settings.seconds is not None and now - self.begun > settings.seconds:
                control.should_training_stop = True
            if now - self.saved >= settings.save_seconds:
                control.should_save, self.saved = True, now

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
            if progress is not None and "loss" in logs:
                progress(state.global_step, state.max_steps, float(logs["loss"]))

    return Watch()
