"""SINKT in plain PyTorch (arXiv 2407.01245, section 3): text vectors, typed graph attention, a GRU over answers, a small predictor.

Everything here takes tensors and gives tensors; who the learners are and where texts come from is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

RELATION_TYPES = {
    "cq": ("concept", "question"),
    "qc": ("question", "concept"),
    "prerequisite": ("concept", "concept"),
    "related": ("concept", "concept"),
}
EVIDENCE = 4 + 2  # columns of `luthier.trace.evidence` and of `luthier.trace.item_rates`
SLOPE = 0.2  # of the leaky ReLU in attention scores


@dataclass(frozen=True)
class SinktSettings:
    """Shapes and forms. dim: width d; layers: K, 0 for a linear adapter of the texts; hidden: the state, 2d where None.

    attention: `projected` scores projected vectors, `raw` the vectors themselves (eq. 2-7). predictor: `mlp`, or the paper's `linear`
    (eq. 15). item_residual: adds a gated vector per item, and how training answered it, to the text path, which is trained without them as
    well, so that items never seen stay in distribution. evidence: gives the predictor the counts of `luthier.trace.evidence` beside the state; the paper has neither.
    """

    text_dim: int
    dim: int = 64
    layers: int = 2
    hidden: int | None = None
    attention: Literal["projected", "raw"] = "projected"
    predictor: Literal["mlp", "linear"] = "mlp"
    dropout: float = 0.3
    item_residual: bool = True
    evidence: bool = True
    items: int = 0

    @property
    def state_dim(self) -> int:
        return 2 * self.dim if self.hidden is None else self.hidden


class Edges(NamedTuple):
    """source, target: int64 (edges,); log_weight: (edges,)."""

    source: Tensor
    target: Tensor
    log_weight: Tensor


class Nodes(NamedTuple):
    """Vectors of all nodes: question (nodes, d), concept (concepts, d)."""

    question: Tensor
    concept: Tensor


class TypedAttention(nn.Module):
    """One edge type of one layer: each target reads its sources by attention over them (eq. 2-7)."""

    def __init__(self, wide: int, dim: int, form: str) -> None:
        super().__init__()
        self.message = nn.Linear(wide, dim, bias=False)
        self.projected = form == "projected"
        self.target = nn.Linear(wide, dim, bias=False) if self.projected else nn.Identity()
        scored = dim if self.projected else wide
        self.score_target, self.score_source = (nn.Parameter(torch.empty(scored)) for _ in range(2))
        for vector in (self.score_target, self.score_source):
            nn.init.uniform_(vector, -(scored**-0.5), scored**-0.5)

    def forward(self, target: Tensor, source: Tensor, edges: Edges) -> Tensor:
        """(targets, d): the attended sum; exactly 0 for a target without sources."""
        messages = self.message(source)
        read = messages.new_zeros(len(target), messages.shape[1])
        if not len(edges.source):
            return read
        weights = self.attention(target, source, edges, messages)
        return read.index_add(0, edges.target, weights[:, None] * messages[edges.source])

    def attention(self, target: Tensor, source: Tensor, edges: Edges, messages: Tensor | None = None) -> Tensor:
        """(edges,): weights that sum to 1 over the sources of each target; an edge of weight w counts w times."""
        seen = source if not self.projected else self.message(source) if messages is None else messages
        score = (self.target(target) @ self.score_target)[edges.target] + (seen @ self.score_source)[edges.source]
        score = nn.functional.leaky_relu(score, SLOPE) + edges.log_weight
        highest = score.new_full((len(target),), -torch.inf).scatter_reduce(0, edges.target, score.detach(), "amax", include_self=True)
        raised = torch.exp(score - highest[edges.target])
        total = score.new_zeros(len(target)).index_add(0, edges.target, raised)
        return raised / total[edges.target]


class GraphLayer(nn.Module):
    """x <- ReLU(W x + what each edge type reads), for questions and concepts."""

    def __init__(self, wide: int, dim: int, form: str) -> None:
        super().__init__()
        self.own = nn.ModuleDict({kind: nn.Linear(wide, dim) for kind in ("question", "concept")})
        self.reads = nn.ModuleDict({name: TypedAttention(wide, dim, form) for name in RELATION_TYPES})

    def forward(self, nodes: Nodes, edges: Mapping[str, Edges], sources: Nodes | None = None) -> Nodes:
        """sources: the vectors that edges start from, the nodes themselves where None."""
        return Nodes(*(self._kind(kind, nodes, sources or nodes, edges) for kind in ("question", "concept")))

    def _kind(self, kind: str, nodes: Nodes, sources: Nodes, edges: Mapping[str, Edges]) -> Tensor:
        own: Tensor = getattr(nodes, kind)
        total = self.own[kind](own)
        for name, (source, target) in RELATION_TYPES.items():
            if target == kind and name in edges and len(edges[name].source):
                total = total + self.reads[name](own, getattr(sources, source), edges[name])
        return torch.relu(total)


class StructureEncoder(nn.Module):
    """K graph layers over text vectors; K = 0 is a linear adapter."""

    def __init__(self, settings: SinktSettings) -> None:
        super().__init__()
        wide = [settings.text_dim, *[settings.dim] * (settings.layers - 1)]
        self.layers = nn.ModuleList(GraphLayer(each, settings.dim, settings.attention) for each in wide[: settings.layers])
        self.adapters = nn.ModuleDict(
            {kind: nn.Linear(settings.text_dim, settings.dim) for kind in ("question", "concept")} if not settings.layers else {}
        )

    def forward(self, texts: Nodes, edges: Mapping[str, Edges]) -> list[Nodes]:
        """The vectors of every layer, those of the texts first."""
        if not self.layers:
            adapted = Nodes(self.adapters["question"](texts.question), self.adapters["concept"](texts.concept))
            return [texts, adapted]
        states = [texts]
        for layer in self.layers:
            states.append(layer(states[-1], edges))
        return states

    def attach(self, texts: Nodes, edges: Mapping[str, Edges], known: list[Nodes]) -> list[Nodes]:
        """The vectors of new nodes that read old ones. Edges point at new nodes; sources count the known nodes first, then the new."""
        if not self.layers:
            return self(texts, edges)  # type: ignore[no-any-return]
        states = [texts]
        for layer, old in zip(self.layers, known, strict=False):
            new = states[-1]
            sources = Nodes(torch.cat([old.question, new.question]), torch.cat([old.concept, new.concept]))
            states.append(layer(new, edges, sources))
        return states


class Sinkt(nn.Module):
    """The state of a learner after each answer, and the chance that an item is answered right."""

    def __init__(self, settings: SinktSettings) -> None:
        super().__init__()
        self.settings = settings
        dim, state = settings.dim, settings.state_dim
        wide = state + 2 * dim + (EVIDENCE if settings.evidence else 0)
        self.encoder = StructureEncoder(settings)
        self.gru = nn.GRU(2 * dim, state, batch_first=True)
        if settings.predictor == "mlp":
            self.predictor: nn.Module = nn.Sequential(nn.Linear(wide, dim), nn.Tanh(), nn.Dropout(settings.dropout), nn.Linear(dim, 1))
        else:
            self.predictor = nn.Linear(wide, 1)
        if settings.item_residual:
            self.residual = nn.Embedding(settings.items, dim)
            nn.init.zeros_(self.residual.weight)
            self.gate = nn.Parameter(torch.tensor(0.0))

    def item_vectors(self, questions: Tensor, items: Tensor) -> Tensor:
        """Vectors of items whose node vectors are `questions` (..., d); items: (...), -1 for one without a residual."""
        if not self.settings.item_residual:
            return questions
        rows = self.residual(items.clamp(min=0)) * (torch.sigmoid(self.gate) * (items >= 0)[..., None])
        return questions + rows

    def states(self, concepts: Tensor, correct: Tensor, start: Tensor | None = None) -> Tensor:
        """h_0 .. h_(T-1), what is known before each answer, (B, T, state). concepts: mean concept vectors u (B, T, d); correct: (B, T) in [0, 1]."""
        after, _ = self.gru(answer_input(concepts, correct), start)
        first = torch.zeros_like(after[:, :1]) if start is None else start.transpose(0, 1)
        return torch.cat([first, after[:, :-1]], dim=1)

    def logits(self, state: Tensor, question: Tensor, concept: Tensor, evidence: Tensor) -> Tensor:
        """(...): state (..., state), item vector (..., d) and mean concept vector (..., d) of the item asked; evidence: (..., 6), counts
        of the learner and rates of the item, zeros where it has none."""
        seen = [state, question, concept, evidence] if self.settings.evidence else [state, question, concept]
        found: Tensor = self.predictor(torch.cat(seen, dim=-1))
        return found.squeeze(-1)


def answer_input(concepts: Tensor, correct: Tensor) -> Tensor:
    """v = [u ; 0] of a right answer, [0 ; u] of a wrong one, in between for a score in between (section 3.3). (..., d), (...) -> (..., 2d)."""
    share = correct[..., None]
    return torch.cat([concepts * share, concepts * (1 - share)], dim=-1)


def mean_concepts(concepts: Tensor, members: Edges, nodes: int) -> Tensor:
    """u of each question node, (nodes, d): the mean of its concepts' vectors; zeros where it has none. members: edges concept -> question."""
    total = concepts.new_zeros(nodes, concepts.shape[1]).index_add(0, members.target, concepts[members.source])
    counts = torch.bincount(members.target, minlength=nodes).clamp(min=1)
    return total / counts[:, None]
