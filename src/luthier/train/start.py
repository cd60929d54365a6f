"""Where training starts, whatever the loss is: settings of TRL and PEFT by name, the weights, a fresh adapter or one that is trained further."""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import LuthierError, SettingsError
from luthier.models.adapter_parts import fit_rows
from luthier.models.base_model import check_base
from luthier.models.hardware import chosen_device
from luthier.models.loading import loading, reason
from luthier.models.local import LocalModel
from luthier.models.token_rows import unlearned
from luthier.models.weights import load_weights, note_loaded, placed, refuse_broken_adapter, with_attention
from luthier.records import JSON
from luthier.records.numbers import finite_number, shown

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel, TrainingArguments

logger = logging.getLogger("luthier")
LEAST = dict.fromkeys(
    ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps", "max_length", "save_total_limit", "r"), 1
) | dict.fromkeys(("learning_rate", "warmup_steps", "weight_decay", "max_grad_norm", "dataloader_num_workers", "seed", "lora_dropout"), 0)
ABOVE = ("num_train_epochs", "save_steps", "logging_steps", "eval_steps", "lora_alpha")  # 0
MOST = {"r": 65_536, "lora_dropout": 1}


def defaults(seed: int, **own: Any) -> JSON:
    """Settings of a transformers trainer that differ from its own where none is given: the recipe of Flat-LoRA (arXiv 2409.14396) on any
    device. own: what a trainer changes of them."""
    return {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "num_train_epochs": 1,
        "lr_scheduler_type": "cosine",
        "logging_steps": 1,
        "save_steps": 50,
        "save_total_limit": 1,
        "report_to": "none",
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "seed": seed,
    } | own


def trainer_config(
    kind: type, model: LocalModel, folder: Path, given: JSON, *, evaluated: bool, library: str = "transformers"
) -> TrainingArguments:
    """The configuration of a trainer on the model's device. kind: its class; evaluated: at the end of each epoch where nothing else is said.
    Writes nothing. Float16 is trained under a gradient scaler, which accelerate brings.

    Raises SettingsError for what the library refuses.
    """
    from transformers.integrations import get_reporting_integration_callbacks

    if given.get("save_only_model"):
        raise SettingsError("save_only_model leaves out of checkpoints what a stopped training goes on with; leave it out")
    device = chosen_device(model.hardware.device)
    place = {"use_cpu": device == "cpu", "dataloader_pin_memory": device.startswith("cuda")}
    chosen = {**place, **_half(model, given), **({"eval_strategy": "epoch"} if evaluated else {}), **given}
    with refused_by(library):
        config = kind(output_dir=str(folder / "checkpoints"), **chosen)
        if config.n_gpu > 1:  # transformers would copy the model to each in turn, where noise and shared rows go astray
            logger.warning("one process trains on one GPU, and there are %d; torchrun --nproc-per-node trains on all", config.n_gpu)
            config._n_gpu = 1
        for tracker in get_reporting_integration_callbacks(config.report_to):
            tracker()  # says whether its package is there
    return config


def _half(model: LocalModel, given: JSON) -> JSON:
    """Autocast in the half precision that the base is held in, where nothing else is given."""
    import torch

    if given.get("bf16") or given.get("fp16"):
        return {"bf16": False, "fp16": False}
    return {"bf16": model.training_dtype is torch.bfloat16, "fp16": model.training_dtype is torch.float16}


def lora_config(given: JSON) -> LoraConfig:
    """A `peft.LoraConfig`: rank 8 on every linear layer where nothing else is given. Raises SettingsError."""
    from peft import LoraConfig

    chosen = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | checked("lora", given, LoraConfig)
    with refused_by("PEFT"):
        return LoraConfig(**chosen)


