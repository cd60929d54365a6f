"""SINKT and DKT behind one face: logits of every answer of a batch from the answers before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from luthier.trace.graph import EdgeList, TraceGraph
from luthier.trace.item_rates import COLUMNS, FOLDS, fold_rates, item_rates
from luthier.trace.sequences import Batch
from luthier.trace.sinkt import Edges, Nodes, Sinkt, SinktSettings, mean_concepts

if TYPE_CHECKING:
    from luthier.trace.answers import AnswerLog
    from luthier.trace.texts import TextVectors


RESIDUAL_PENALTY = 0.01


class SequenceModel(Protocol):
    """What is trained and scored alike: a torch module with these three."""

    def answer_logits(self, batch: Batch, **options: Any) -> Tensor:
        """(B, T): each answer's logit given the answers before it."""
        ...

    def loss(self, batch: Batch) -> Tensor:
        """The mean cross-entropy over the answers of a batch."""
        ...

    def prepare(self, train: AnswerLog) -> None:
        """Count what it needs of the training answers, before the first epoch."""
        ...

    def train(self, mode: bool = True) -> nn.Module: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> object: ...


class GraphTracer(nn.Module):
    """A `Sinkt` with its graph and text vectors, which are buffers: they follow the module and are never trained."""

    def __init__(self, settings: SinktSettings, graph: TraceGraph, texts: TextVectors, expert_edges: int = 0) -> None:
        """expert_edges: how many of the catalogue's edges the graph was made with."""
        super().__init__()
        self.expert_edges = expert_edges
        self.sinkt = Sinkt(settings)
        self.edges: Mapping[str, Edges] = {name: to_edges(some) for name, some in graph.edges.items()}
        self.register_buffer("question_texts", torch.from_numpy(texts.question), persistent=False)
        self.register_buffer("concept_texts", torch.from_numpy(texts.concept), persistent=False)
        self.register_buffer("node_of_item", torch.from_numpy(graph.node_of_item), persistent=False)
        rows = torch.arange(len(graph.node_of_item))
        rows[rows >= settings.items] = -1  # items that came after training have no residual
        self.register_buffer("residual_row", rows, persistent=False)
        self.register_buffer("item_rates", torch.zeros(len(rows), COLUMNS), persistent=False)
        self.register_buffer("fold_rates", torch.zeros(FOLDS, len(rows), COLUMNS), persistent=False)
        self._kept: tuple[Nodes, Tensor] | None = None

    def prepare(self, train: AnswerLog) -> None:
        """Count how items were answered; learners in training read the counts of the others."""
        if self.sinkt.settings.item_residual:
            self.item_rates = torch.from_numpy(item_rates(train))
            self.fold_rates = torch.from_numpy(fold_rates(train))

    def layers(self) -> list[Nodes]:
        """The vectors of all nodes after each layer, texts first."""
        found: list[Nodes] = self.sinkt.encoder(Nodes(self.question_texts, self.concept_texts), self.edges)
        return found

    def vectors(self) -> tuple[Nodes, Tensor]:
        """All node vectors and u of each question node; computed once while the module is in evaluation mode."""
        if self._kept is not None and not self.training:
            return self._kept
        nodes = self.layers()[-1]
        found = nodes, mean_concepts(nodes.concept, self.edges["cq"], len(nodes.question))
        self._kept = None if self.training else found
        return found

    def train(self, mode: bool = True) -> GraphTracer:
        self._kept = None
        super().train(mode)
        return self

    def answer_logits(self, batch: Batch, text_only: bool = False) -> Tensor:
        return self._both(batch)[1 if text_only else 0]

    def loss(self, batch: Batch) -> Tensor:
        """Half on items with their residual, half on texts alone; residuals are drawn to zero, so that one answer says little of an item."""
        full, text = self._both(batch)
        if not self.sinkt.settings.item_residual:
            return cross_entropy(full, batch)
        size = self.sinkt.residual(self.residual_row[batch.item[batch.mask]].clamp(min=0)).square().sum(-1).mean()
        return (cross_entropy(full, batch) + cross_entropy(text, batch)) / 2 + RESIDUAL_PENALTY * size

    def _both(self, batch: Batch) -> tuple[Tensor, Tensor]:
        nodes, means = self.vectors()
        node = self.node_of_item[batch.item]
        concept, question = means[node], nodes.question[node]
        state = self.sinkt.states(concept, batch.correct)
        rates = self.fold_rates[batch.fold, batch.item] if self.training else self.item_rates[batch.item]
        bare = torch.cat([batch.evidence, torch.zeros_like(rates)], dim=-1)
        text = self.sinkt.logits(state, question, concept, bare)
        if not self.sinkt.settings.item_residual:
            return text, text
        vector = self.sinkt.item_vectors(question, self.residual_row[batch.item])
        return self.sinkt.logits(state, vector, concept, torch.cat([batch.evidence, rates], dim=-1)), text


