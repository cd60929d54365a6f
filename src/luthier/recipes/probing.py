"""Probe chains of thought: the model's own on multiple-choice questions, stored ones of any model, or right ones with an error put in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.packages import file_sha256
from luthier.recipes.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.recipes.tools import open_model
from luthier.records import JSON, Journal, SkippedRows, read_rows
from luthier.records.choices import ChoiceQuestion, read_choices
from luthier.records.files import evenly

if TYPE_CHECKING:
    from luthier.models.branches import Mode
    from luthier.models.local import LocalModel
    from luthier.models.options import Normalise
    from luthier.models.protocol import Sampling
    from luthier.probe.trace import ChainTrace

CHAINS, TRACES = "chains", "traces.jsonl"
SAMPLED = 0.8  # temperature of several chains a question where none is given


@dataclass(frozen=True)
class ProbeInputs:
    """What is probed, by which model: 'bundled' or a transformers folder, and its adapter.

    data: files of questions, whose chains the model writes; stored: files of questions with chains, which are read as they are; injected:
    files of questions with right solutions, of each of which a copy gets one error. limit: questions, evenly spaced, None for all.
    samples: chains a question; temperature: of several, 0 for one where None; probe: `letters`, `texts` or a text of one's own.
    """

    data: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()
    injected: tuple[str, ...] = ()
    model: str = "bundled"
    adapter: str | None = None
    dtype: str = "auto"
    limit: int | None = None
    samples: int = 1
    temperature: float | None = None
    top_p: float = 0.95
    max_tokens: int = 160
    probe: str = "letters"
    normalise: Normalise = "token"
    mode: Mode = "auto"
    seed: int = 0
    skip_bad: str | None = None


def run_probe(inputs: ProbeInputs, folder: Path, command: str, progress: Progress = quiet) -> JSON:
    """Probe, write `traces.jsonl` and `report.html` in `folder` and return what `run.json` holds; a stopped run continues where it was.

    Raises SettingsError where nothing comes of the inputs.
    """
    _check(inputs)
    with RunFolder(folder, "probe", command, asdict(inputs), inputs.seed) as run:
        files = {path: file_sha256(Path(path)) for path in (*inputs.data, *inputs.stored, *inputs.injected) if Path(path).is_file()}
        weights = Path(inputs.adapter or "") / "adapter_model.safetensors"
        files |= {str(weights): file_sha256(weights)} if weights.is_file() else {}
        run.record["inputs"] = files
        questions = questions_of(inputs)
        model = open_model(inputs.model, None if inputs.adapter is None else Path(inputs.adapter), inputs.dtype)
        asking = {
            name: getattr(inputs, name)
            for name in (
                "data",
                "stored",
                "injected",
                "model",
                "adapter",
                "dtype",
                "limit",
                "samples",
                "temperature",
                "top_p",
                "max_tokens",
                "seed",
            )
        }
        targets = {"targets": _targets(inputs.probe)}
        run.step("chains", {"files": files, **asking, **targets}, [], lambda: _write_chains(questions, inputs, folder, model, progress))
        probing = {"probe": inputs.probe, "normalise": inputs.normalise, "mode": inputs.mode}
        run.step("traces", probing, [TRACES], lambda: _probe(questions, inputs, folder, model, progress), after=["chains"])
        traces = read_traces(folder)
        run.step("statistics", {}, [], lambda: statistics(traces), after=["traces"])
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        write_page(folder, run.record, traces)
        record: JSON = run.record
        return record


def read_traces(folder: Path) -> list[ChainTrace]:
    """The traces of a finished probe. Raises MissingFileError or BadRowError with file and line."""
    from luthier.errors import BadRowError, MissingFileError
    from luthier.probe.trace import ChainTrace

    path = folder / TRACES if folder.is_dir() else folder
    if not path.is_file():
        raise MissingFileError(f"{path}: no traces there; give the folder of a `luthier probe run`")
    traces = []
    for number, row in read_rows(path):
        try:
            traces.append(ChainTrace.from_row(row))
        except BadRowError as problem:
            raise problem.at(path, number) from None
    return traces


def statistics(traces: Sequence[ChainTrace]) -> JSON:
    """The statistics of all chains, by group and by number of steps, shares with their 95 % interval."""
    from luthier.probe.statistics import by_group, by_steps, summary

    groups = by_group(traces)
    found = {
        "all": summary(traces),
        "groups": groups if len(groups) > 1 else {},
        "by_steps": by_steps(traces),
        "early_exit": early_exits(traces),
    }
    counted: JSON = _with_intervals(found)
    return counted


def early_exits(traces: Sequence[ChainTrace]) -> list[JSON]:
    """What cutting the chains early would have saved, and cost, under several rules: the beginning of a chain does not depend on its end."""
    from luthier.probe.online import EarlyExit

    known = [trace for trace in traces if trace.question.answer is not None and trace.steps]
    rows = []
    for rule in (EarlyExit(1, 0.0), EarlyExit(2, 0.0), EarlyExit(2, 0.25), EarlyExit(2, 0.5), EarlyExit(3, 0.25)):
        spent = full = right = kept = same = 0
        for trace in known:
            stop = exit_step(trace, rule)
            answer = trace.answers[stop]
            spent += trace.ends[stop - 1] if stop < len(trace.steps) else trace.tokens
            full += trace.tokens
            right += answer == trace.question.answer
            kept += bool(trace.right)
            same += answer == trace.final
        rows.append(
            {
                "same": rule.same,
                "margin": rule.margin,
                "tokens": spent,
                "of_tokens": full,
                "right": [right, len(known)],
                "right_full": [kept, len(known)],
                "same_answer": [same, len(known)],
            }
        )
    return rows if known else []


def exit_step(trace: ChainTrace, rule: Any) -> int:
    """The step after which a rule would have ended the chain, the last one where it never would."""
    rows = trace.conf.tolist()
    return next((step for step in range(1, len(rows)) if rule.is_met(rows[: step + 1])), len(rows) - 1)


def write_page(folder: Path, record: JSON, traces: Sequence[ChainTrace] | None = None) -> Path:
    """Write `report.html` of a probed run again and return its path."""
    from luthier.report.probe_page import write_probe_page

    traces = read_traces(folder) if traces is None else traces
    path = folder / "report.html"
    results = record["steps"]["statistics"]["results"]
    write_probe_page(path, results, [_shown(trace) for trace in traces], settings=record["settings"], seed=record["seed"])
    return path


def recount(folder: Path) -> Path:
    """Count the traces of a probed run again, by this version, and write its page. Raises MissingFileError, BadRowError."""
    record = read_record(folder)
    record["steps"]["statistics"] = {"results": statistics(read_traces(folder))}
    return write_page(folder, record)


def read_record(folder: Path) -> JSON:
    """What `run.json` of a probed run holds. Raises SettingsError where the folder is none."""
    path = folder / "run.json"
    found = next((row for _, row in read_rows(path)), None) if path.is_file() else None
    if found is None or found.get("recipe") != "probe":
        raise SettingsError(f"{folder}: not a run of `luthier probe run`; give its folder")
    return found


def _shown(trace: ChainTrace) -> JSON:
    return {
        **trace.to_row(),
        "answers": list(trace.answers),
        "final": trace.final,
        "right": trace.right,
        "held": trace.conf[:, trace.final].tolist(),
    }


def _check(inputs: ProbeInputs) -> None:
    if not (inputs.data or inputs.stored or inputs.injected):
        raise SettingsError("no data: give files of questions, --chains for stored chains, or --inject for right solutions")
    if inputs.samples < 1:
        raise SettingsError("samples must be 1 or more")
    if inputs.samples > 1 and inputs.temperature == 0:
        raise SettingsError(f"{inputs.samples} chains a question at temperature 0 are all the same; give a temperature")


def _targets(probe: str) -> str:
    from luthier.models.options import probe_of

    return probe_of(probe).targets


def questions_of(inputs: ProbeInputs) -> list[tuple[ChoiceQuestion, list[str] | None, list[JSON]]]:
    """Each question with its chains, None where they are to be written, and what is known of each chain."""
    skipped = SkippedRows(Path(inputs.skip_bad)) if inputs.skip_bad else None
    found: list[tuple[ChoiceQuestion, list[str] | None, list[JSON]]] = []
    for path in inputs.data:
        name = _name(path)
        found += [(_grouped(question, name), None, []) for question in evenly(list(read_choices(path, skipped)), inputs.limit)]
    for path in inputs.stored:
        found += _stored(list(read_choices(path, skipped)), path, inputs.limit)
    for path in inputs.injected:
        found += _injected(path, inputs, skipped)
    if not found:
        raise SettingsError(f"{', '.join((*inputs.data, *inputs.stored, *inputs.injected))}: no questions there")
    return found


def _name(path: str) -> str:
    return Path(path).name.split(".")[0]


def _grouped(question: ChoiceQuestion, name: str) -> ChoiceQuestion:
    return question if question.group else replace(question, group=name)


def _stored(questions: list[ChoiceQuestion], path: str, limit: int | None) -> list[tuple[ChoiceQuestion, list[str] | None, list[JSON]]]:
    """Questions with all their stored chains; `limit` counts the questions of each group."""
    by_key: dict[tuple[str, str, tuple[str, ...]], tuple[ChoiceQuestion, list[str] | None, list[JSON]]] = {}
    for question in questions:
        if question.chain is None:
            raise SettingsError(f"{question.place}: no chain there; give one in a field `chain`, `completion` or `prediction`")
        grouped = _grouped(question, _name(path))
        entry = by_key.setdefault((grouped.group, question.question, question.options), (grouped, [], []))
        assert entry[1] is not None  # noqa: S101
        entry[1].append(question.chain)
        entry[2].append({name: value for name, value in question.extra.items() if name in ("wrong", "id")})
    groups: dict[str, list[Any]] = {}
    for entry in by_key.values():
        groups.setdefault(entry[0].group, []).append(entry)
    return [entry for each in groups.values() for entry in evenly(each, limit)]


def _injected(path: str, inputs: ProbeInputs, skipped: SkippedRows | None) -> list[tuple[ChoiceQuestion, list[str] | None, list[JSON]]]:
    """Questions with a right solution, and the same one with an error in it; those that give no hold for an error are left out."""
    from luthier.probe.labels import corrupt

    found: list[tuple[ChoiceQuestion, list[str] | None, list[JSON]]] = []
    questions = [question for question in read_choices(path, skipped) if _solution(question) is not None]
    if not questions:
        raise SettingsError(f"{path}: no right solutions there; give them in a field `solution`, `rationale` or `chain`")
    for question in evenly(questions, inputs.limit):
        solution = str(_solution(question))
        made = corrupt(solution, question, inputs.seed)
        if made is not None:
            about = {"wrong": True, "error": made.kind, "before": made.before, "after": made.after}
            found.append((_grouped(question, _name(path)), [solution, made.chain], [{"wrong": False}, about]))
    return found


def _solution(question: ChoiceQuestion) -> str | None:
    given = [question.extra.get(name) for name in ("solution", "rationale", "explanation")] + [question.chain]
    return next((each for each in given if isinstance(each, str) and each.strip()), None)


def chain_sampling(inputs: ProbeInputs) -> Sampling:
    """How chains are drawn."""
    from luthier.models.protocol import Sampling

    temperature = (SAMPLED if inputs.samples > 1 else 0.0) if inputs.temperature is None else inputs.temperature
    return Sampling(inputs.max_tokens, temperature, inputs.top_p, seed=inputs.seed)


def _journal(folder: Path, model: LocalModel) -> Path:
    return folder / f"{CHAINS}-{hashlib.sha256(model.name.encode()).hexdigest()[:8]}.jsonl"


def _write_chains(questions: Sequence[Any], inputs: ProbeInputs, folder: Path, model: LocalModel, progress: Progress) -> JSON:
    asked = [question for question, chains, _ in questions if chains is None]
    progress.step("chains", len(asked) * inputs.samples)
    made = _generated(asked, inputs, folder, model, progress)
    stored = sum(len(chains) for _, chains, _ in questions if chains is not None)
    return {"questions": len(questions), "written": sum(map(len, made)), "stored": stored}


def _generated(
    asked: Sequence[ChoiceQuestion], inputs: ProbeInputs, folder: Path, model: LocalModel, progress: Progress = quiet
) -> list[list[str]]:
    """`samples` chains of each question: from the journal where they are there, else from the model."""
    from luthier.models.replay import RecordingModel
    from luthier.probe.chain import chain_prompt

    if not asked:
        return []
    targets = _targets(inputs.probe)
    prompts = [chain_prompt(question, targets) for question in asked for _ in range(inputs.samples)]
    with RecordingModel(model, _journal(folder, model)) as recording:
        texts = [answer.text for answer in recording.generate(prompts, chain_sampling(inputs), progress.advance)]
    return [texts[at : at + inputs.samples] for at in range(0, len(texts), inputs.samples)]


def _probe(questions: Sequence[Any], inputs: ProbeInputs, folder: Path, model: LocalModel, progress: Progress) -> JSON:
    from luthier.probe.chain import probe_chains

    written = iter(_generated([question for question, chains, _ in questions if chains is None], inputs, folder, model))
    work = [(question, next(written) if chains is None else chains, about) for question, chains, about in questions]
    progress.step("probe", sum(len(chains) for _, chains, _ in work))
    with Journal(folder / TRACES) as journal:
        done = sum(1 for _ in journal)
        for question, chains, about in work:
            if done >= len(chains):
                done -= len(chains)
                progress.advance(len(chains))
                continue
            traces = probe_chains(model, question, chains, inputs.probe, mode=inputs.mode, normalise=inputs.normalise)
            for trace, known in zip(traces[done:], (about or [{}] * len(chains))[done:], strict=True):
                journal.append(replace(trace, extra=trace.extra | known).to_row())
            done = 0
            progress.advance(len(chains))
    return {"chains": sum(len(chains) for _, chains, _ in work), "mode": traces_mode(folder)}


def traces_mode(folder: Path) -> list[str]:
    """The modes that the traces of a run were read in."""
    return sorted({str(row["mode"]) for _, row in read_rows(folder / TRACES)})


def _with_intervals(value: Any) -> Any:
    """Every (count, of how many) as a rate with its Wilson interval."""
    from luthier.statistics.rates import wilson

    if isinstance(value, dict):
        return {name: _with_intervals(each) for name, each in value.items()}
    if isinstance(value, list) and len(value) == 2 and all(isinstance(each, int) and not isinstance(each, bool) for each in value):
        return wilson(*value).to_row()
    return [_with_intervals(each) for each in value] if isinstance(value, list) else value
