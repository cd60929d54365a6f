"""One step of a tracer as an ONNX graph, for other runtimes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from luthier.errors import SettingsError
from luthier.records import atomic_write
from luthier.trace.sinkt import answer_input

if TYPE_CHECKING:
    from luthier.trace.tracer import Tracer

OPSET = 18


def export_onnx(tracer: Tracer, path: str | Path) -> Path:
    """Write one step as an ONNX graph with the item table inside.

    Inputs: hidden (1, state), item (1,) and correct (1,), the answer given; asked (n,), items asked next, and evidence (n, 4) of each.
    Outputs: the new hidden (1, state) and the logits (n,). Raises SettingsError without the extra `trace`.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise SettingsError("ONNX export needs further packages: pip install 'luthier[trace]'") from None
    step = _Step(tracer).train(False)
    state = tracer.stepper.wide
    example = (
        torch.zeros(1, state),
        torch.zeros(1, dtype=torch.int64),
        torch.ones(1),
        torch.zeros(2, dtype=torch.int64),
        torch.zeros(2, 4),
    )
    n = torch.export.Dim("asked", min=1)
    with warnings.catch_warnings(), _quieter(logging.getLogger("torch.onnx")):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            step,
            example,
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            input_names=["hidden", "item", "correct", "asked", "evidence"],
            output_names=["new_hidden", "logits"],
            dynamic_shapes=({}, {}, {}, {0: n}, {0: n}),
        )
    if program is None:
        raise SettingsError("torch made no ONNX program of the step")
    with atomic_write(path, "wb") as stream:
        stream.write(program.model_proto.SerializeToString())
    return Path(path)


@contextmanager
def _quieter(logger: logging.Logger) -> Iterator[None]:
    """Errors only: it warns of packages of vision models that are not needed here."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Step(nn.Module):
    """One answer in, logits of the next items out, on the tables of a tracer."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.sinkt = tracer.module.sinkt
        self.register_buffer("question", torch.from_numpy(tracer.bank.table.question.copy()))
        self.register_buffer("concept", torch.from_numpy(tracer.bank.table.concept.copy()))
        self.register_buffer("rates", torch.from_numpy(tracer.bank.table.rates.copy()))

    def forward(self, hidden: Tensor, item: Tensor, correct: Tensor, asked: Tensor, evidence: Tensor) -> tuple[Tensor, Tensor]:
        gru = self.sinkt.gru
        given = answer_input(self.concept[item], correct)
        a = nn.functional.linear(given, gru.weight_ih_l0, gru.bias_ih_l0).chunk(3, dim=-1)
        b = nn.functional.linear(hidden, gru.weight_hh_l0, gru.bias_hh_l0).chunk(3, dim=-1)
        reset, keep = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
        new = (1 - keep) * torch.tanh(a[2] + reset * b[2]) + keep * hidden
        state = new.expand(asked.shape[0], -1)
        seen = torch.cat([evidence, self.rates[asked]], dim=-1)
        return new, self.sinkt.logits(state, self.question[asked], self.concept[asked], seen)
