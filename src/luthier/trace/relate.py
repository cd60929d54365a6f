"""Relations between concepts, chosen by a language model, as a file of edges that `luthier trace fit --edges` reads."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import EngineError, SettingsError
from luthier.models.opening import embedder_reads
from luthier.progress import Progress, quiet
from luthier.records import JSON, write_jsonl
from luthier.run import Run
from luthier.trace import relate_page
from luthier.trace.runs import summary
from luthier.trace.settings import RelateSettings, encoder_on

if TYPE_CHECKING:
    from luthier.models.embedder import Embedder
    from luthier.models.protocol import LanguageModel
    from luthier.trace.answers import Catalogue

EDGES, REPLIES = relate_page.EDGES, "replies.jsonl"


def run(settings: RelateSettings, out: Path, progress: Progress = quiet) -> Run:
    """Ask a model which of each concept's nearest must be known before it and which are related; `edges.jsonl` in `out` holds them.

    Edges that the answers' files bring count as an expert's and are scored against. Every reply is kept, so a stopped run continues.
    Raises SettingsError, EngineError.
    """
    log = settings.read()
    known = log.catalogue
    if len(known.concepts) < 2:
        raise SettingsError(f"{len(known.concepts)} concepts; relations need two or more")
    model, embedder = settings.chooser.open(), encoder_on(settings.encoder, settings.chooser.device)
    if settings.ask == "yes_no" and "score" not in model.supports:
        raise EngineError(f"{model.name} gives no log-probabilities, which --ask yes_no needs; choose numbers")
    reads = [*settings.reads(), *settings.chooser.reads(), *embedder_reads(settings.encoder)]
    with Run(out, "trace relate", settings, reads=reads, progress=progress, draw=relate_page.draw) as made:
        made.note(data=summary(log)._asdict())
        made.step("relations", partial(_select, known, settings, out, progress, model=model, embedder=embedder), files=[EDGES, REPLIES])
    return made


def _select(known: Catalogue, settings: RelateSettings, out: Path, progress: Progress, *, model: LanguageModel, embedder: Embedder) -> JSON:
    from luthier.models.embedding_cache import EmbeddingCache
    from luthier.trace.graph import score_relations
    from luthier.trace.relations import RelationSettings, select_relations

    vectors = EmbeddingCache().encode(embedder, [each.text or each.concept for each in known.concepts])
    progress.step("Asking for relations", len(known.concepts))
    found = select_relations(
        known.with_edges([]),
        vectors,
        model,
        settings=RelationSettings(ask=settings.ask, candidates=settings.candidates),
        journal=out / REPLIES,
        progress=progress.advance,
    )
    write_jsonl(out / EDGES, (each._asdict() for each in found.edges))
    told = {
        "edges": len(found.edges),
        "concepts": len(known.concepts),
        "dropped": len(found.dropped),
        "unread": found.unread,
        "asked": found.asked,
        "by": {kind: sum(edge.provenance == kind for edge in found.edges) for kind in ("llm", "knn")},
    }
    return told | ({"against_expert": score_relations(found.edges, known.edges)._asdict()} if known.edges else {})
