"""A trainer for preference pairs on the public surface of `transformers.Trainer`: any of the losses with any of the token weights.

Marks of what differs are made once, when the data are read; the reference model reads every pair once, and what it says is kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import Trainer, TrainerCallback, set_seed
from transformers.utils import logging

from luthier.errors import SettingsError
from luthier.records import JSON, PreferencePair, to_pair
from luthier.train.preference.config import PreferenceConfig
from luthier.train.preference.forward import SIDES, PairCollator, answer_logps, takes_shared_rows
from luthier.train.preference.losses import REFERENCE_FREE
from luthier.train.preference.objective import pair_losses
from luthier.train.preference.pairs import EncodedPair, PairCounts, encode_pairs
from luthier.train.preference.reference import ReferenceCache, fill, fingerprint

if TYPE_CHECKING:
    from torch import Tensor
    from transformers.trainer_utils import PredictionOutput, TrainOutput

logger = logging.get_logger(__name__)


class PreferenceTrainer(Trainer):  # type: ignore[misc]
    """`transformers.Trainer` for preference pairs.

    train_dataset, eval_dataset: rows with `prompt`, `chosen`, `rejected` as in TRL (conversations or plain texts), typed pairs, or ids; a
    dictionary of evaluation sets works too. processing_class: the tokenizer. peft_config: a fresh adapter is trained. ref_model: a reference
    other than the model itself; reference_progress gets (batches read, batches to read). `train_counts` and `eval_counts` say what became of the
    pairs. Raises SettingsError where none is left.
    """

    loss_is_scaled_for_ga = False

    def __init__(  # noqa: PLR0917  in the order of TRL's trainers
        self,
        model: Any,
        args: PreferenceConfig,
        train_dataset: Iterable[Any] | None = None,
        eval_dataset: Iterable[Any] | dict[str, Iterable[Any]] | None = None,
        processing_class: Any = None,
        peft_config: Any = None,
        ref_model: Any = None,
        reference_progress: Callable[[int, int], None] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        **options: Any,
    ) -> None:
        self.train_counts = PairCounts()
        self.eval_counts: dict[str, PairCounts] = {}
        tokenizer = processing_class
        train = self._encoded(train_dataset, tokenizer, args, self.train_counts)
        held: Any = None
        if isinstance(eval_dataset, dict):
            held = {name: self._encoded(rows, tokenizer, args, self._counts(name)) for name, rows in eval_dataset.items()}
        elif eval_dataset is not None:
            held = self._encoded(eval_dataset, tokenizer, args, self._counts("eval"))
        fresh = peft_config is not None
        if fresh:
            from peft import get_peft_model

            if hasattr(model, "peft_config"):
                raise SettingsError("the model has an adapter already; leave peft_config out, or merge the adapter first")
            set_seed(args.seed)  # the adapter's first weights are part of the run
            model = get_peft_model(model, peft_config, autocast_adapter_dtype=True)
        _refuse_prompt_learning(model)
        self.reference_free = args.loss in REFERENCE_FREE
        self.without_adapter = ref_model is None and hasattr(model, "peft_config") and (fresh or args.reference == "base")
        self.ref_model = None if ref_model is None else ref_model.to(args.device).eval()
        self.reference_progress = reference_progress
        if args.weighting == "column":
            _check_weights(_flattened(train))
        if args.disable_dropout:
            _without_dropout(model)
        pad = getattr(tokenizer, "pad_token_id", None)
        self.collate = PairCollator(padding=0 if pad is None else pad, shared=args.share_prefix)
        self.cache: ReferenceCache | None = None
        self._sums: dict[str, dict[str, list[Tensor]]] = {"train": {}, "eval": {}}
        super().__init__(
            model=model,
            args=args,
            data_collator=self._collate,
            train_dataset=train,
            eval_dataset=held,
            processing_class=tokenizer,
            callbacks=[*(callbacks or []), _FillSharded(self)],
            **options,
        )
        if self.args.n_gpu > 1:
            raise SettingsError("several devices in one process would split the rows of a pair; start with torchrun, or show it one device")
        self._read_apart_where_needed([*_flattened(train), *_flattened(held)])
        self.cache = self._reference_cache()

    def train(self, *args: Any, **options: Any) -> TrainOutput:
        """As `transformers.Trainer.train`; before it, the reference reads what the cache lacks."""
        if not self._is_sharded():
            self.read_reference(self.train_dataset, self.eval_dataset)
        return super().train(*args, **options)

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> JSON:
        """As `transformers.Trainer.evaluate`, with the rewards, margins and accuracies of the pairs; raw rows are read first."""
        if isinstance(eval_dataset, dict):
            return {
                key: value
                for name, rows in eval_dataset.items()
                for key, value in self.evaluate(rows, ignore_keys, f"{metric_key_prefix}_{name}").items()
            }
        if eval_dataset is not None and not isinstance(eval_dataset, str):
            eval_dataset = self._encoded(eval_dataset, self.processing_class, self.args, self._counts(metric_key_prefix))
        if not isinstance(eval_dataset, str):
            self._make_ready(self.eval_dataset if eval_dataset is None else eval_dataset)
        self._sums["eval"].clear()
        measured: JSON = super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
        return measured

    def predict(self, test_dataset: Any, ignore_keys: Any = None, metric_key_prefix: str = "test") -> PredictionOutput:
        """As `transformers.Trainer.predict`, for raw rows of pairs; there are no predictions, only metrics."""
        rows = self._encoded(test_dataset, self.processing_class, self.args, self._counts(metric_key_prefix))
        self._make_ready(rows)
        self._sums["eval"].clear()
        made = super().predict(rows, ignore_keys, metric_key_prefix)
        made.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in self._means("eval").items()})
        return made

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        chosen_logps, rejected_logps = answer_logps(model, inputs)
        loss, measured = pair_losses(self.args, inputs, chosen_logps, rejected_logps)
        self._note(measured, "train" if self.model.training else "eval")
        mean = loss.mean()
        return (mean, {"chosen_logps": chosen_logps, "rejected_logps": rejected_logps}) if return_outputs else mean

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        training = self.model.training
        prefix = "" if training else _prefix(logs)
        logs.update({f"{prefix}{name}": value for name, value in self._means("train" if training else "eval").items()})
        super().log(logs, start_time)

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Any, None, None]:
        import torch

        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            return self.compute_loss(model, inputs).detach(), None, None

    def _make_ready(self, rows: Any) -> None:
        """Rows that may be longer than those of training, and unknown to the reference."""
        self._read_apart_where_needed(_flattened(rows))
        self.read_reference(rows)

    def _read_apart_where_needed(self, pairs: Sequence[EncodedPair]) -> None:
        """Two rows a pair where one would give other numbers, and a line that says why."""
        if not self.collate.shared or not pairs:
            return
        models = [self.model, *([] if self.ref_model is None else [self.ref_model])]
        reasons = [""]
        if self.args.process_index == 0:  # the others of a sharded run may hold no weights yet
            reasons = [next(filter(None, (takes_shared_rows(model, _longest(pairs)) for model in models)), "")]
        if self.args.world_size > 1:
            from accelerate.utils import broadcast_object_list

            broadcast_object_list(reasons)
        if reasons[0]:
            logger.warning("the answers of a pair are read apart: %s", reasons[0])
            self.collate.shared = False

    def _note(self, measured: dict[str, Tensor], mode: str) -> None:
        if mode == "eval":  # of all processes, without the pairs that fill up the last batch
            import torch

            table = self.accelerator.gather_for_metrics(torch.stack(list(measured.values()), dim=1))
            measured = dict(zip(measured, table.unbind(1), strict=True))
        for name, values in measured.items():
            self._sums[mode].setdefault(name, []).append(values)

    def _means(self, mode: str) -> dict[str, float]:
        """Over all pairs of all processes since the last time."""
        import torch

        noted, self._sums[mode] = self._sums[mode], {}
        if not noted:
            return {}
        joined = torch.stack([torch.cat(values) for values in noted.values()])  # (names, pairs)
        totals = torch.cat([joined.sum(1), joined.new_tensor([joined.shape[1]])])
        if mode == "train":
            totals = self.accelerator.reduce(totals, reduction="sum")
        *sums, count = totals.tolist()
        return {name: value / count for name, value in zip(noted, sums, strict=True)}

    def _encoded(self, rows: Iterable[Any] | None, tokenizer: Any, args: PreferenceConfig, counts: PairCounts) -> list[EncodedPair] | None:
        if rows is None:
            return None
        given = list(rows)
        if given and all(isinstance(row, dict) and "key" in row and "chosen_diff" in row for row in given):
            counts.kept = len(given)
            return given
        encoded, found = kept_pairs(given, tokenizer, args)
        counts.__dict__.update(found.__dict__)
        if found.left_out():
            logger.warning("pairs %s", found.left_out())
        return encoded

    def _counts(self, name: str) -> PairCounts:
        return self.eval_counts.setdefault(name, PairCounts())

    def _collate(self, pairs: Sequence[EncodedPair]) -> JSON:
        if self.cache is not None:
            pairs = [pair | self.cache.columns(pair) for pair in pairs]
        return self.collate(pairs)

    def _is_sharded(self) -> bool:
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def read_reference(self, *datasets: Any) -> None:
        """Let the reference read every pair that the cache does not know yet. Raises SettingsError where it is no longer at hand."""
        if self.cache is None:
            return
        several = self.args.world_size > 1
        if several:  # all must miss the same pairs, whatever their disks hold
            self.cache.share()
        missing = self.cache.missing(pair for rows in datasets for pair in _flattened(rows))
        if not missing:
            return
        if self.state.global_step > 0 and not (self.without_adapter or self.ref_model is not None):
            raise SettingsError(
                f"{len(missing)} pairs are not in the cache of the reference, and the model has been trained since; give them to the"
                " trainer before training, or a ref_model"
            )
        model = self.model_wrapped if self.ref_model is None else self.ref_model
        with self._at_rest(model), self.accelerator.autocast():  # in the precision of training
            fill(
                self.cache,
                missing,
                model,
                lambda batch: self._prepare_inputs(self.collate(batch)),
                batch_size=self.args.per_device_train_batch_size,
                rank=self.args.process_index,
                world=self.args.world_size,
                progress=self.reference_progress,
            )
        if several:
            self.cache.share()

    @contextmanager
    def _at_rest(self, model: Any) -> Iterator[None]:
        """Evaluation mode, without the adapter where the reference has none."""
        training = model.training
        bare = self.accelerator.unwrap_model(model).disable_adapter() if self.without_adapter else nullcontext()
        model.eval()
        try:
            with bare:
                yield
        finally:
            model.train(training)

    def _reference_cache(self) -> ReferenceCache | None:
        """Named by the reference's weights, which the first process reads: the others of a sharded run may not hold them."""
        from accelerate.utils import broadcast_object_list

        if self.reference_free:
            return None
        named: list[str | None] = [None]
        if self.args.process_index == 0:
            named = [
                fingerprint(
                    self.model if self.ref_model is None else self.ref_model,
                    self.args.mixed_precision,
                    without_adapter=self.without_adapter,
                )
            ]
        if self.args.world_size > 1:
            broadcast_object_list(named)
        folder = self.args.reference_cache
        return ReferenceCache(str(named[0]), None if folder is None else Path(folder))


