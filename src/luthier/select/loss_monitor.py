"""Watches the first epoch of any transformers or TRL trainer: mean loss over a window, the entropy law's rules, a line in the ledger.

The loss is the one that the trainer logs, so nothing is computed twice and no batch is touched. The paper (arXiv 2407.06645) needs the
first epoch only: what a model loses on rows it sees for the first time tells of the rows, later losses tell of memory.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from transformers import TrainerCallback

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.records import JSON
from luthier.select.entropy_law import Alarm, judge, judge_data
from luthier.select.ledger import DataFacts, Version, add_version, group_of, measure_data, read_ledger

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)

WINDOW = (0.05, 0.25)  # shares of the first epoch's steps
COVERED = 0.5  # of a stretch's steps must lie in logged intervals
RECIPE = (
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "optim",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "max_grad_norm",
    "label_smoothing_factor",
    "neftune_noise_alpha",
    "num_train_epochs",
    "max_steps",
    "packing",
    "loss_type",
)
LOSS_MASK = ("completion_only_loss", "assistant_only_loss")
VOLATILE = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache", "_attn_implementation"}


@dataclass
class LoggedMean:
    """Mean of a logged loss over the steps `start` + 1 to `end`, from the logged intervals that lie wholly within.

    An interval that sticks out counts not at all: its mean cannot be split, and the loss falls fastest where windows begin.
    """

    start: int
    end: int
    steps: int = 0
    by_steps: float = 0.0
    tokens: int | None = 0
    by_tokens: float = 0.0

    def add(self, after: int, step: int, loss: float, tokens: int | None) -> None:
        """Take in the mean loss of steps `after` + 1 to `step`, and the input tokens of these steps where they are counted."""
        if after < self.start or step > self.end or step <= after:
            return
        self.steps += step - after
        self.by_steps += (step - after) * loss
        if tokens is None or self.tokens is None:
            self.tokens = None
        else:
            self.tokens += tokens
            self.by_tokens += tokens * loss

    @property
    def value(self) -> float | None:
        """Weighted by tokens where all intervals have them, else by steps; None while less than half of the steps were logged."""
        if self.steps == 0 or self.steps < COVERED * (self.end - self.start):
            return None
        return self.by_tokens / self.tokens if self.tokens else self.by_steps / self.steps


def loss_window(epoch_steps: int, warmup_steps: int = 0, window: tuple[float, float] = WINDOW) -> tuple[int, int]:
    """(start, end): the steps start + 1 to end of the first epoch over which the loss is averaged, at least one.

    window: shares of the epoch. Where the warm-up lasts longer than the first share, the window moves behind it and keeps its width,
    as far as the epoch reaches; a warm-up of the whole epoch leaves its last steps.
    """
    if not 0 <= window[0] < window[1] <= 1:
        raise SettingsError(f"window is {window}; two shares of the first epoch were expected, such as (0.05, 0.25)")
    width = max(1, round((window[1] - window[0]) * epoch_steps))
    start = min(max(round(window[0] * epoch_steps), warmup_steps), epoch_steps - width)
    return start, start + width


class EntropyLawCallback(TrainerCallback):  # type: ignore[misc]
    """`SFTTrainer(..., callbacks=[EntropyLawCallback("law.jsonl", "train.jsonl", name="v5")])`.

    ledger: where versions are kept, made where it is missing. data: what the model is trained on: a file that `read_rows` takes, rows, texts,
    or DataFacts. name: of the version, by default its fingerprint. group: name of the runs that compare, by default the hash of base model,
    recipe, loss mask, sequence length and tokenizer. stop_on: "stop" ends the training at an alarm of that level; by default none does.

    R is judged before the first step, L when the window is over; the version is written when the first epoch is over or the training
    ends. One process writes, all stop together. Raises SettingsError, before the first step, where the trainer logs too seldom.
    """

    def __init__(
        self,
        ledger: str | Path,
        data: DataFacts | str | Path | Iterable[JSON] | Iterable[str],
        *,
        name: str | None = None,
        group: str | None = None,
        window: tuple[float, float] = WINDOW,
        stop_on: Literal["stop"] | None = None,
    ) -> None:
        if stop_on not in (None, "stop"):
            raise SettingsError(f"stop_on is {stop_on!r}; 'stop' or None was expected")
        loss_window(100, 0, window)
        self.ledger, self.name, self.group, self.shares, self.stop_on = Path(ledger), name, group, window, stop_on
        self.facts = data if isinstance(data, DataFacts) else measure_data(_texts(data))
        self.alarms: list[Alarm] = []
        self.version: Version | None = None
        self._counted = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Begin anew, or go on where the checkpoint was written."""
        self.alarms, self.version = [], None
        self._last_step = state.global_step
        if args.include_num_input_tokens_seen != "no":
            self._counted = state.num_input_tokens_seen
        kept = (state.stateful_callbacks or {}).get(self._key) if state.global_step else None
        if kept is None:
            kept = self._fresh(args, state, kwargs["model"], kwargs.get("processing_class"), kwargs["train_dataloader"])
        self._setup, self._group, self._tokens_per_byte = kept["setup"], kept["group"], kept["tokens_per_byte"]
        self._window, self._epoch = LoggedMean(**kept["window"]), LoggedMean(**kept["epoch"])
        self._judged, self._written = kept["judged"], kept["written"]
        self._keep(state)
        if state.is_world_process_zero and not self._judged:
            # L is not known yet, and judge_data does not look at it
            self._tell(judge_data(self._history(), self._made(args, 0.0)))

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Take in a training log; judge when the window is over, write when the first epoch is."""
        loss = (logs or {}).get("loss")
        if self._written or logs is None or not isinstance(loss, int | float):
            return
        step, tokens = state.global_step, self._tokens(logs)
        if math.isfinite(loss):
            for mean in (self._window, self._epoch):
                mean.add(self._last_step, step, float(loss), tokens)
        self._last_step = step
        if step >= self._window.end and not self._judged:
            self._judge(args, state, control)
        if step >= self._epoch.end:
            self._write(args, state)
        self._keep(state)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write a version whose epoch was cut short, if its window was not."""
        if self._written:
            return
        if state.global_step >= self._window.end and not self._judged:
            self._judge(args, state, control)
        self._write(args, state)
        if self.version is None and state.is_world_process_zero:
            logger.warning(
                "entropy law: the training ended at step %d and the loss window is steps %d to %d; nothing was added to %s",
                state.global_step,
                self._window.start + 1,
                self._window.end,
                self.ledger,
            )

    def _fresh(self, args: Any, state: Any, model: Any, tokenizer: Any, loader: Any) -> JSON:
        epoch = min(_epoch_steps(args, loader) or state.max_steps, state.max_steps)
        start, end = loss_window(epoch, args.get_warmup_steps(state.max_steps), self.shares)
        every = state.logging_steps if str(getattr(args.logging_strategy, "value", "")) == "steps" else epoch
        first = -(-start // every) * every  # the first logged step from which on an interval lies within
        whole = max(0, (end - first) // every) * every
        if whole < COVERED * (end - start):
            raise SettingsError(
                f"the loss window is steps {start + 1} to {end} and the trainer logs every {every} steps, too seldom to see it; "
                f"set logging_strategy='steps' and logging_steps={max(1, (end - start) // 4)}"
            )
        setup = describe_setup(args, model, tokenizer)
        return {
            "setup": setup,
            "group": self.group or group_of(setup),
            "tokens_per_byte": tokens_per_byte(self.facts, tokenizer),
            "window": asdict(LoggedMean(start, end)),
            "epoch": asdict(LoggedMean(0, epoch)),
            "judged": False,
            "written": False,
        }

    @property
    def _key(self) -> str:
        return f"entropy law {self.ledger.name} {self.name or self.facts.fingerprint}"

    def _keep(self, state: TrainerState) -> None:
        """Put what was measured where the trainer's checkpoints take it along.

        Not by ExportableState: that is restored only with `restore_callback_states_from_checkpoint`, by building the callback anew from
        JSON, and a callback that joins at a resume fails at the next save. Under a key of its own nothing but `_keep` touches it.
        """
        if state.stateful_callbacks is None:
            state.stateful_callbacks = {}
        state.stateful_callbacks[self._key] = {
            "setup": self._setup,
            "group": self._group,
            "tokens_per_byte": self._tokens_per_byte,
            "window": asdict(self._window),
            "epoch": asdict(self._epoch),
            "judged": self._judged,
            "written": self._written,
        }

    def _tokens(self, logs: Mapping[str, Any]) -> int | None:
        """Input tokens since the last log: both the trainer's counter and TRL's only grow, but TRL's begins anew with each process."""
        counted = logs.get("num_input_tokens_seen", logs.get("num_tokens"))
        if not isinstance(counted, int | float):
            return None
        since = int(counted) - self._counted if counted >= self._counted else int(counted)
        self._counted = int(counted)
        return since

    def _judge(self, args: Any, state: Any, control: Any) -> None:
        loss = self._window.value
        self._judged = True
        stop = False
        if loss is not None and state.is_world_process_zero:
            self.alarms = judge(self._history(), self._made(args, loss))
            self._tell(self.alarms)
            stop = self.stop_on == "stop" and any(alarm.level == "stop" for alarm in self.alarms)
        if self.stop_on == "stop" and _agreed(stop):
            control.should_training_stop = True

    def _write(self, args: Any, state: Any) -> None:
        loss = self._window.value
        if loss is None or state.global_step < self._window.end:
            return
        self._written = True
        self.version = self._made(args, loss, self._epoch.value if state.global_step >= self._epoch.end else None)
        if state.is_world_process_zero:
            add_version(self.ledger, self.version)

    def _made(self, args: Any, loss: float, loss_epoch: float | None = None) -> Version:
        bits = None if self._tokens_per_byte is None else loss / math.log(2) * self._tokens_per_byte
        return Version(
            name=self.name or self.facts.fingerprint[:8],
            group=self._group,
            fingerprint=self.facts.fingerprint,
            rows=self.facts.rows,
            ratio=self.facts.ratio,
            loss=loss,
            seed=args.seed,
            loss_epoch=loss_epoch,
            bits_per_byte=bits,
            tokens=self._epoch.tokens if loss_epoch is not None and self._epoch.tokens else None,
            window=(self._window.start, self._window.end),
            setup=self._setup,
        )

    def _history(self) -> list[Version]:
        try:
            return read_ledger(self.ledger)
        except MissingFileError:
            return []

    def _tell(self, alarms: Iterable[Alarm]) -> None:
        for alarm in alarms:
            logger.log(
                logging.INFO if alarm.level == "info" else logging.WARNING,
                "entropy law, rule %s (%s): %s",
                alarm.rule,
                alarm.level,
                alarm.text,
            )


def describe_setup(args: Any, model: Any, tokenizer: Any = None) -> JSON:
    """What two runs must share for their losses to compare: base model, recipe, loss mask, sequence length, tokenizer.

    The base model counts by its configuration and the last part of its name, so that a moved folder stays the same model.
    """
    config: Any = getattr(model, "config", None)
    settings = config.to_dict() if hasattr(config, "to_dict") else {}
    base = {name: value for name, value in settings.items() if name not in VOLATILE}
    name = str(getattr(config, "name_or_path", "") or "")
    batch = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    adapters = getattr(model, "peft_config", None) or {}
    return {
        "base": f"{Path(name).name}:{group_of(base)}",
        "recipe": {
            "trainer": type(args).__name__,
            "batch": batch,
            "adapters": {name: _adapter(each) for name, each in adapters.items()},
            **{name: _plain(getattr(args, name)) for name in RECIPE if hasattr(args, name)},
        },
        "loss_mask": {name: getattr(args, name) for name in LOSS_MASK if hasattr(args, name)},
        "sequence_length": getattr(args, "max_length", None),
        "tokenizer": None if not hasattr(tokenizer, "get_vocab") else group_of(tokenizer.get_vocab()),
    }


def tokens_per_byte(facts: DataFacts, tokenizer: Any) -> float | None:
    """Tokens of the sampled texts / their bytes, without special tokens; None without a tokenizer or sample."""
    if not facts.sample or not hasattr(tokenizer, "get_vocab"):
        return None
    texts = [text.decode("utf-8", "replace") for text in facts.sample]
    counts = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
    return sum(counts) / max(1, sum(len(text) for text in facts.sample))


def _texts(data: Any) -> Iterator[str | bytes]:
    from luthier.select.rows import read_pool, row_text

    if isinstance(data, str | Path):
        yield from (row.text for row in read_pool(data))
        return
    for number, row in enumerate(data, 1):
        try:
            yield row if isinstance(row, str | bytes) else row_text(row)
        except BadRowError as error:
            raise error.at("rows", number) from None


def _epoch_steps(args: Any, loader: Any) -> int | None:
    """Optimizer steps of one pass; None where the data has no length."""
    try:
        batches = len(loader)
    except TypeError:
        return None
    return max(1, -(-batches // int(args.gradient_accumulation_steps)))


def _adapter(config: Any) -> JSON:
    kept = ("peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "target_modules")
    return {name: _plain(getattr(config, name)) for name in kept if hasattr(config, name)}


def _plain(value: Any) -> Any:
    """A setting as JSON: enumerations by value, sets sorted, anything else as text."""
    value = getattr(value, "value", value)
    if isinstance(value, set | frozenset | list | tuple):
        return sorted(map(str, value))
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _agreed(stop: bool) -> bool:
    """What the writing process decided, in all processes: they read different disks and must not part ways."""
    import torch.distributed as group

    if not (group.is_available() and group.is_initialized()):
        return stop
    decided = [stop]
    group.broadcast_object_list(decided, src=0)
    return decided[0]
