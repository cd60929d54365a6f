"""Relations between concepts, chosen by a language model, as a file of edges that `luthier trace fit --edges` reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from luthier.errors import SettingsError
from luthier.progress import Progress, quiet
from luthier.recipes.tools import open_model
from luthier.recipes.tracing import AnswerFiles
from luthier.records import JSON, write_jsonl

if TYPE_CHECKING:
    from luthier.models.protocol import LanguageModel


@dataclass(frozen=True)
class Chooser:
    """The model that chooses: `bundled`, a transformers folder, or with `endpoint` a served one. api_key is not written anywhere."""

    model: str = "bundled"
    endpoint: str | None = None
    api_key: str | None = None

    def open(self) -> LanguageModel:
        if self.endpoint is None:
            opened: LanguageModel = open_model(self.model)
            return opened
        from luthier.models.endpoint import EndpointModel

        return EndpointModel(self.endpoint, self.model, self.api_key)


def relate_concepts(
    files: AnswerFiles,
    chooser: Chooser,
    out: Path,
    *,
    ask: Literal["numbers", "yes_no"] = "numbers",
    candidates: int = 30,
    encoder: str = "minilm",
    progress: Progress = quiet,
) -> JSON:
    """Ask a model which of each concept's nearest must be known before it and which are related; writes `out` and returns what was found.

    Edges that the answers' files bring count as an expert's and are scored against. Every reply is kept beside `out`, so a stopped run
    continues. Raises SettingsError, EngineError.
    """
    from luthier.models.embedding_cache import EmbeddingCache
    from luthier.trace.graph import score_relations
    from luthier.trace.relations import RelationSettings, select_relations
    from luthier.trace.texts import open_embedder

    known = files.read().catalogue
    if len(known.concepts) < 2:
        raise SettingsError(f"{len(known.concepts)} concepts; relations need two or more")
    vectors = EmbeddingCache().encode(open_embedder(encoder), [each.text or each.concept for each in known.concepts])
    progress.step("relations", len(known.concepts))
    found = select_relations(
        known.with_edges([]),
        vectors,
        chooser.open(),
        settings=RelationSettings(ask=ask, candidates=candidates),
        journal=out.with_name(f"{out.stem}.replies.jsonl"),
        progress=progress.advance,
    )
    write_jsonl(out, (each._asdict() for each in found.edges))
    told: dict[str, Any] = {
        "edges": len(found.edges),
        "concepts": len(known.concepts),
        "dropped": len(found.dropped),
        "unread": found.unread,
        "asked": found.asked,
        "by": {kind: sum(edge.provenance == kind for edge in found.edges) for kind in ("llm", "knn")},
    }
    if known.edges:
        told["against_expert"] = score_relations(found.edges, known.edges)
    return told