class Dkt(nn.Module):
    """Deep knowledge tracing on concept identities: one vector for each concept and label in, one logit for each concept out, means over the
    concepts of an item. The opponent that knows nothing of texts."""

    def __init__(self, concepts_of: list[tuple[int, ...]], concepts: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.wrong, self.right = nn.Embedding(concepts, 2 * dim), nn.Embedding(concepts, 2 * dim)
        self.gru = nn.GRU(2 * dim, hidden, batch_first=True)
        self.out, self.bias = nn.Embedding(concepts, hidden), nn.Embedding(concepts, 1)
        nn.init.normal_(self.out.weight, std=hidden**-0.5)
        nn.init.zeros_(self.bias.weight)
        groups: dict[tuple[int, ...], int] = {}
        of_item = torch.tensor([groups.setdefault(some, len(groups)) for some in concepts_of])
        self.register_buffer("group_of_item", of_item, persistent=False)
        means = torch.zeros(len(groups), concepts)
        for some, row in groups.items():
            means[row, list(some)] = 1 / max(1, len(some))
        self.register_buffer("means", means, persistent=False)

    def prepare(self, train: AnswerLog) -> None:
        """Nothing to count."""

    def loss(self, batch: Batch) -> Tensor:
        return cross_entropy(self.answer_logits(batch), batch)

    def answer_logits(self, batch: Batch, known: Tensor | None = None) -> Tensor:
        """(B, T). known: bool (items,); answers to other items move no state, and they are asked by the mean of all known concepts, which is how
        such a system would be run on concepts that it was not trained on. Without it their untrained rows are read as they are."""
        group, share = self.group_of_item[batch.item], batch.correct[..., None]
        right, wrong = (self.means @ table.weight for table in (self.right, self.wrong))
        given = right[group] * share + wrong[group] * (1 - share)
        out, bias = self.means @ self.out.weight, (self.means @ self.bias.weight)[:, 0]
        if known is None:
            before = _shifted(self.gru(given)[0])
            logits: Tensor = (before * out[group]).sum(-1) + bias[group]
            return logits
        seen = known[batch.item] & batch.mask
        first = torch.argsort((~seen).to(torch.int8), dim=1, stable=True)  # known answers move to the front, in their order
        after = self.gru(given.gather(1, first[..., None].expand_as(given)))[0]
        padded = torch.cat([torch.zeros_like(after[:, :1]), after], dim=1)
        count = seen.long().cumsum(1) - seen.long()
        before = padded.gather(1, count[..., None].expand(-1, -1, padded.shape[-1]))
        mean_out, mean_bias = (table[torch.unique(self.group_of_item[known])].mean(0) for table in (out, bias))
        chosen = torch.where(known[batch.item][..., None], out[group], mean_out)
        return (before * chosen).sum(-1) + torch.where(known[batch.item], bias[group], mean_bias)


def _shifted(after: Tensor) -> Tensor:
    """What is known before each answer: zeros, then the state after the one before."""
    return torch.cat([torch.zeros_like(after[:, :1]), after[:, :-1]], dim=1)


def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    losses = nn.functional.binary_cross_entropy_with_logits(logits, batch.correct, reduction="none")
    return losses[batch.mask].mean()


def to_edges(some: EdgeList) -> Edges:
    return Edges(*(torch.from_numpy(column) for column in some))
