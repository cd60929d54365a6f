"""What Flat-LoRA costs: optimizer steps of plain LoRA, each backend, the published scheme and LoRA-SAM, taken in turns in one run.

CPU-seconds of this process, the median over rounds of each arm's ratio to plain LoRA of the same round; the peak memory of each arm in a
process of its own; the noise alone beside the published scheme's; and how far adding and subtracting noise moves a stored weight.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

from harness import benchmark

ARMS = ("lora", "cached", "table", "recompute", "published", "lora-sam")
QUICK = ("lora", "cached", "table", "published")
FLAT = ("cached", "table", "recompute")
SIGMA = 0.05


def measure(quick: bool, tokens: str, arm: str) -> dict[str, Any]:
    size = (2, 64) if quick else (4, int(tokens) // 4)
    if arm:  # a child that tells its own peak
        steps = _steps(_model(), arm, *(1, size[1]))
        steps()
        steps()
        return {"peak_mib": _peak()}
    model = _model()
    rounds, arms = (1, QUICK) if quick else (7, ARMS)
    figures: dict[str, Any] = {"tokens": size[0] * size[1], "rounds": rounds, "step_seconds": {}, "ratio": {}}
    takes = {name: _steps(model, name, *size) for name in arms}
    spent: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds + 1):
        for name in list(takes)[number % len(takes) :] + list(takes)[: number % len(takes)]:  # no arm is always the last
            seconds = takes[name]()
            if number:  # the first round warms up
                spent[name].append(seconds)
    for name in arms:
        figures["step_seconds"][name] = median(spent[name])
        figures["ratio"][name] = median(mine / plain for mine, plain in zip(spent[name], spent["lora"], strict=True))
    figures["noise_seconds"] = _noise_seconds(model, 1 if quick else 7)
    plain = figures["step_seconds"]["lora"]
    figures["noise_share"] = {name: spent / plain for name, spent in figures["noise_seconds"].items()}
    figures["drift"] = _drift(model, 20 if quick else 1000)
    del model, takes
    figures["peak_mib"] = {name: _child_peak(name, tokens, quick) for name in (("cached",) if quick else ARMS)}
    return figures


def _model() -> Any:
    """The bundled model with an adapter on every linear layer, as training holds it."""
    import torch

    from luthier.models import known
    from luthier.models.local import LocalModel
    from luthier.train.start import adapted_model

    torch.manual_seed(0)
    model = adapted_model(LocalModel(known.pull(), name=known.DEFAULT), None)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.01)
    return model.train()


def _steps(model: Any, arm: str, rows: int, length: int) -> Callable[[], float]:
    """A function that takes one optimizer step of the arm and gives its CPU-seconds. All arms share the model; noise is put on it and
    warmed up before the clock starts, as it is in every step of a run but the first."""
    import torch

    from luthier.train.flat import FlatNoise

    batch = torch.randint(10, 40_000, (rows, length), generator=torch.Generator().manual_seed(1))
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-6)
    half = next(w.dtype for w in model.parameters() if not w.requires_grad) is torch.bfloat16

    def passes() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()

    def take() -> float:
        flat = FlatNoise(model, SIGMA, lambda _: 1.0, backend=arm) if arm in FLAT else None  # type: ignore[arg-type]
        around: AbstractContextManager[Any] = _Published(model) if arm == "published" else nullcontext()
        if flat is not None:
            for layer in flat.layers:
                layer.row_norms()
            with flat.step(0, 2):
                pass
            around = flat.step(1, 2)
        start = time.process_time()
        with around:
            passes()
        if arm == "lora-sam":
            _ascend(weights, passes)
        optimizer.step()
        optimizer.zero_grad()
        spent = time.process_time() - start
        if flat is not None:
            flat.remove()
        return spent

    return take


def _ascend(weights: list[Any], passes: Callable[[], None], rho: float = 0.003) -> None:
    from luthier.train.sharpness_aware import ascended

    with ascended(weights, rho):
        for weight in weights:
            weight.grad = None
        passes()


class _Published:
    """The published scheme: B A formed, a matrix of deviations, the noise added to the stored weight, drawn again and subtracted."""

    def __init__(self, model: Any) -> None:
        from peft.tuners.lora import LoraLayer

        self.layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
        self.deviations: list[Any] = []

    def __enter__(self) -> None:
        self._write(1)

    def __exit__(self, *_: object) -> None:
        self._write(-1)

    def _write(self, sign: int) -> None:
        import torch

        with torch.no_grad():
            torch.manual_seed(7)
            for number, layer in enumerate(self.layers):
                weight = layer.get_base_layer().weight
                if sign > 0:
                    delta = layer.lora_B["default"].weight @ layer.lora_A["default"].weight * layer.scaling["default"]
                    norms = (weight + delta).norm(dim=1, keepdim=True)
                    self.deviations.append(norms * (SIGMA / weight.shape[1] ** 0.5))
                spread = self.deviations[number].expand(weight.shape)
                weight.add_(torch.normal(0.0, spread).to(weight.dtype), alpha=sign)


def _noise_seconds(model: Any, rounds: int) -> dict[str, float]:
    """CPU-seconds of the noise of one step over all adapted weights, without any pass."""
    from luthier.train.flat import FlatNoise

    spent: dict[str, list[float]] = {"cached": [], "table": [], "published": []}
    kept = {name: FlatNoise(model, SIGMA, lambda _: 1.0, backend=name) for name in ("cached", "table")}  # type: ignore[arg-type]
    for number in range(rounds + 1):
        for name, seconds in spent.items():
            start = time.process_time()
            with kept[name].step(number, rounds) if name in kept else _Published(model):
                pass
            if number:
                seconds.append(time.process_time() - start)
    for flat in kept.values():
        flat.remove()
    return {name: median(seconds) for name, seconds in spent.items()}


def _drift(model: Any, steps: int) -> dict[str, dict[str, float]]:
    """Share of a real weight's entries that differ, and relative length of the difference, after `steps` additions and subtractions."""
    import torch

    from luthier.train.flat.normals import Generated

    weight = next(m for name, m in model.named_modules() if name.endswith("layers.0.self_attn.q_proj")).get_base_layer()
    figures = {}
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        clean = weight.weight.detach().to(dtype)
        held, room = clean.clone(), torch.empty(clean.shape)
        scale = clean.float().norm(dim=1, keepdim=True) * (SIGMA / clean.shape[1] ** 0.5)
        for step in range(steps):
            noise = (Generated("0").take("drift", step, room) * scale).to(dtype)
            held.add_(noise).sub_(noise)
        moved = (held.float() - clean.float()).norm() / clean.float().norm()
        figures[str(dtype).removeprefix("torch.")] = {"changed": float((held != clean).float().mean()), "relative": float(moved)}
    return figures | {"steps": steps}  # type: ignore[operator]


