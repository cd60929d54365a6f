"""Score one model or several arms of it on a fusion suite: retention first, then the scenarios at every noise level, then how the arms differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.evaluate.fusion import page
from luthier.evaluate.fusion.settings import SCRIPTED, FusionEvaluationSettings
from luthier.models.opening import model_reads, open_model
from luthier.progress import Progress, quiet
from luthier.records import JSON, Journal, write_jsonl
from luthier.records.fusion_suite import MANIFEST, STAGES, Suite, read_suite
from luthier.run import Run

if TYPE_CHECKING:
    from luthier.evaluate.fusion import Judged
    from luthier.models import LanguageModel
    from luthier.records.fusion import FusionItem

BASE, WORST = "base", page.WORST
FIELDS = ("item", "text", "truncated")  # that every row of answers has
NAMING = ("suite", "model", "adapter", "infused", "arms")  # settings that say which arms there are, not how one is scored


@dataclass(frozen=True)
class Arm:
    """One model to score: its name in the tables; model: 'bundled', a transformers folder, `scripted:NAME`, or a served model; adapter of it."""

    name: str
    model: str
    adapter: str | None = None

    def reads(self, endpoint: str | None) -> list[tuple[str, Path]]:
        """What of it is on disk."""
        return [] if self.model.startswith(SCRIPTED) else model_reads(self.model, self.adapter, endpoint=endpoint)


@dataclass(frozen=True)
class Job:
    """What the steps work on."""

    settings: FusionEvaluationSettings
    suite: Suite
    folder: Path
    progress: Progress

    def path(self, arm: Arm, kind: str) -> str:
        return f"{kind}-{arm.name}.jsonl"

    def open(self, arm: Arm) -> LanguageModel:
        """The model of an arm."""
        from luthier.evaluate.fusion import ScriptedModel

        if arm.model.startswith(SCRIPTED):
            items = (*self.suite.items, *self.suite.retention)
            return ScriptedModel(arm.model.removeprefix(SCRIPTED), items, self.suite.memory)
        asked = self.settings
        found: LanguageModel = open_model(arm.model, arm.adapter, endpoint=asked.endpoint, engine=asked.engine, **asked.hardware())
        return found


def run(settings: FusionEvaluationSettings, out: Path, progress: Progress = quiet) -> Run:
    """Keep each arm's answers and figures, and how the others differ from the first; the same call continues a stopped run, and asks
    nothing twice.

    Raises SettingsError where the arms or settings have no meaning, MissingFileError for what is not there.
    """
    suite = read_suite(settings.suite)
    if settings.limit is not None:
        suite = _limited(suite, settings.limit)
    arms, job = arms_of(settings), Job(settings, suite, out, progress)
    manifest = (str(suite.folder / MANIFEST), suite.folder / MANIFEST)
    shared = [manifest, *(model_reads(settings.judge, endpoint=settings.judge_endpoint) if settings.judge else [])]
    reads = [*shared, *(read for arm in arms for read in arm.reads(settings.endpoint))]
    with Run(out, "evaluate fusion", settings, reads=reads, progress=progress, draw=page.draw) as made:
        uses = [name for name in made.settings if name not in NAMING]
        for arm in arms:
            made.step(
                f"arm {arm.name}",
                partial(_measure, arm, job),
                uses=uses,
                reads=[name for name, _ in (*shared, *arm.reads(settings.endpoint))],
                files=[job.path(arm, kind) for kind in ("answers", "retention", *(["known"] if settings.memory == "measured" else []))],
                more={"arm": asdict(arm)},
            )
        known = {arm.name: made.results(f"arm {arm.name}").get("known") for arm in arms}
        made.step("comparison", partial(_compare, arms, known, job), files=[WORST], after=[f"arm {arm.name}" for arm in arms])
    return made


def arms_of(settings: FusionEvaluationSettings) -> list[Arm]:
    """The model, then the stages of an infusion, then the other arms. Raises SettingsError."""
    from luthier.evaluate.fusion import SCRIPTS

    first = Arm(BASE if settings.adapter is None else "model", settings.model, settings.adapter)
    arms = [first, *(_named_arm(text, settings.model) for text in settings.arms), *_stages(settings)]
    names = [arm.name for arm in arms]
    bad = [name for name in names if not name or any(not (letter.isalnum() or letter in "-_.") for letter in name)]
    if len(set(names)) < len(names) or bad:
        raise SettingsError(f"arms need different names of letters, digits, '-', '_' and '.'; they are {', '.join(map(repr, names))}")
    unknown = [arm.model for arm in arms if arm.model.startswith(SCRIPTED) and arm.model.removeprefix(SCRIPTED) not in SCRIPTS]
    if unknown:
        raise SettingsError(f"no scripted model {unknown[0]!r}; choose one of {', '.join(SCRIPTS)}")
    if settings.confidence and any(arm.model.startswith(SCRIPTED) for arm in arms):
        raise SettingsError("a scripted model gives no probabilities of its answers: leave --confidence out")
    adapted = next((arm for arm in arms if arm.adapter is not None), None)
    if adapted is not None and (settings.endpoint is not None or adapted.model.startswith(SCRIPTED)):
        raise SettingsError(f"{adapted.adapter}: an adapter is put on a model of this machine, not on {adapted.model}")
    return arms


def _named_arm(text: str, model: str) -> Arm:
    name, equals, folder = text.partition("=")
    if not equals or not folder:
        raise SettingsError(f"--arm {text}: write it as NAME=FOLDER")
    is_adapter = (Path(folder) / "adapter_config.json").is_file()
    return Arm(name, model if is_adapter else folder, folder if is_adapter else None)


def _stages(settings: FusionEvaluationSettings) -> list[Arm]:
    if settings.infused is None:
        return []
    folder = Path(settings.infused)
    found = [Arm(stage, settings.model, str(folder / stage / "adapter")) for stage in STAGES if (folder / stage / "adapter").is_dir()]
    found += [Arm(stage, str(folder / stage / "model")) for stage in STAGES if (folder / stage / "model").is_dir()]
    if not found:
        raise SettingsError(f"{folder}: no finished stage of luthier train infuse there")
    return found


def _limited(suite: Suite, limit: int) -> Suite:
    """The first so many questions of each scenario, with all their noise levels."""
    bases: dict[str, dict[str, None]] = {}
    for item in suite.items:
        bases.setdefault(item.scenario, {}).setdefault(item.base)
    kept = {base for some in bases.values() for base in list(some)[:limit]}
    items = tuple(item for item in suite.items if item.base in kept)
    asked = {fact for item in items for fact in item.needed_ids}
    return replace(suite, items=items, retention=tuple(one for one in suite.retention if one.needed_ids <= asked))


def _measure(arm: Arm, job: Job) -> JSON:
    """Retention first: without it nobody can say whether fusion or memory failed."""
    from luthier.evaluate.fusion import agreement, measure

    settings, model = job.settings, job.open(arm)
    known = sorted(_known(arm, model, job)) if settings.memory == "measured" else None
    asked = _asked(job, known)
    _ask(model, job.suite.retention, arm, "retention", job)
    _ask(model, asked, arm, "answers", job)
    retention, judged = _verdicts(job.suite.retention, arm, "retention", job), _verdicts(asked, arm, "answers", job)
    results = measure(judged, retention, settings.seed).to_row()
    results |= {"known": known, "left_out": len(job.suite.items) - len(asked)}
    if settings.judge is not None:
        judge = open_model(settings.judge, endpoint=settings.judge_endpoint, **settings.beside(settings.judge_endpoint))
        job.progress.step("Judging", min(settings.judged, len(judged)))
        results["judge"] = agreement(judge, judged, sample=settings.judged, seed=settings.seed, progress=job.progress.advance).to_row()
    return results


def _known(arm: Arm, model: Any, job: Job) -> set[str]:
    from luthier.evaluate.fusion import Scorer, known_facts
    from luthier.models.replay import RecordingModel

    job.progress.step(f"Asking what {arm.name} knows", 4 * len(job.suite.retention))
    with RecordingModel(model, job.folder / job.path(arm, "known")) as recording:
        return known_facts(recording, job.suite.retention, Scorer(job.suite.facts), seed=job.settings.seed, progress=job.progress.advance)


def _asked(job: Job, known: Sequence[str] | None) -> list[FusionItem]:
    from luthier.evaluate.fusion import with_memory

    return list(job.suite.items) if known is None else with_memory(job.suite.items, frozenset(known))[0]


def _ask(model: Any, items: Sequence[FusionItem], arm: Arm, kind: str, job: Job) -> None:
    from luthier.evaluate.fusion import BATCH, answer_room, answers

    job.progress.step(f"Asking {arm.name}: {kind}", len(items))
    with Journal(job.folder / job.path(arm, kind), FIELDS) as journal:
        done = {row["item"] for row in journal}
        job.progress.advance(len(done))
        room = job.settings.max_tokens or answer_room(model, items)
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            left = [item for item in batch if item.id not in done]
            # Here a batch is asked whole wherever a run was stopped: the last digits depend on what is computed beside. A server is asked nothing twice.
            asked = batch if left and "score" in model.supports else left
            for answer in answers(model, asked, max_tokens=room, confidence=job.settings.confidence):
                if answer.item not in done:
                    journal.append(answer.to_row())
                    job.progress.advance()


def _verdicts(items: Sequence[FusionItem], arm: Arm, kind: str, job: Job) -> list[Judged]:
    from luthier.evaluate.fusion import Answer, Scorer, judge

    with Journal(job.folder / job.path(arm, kind), FIELDS) as journal:
        said = {row["item"]: Answer(**row) for row in journal}
    return judge(items, [said[item.id] for item in items], Scorer(job.suite.facts))


def _compare(arms: Sequence[Arm], known: dict[str, Sequence[str] | None], job: Job) -> JSON:
    """How each arm differs from the first, on the items that both were asked with the same label; the worst items go to a file."""
    from luthier.evaluate.fusion import compare

    judged = {arm.name: _verdicts(_asked(job, known[arm.name]), arm, "answers", job) for arm in arms}
    write_jsonl(job.folder / WORST, _worst(judged))
    first, *others = arms
    differences: JSON = {}
    for arm in others:
        theirs = {(one.item.id, one.item.scenario): one for one in judged[arm.name]}
        both = [(one, theirs[key]) for one in judged[first.name] if (key := (one.item.id, one.item.scenario)) in theirs]
        made = compare([one for one, _ in both], [other for _, other in both], job.settings.seed)
        differences[arm.name] = {scenario: one.to_row() for scenario, one in made.items()}
    manifest = job.suite.manifest
    return {"differences": differences, "suite": {"infused": manifest["facts"]["infused"], "questions": manifest["questions"]}}


def _worst(judged: dict[str, list[Judged]], count: int = 4) -> list[JSON]:
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