def learning_marks(lora: LoraConfig, base: Any, targets: Iterable[int], tokenizer: Any, *, told: bool) -> LoraConfig:
    """The adapter's settings with the rows of marks that the targets hold and the model never learned: without rows of their own it cannot say them.

    targets: token ids that are learned. Marks are the tokenizer's added tokens. `lora.trainable_token_indices`, where it is given, stays as it is.
    told: whether a line says which.
    """
    if lora.trainable_token_indices is not None:
        return lora if lora.trainable_token_indices else replace(lora, trainable_token_indices=None)
    output = base.get_output_embeddings()
    marks = set(targets) & set(tokenizer.added_tokens_decoder)
    if output is None or not marks or not (found := unlearned(output.weight, marks)):
        return lora
    rows = [one.token for one in found]
    if told:
        logger.warning(
            "the model never learned the tokens %s: their rows are trained too, beside the layers (lora.trainable_token_indices=[] leaves them)",
            ", ".join(map(str, tokenizer.convert_ids_to_tokens(rows))),
        )
    inner = {id(module): name for name, module in base.named_modules()}
    ends = [base.get_input_embeddings(), *([] if output.weight is base.get_input_embeddings().weight else [output])]
    return replace(lora, trainable_token_indices={inner[id(end)].rpartition(".")[2]: rows for end in ends})


@contextmanager
def refused_by(library: str) -> Iterator[None]:
    """Around what takes settings that a person gave: whatever the library raises becomes SettingsError."""
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    try:
        yield
    except LuthierError:
        raise
    except Exception as problem:
        unset_hf_deepspeed_config()  # else a refused one, half made, stands in the way of every model that is loaded later
        raise SettingsError(f"{library} refuses these settings: {reason(problem)}") from problem


def check_start(model: LocalModel, *, full: bool, lora: JSON) -> None:
    """Raises SettingsError where all weights are to be trained and some are an adapter's or quantised, for settings of an adapter that has its
    own, and for a place or number format that training cannot use."""
    _check_hardware(model, full)
    if model.adapter is None:
        return
    check_adapter(str(model.adapter))
    if full:
        raise SettingsError(f"{model.adapter} is an adapter, and all weights are to be trained; merge it into a folder first")
    if lora:
        raise SettingsError(f"{model.adapter} has settings of its own; leave those of lora out")


def _check_hardware(model: LocalModel, full: bool) -> None:
    asked = model.hardware
    device = chosen_device(asked.device)
    if full and asked.quantize is not None:
        raise SettingsError(f"--quantize {asked.quantize} holds weights that have no gradients; train an adapter, or leave it out")
    if asked.device_map is not None:
        raise SettingsError("--device-map is for reading a model; train on one GPU, or on several with torchrun and --set sft.fsdp=…")
    if asked.device not in ("auto", "cpu", "cuda", "cuda:0", "mps"):
        number = asked.device.partition(":")[2]
        raise SettingsError(
            f"--device {asked.device}: training takes the first GPU that it sees; start it with CUDA_VISIBLE_DEVICES={number}"
        )
    if asked.dtype == "float16" and not device.startswith("cuda"):
        raise SettingsError(f"--dtype float16 is trained on NVIDIA GPUs, and the device is {device}; give float32 or bfloat16")


def balances_experts(model: LocalModel, coefficient: float | None) -> bool:
    """Whether TRL adds the loss that balances experts. coefficient: `router_aux_loss_coef`, None for the model's own."""
    if not hasattr(model.config, "output_router_logits"):
        return False
    return bool(getattr(model.config, "router_aux_loss_coef", 0.0) if coefficient is None else coefficient)


def starting_weights(model: LocalModel, *, full: bool = False, attention: str | None = None) -> PreTrainedModel | PeftModel:
    """The base in training's precision, with the model's adapter where it has one. attention: kernel, None for the model's own.

    Small steps vanish in bf16, so where all weights are trained they are float32, computing in bf16 where that is fast.
    """
    import torch

    base = _base(model, torch.float32 if full else model.training_dtype, attention)
    return base if model.adapter is None else _with_adapter(base, str(model.adapter), model)


