"""A tracer on disk: settings, items and concepts as JSON, numbers as safetensors; and the same step as an ONNX graph for other runtimes."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.records import atomic_write, read_rows, write_jsonl
from luthier.trace.answers import Catalogue, Concept, Edge, Item
from luthier.trace.bank import Bank
from luthier.trace.calibration import Platt
from luthier.trace.fitting import FitSettings
from luthier.trace.graph import build_graph, nearest_relations
from luthier.trace.learner_model import GraphTracer
from luthier.trace.sinkt import Nodes, SinktSettings, answer_input
from luthier.trace.stepping import ItemTable, Stepper
from luthier.trace.texts import TextVectors
from luthier.trace.tracer import Tracer, TracerSettings

if TYPE_CHECKING:
    from luthier.models.embedder import Embedder
    from luthier.models.embedding_cache import EmbeddingCache

FORMAT = 1
RECORD, NUMBERS = "tracer.json", "tracer.safetensors"
ITEMS, CONCEPTS, EDGES = "items.jsonl", "concepts.jsonl", "edges.jsonl"
OPSET = 18


def save_tracer(tracer: Tracer, folder: str | Path) -> Path:
    """Write a fitted tracer, `tracer.json` last. Raises DiskError."""
    from safetensors.numpy import save

    folder, bank, module = Path(folder), tracer.bank, tracer.module
    write_jsonl(folder / ITEMS, (each._asdict() | {"concepts": list(each.concepts)} for each in bank.items))
    write_jsonl(folder / CONCEPTS, (each._asdict() for each in bank.concepts))
    write_jsonl(folder / EDGES, (each._asdict() for each in bank.edges))
    tensors = {f"module.{name}": each.numpy() for name, each in module.state_dict().items()}
    tensors |= {
        "texts.question": module.question_texts.numpy(),
        "texts.concept": module.concept_texts.numpy(),
        "rates": module.item_rates.numpy(),
        "trained": bank.trained.astype(np.uint8),
    }
    for depth, nodes in enumerate(bank.layers):
        tensors |= {f"layer.{depth}.{name}": each.numpy() for name, each in nodes._asdict().items()}
    for kind, table in (("table", bank.table), ("virtual", bank.virtual)):
        tensors |= {f"{kind}.{name}": each for name, each in table._asdict().items()}
    with atomic_write(folder / NUMBERS, "wb") as stream:
        stream.write(save({name: np.ascontiguousarray(each) for name, each in tensors.items()}))
    record = {
        "format": FORMAT,
        "settings": asdict(tracer.settings),
        "shapes": module.sinkt.settings.to_row(),
        "platt": tracer.platt,
        "spreads": tracer.spreads,
        "version": tracer.version,
        "attached": bank.attached,
        "encoded": {"items": len(module.node_of_item), "concepts": len(module.concept_texts), "edges": module.expert_edges},
    }
    with atomic_write(folder / RECORD) as stream:
        json.dump(record, stream, indent=1, ensure_ascii=False)
        stream.write("\n")
    return folder


def load_tracer(folder: str | Path, *, embedder: Embedder | None = None, cache: EmbeddingCache | None = None) -> Tracer:
    """A tracer that gives the predictions it gave. Raises MissingFileError or BadRowError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    if not (folder / RECORD).is_file():
        raise MissingFileError(f"{folder}: no {RECORD} in it; fit a tracer there first")
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']}, this version reads {FORMAT}")
        tensors = load_file(folder / NUMBERS)
        settings = record["settings"] | {"fit": FitSettings(**record["settings"]["fit"])}
        tracer = Tracer(TracerSettings(**settings | {"graph": tuple(settings["graph"])}), embedder=embedder, cache=cache)
        _fill(tracer, record, tensors, read_catalogue(folder))
    except (ValueError, KeyError, TypeError, OSError, SafetensorError, RuntimeError) as problem:
        raise BadRowError(f"not a tracer ({type(problem).__name__}: {problem})", folder / RECORD) from None
    return tracer


def read_catalogue(folder: Path) -> Catalogue:
    """The items, concepts and edges of a folder. Raises BadRowError."""
    items = [Item(row["item"], row["text"], tuple(row["concepts"])) for _, row in read_rows(folder / ITEMS)]
    concepts = [Concept(**row) for _, row in read_rows(folder / CONCEPTS)]
    return Catalogue(tuple(items), tuple(concepts), tuple(Edge(**row) for _, row in read_rows(folder / EDGES)))


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


def _fill(tracer: Tracer, record: dict[str, Any], tensors: dict[str, Any], catalogue: Catalogue) -> None:
    encoded = record["encoded"]
    part = Catalogue(catalogue.items[: encoded["items"]], catalogue.concepts[: encoded["concepts"]], catalogue.edges[: encoded["edges"]])
    texts = TextVectors(tensors["texts.question"], tensors["texts.concept"])
    edges = list(part.edges) if "expert" in tracer.settings.graph else []
    if "knn" in tracer.settings.graph:
        edges += nearest_relations(part, texts.concept)
    module = GraphTracer(SinktSettings(**record["shapes"]), build_graph(part.with_edges(edges)), texts, encoded["edges"])
    module.load_state_dict({name[7:]: torch.from_numpy(each) for name, each in tensors.items() if name.startswith("module.")})
    module.item_rates = torch.from_numpy(tensors["rates"])
    module.train(False)
    tracer.module, tracer.stepper = module, Stepper(module.sinkt)
    depth = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("layer."))
    layers = [Nodes(*(torch.from_numpy(tensors[f"layer.{at}.{kind}"]) for kind in Nodes._fields)) for at in range(depth)]
    table, virtual = (ItemTable(*(tensors[f"{kind}.{name}"] for name in ItemTable._fields)) for kind in ("table", "virtual"))
    tracer.bank = Bank(
        catalogue,
        layers,
        table,
        tensors["trained"].astype(bool),
        encoder=module.sinkt.encoder,
        stepper=tracer.stepper,
        encode=tracer.encode,
        virtual=virtual,
    )
    tracer.bank.attached = record["attached"]
    tracer.platt = (Platt(*record["platt"][0]), Platt(*record["platt"][1]))
    tracer.spreads, tracer.version = list(record["spreads"]), record["version"]
