"""One GPU against the CPU: do scores, training, flat noise, preference tuning, probing, decoding and generation give the CPU's numbers, and in what
time beside TRL and transformers.

Numbers are compared in float32 on both devices; times are taken in the number format that the device computes fast, after a step that
warms up, and the device has finished before the clock is read. `--quick` takes a tiny random model, also on a CPU, where both sides are one
device; without it the bundled model, or another with `--model`. Flat noise is drawn on its device, so what is compared there is its law and
what it does when it is the same. docs/gpu.md lists what ran where.
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from itertools import accumulate
from logging import ERROR, getLogger
from pathlib import Path
from statistics import median
from typing import Any

from harness import benchmark

CITIES = ("Oslo", "Lisbon", "Rome", "Paris", "Quito", "Lima", "Accra", "Hanoi")
MODES = ("naive", "rollback", "packed")
OPTIONS = ("the red book", "the green book", "the blue book", "the grey book")
TOLERANCE = {  # how far float32 may be apart: nats a token, but for shares
    "scores": 1e-3,
    "kernels": 1e-3,
    "training": 5e-3,
    "noise_law": 0.02,
    "noise_loss": 1e-3,
    "noise_backends": 1e-4,
    "preferences": 5e-3,
    "probing": 1e-3,
    "temperatures": 1e-3,
    "answers_unlike": 0.1,
}


def measure(quick: bool, model: str, device: str, steps: str) -> dict[str, Any]:
    import datasets
    import torch
    from transformers.utils import logging

    from luthier.models.hardware import chosen_device
    from luthier.models.local import LocalModel
    from luthier.models.opening import model_folder

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning)
    getLogger("bitsandbytes").setLevel(ERROR)  # it speaks of faster kernels and of roundings
    place, count = chosen_device(device), 3 if quick else int(steps)
    with tempfile.TemporaryDirectory() as scratch:
        folder = _tiny(Path(scratch) / "tiny") if quick else model_folder(model)
        exact = [LocalModel(folder, dtype="float32", device=each) for each in ("cpu", place)]
        fast = LocalModel(folder, device=place)
        apart: dict[str, float] = {}
        for check in (_scores, _noise, _training, _probing, _decoding):
            apart |= check(*exact, Path(scratch))
            print(f"{check.__name__[1:]}: {apart}", flush=True)
        seconds = _training_seconds(fast, Path(scratch), count, rows=2 if quick else 4)
        print(f"seconds of a step: {seconds}", flush=True)
        rates = _generation_rates(fast, 8 if quick else 128, (1, 2) if quick else (1, 16))
        figures = {
            "model": "tiny random Llama" if quick else model,
            "on": place,
            "dtype": str(fast.training_dtype).removeprefix("torch."),
            "gpu": torch.cuda.get_device_name(place) if place.startswith("cuda") else None,
            "apart": apart,
            "within": {name: value <= TOLERANCE[name] for name, value in apart.items()},
            "step_seconds": seconds,
            "probe_seconds": {mode: _seconds(partial(_probed, fast, mode)) for mode in MODES},
            "tokens_a_second": rates,
            "few_bits": _few_bits(folder, place),
        }
        if place.startswith("cuda"):
            figures["peak_gpu_mib"] = round(torch.cuda.max_memory_allocated(place) / 2**20)
        return figures


def _tiny(folder: Path) -> Path:
    """A random Llama of two layers whose tokens are bytes, with the bundled chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from luthier.models.known import chat_template

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    bytes_alone = Tokenizer(models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=[]))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    bytes_alone.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytes_alone, bos_token=special[1], eos_token=special[2], pad_token=special[2], model_max_length=2048
    )
    tokenizer.chat_template = chat_template()
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = LlamaConfig(
        vocab_size=len(words), max_position_embeddings=2048, eos_token_id=2, pad_token_id=2, initializer_range=0.2, **shape
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _rows(count: int) -> list[Any]:
    from luthier.records import Conversation, Message

    def row(number: int) -> Any:
        city = CITIES[number % len(CITIES)]
        asked = f"What is the weather in {city}? {'Please be brief. ' * (number % 3)}"
        return Conversation((Message("user", asked), Message("assistant", f"In {city} it is {number % 30} degrees and dry.")))

    return [row(number) for number in range(count)]


def _pairs(count: int) -> list[Any]:
    from luthier.records import to_pair

    return [
        to_pair({"prompt": f"How many are {n} and {n + 3}?", "chosen": f"Together {2 * n + 3}.", "rejected": f"Together {2 * n + 5}."})
        for n in range(count)
    ]


def _prompts(count: int) -> list[Any]:
    from luthier.models import Prompt

    return [Prompt(row.messages[:1]) for row in _rows(count)]


def _scores(cpu: Any, there: Any, scratch: Path) -> dict[str, float]:
    """Log-probabilities of given answers, and those of another attention kernel on the device."""
    from luthier.models.local import LocalModel

    said = [row.messages[1].content for row in _rows(8)]
    eager = LocalModel(there.folder, dtype="float32", device=there.hardware.device, attention="eager")
    one, two, three = ([value for score in model.score(_prompts(8), said) for value in score.logprobs] for model in (cpu, there, eager))
    return {"scores": _furthest(one, two), "kernels": _furthest(two, three)}


def _noise(cpu: Any, there: Any, scratch: Path) -> dict[str, float]:
    """The deviation of what is drawn on the device, over the law's on the CPU; the loss under the CPU's own noise; backends with each other."""
    import torch

    from luthier.models.hardware import input_device
    from luthier.train.flat import FlatNoise, noise_scale
    from luthier.train.sft import encode_all
    from luthier.train.start import adapted_model

    models = [_perturbed(adapted_model(model, None)) for model in (cpu, there)]
    rows = encode_all(_rows(4), cpu)
    batches = [[torch.tensor([row["input_ids"]], device=input_device(model)) for row in rows] for model in models]

    def loss(at: int) -> float:
        with torch.no_grad():
            return sum(float(models[at](input_ids=ids, labels=ids).loss) for ids in batches[at]) / len(rows)

    flats = [FlatNoise(model.train(), 0.1, schedule=lambda _: 1.0, backend="cached") for model in models]
    for flat in flats:
        flat.draw(1, 2)
    off = []
    for mine, other in zip(flats[0].layers, flats[1].layers, strict=True):
        scale = noise_scale(mine.row_norms(), mine.shape[1], 0.1)
        drawn = (other.noisy - other.base.weight).cpu().float() / scale
        off.append(abs(float(drawn.square().mean().sqrt()) - 1))
    fresh = loss(1)
    for mine, other in zip(flats[0].layers, flats[1].layers, strict=True):
        other.noisy.copy_(mine.noisy)
    same = abs(loss(0) - loss(1))
    for flat in flats:
        flat.remove()
    again = FlatNoise(models[1], 0.1, schedule=lambda _: 1.0, backend="recompute")
    with again.step(1, 2):
        anew = loss(1)
    again.remove()
    return {"noise_law": sum(off) / len(off), "noise_loss": same, "noise_backends": abs(fresh - anew)}


def _perturbed(model: Any) -> Any:
    """The same small adapter on every device."""
    import torch

    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if "lora_" in name:
                weight.copy_(0.02 * torch.randn(weight.shape, generator=draw))
    return model


def _training(cpu: Any, there: Any, scratch: Path) -> dict[str, float]:
    """Losses of a few steps of supervised and preference tuning without noise."""
    losses = [_losses(model, scratch / f"exact-{at}") for at, model in enumerate((cpu, there))]
    return {name: _furthest(losses[0][name], losses[1][name]) for name in losses[0]}


def _losses(model: Any, folder: Path) -> dict[str, list[float]]:
    _fine_tune(model, folder / "sft", 3, 2, sigma=0.0, method="none")
    _prefer(model, folder / "preference", 3, 2)
    return {"training": _logged(folder / "sft", "loss"), "preferences": _logged(folder / "preference", "loss")}


def _given(steps: int, rows: int) -> dict[str, Any]:
    return {
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": 1,
        "max_steps": steps,
        "warmup_steps": 0,
        "save_steps": 10_000,
    }


def _fine_tune(model: Any, folder: Path, steps: int, rows: int, **settings: Any) -> None:
    from luthier.train.settings import SftSettings
    from luthier.train.sft import fine_tune

    fine_tune(_rows(steps * rows), model, folder, SftSettings(sft=_given(steps, rows), learning_rate=1e-4, **settings))


def _prefer(model: Any, folder: Path, steps: int, rows: int) -> None:
    from luthier.train.preference.tuning import tune_preferences
    from luthier.train.settings import PreferenceSettings

    tune_preferences(_pairs(steps * rows), model, folder, PreferenceSettings(training=_given(steps, rows), learning_rate=1e-4))


def _logged(folder: Path, name: str) -> list[float]:
    return [json.loads(line)[name] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _probing(cpu: Any, there: Any, scratch: Path) -> dict[str, float]:
    """Log-probabilities of four options after each sentence of a chain, in every way of reading them."""
    plain = _probed(cpu, "naive")
    return {"probing": max(_furthest(plain, _probed(there, mode)) for mode in MODES)}


def _probed(model: Any, mode: Any) -> list[float]:
    from luthier.models.options import ChainPlaces, OptionReader

    prompt = model.encode(model.render(_prompts(1)[0]))
    sentences = [model.encode(f"The item {n} is lighter than the one before it. ") for n in range(5)]
    chain, ends = [token for one in sentences for token in one], [*accumulate(map(len, sentences))]
    first, [rest] = OptionReader(model, "texts", OPTIONS, mode).chains(prompt, [ChainPlaces(chain, ends)])
    return [*first.logprobs.flatten(), *rest.logprobs.flatten()]


def _decoding(cpu: Any, there: Any, scratch: Path) -> dict[str, float]:
    """Dynamic temperatures of a head fitted on the CPU, and the share of answers, greedy and drawn by seed, that are not the same."""
    from luthier.decode.contexts import Context
    from luthier.decode.head import DiversityHead
    from luthier.decode.labels import Label
    from luthier.decode.processor import DDS
    from luthier.decode.sampling import sample_replies
    from luthier.models import Sampling

    contexts = [Context(row.messages[:1], group=f"{number}") for number, row in enumerate(_rows(24))]
    labels = [Label(context, sampled=(at % 7) / 7) for at, context in enumerate(contexts)]
    head = DiversityHead.fit(cpu, labels, folds=3, along=0)
    warmth, answers = [], []
    for model in (cpu, there):
        replies = sample_replies(model, _prompts(8), DDS(head, level="token"), max_tokens=2)
        warmth.append([reply.temperatures[0] for reply in replies])
        said = [model.generate(_prompts(8), Sampling(16, temperature)) for temperature in (0.0, 0.8)]
        answers.append([one.text for each in said for one in each])
    unlike = sum(one != other for one, other in zip(*answers, strict=True)) / len(answers[0])
    return {"temperatures": _furthest(*warmth), "answers_unlike": unlike}


def _training_seconds(model: Any, scratch: Path, steps: int, rows: int) -> dict[str, float]:
    """Median seconds of an optimizer step: ours from the run's own log, TRL's by a callback on the same rows."""
    arms: dict[str, dict[str, Any]] = {
        "sft": {"sigma": 0.0, "method": "none"},
        "sft_flat_cached": {"sigma": 0.05, "backend": "cached"},
        "sft_flat_recompute": {"sigma": 0.05, "backend": "recompute"},
    }
    found: dict[str, float] = {}
    for name, settings in arms.items():
        _fine_tune(model, scratch / name, steps, rows, **settings)
        found[name] = median(_logged(scratch / name, "seconds")[1:])
    _prefer(model, scratch / "dpo", steps, rows)
    found["preference"] = median(_logged(scratch / "dpo", "seconds")[1:])
    return found | {"trl_sft": _trl(model, scratch, steps, rows, "sft"), "trl_dpo": _trl(model, scratch, steps, rows, "dpo")}


def _trl(model: Any, scratch: Path, steps: int, rows: int, kind: str) -> float:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    from luthier.train.sft import encode_all
    from luthier.train.start import starting_weights

    seconds: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            _finish()
            self.started = time.perf_counter()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            _finish()
            seconds.append(time.perf_counter() - self.started)

    half, device = model.training_dtype, str(model.device)
    shared = _given(steps, rows) | {
        "output_dir": str(scratch / f"trl-{kind}"),
        "learning_rate": 1e-4,
        "bf16": half is torch.bfloat16,
        "fp16": half is torch.float16,
        "use_cpu": device == "cpu",
        "dataloader_pin_memory": device != "cpu",
        "report_to": "none",
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "max_length": 1024,
        "save_strategy": "no",
    }
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    more = {"processing_class": model.tokenizer, "peft_config": lora, "callbacks": [Clock()]}
    base = starting_weights(model)
    if kind == "sft":
        data = Dataset.from_list(encode_all(_rows(steps * rows), model))
        trainer = SFTTrainer(base, args=SFTConfig(**shared), train_dataset=data, **more)
    else:
        data = Dataset.from_list([{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in _plain_pairs(steps * rows)])
        trainer = DPOTrainer(base, args=DPOConfig(**shared), train_dataset=data, **more)
    trainer.train()
    return median(seconds[1:])


def _plain_pairs(count: int) -> list[dict[str, Any]]:
    return [pair.to_row() for pair in _pairs(count)]


def _generation_rates(model: Any, tokens: int, batches: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """New tokens a second, side by side: ours, plain and at dynamic temperatures, and transformers' `generate`; none stops early."""
    import torch

    from luthier.decode.processor import DDS
    from luthier.decode.rules import Dynatemp
    from luthier.decode.sampling import sample_replies
    from luthier.models import Sampling

    stops, found = model.stop_ids, {}
    config = model.module.generation_config
    for batch in batches:
        prompts = _prompts(batch)
        encoded = model.tokenizer.pad({"input_ids": [model.encode(model.render(one)) for one in prompts]}, return_tensors="pt").to(
            model.device
        )

        def ours(prompts: list[Any] = prompts) -> None:
            model.generate(prompts, Sampling(tokens))

        def dynamic(prompts: list[Any] = prompts) -> None:
            sample_replies(model, prompts, DDS(Dynatemp(), level="token"), max_tokens=tokens)

        def theirs(encoded: Any = encoded) -> None:
            with torch.inference_mode():
                model.module.generate(**encoded, max_new_tokens=tokens, do_sample=False, pad_token_id=stops[0])

        arms = {"ours": ours, "dynamic": dynamic, "transformers": theirs}
        config.eos_token_id = -1  # ends nothing
        found[f"{batch}"] = {name: batch * tokens / _seconds(work) for name, work in arms.items()}
        config.eos_token_id = stops
    return found


def _few_bits(folder: Path, place: str) -> dict[str, Any]:
    """How far 4 and 8 bit move the log-probability of a token in the mean, nats; or why they were not tried."""
    from luthier.models.local import LocalModel

    if find_spec("bitsandbytes") is None or place == "mps":
        return {"skipped": "bitsandbytes is not here, or not for this device"}
    said = [row.messages[1].content for row in _rows(8)]
    models = {bits: LocalModel(folder, device=place, quantize=bits) for bits in (None, "4bit", "8bit")}  # type: ignore[dict-item]
    values = {bits: [one for score in model.score(_prompts(8), said) for one in score.logprobs] for bits, model in models.items()}
    return {bits: sum(map(lambda a, b: abs(a - b), found, values[None])) / len(found) for bits, found in values.items() if bits is not None}


def _seconds(work: Callable[[], None]) -> float:
    work()
    _finish()
    started = time.perf_counter()
    work()
    _finish()
    return time.perf_counter() - started


def _finish() -> None:
    """Wait until the device has done what it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


def _furthest(one: list[float], other: list[float]) -> float:
    return float(max(abs(a - b) for a, b in zip(one, other, strict=True)))


def line(figures: dict[str, Any]) -> str:
    right, steps = figures["within"], figures["step_seconds"]
    wide, rates = list(figures["tokens_a_second"].items())[-1]
    beyond = ", ".join(f"{name} {figures['apart'][name]:.2g}" for name, fits in right.items() if not fits)
    return (
        f"{figures['model']} on {figures['gpu'] or figures['on']} in {figures['dtype']}: {sum(right.values())} of {len(right)} checks within float32's"
        f" tolerance of the CPU{f' (beyond: {beyond})' if beyond else ''}; a step of SFT {steps['trl_sft'] / steps['sft']:.2f}x as fast as TRL's, flat"
        f" {steps['trl_sft'] / steps['sft_flat_cached']:.2f}x, preference {steps['trl_dpo'] / steps['preference']:.2f}x; {rates['ours']:.0f} tokens/s at"
        f" {wide} ({rates['ours'] / rates['transformers']:.2f}x transformers), dynamic {rates['dynamic']:.0f};"
        f" probes in one pass {figures['probe_seconds']['naive'] / figures['probe_seconds']['packed']:.1f}x as fast as apart"
    )


if __name__ == "__main__":
    benchmark("gpu", measure, line, __doc__, model="bundled", device="auto", steps="20")
