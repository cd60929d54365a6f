"""Score one model or several arms of it on a fusion suite: retention first, then the scenarios at every noise level, then one page."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from luthier.errors import SettingsError
from luthier.packages import file_sha256
from luthier.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.recipes.tools import open_model
from luthier.records import JSON, Journal
from luthier.records.fusion_suite import MANIFEST, STAGES, Suite, read_suite

if TYPE_CHECKING:
    from luthier.evaluate.fusion import Judged
    from luthier.models.protocol import LanguageModel
    from luthier.records.fusion import FusionItem

SCRIPTED = "scripted:"
BASE = "base"


@dataclass(frozen=True)
class Arm:
    """One model to score: its name in the tables; model: 'bundled', a transformers folder, `scripted:NAME`, or a served model; adapter of it."""

    name: str
    model: str
    adapter: str | None = None


@dataclass(frozen=True)
class FusionEvaluation:
    """A suite's folder and the arms; the first is what the others are compared with.

    infused: a run folder of `luthier train infuse`, whose stages become arms after the first. memory: `infused`, or `measured`: what each model knows is
    found by closed-book questions, for models that nothing was infused into. confidence: score every answer again, for the curve of abstention.
    limit: questions of each scenario, None for all. judge: a model that judges a sample of the answers beside exact matching.
    """

    suite: str
    arms: tuple[Arm, ...] = (Arm(BASE, "bundled"),)
    infused: str | None = None
    endpoint: str | None = None
    memory: Literal["infused", "measured"] = "infused"
    confidence: bool = False
    limit: int | None = None
    max_tokens: int | None = None
    dtype: str = "auto"
    judge: str | None = None
    judge_endpoint: str | None = None
    judged: int = 100
    seed: int = 0


def run_fusion_evaluation(
    inputs: FusionEvaluation, folder: Path, command: str, progress: Progress = quiet, *, api_key: str | None = None
) -> JSON:
    """Write each arm's answers and `report.html` in `folder` and return what `run.json` holds; a stopped run asks nothing twice.

    Raises SettingsError where the arms or settings have no meaning.
    """
    suite = read_suite(inputs.suite)
    arms = _arms(inputs)
    if inputs.limit is not None:
        suite = _limited(suite, inputs.limit)
    with RunFolder(folder, "evaluate fusion", command, asdict(inputs), inputs.seed) as run:
        run.record["inputs"] = {str(suite.folder / MANIFEST): file_sha256(suite.folder / MANIFEST)}
        job = _Job(inputs, suite, folder, progress, api_key)
        results: dict[str, JSON] = {}
        judged: dict[str, list[Judged]] = {}
        for arm in arms:
            keyed = {**_settings(inputs), "arm": asdict(arm), "weights": _weights(arm), "files": run.record["inputs"]}
            results[arm.name] = run.step(
                f"arm {arm.name}", keyed, [job.path(arm, "answers"), job.path(arm, "retention")], partial(_measure, arm, job)
            )
            judged[arm.name] = _judged(arm, job, results[arm.name])
        first = arms[0].name
        differences = {name: _compare(judged[first], some, inputs.seed) for name, some in judged.items() if name != first}
        run.record["differences"] = differences
        from luthier.report.fusion_page import write_fusion_page

        write_fusion_page(
            folder / "report.html", results, differences, worst_items(judged), manifest=suite.manifest, suite=Path(inputs.suite).name
        )
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        return run.record


def worst_items(judged: dict[str, list[Judged]], count: int = 4) -> list[JSON]:
    """Items of each scenario that the last arm gets wrong, the misled ones first, with what every arm said; one a question."""
    *_, (_, last) = judged.items()
    others = {name: {one.item.id: one for one in some} for name, some in judged.items()}
    chosen: list[JSON] = []
    for scenario in sorted({one.item.scenario for one in last}):
        wrong = [one for one in last if one.item.scenario == scenario and not one.verdict.right]
        wrong.sort(key=lambda one: (not one.verdict.misled, one.verdict.cover, one.item.noise, one.item.id))
        bases = {one.item.base: one for one in reversed(wrong)}
        for one in list(reversed(bases.values()))[:count]:
            said = {name: some[one.item.id] for name, some in others.items() if one.item.id in some}
            told = {name: {"text": each.answer.text, **each.verdict.to_row()} for name, each in said.items()}
            chosen.append({**one.item.to_row(), "said": told})
    return chosen


@dataclass(frozen=True)
class _Job:
    """What the steps share."""

    inputs: FusionEvaluation
    suite: Suite
    folder: Path
    progress: Progress
    api_key: str | None

    def path(self, arm: Arm, kind: str) -> str:
        return f"{kind}-{arm.name}.jsonl"

    def engine(self, arm: Arm) -> LanguageModel:
        from luthier.evaluate.fusion import ScriptedModel
        from luthier.models.endpoint import EndpointModel

        if arm.model.startswith(SCRIPTED):
            items = (*self.suite.items, *self.suite.retention)
            return ScriptedModel(arm.model.removeprefix(SCRIPTED), items, self.suite.memory)
        if self.inputs.endpoint is not None:
            return EndpointModel(self.inputs.endpoint, arm.model, self.api_key)
        model: LanguageModel = open_model(arm.model, None if arm.adapter is None else Path(arm.adapter), self.inputs.dtype)
        return model


def _arms(inputs: FusionEvaluation) -> list[Arm]:
    arms = list(inputs.arms)
    if inputs.infused is not None:
        base, folder = arms[0], Path(inputs.infused)
        found = [Arm(stage, base.model, str(folder / stage / "adapter")) for stage in STAGES if (folder / stage / "adapter").is_dir()]
        found += [Arm(stage, str(folder / stage / "model")) for stage in STAGES if (folder / stage / "model").is_dir()]
        if not found:
            raise SettingsError(f"{folder}: no finished stage of luthier train infuse there")
        arms += found
    names = [arm.name for arm in arms]
    bad = [name for name in names if not name or any(not (letter.isalnum() or letter in "-_.") for letter in name)]
    if not arms or len(set(names)) < len(names) or bad:
        raise SettingsError(
            f"arms need different names of letters, digits, '-', '_' and '.'; they are {', '.join(map(repr, names)) or 'none'}"
        )
    if inputs.endpoint is not None and inputs.confidence:
        raise SettingsError("a served model gives no probabilities of its answers: leave --confidence out")
    return arms


def _limited(suite: Suite, limit: int) -> Suite:
    """The first so many questions of each scenario, with all their noise levels."""
    bases: dict[str, dict[str, None]] = {}
    for item in suite.items:
        bases.setdefault(item.scenario, {}).setdefault(item.base)
    kept = {base for some in bases.values() for base in list(some)[:limit]}
    items = tuple(item for item in suite.items if item.base in kept)
    asked = {fact for item in items for fact in item.needed_ids}
    return replace(suite, items=items, retention=tuple(one for one in suite.retention if one.needed_ids <= asked))


def _settings(inputs: FusionEvaluation) -> JSON:
    """What shapes an arm's figures."""
    return {name: value for name, value in asdict(inputs).items() if name not in ("arms", "infused", "suite")}


