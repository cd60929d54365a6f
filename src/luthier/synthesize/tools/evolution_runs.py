"""Tools made of tools in a run folder, by rule or by a model whose answers are kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from luthier.errors import SettingsError
from luthier.models.opening import model_reads
from luthier.progress import Progress, quiet
from luthier.records import JSON, Tool
from luthier.run import Run
from luthier.run.folder import Read
from luthier.synthesize.tools import evolution_page as page
from luthier.synthesize.tools.apis import api_reads, import_apis
from luthier.synthesize.tools.pool import ToolPool, build_pool
from luthier.synthesize.tools.pool_settings import EvolveSettings

ANSWERS = "answers.jsonl"


def run(settings: EvolveSettings, out: Path, progress: Progress = quiet) -> Run:
    """Keep `pool.jsonl`: the new tools, each with its lineage, source and licence.

    Raises SettingsError where no given tool can be used, EngineError where the writer fails, and what reading the definitions raises.
    """
    described = api_reads(settings.specs, settings.builtin_apis)
    given = build_pool(import_apis(settings.specs, settings.builtin_apis))
    if not len(given):
        raise SettingsError(f"{', '.join(settings.specs)}: no tool there that can be used")
    reads: list[Read] = [*described, *(model_reads(settings.writer, endpoint=settings.endpoint) if settings.writer else [])]
    reads += [(settings.replay, Path(settings.replay))] if settings.replay else []
    with Run(out, "tools evolve", settings, reads=reads, progress=progress, draw=page.draw) as made:
        made.step("evolve", partial(_evolve, settings, given, out, progress), files=[page.POOL])
    return made


def _evolve(settings: EvolveSettings, given: ToolPool, out: Path, progress: Progress) -> JSON:
    from luthier.synthesize.tools.evolution import Draft, Grown, by_model, evolve
    from luthier.synthesize.tools.writing import recorded

    progress.step("Making tools", settings.count)
    tools: Sequence[Tool] = given.tools
    account: JSON | None = None
    if settings.writer or settings.replay:
        answers = Path(settings.replay) if settings.replay else out / ANSWERS
        with recorded(settings.open_writer, answers, settings.spending, replay=settings.replay is not None) as writer:

            def grow(drafts: Sequence[Draft]) -> list[Grown]:
                return writer.write(by_model(draft, structured=writer.structured) for draft in drafts)

            made = evolve(tools, settings.count, seed=settings.seed, grow=grow, ended=progress.advance)
            account = writer.to_row()
    else:
        made = evolve(tools, settings.count, seed=settings.seed, ended=progress.advance)
    ToolPool(tuple(made.tools)).write(out / page.POOL)
    return {
        "given": len(tools),
        "given_left_out": dict(given.rejected.most_common()),
        "given_duplicates": given.duplicates + given.near_duplicates,
        "wanted": settings.count,
        "made": len(made.tools),
        "left_out": dict(made.reasons.most_common()),
        "operators": dict(made.operators.most_common()),
        "nodes": {str(size): count for size, count in sorted(made.nodes.items())},
        "generations": made.generations,
        **({"writer": account} if account else {}),
    }