def adapted_model(model: LocalModel, adapter: str | None, seed: int = 0) -> PeftModel:
    """The base with a saved adapter, or with a fresh one that changes nothing yet, as training holds it.

    Raises SettingsError where the folder holds no adapter, EngineError where it is not of this model.
    """
    from peft import get_peft_model
    from transformers import set_seed

    if adapter is not None:
        check_adapter(adapter)
    set_seed(seed)
    base = placed(_base(model, model.training_dtype), model.hardware)
    return get_peft_model(base, lora_config({})) if adapter is None else placed(_with_adapter(base, adapter, model), model.hardware)


def _base(model: LocalModel, dtype: Any, attention: str | None = None) -> PreTrainedModel:
    """The base as it is trained on; where its weights are quantised, the others are float32 (QLoRA, arXiv 2305.14314)."""
    asked = with_attention(model.hardware, attention)
    base = load_weights(model.folder, asked, dtype)
    note_loaded(base, model.name, model.folder, asked)
    if asked.quantize is None:
        return base
    from peft import prepare_model_for_kbit_training

    return prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)  # the trainer sees to that


def _with_adapter(base: Any, adapter: str, model: LocalModel) -> PeftModel:
    from peft import PeftModel

    check_base(Path(adapter), model.folder)
    refuse_broken_adapter(adapter)
    fit_rows(base, model.folder, adapter)
    with loading(adapter, "adapter", f"give a PEFT adapter of {model.name}"):
        return PeftModel.from_pretrained(base, adapter, is_trainable=True)


def check_adapter(adapter: str) -> None:
    """Raises SettingsError where the folder holds no adapter."""
    if not (Path(adapter) / "adapter_config.json").is_file():
        raise SettingsError(f"{adapter}: no adapter_config.json there; give a PEFT adapter folder")


def checked(section: str, given: JSON, home: Any, own: Sequence[str] = ()) -> JSON:
    """The settings of a section as the data class `home` takes them. own: fields that are set here.

    Raises SettingsError for a name that is not known and for numbers without meaning.
    """
    types = {one.name: one.type for one in fields(home) if one.init and one.name not in own}
    check_names(section, given, list(types), f"{home.__module__.partition('.')[0]}.{home.__name__}")
    return {name: _as_number(f"{section}.{name}", name, value, types[name]) for name, value in given.items()}


def check_names(section: str, given: Iterable[str], known: Sequence[str], home: str) -> None:
    """Raises SettingsError for a name that is not known; home: where the known ones are described."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"see the fields of {home}"
            raise SettingsError(f"{section}.{name} is not a setting; {hint}")


def _as_number(word: str, name: str, value: Any, kind: Any) -> Any:
    allowed = {part.strip() for part in (kind.__name__ if isinstance(kind, type) else str(kind)).split("|")}
    if allowed <= {"bool", "None"} and not isinstance(value, bool | None):
        raise SettingsError(f"{word} is {value!r}; it is either true or false")
    if not allowed <= {"int", "float", "None"}:
        return value
    if value is None and "None" in allowed:
        return None
    if isinstance(value, float) and value.is_integer() and "float" not in allowed:
        value = int(value)
    wanted = (int,) if "float" not in allowed else (int, float)
    if not isinstance(value, wanted) or finite_number(value) is None:
        told = value if isinstance(value, str) else shown(value)
        raise SettingsError(f"{word} is {told}; give a {'whole ' if wanted == (int,) else ''}number")
    low, high = LEAST.get(name, -math.inf), MOST.get(name, math.inf if "float" in allowed else 2**31 - 1)
    if value < low or (name in ABOVE and value <= 0) or value > high:
        below = "above 0" if name in ABOVE else f"from {low}" if low > -math.inf else ""
        limits = " ".join(part for part in (below, f"up to {high:,}" if high < math.inf else "") if part)
        raise SettingsError(f"{word} is {value}; give a number {limits}")
    return value
