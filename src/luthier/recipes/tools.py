"""Teach a small model to call tools, and show what changed: the main job, from API definitions to a measured adapter.

Reads top to bottom: pool, dialogues, checks, selection, evaluation before, training, evaluation after, skills, report. Each step writes its
artefacts into the run folder and is kept when the same command runs again.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from luthier.errors import SettingsError
from luthier.packages import BFCL, file_sha256
from luthier.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.records import JSON, Tool, read_conversations, read_rows, write_jsonl

ADAPTER, CHECKPOINTS = "adapter", "checkpoints"
LEAST_TRAINING_SECONDS = 120.0  # less teaches nothing; a limit that leaves less is overrun
AFTER_SHARE = 0.75  # of the scoring before training; answers are shorter after it
LONGEST = 352  # tokens of a dialogue; longer ones are left out of training
AROUND_SECONDS = 30.0  # loading models, measuring the machine, writing the report


@dataclass(frozen=True)
class ToolsSettings:
    """Settings of `luthier run tools`.

    apis: OpenAPI files, MCP `tools/list` files or `module:NAME` Python modules, added to what the index ships; builtin_apis: use that.
    dialogues: how many are made; selected: how many ZIP picks; minutes: how long the run may take, None for no limit.
    Training is fitted to what evaluation leaves of it.
    items: evaluation items a category (simple_python; a third as many of the others), None for all of them.
    """

    apis: tuple[str, ...] = ()
    builtin_apis: bool = True
    model: str = "bundled"
    dialogues: int = 4800
    selected: int = 1600
    sigma: float = 0.05
    learning_rate: float = 1.5e-3
    minutes: float | None = 17.0
    items: int | None = 100
    constrained: bool = True
    seed: int = 0


def run_tools(settings: ToolsSettings, folder: Path, command: str, progress: Progress = quiet) -> JSON:
    """Run the whole line in `folder` and return what `run.json` holds. The same call continues a stopped run.

    Raises LuthierError subclasses for what the user can mend; what is finished by then is kept.
    """
    _check(settings)
    with RunFolder(folder, "tools", command, asdict(settings), settings.seed) as run:
        _pool(run, settings, progress)
        _dialogues(run, settings, progress)
        _checks(run, progress)
        _select(run, settings, progress)
        _evaluate(run, settings, "evaluate-before", None, progress)
        _train(run, settings, progress)
        _evaluate(run, settings, "evaluate-after", folder / ADAPTER, progress)
        _skills(run)
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)), nondeterminism=NONDETERMINISM)
        progress.step("report")
        from luthier.report import write_report

        write_report(folder)
        return run.record


NONDETERMINISM = (
    "The same seed, machine and thread count give the same dialogues, selection and batches. Matrix products in bf16 may round "
    "differently on another processor, so weights and near-tied answers may differ there. The time limit decides how many steps are planned."
)


def _check(settings: ToolsSettings) -> None:
    for name in ("dialogues", "selected"):
        if getattr(settings, name) < 1:
            raise SettingsError(f"{name} is {getattr(settings, name)}; it must be at least 1")
    if settings.selected > settings.dialogues:
        raise SettingsError(f"selected ({settings.selected}) is more than dialogues ({settings.dialogues}); make more or select fewer")
    if settings.minutes is not None and not settings.minutes > 0:
        raise SettingsError(f"minutes is {settings.minutes}; give a time above 0, or 0 on the command line for no limit")
    if settings.items is not None and settings.items < 3:
        raise SettingsError(f"items is {settings.items}; score at least 3")
    if not settings.apis and not settings.builtin_apis:
        raise SettingsError("no APIs: give some with --api or leave --no-builtin-apis out")
    if settings.model != "bundled":
        open_model(settings.model)  # a wrong folder is named before hours of work, not after


# --- data -------------------------------------------------------------------------------------------------------------------


def _pool(run: RunFolder, settings: ToolsSettings, progress: Progress) -> None:
    """Step 1: real APIs, normalised, linted, without duplicates."""
    from luthier.synthesize.tools.apis import api_hashes, import_apis
    from luthier.synthesize.tools.pool import build_pool

    inputs = api_hashes(settings.apis, settings.builtin_apis)
    run.record["inputs"] = inputs | {BFCL.label: BFCL.sha256}
    progress.step("pool")

    def work() -> JSON:
        sources: Counter[str] = Counter()

        def counted() -> Iterator[Tool]:
            for tool in import_apis(settings.apis, settings.builtin_apis):
                sources[tool.source.rsplit(": ", 1)[0]] += 1
                yield tool

        pool = build_pool(counted())
        pool.write(run.path / "pool.jsonl.gz")
        return {
            "tools": len(pool),
            "read": sum(sources.values()),
            "sources": dict(sources),
            "rejected": dict(pool.rejected.most_common()),
            "duplicates": pool.duplicates + pool.near_duplicates,
        }

    run.step("pool", inputs, ["pool.jsonl.gz"], work)


def _dialogues(run: RunFolder, settings: ToolsSettings, progress: Progress) -> None:
    """Step 2: arguments first, then the request around them."""
    from luthier.synthesize.tools.dialogues import PER_LIST, REAL_SHARE, TYPE_SHARES, synthesize_dialogues
    from luthier.synthesize.tools.pool import ToolPool

    progress.step("dialogues", settings.dialogues)

    def work() -> JSON:
        types: Counter[str] = Counter()
        tools = list(ToolPool.read(run.path / "pool.jsonl.gz"))

        def rows() -> Iterator[JSON]:
            for conversation in synthesize_dialogues(settings.dialogues, tools, seed=settings.seed):
                types[conversation.extra["type"]] += 1
                progress.advance(1)
                yield conversation.to_row()

        made = write_jsonl(run.path / "dialogues.jsonl", rows())
        return {"made": made, "types": dict(types)}

    inputs = {"count": settings.dialogues, "seed": settings.seed, "shares": dict(TYPE_SHARES), "real_share": REAL_SHARE}
    inputs |= {"per_list": PER_LIST}
    run.step("dialogues", inputs, ["dialogues.jsonl"], work, after=["pool"])


def _checks(run: RunFolder, progress: Progress) -> None:
    """Step 3: the rule layer, grounding, and no overlap with any evaluation item of the benchmark."""
    from luthier.synthesize.tools.checks import RULES, check

    total = run.record["steps"]["dialogues"]["results"]["made"]
    progress.step("check", total)

    def work() -> JSON:
        leaks = benchmark_leaks()
        failed: Counter[str] = Counter()
        rejected: list[JSON] = []

        def passed() -> Iterator[JSON]:
            for conversation in read_conversations(run.path / "dialogues.jsonl"):
                findings = check(conversation, leaks)
                progress.advance(1)
                if findings:
                    failed.update({finding.rule for finding in findings})
                    rejected.append({**conversation.to_row(), "findings": [str(finding) for finding in findings]})
                else:
                    yield conversation.to_row()

        count = write_jsonl(run.path / "checked.jsonl", passed())
        write_jsonl(run.path / "rejected.jsonl", rejected)
        rules = {name: rule.description for name, rule in RULES.items()}
        return {"checked": total, "passed": count, "failed": dict(failed.most_common()), "rules": rules}

    run.step("check", {"benchmark": BFCL.sha256, "rules": sorted(RULES)}, ["checked.jsonl", "rejected.jsonl"], work, after=["dialogues"])


def benchmark_leaks() -> Any:
    """The contamination rule's memory: every item of the categories that are scored, the ones left out of a subset too."""
    from luthier.records.bfcl import CATEGORIES, load_items
    from luthier.synthesize.tools.contamination import Contamination

    return Contamination([(item.question, item.tools) for category in CATEGORIES for item in load_items(category)])