def _weights(arm: Arm) -> dict[str, str]:
    places = [Path(arm.adapter or "") / "adapter_model.safetensors", Path(arm.model) / "model.safetensors"]
    return {path.name: file_sha256(path) for path in places if path.is_file()}


def _measure(arm: Arm, job: _Job) -> JSON:
    """Retention first: without it nobody can say whether fusion or memory failed."""
    from luthier.evaluate.fusion import agreement, measure

    engine = job.engine(arm)
    known = None
    if job.inputs.memory == "measured":
        known = sorted(_known(arm, engine, job))
    asked = _asked(job, known)
    _ask(engine, job.suite.retention, arm, "retention", job)
    _ask(engine, asked, arm, "answers", job)
    retention, judged = _verdicts(job.suite.retention, arm, "retention", job), _verdicts(asked, arm, "answers", job)
    results = measure(judged, retention, job.inputs.seed)
    results["known"] = known
    results["left_out"] = len(job.suite.items) - len(asked)
    if job.inputs.judge is not None:
        from luthier.models.endpoint import EndpointModel

        url = job.inputs.judge_endpoint
        judge: LanguageModel = EndpointModel(url, job.inputs.judge, job.api_key) if url else open_model(job.inputs.judge)
        job.progress.step("judge", min(job.inputs.judged, len(judged)))
        results["judge"] = agreement(judge, judged, sample=job.inputs.judged, seed=job.inputs.seed, progress=job.progress.advance)
    return results


def _known(arm: Arm, engine: LanguageModel, job: _Job) -> set[str]:
    from luthier.evaluate.fusion import Scorer, known_facts
    from luthier.models.replay import RecordingModel

    job.progress.step("closed-book", 4 * len(job.suite.retention))
    digest = hashlib.sha256(engine.name.encode()).hexdigest()[:8]
    with RecordingModel(engine, job.folder / f"known-{arm.name}-{digest}.jsonl") as model:
        return known_facts(model, job.suite.retention, Scorer(job.suite.facts), seed=job.inputs.seed, progress=job.progress.advance)


def _asked(job: _Job, known: Sequence[str] | None) -> list[FusionItem]:
    from luthier.evaluate.fusion import with_memory

    return list(job.suite.items) if known is None else with_memory(job.suite.items, frozenset(known))[0]


def _ask(engine: LanguageModel, items: Sequence[FusionItem], arm: Arm, kind: str, job: _Job) -> None:
    from luthier.evaluate.fusion import answer_room, answers

    job.progress.step(f"{kind}-{arm.name}", len(items))
    with Journal(job.folder / job.path(arm, kind)) as journal:
        done = {row["item"] for row in journal}
        job.progress.advance(len(done))
        left = [item for item in items if item.id not in done]
        room = job.inputs.max_tokens or answer_room(engine, items)
        for answer in answers(engine, left, max_tokens=room, confidence=job.inputs.confidence):
            journal.append(answer.to_row())
            job.progress.advance(1)


def _verdicts(items: Sequence[FusionItem], arm: Arm, kind: str, job: _Job) -> list[Judged]:
    from luthier.evaluate.fusion import Answer, Scorer, judge

    with Journal(job.folder / job.path(arm, kind)) as journal:
        said = {row["item"]: Answer(**row) for row in journal}
    return judge(items, [said[item.id] for item in items], Scorer(job.suite.facts))


def _judged(arm: Arm, job: _Job, results: JSON) -> list[Judged]:
    return _verdicts(_asked(job, results["known"]), arm, "answers", job)


def _compare(before: Sequence[Judged], after: Sequence[Judged], seed: int) -> JSON:
    """On the items that both arms were asked, with the label they share."""
    from luthier.evaluate.fusion import compare

    theirs = {(one.item.id, one.item.scenario): one for one in after}
    both = [(one, theirs[one.item.id, one.item.scenario]) for one in before if (one.item.id, one.item.scenario) in theirs]
    return compare([one for one, _ in both], [other for _, other in both], seed)
