"""Teach a small model to call tools, and show what changed: the main job, from API definitions to a measured adapter.

Reads top to bottom: dialogues about the APIs, selection, evaluation before, training, evaluation after, skills. Each part is a run of
its bench in a folder below, so a stopped flow continues, and any part can be looked at or repeated alone.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.evaluate.runs import ANSWERS, run_tools
from luthier.evaluate.settings import Decoding, ToolsEvaluationSettings
from luthier.models.opening import model_folder, model_reads
from luthier.progress import Progress, quiet
from luthier.recipes import tools_page
from luthier.recipes.settings import ToolsSettings
from luthier.recipes.tools_mix import Mix, habit_of, is_open, mix
from luthier.records import JSON, read_conversations, read_rows, write_jsonl
from luthier.records.account import Account
from luthier.report.wording import percent
from luthier.run import Run
from luthier.run.folder import Read
from luthier.synthesize.tools.apis import SAMPLE, api_reads, import_apis
from luthier.synthesize.tools.runs import CHECKED, HELD_OUT, own_sources
from luthier.synthesize.tools.runs import run as make_dialogues
from luthier.synthesize.tools.settings import DialogueSettings
from luthier.train.runs import run as fine_tune
from luthier.train.settings import SftRunSettings

if TYPE_CHECKING:
    from luthier.evaluate.tools import AnyItem
    from luthier.models import LanguageModel
    from luthier.models.local import LocalModel
    from luthier.train.sft import Trial

SELECTED, LEFT = "selected.jsonl", "left.jsonl"
LEAST_STEPS = 60  # fewer teach too little
AFTER_SHARE = 1.1  # of the scoring before training: answers are shorter after it, an adapter costs more a token
LEAST_ITEMS = 0.3  # share of the items that a slow machine scores all the same
LONGEST = 2560  # tokens of a dialogue, of one on a list of all tools too; longer ones are left out of training
WHOLE_LISTS = 0.15  # share of the lists about the APIs that hold all their tools: each costs as much as many short ones
AROUND_SECONDS = 30.0  # loading models, writing the report
TRIED = 4  # items of each kind answered to measure the machine, at most
LARGE = 600_000_000  # bytes of weights
RANK, ALPHA = 16, 32  # ToolACE (arXiv 2409.00920), section 4
NONDETERMINISM = (
    "The same seed, machine and thread count give the same dialogues, selection and batches. Matrix products in bf16 may round "
    "differently on another processor, so weights and near-tied answers may differ there. The time limit decides how many items are scored."
)


def run(settings: ToolsSettings, out: Path, progress: Progress = quiet) -> Run:
    """Run the whole line in `out`; the same call continues a stopped run.

    Raises LuthierError subclasses for what the user can mend; what is finished by then is kept.
    """
    apis = settings.apis or (SAMPLE,)
    if settings.given and next(iter(read_conversations(settings.given)), None) is None:  # a broken file is named before anything is fetched
        raise SettingsError(f"{settings.given}: no dialogues there")
    described = api_reads(apis, settings.builtin_apis)
    for _ in import_apis(apis, False):
        pass
    given = [settings.given] if settings.given else []
    of_model = model_reads(settings.model)
    reads: list[Read] = [*described, *given, *of_model]
    with Run(out, "run tools", settings, reads=reads, progress=progress, draw=tools_page.draw) as flow:
        flow.note(nondeterminism=NONDETERMINISM)
        called = None
        if is_open(settings):
            called = flow.step("habit", partial(_habit, settings, progress), uses=("model",), reads=[name for name, _ in of_model])["rate"]
        chosen = mix(settings, called)
        flow.part("dialogues", make_dialogues, _dialogues(settings, apis, chosen))
        flow.step(
            "select", partial(_select, settings, out, progress), uses=("selected", "seed"), files=[SELECTED, LEFT], after=["dialogues"]
        )
        uses = ("minutes", "full", "items", "own_items", "steps", "constrained", "model")
        plan = flow.step("trial", partial(_trial, settings, chosen, flow, progress), uses=uses, after=["select"])
        flow.part("before", run_tools, _evaluation(settings, out, plan["share"]))
        trained = flow.part("sft", fine_tune, _training(settings, out, chosen.learning_rate))
        flow.part("after", run_tools, _evaluation(settings, out, plan["share"], trained.path / "adapter"))
        flow.step("skills", partial(_skills, out), uses=(), reads=(), after=["before", "after"])
    return flow


def _habit(settings: ToolsSettings, progress: Progress) -> JSON:
    """Whether the model calls tools before it is trained."""
    progress.step("Looking whether the model calls already")
    model = ToolsEvaluationSettings(model=settings.model, **settings.hardware()).open()
    return habit_of(model).to_row()


def _dialogues(settings: ToolsSettings, apis: tuple[str, ...], chosen: Mix) -> DialogueSettings:
    return DialogueSettings(
        apis=apis,
        builtin_apis=settings.builtin_apis,
        count=max(1, settings.count),
        given=settings.given,
        held_out=settings.own_items,
        real_share=settings.share,
        whole_lists=WHOLE_LISTS,
        irrelevant=chosen.irrelevant,
        missing_argument=chosen.missing_argument,
        parallel=chosen.parallel,
        plain=chosen.plain and not settings.given,
        seed=settings.seed,
    )


def _evaluation(settings: ToolsSettings, out: Path, share: float, adapter: Path | None = None) -> ToolsEvaluationSettings:
    """Held-out dialogues about the APIs, and the benchmark's own items and checker: the same items before and after, `share` of those asked for."""
    third = max(1, settings.items // 3)
    counts = {"simple_python": settings.items, "multiple": third, "irrelevance": third}
    limits = [f"{name}={max(1, round(share * count))}" for name, count in counts.items()]
    own = [str(out / "dialogues" / HELD_OUT), str(max(1, round(share * settings.own_items)))] if settings.own_items else []
    return ToolsEvaluationSettings(
        model=settings.model,
        adapter=None if adapter is None else str(adapter),
        **settings.hardware(),
        categories=("simple_python", "multiple", "irrelevance"),
        items=(*own[:1],) if settings.full else (*own, *limits),
        decodings=("free", "constrained") if settings.constrained else ("free",),
    )


def _training(settings: ToolsSettings, out: Path, learning_rate: float) -> SftRunSettings:
    """LoRA with flat noise on the selected rows: as many steps on every machine."""
    from luthier.synthesize.tools.dialogues import PER_LIST

    return SftRunSettings(
        data=(str(out / SELECTED),),
        model=settings.model,
        **settings.hardware(),
        sigma=settings.flat,
        backend="table" if settings.flat else None,  # a CPU draws it in a sixth of the time
        least_steps=LEAST_STEPS,
        branches=PER_LIST,  # dialogues that one row holds
        learning_rate=learning_rate,
        rank=RANK,
        lora={"lora_alpha": ALPHA},
        sft={
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 2,
            "max_length": LONGEST,
            "warmup_steps": 0.1,
            "save_steps": 20,
            "gradient_checkpointing": _is_large(settings.model),
            **({} if settings.steps is None else {"max_steps": settings.steps}),
        },
        seed=settings.seed,
    )


def _is_large(model: str) -> bool:
    """Whether a step would keep gigabytes of activations, which are computed twice instead."""
    return sum(path.stat().st_size for path in model_folder(model).glob("*.safetensors")) > LARGE


def _select(settings: ToolsSettings, out: Path, progress: Progress) -> JSON:
    """ZIP picks the tool lists whose dialogues add most. Dialogues on one list stay together: training reads the list once.

    Those about the person's own APIs and the others are picked apart, so that their share stays: own lists resemble each other.
    """
    from luthier.select.zip import compression_ratio

    progress.step("Selecting with ZIP", settings.selected)
    rows = [row for _, row in read_rows(out / "dialogues" / CHECKED)]
    budget = min(settings.selected, len(rows))
    texts = [selection_text(row) for row in rows]
    own = own_sources(out / "dialogues")
    mine, others = ([i for i, row in enumerate(rows) if (row.get("source") in own) is kind] for kind in (True, False))
    part = round(budget * len(mine) / len(rows))
    picked = [*_picked(rows, texts, mine, part, progress), *_picked(rows, texts, others, budget - part, progress)]
    Random(settings.seed).shuffle(picked)
    chosen = set(picked)
    write_jsonl(out / SELECTED, (rows[i] for i in picked))
    write_jsonl(out / LEFT, (row for i, row in enumerate(rows) if i not in chosen))
    random = Random(settings.seed).sample(range(len(rows)), len(picked))
    return {
        "method": "zip, paper mode, by tool list",
        "pool": len(rows),
        "picked": len(picked),
        "own": len(chosen & set(mine)),
        "ratio_pool": compression_ratio(texts),
        "ratio_picked": compression_ratio([texts[i] for i in picked]),
        "ratio_random": compression_ratio([texts[i] for i in random]),
        "types_picked": dict(Counter(str(rows[i].get("type") or "without a type") for i in picked)),
    }


def _picked(rows: Sequence[JSON], texts: Sequence[str], among: Sequence[int], budget: int, progress: Progress) -> list[int]:
    """Row numbers of the `budget` dialogues that ZIP picks among those of `among`, whole lists at a time."""
    from luthier.select.zip import zip_select

    if not budget:
        return []
    groups = _by_tool_list([rows[i] for i in among])
    share = min(len(groups), math.ceil(1.1 * budget * len(groups) / len(among)) + 1)  # lists differ in length
    joined = ["".join(texts[among[i]] for i in members) for members in groups]
    order = zip_select(joined, share, progress=lambda new: progress.advance(new * budget // share))
    return [among[i] for group in order for i in groups[group]][:budget]


def selection_text(row: JSON) -> str:
    """What ZIP compares: the turns, without the tool definitions that every row of a service shares."""
    lines = []
    for message in row["messages"]:
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        spoken = ", ".join(f"{call['name']}({call['arguments']})" for call in calls) or message["content"]
        lines.append(f"{message['role']}: {spoken}\n")
    return "".join(lines)


def _by_tool_list(rows: Sequence[JSON]) -> list[list[int]]:
    """Row numbers of the dialogues on each list of tools, in order of first appearance."""
    groups: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(json.dumps(row.get("tools")), []).append(number)
    return list(groups.values())


def _trial(settings: ToolsSettings, chosen: Mix, flow: Run, progress: Progress) -> JSON:
    """What a training step and an answer take here: from that how many items are scored, and when the run ends."""
    progress.step("Measuring the machine")
    steps = _trial_steps(settings, chosen, flow.path)
    counts = _answers(settings)
    answering = _trial_answers(settings, flow.path)
    spent = sum(step["seconds"] for step in flow.steps.values())
    once = sum(count * seconds for count, seconds in zip(counts, answering, strict=True))
    plan = _plan(settings.limit, spent, steps.steps * steps.seconds, once * (1 + AFTER_SHARE))
    end = datetime.now(UTC).astimezone() + timedelta(seconds=plan["seconds"])
    less = f"; {percent(plan['share'])} of the items are scored to keep to {settings.limit:g} min" if plan["share"] < 1 else ""
    over = ", longer than asked for: fewer steps would teach too little" if settings.limit and plan["total"] > 60 * settings.limit else ""
    progress.say(
        f"{steps.steps} training steps of {steps.seconds:.1f} s and 2 x {round(plan['share'] * sum(counts))} answers of "
        f"{once / max(1, sum(counts)):.2f} s: done at about {end:%H:%M}, in {max(1, round(plan['seconds'] / 60))} min{less}{over}"
    )
    seconds = {
        "step_seconds": round(steps.seconds, 3),
        "own_answer_seconds": round(answering[0], 3),
        "answer_seconds": round(answering[1], 3),
    }
    return {**plan, "steps": steps.steps, **seconds}


def _plan(limit: float | None, spent: float, training: float, scoring: float) -> JSON:
    """Seconds to come and in all, and the share of the items that the limit of so many minutes leaves; training is never cut."""
    left = math.inf if limit is None else 60 * limit - spent - training - AROUND_SECONDS
    share = 1.0 if scoring <= left else max(LEAST_ITEMS, left / scoring)
    seconds = training + share * scoring + AROUND_SECONDS
    return {"share": round(share, 3), "seconds": round(seconds, 1), "total": round(spent + seconds, 1)}


def _answers(settings: ToolsSettings) -> tuple[int, int]:
    """Answers of one evaluation, to own dialogues and to the benchmark, as far as that is known beforehand."""
    from luthier.records.bfcl import load_items

    items = settings.items + 2 * max(1, settings.items // 3)
    if settings.full:
        items = sum(len(load_items(name)) for name in ("simple_python", "multiple", "irrelevance"))
    each = 2 if settings.constrained else 1
    return each * settings.own_items, each * items


def _trial_steps(settings: ToolsSettings, chosen: Mix, out: Path) -> Trial:
    from luthier.train.rows import read_training
    from luthier.train.sft import prepare, trial

    asked = _training(settings, out, chosen.learning_rate)
    model: LocalModel = asked.open()
    return trial(prepare(list(read_training(asked.data)), model, out, asked), model, asked)


def _trial_answers(settings: ToolsSettings, out: Path) -> tuple[float, float]:
    """Seconds that an answer takes, to own dialogues and to the benchmark, each in a batch of a few."""
    from luthier.evaluate.own_items import read_own_items
    from luthier.records.bfcl import load_items

    model = ToolsEvaluationSettings(model=settings.model, **settings.hardware()).open()
    own: list[AnyItem] = []
    if settings.own_items:
        own += read_own_items([str(out / "dialogues" / HELD_OUT)], min(TRIED, settings.own_items))
    others = load_items("simple_python", TRIED if settings.full else min(TRIED, settings.items))
    return _answer_seconds(model, own, settings), _answer_seconds(model, others, settings)


def _answer_seconds(model: LanguageModel, items: Sequence[AnyItem], settings: ToolsSettings) -> float:
    from luthier.evaluate.tools import MAX_TOKENS, prompt_for
    from luthier.models import Sampling

    decodings: tuple[Decoding, ...] = ("free", "constrained") if settings.constrained else ("free",)
    prompts = [prompt_for(item, decoding) for item in items for decoding in decodings]
    start = time.perf_counter()
    if prompts:
        model.generate(prompts, Sampling(max_tokens=MAX_TOKENS))
    return (time.perf_counter() - start) / max(1, len(prompts))


def _skills(out: Path) -> JSON:
    """Which skills training gained or lost, by the answers before and after to the same items."""
    from luthier.trace.checkpoints import changes, follow
    from luthier.trace.item_response import calibrate
    from luthier.trace.results import read_results

    with Account(apart=True):  # of what this run itself has written
        log = read_results([f"{when}={out / when / ANSWERS}" for when in ("before", "after")])
    model = calibrate(log).model(log)
    return {"changes": [change.to_row() for change in changes(model, log, follow(model, log))]}