def _select(run: RunFolder, settings: ToolsSettings, progress: Progress) -> None:
    """Step 4: ZIP picks the tool lists whose dialogues add most. Dialogues on one list stay together: training reads the list once."""
    from luthier.select import compression_ratio, zip_select

    progress.step("select", settings.selected)

    def work() -> JSON:
        rows = [row for _, row in read_rows(run.path / "checked.jsonl")]
        budget = min(settings.selected, len(rows))
        texts = [selection_text(row) for row in rows]
        groups = _by_tool_list(rows)
        share = min(len(groups), math.ceil(1.1 * budget * len(groups) / len(rows)) + 1)  # lists differ in length
        joined = ["".join(texts[i] for i in members) for members in groups]
        order = zip_select(joined, share, progress=lambda new: progress.advance(new * budget // share))
        picked = [row for group in order for row in groups[group]][:budget]
        chosen = set(picked)
        write_jsonl(run.path / "selected.jsonl", (rows[i] for i in picked))
        write_jsonl(run.path / "left.jsonl", (row for i, row in enumerate(rows) if i not in chosen))
        random = Random(settings.seed).sample(range(len(rows)), len(picked))
        return {
            "method": "zip",
            "pool": len(rows),
            "picked": len(picked),
            "ratio_pool": compression_ratio(texts),
            "ratio_picked": compression_ratio([texts[i] for i in picked]),
            "ratio_random": compression_ratio([texts[i] for i in random]),
            "types_picked": dict(Counter(rows[i]["type"] for i in picked)),
        }

    run.step(
        "select",
        {"budget": settings.selected, "method": "zip, paper mode, by tool list"},
        ["selected.jsonl", "left.jsonl"],
        work,
        after=["check"],
    )


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


# --- model ------------------------------------------------------------------------------------------------------------------


def open_model(model: str, adapter: Path | None = None, dtype: str = "auto") -> Any:
    """The bundled model, or one from a transformers folder, with an adapter where one is given."""
    from luthier.models import bundled
    from luthier.models.local import LocalModel

    bundle = model == "bundled"
    name = bundled.NAME if bundle else model
    if adapter is not None and (weights := adapter / "adapter_model.safetensors").is_file():
        name += f"+{file_sha256(weights)[:12]}"
    return LocalModel(bundled.pull() if bundle else model, adapter=adapter, dtype=dtype, name=name)


def _train(run: RunFolder, settings: ToolsSettings, progress: Progress) -> None:
    """Step 6: LoRA with flat noise on the selected rows, fitted to the time limit."""
    from luthier.models.bundled import GGUF_SHA256

    files = ["metrics.jsonl", "plan.json", CHECKPOINTS, ADAPTER]
    progress.step("train")

    def work() -> JSON:
        from luthier.synthesize.tools.dialogues import PER_LIST
        from luthier.train.sft import SftSettings, train_sft

        rows = list(read_conversations(run.path / "selected.jsonl"))
        sft = SftSettings(
            sigma=settings.sigma,
            backend="table",  # a CPU draws it in a sixth of the time
            seconds=_training_seconds(run, settings),
            seed=settings.seed,
            learning_rate=settings.learning_rate,
            batch_size=2,  # rows of up to PER_LIST dialogues
            micro_batch=1,
            branches=PER_LIST,
            max_tokens=LONGEST,
        )
        result = train_sft(
            rows, open_model(settings.model), run.path, sft, lambda done, planned, loss: progress.update(done, planned, f"loss {loss:.3f}")
        )
        return {**asdict(result), "flat_sigma": settings.sigma, **{f"lora_{name}": getattr(sft, name) for name in ("rank", "alpha")}}

    inputs = {"model": GGUF_SHA256 if settings.model == "bundled" else settings.model, "sigma": settings.sigma}
    inputs |= {"learning_rate": settings.learning_rate, "minutes": settings.minutes}
    run.step("train", inputs, files, work, after=["select"])


def _training_seconds(run: RunFolder, settings: ToolsSettings) -> float | None:
    """What is left of the run's time: the steps so far are spent, and scoring after training takes as long as before, or less."""
    if settings.minutes is None:
        return None
    spent = {name: step["seconds"] for name, step in run.record["steps"].items() if name != "train"}
    left = 60 * settings.minutes - sum(spent.values()) - AFTER_SHARE * spent["evaluate-before"] - AROUND_SECONDS
    return float(max(LEAST_TRAINING_SECONDS, left))


def _evaluate(run: RunFolder, settings: ToolsSettings, name: str, adapter: Path | None, progress: Progress) -> None:
    """Steps 5 and 7: the benchmark's own items and checker, the same items before and after."""
    from luthier.evaluate.settings import Decoding
    from luthier.evaluate.tools import evaluate_tools
    from luthier.records.bfcl import load_items

    limits = {"simple_python": settings.items, "multiple": _third(settings.items), "irrelevance": _third(settings.items)}
    decodings: list[Decoding] = ["free", "constrained"] if settings.constrained else ["free"]
    items = [item for category, limit in limits.items() for item in load_items(category, limit)]
    answers = name.replace("evaluate", "evaluation") + ".jsonl"
    progress.step(name, len(items) * len(decodings))

    def work() -> JSON:
        table = evaluate_tools(
            open_model(settings.model, adapter), items, run.path / answers, decodings=decodings, progress=progress.advance
        )
        return {"scores": [score.to_row() for score in table], "benchmark": BFCL.label}

    inputs = {"items": limits, "decodings": decodings, "benchmark": BFCL.sha256, "model": settings.model}
    run.step(name, inputs, [answers], work, after=[] if adapter is None else ["train"])


def _skills(run: RunFolder) -> None:
    """Step 8: which skills training gained or lost, by the answers before and after to the same items."""
    files = {when: run.path / f"evaluation-{when}.jsonl" for when in ("before", "after")}

    def work() -> JSON:
        from luthier.trace.checkpoints import changes, follow
        from luthier.trace.item_response import calibrate
        from luthier.trace.results import read_results

        log = read_results([f"{when}={file}" for when, file in files.items()])
        model = calibrate(log).model(log)
        return {"changes": [change.to_row() for change in changes(model, log, follow(model, log))]}

    run.step("skills", {}, [], work, after=["evaluate-before", "evaluate-after"])


def _third(items: int | None) -> int | None:
    return None if items is None else max(1, items // 3)