def _child_peak(arm: str, tokens: str, quick: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "peak.json"
        command = [sys.executable, __file__, "--arm", arm, "--tokens", tokens, "--out", str(out), *(["--quick"] if quick else [])]
        subprocess.run(command, check=True, capture_output=True)
        return float(json.loads(out.read_text())["peak_mib"])


def _peak() -> float:
    """The most memory this process has held, MiB. Not ru_maxrss, which a child inherits from its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def line(figures: dict[str, Any]) -> str:
    if "ratio" not in figures:
        return f"peak {figures['peak_mib']:.0f} MiB"
    ratios = ", ".join(f"{name} {figures['ratio'][name]:.2f}x" for name in figures["ratio"] if name != "lora")
    noise, drift = figures["noise_seconds"], figures["drift"]
    cheaper = f"{noise['published'] / noise['cached']:.1f}x, table {noise['published'] / noise['table']:.1f}x"
    peaks = ", ".join(f"{name} {peak:.0f}" for name, peak in figures["peak_mib"].items())
    share = ", ".join(f"{name} {part:.1%}" for name, part in figures["noise_share"].items())
    return (
        f"a step of {figures['tokens']:,} tokens against plain LoRA: {ratios}; the noise alone, of such a step: {share}; noise cheaper than the published scheme {cheaper}; "
        f"peak MiB: {peaks}; in-place drift in bf16 after {drift['steps']:,} steps: {drift['bfloat16']['changed']:.0%} of entries, others 0"
    )


if __name__ == "__main__":
    benchmark("flat", measure, line, __doc__, tokens="1024", arm="")
