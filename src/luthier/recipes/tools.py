"""Teach a small model to call tools, and show what changed: the main job, from API definitions to a measured adapter.

Reads top to bottom: dialogues about the APIs, selection, evaluation before, training, evaluation after, skills. Each part is a run of
its bench in a folder below, so a stopped flow continues, and any part can be looked at or repeated alone.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random

from luthier.evaluate.runs import ANSWERS, run_tools
from luthier.evaluate.settings import ToolsEvaluationSettings
from luthier.models.opening import model_reads
from luthier.progress import Progress, quiet
from luthier.recipes import tools_page
from luthier.recipes.settings import ToolsSettings
from luthier.records import JSON, read_rows, write_jsonl
from luthier.run import Run
from luthier.synthesize.tools.apis import api_reads, import_apis
from luthier.synthesize.tools.runs import CHECKED
from luthier.synthesize.tools.runs import run as make_dialogues
from luthier.synthesize.tools.settings import DialogueSettings
from luthier.train.runs import run as fine_tune
from luthier.train.settings import SftRunSettings

SELECTED, LEFT = "selected.jsonl", "left.jsonl"
LEAST_TRAINING_SECONDS = 120.0
LEAST_STEPS = 60  # fewer teach too little; a machine on which they take longer than the limit overruns it
AFTER_SHARE = 0.75  # of the scoring before training; answers are shorter after it
LONGEST = 352  # tokens of a dialogue; longer ones are left out of training
AROUND_SECONDS = 30.0  # loading models, measuring the machine, writing the report
RANK, ALPHA = 16, 32  # ToolACE (arXiv 2409.00920), section 4
NONDETERMINISM = (
    "The same seed, machine and thread count give the same dialogues, selection and batches. Matrix products in bf16 may round "
    "differently on another processor, so weights and near-tied answers may differ there. The time limit decides how many steps are planned."
)


def run(settings: ToolsSettings, out: Path, progress: Progress = quiet) -> Run:
    """Run the whole line in `out`; the same call continues a stopped run.

    Raises LuthierError subclasses for what the user can mend; what is finished by then is kept.
    """
    described = api_reads(settings.apis, settings.builtin_apis)
    for _ in import_apis(settings.apis, False):  # a broken file is named before a model is fetched
        pass
    reads = [*described, *model_reads(settings.model)]
    with Run(out, "run tools", settings, reads=reads, progress=progress, draw=tools_page.draw) as flow:
        flow.note(nondeterminism=NONDETERMINISM)
        flow.part("dialogues", make_dialogues, _dialogues(settings))
        flow.step(
            "select", partial(_select, settings, out, progress), uses=("selected", "seed"), files=[SELECTED, LEFT], after=["dialogues"]
        )
        flow.part("before", run_tools, _evaluation(settings, None))
        time = flow.step("time", partial(_time, settings, flow), uses=("minutes", "full"), after=["select", "before"])
        trained = flow.part("sft", fine_tune, _training(settings, out, time["seconds"]))
        flow.part("after", run_tools, _evaluation(settings, trained.path / "adapter"))
        flow.step("skills", partial(_skills, out), uses=(), reads=(), after=["before", "after"])
    return flow


def _dialogues(settings: ToolsSettings) -> DialogueSettings:
    from luthier.synthesize.tools.dialogues import REAL_SHARE

    share = settings.real_share if settings.apis else REAL_SHARE
    return DialogueSettings(
        apis=settings.apis, builtin_apis=settings.builtin_apis, count=settings.dialogues, real_share=share, seed=settings.seed
    )


def _evaluation(settings: ToolsSettings, adapter: Path | None) -> ToolsEvaluationSettings:
    """The benchmark's own items and checker, the same items before and after."""
    third = max(1, settings.items // 3)
    counts = {"simple_python": settings.items, "multiple": third, "irrelevance": third}
    return ToolsEvaluationSettings(
        model=settings.model,
        adapter=None if adapter is None else str(adapter),
        categories=("simple_python", "multiple", "irrelevance"),
        items=() if settings.full else tuple(f"{name}={count}" for name, count in counts.items()),
        decodings=("free", "constrained") if settings.constrained else ("free",),
    )


def _training(settings: ToolsSettings, out: Path, seconds: float | None) -> SftRunSettings:
    """LoRA with flat noise on the selected rows, fitted to the time limit."""
    from luthier.synthesize.tools.dialogues import PER_LIST

    return SftRunSettings(
        data=(str(out / SELECTED),),
        model=settings.model,
        sigma=settings.flat,
        backend="table" if settings.flat else None,  # a CPU draws it in a sixth of the time
        seconds=seconds,
        least_steps=LEAST_STEPS,
        branches=PER_LIST,  # dialogues that one row holds
        learning_rate=settings.learning_rate,
        rank=RANK,
        lora={"lora_alpha": ALPHA},
        sft={
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 2,
            "max_length": LONGEST,
            "warmup_steps": 0.1,
            "save_steps": 20,
        },
        seed=settings.seed,
    )


def _select(settings: ToolsSettings, out: Path, progress: Progress) -> JSON:
    """ZIP picks the tool lists whose dialogues add most. Dialogues on one list stay together: training reads the list once."""
    from luthier.select.zip import compression_ratio, zip_select

    progress.step("Selecting with ZIP", settings.selected)
    rows = [row for _, row in read_rows(out / "dialogues" / CHECKED)]
    budget = min(settings.selected, len(rows))
    texts = [selection_text(row) for row in rows]
    groups = _by_tool_list(rows)
    share = min(len(groups), math.ceil(1.1 * budget * len(groups) / len(rows)) + 1)  # lists differ in length
    joined = ["".join(texts[i] for i in members) for members in groups]
    order = zip_select(joined, share, progress=lambda new: progress.advance(new * budget // share))
    picked = [row for group in order for row in groups[group]][:budget]
    chosen = set(picked)
    write_jsonl(out / SELECTED, (rows[i] for i in picked))
    write_jsonl(out / LEFT, (row for i, row in enumerate(rows) if i not in chosen))
    random = Random(settings.seed).sample(range(len(rows)), len(picked))
    return {
        "method": "zip, paper mode, by tool list",
        "pool": len(rows),
        "picked": len(picked),
        "ratio_pool": compression_ratio(texts),
        "ratio_picked": compression_ratio([texts[i] for i in picked]),
        "ratio_random": compression_ratio([texts[i] for i in random]),
        "types_picked": dict(Counter(rows[i]["type"] for i in picked)),
    }


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
        groups.setdefault(json.dumps(row["tools"]), []).append(number)
    return list(groups.values())


def _time(settings: ToolsSettings, flow: Run) -> JSON:
    """What is left of the run's time: the steps so far are spent, and scoring after training takes as long as before, or less."""
    if settings.limit is None:
        return {"seconds": None}
    spent = {name: step["seconds"] for name, step in flow.steps.items() if name not in ("time", "sft")}
    left = 60 * settings.limit - sum(spent.values()) - AFTER_SHARE * spent["before"] - AROUND_SECONDS
    return {"seconds": max(LEAST_TRAINING_SECONDS, left)}


def _skills(out: Path) -> JSON:
    """Which skills training gained or lost, by the answers before and after to the same items."""
    from luthier.trace.checkpoints import changes, follow
    from luthier.trace.item_response import calibrate
    from luthier.trace.results import read_results

    log = read_results([f"{when}={out / when / ANSWERS}" for when in ("before", "after")])
    model = calibrate(log).model(log)
    return {"changes": [change.to_row() for change in changes(model, log, follow(model, log))]}