class _FillSharded(TrainerCallback):  # type: ignore[misc]
    """Sharded models can be read only once they are wrapped, which training does."""

    def __init__(self, trainer: PreferenceTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer._is_sharded():
            self.trainer.read_reference(self.trainer.train_dataset, self.trainer.eval_dataset)


def _flattened(rows: Any) -> list[EncodedPair]:
    if rows is None:
        return []
    return [pair for part in rows.values() for pair in part] if isinstance(rows, dict) else list(rows)


def _longest(pairs: Sequence[EncodedPair]) -> int:
    """Tokens of the longest prompt with an answer."""
    return max((len(pair["prompt_ids"]) + max(len(pair[f"{side}_ids"]) for side in SIDES) for pair in pairs), default=0)


def kept_pairs(rows: Iterable[Any], tokenizer: Any, args: PreferenceConfig) -> tuple[list[EncodedPair], PairCounts]:
    """The pairs that can be trained on, and what became of the others. Raises SettingsError where none is left."""
    typed = (_typed(row) for row in rows)
    encoded, found = encode_pairs(typed, tokenizer, max_length=args.max_length, too_long=args.too_long)  # type: ignore[arg-type]
    if not encoded:
        raise SettingsError(f"no pair is left; {found.left_out() or 'the data are empty'}")
    return encoded, found


def _typed(row: Any) -> Any:
    """Conversations become typed pairs; texts and ids stay rows."""
    if isinstance(row, PreferencePair) or "prompt_ids" in row:
        return row
    texts = all(isinstance(row.get(name), str) for name in ("prompt", "chosen", "rejected"))
    return row if texts else to_pair(row)


def _prefix(logs: dict[str, float]) -> str:
    """`eval_` or, for a named set, `eval_NAME_`."""
    name = next((key for key in logs if key.endswith("_loss")), "eval_loss")
    return name.removesuffix("loss")


def _check_weights(pairs: Sequence[EncodedPair]) -> None:
    for position, pair in enumerate(pairs, 1):
        if not all(f"{side}_weights" in pair for side in SIDES):
            raise SettingsError(
                f"weighting is column, but pair {position} has no chosen_weights and rejected_weights, a number for each token"
            )


def _without_dropout(model: Any) -> None:
    """Also where attention keeps its rate as a number."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "attn_dropout", "activation_dropout", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def _refuse_prompt_learning(model: Any) -> None:
    for name, config in getattr(model, "peft_config", {}).items():
        if getattr(config, "is_prompt_learning", False):
            raise SettingsError(f"adapter {name} puts virtual tokens before the prompt, which shared rows cannot hold; use LoRA")
