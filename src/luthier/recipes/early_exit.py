"""Write chains that stop once their answer is settled, and compare them with whole ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.packages import file_sha256
from luthier.recipes.probing import ProbeInputs, chain_sampling, questions_of
from luthier.recipes.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.recipes.tools import open_model
from luthier.records import JSON, Journal, read_rows
from luthier.records.choices import ChoiceQuestion

if TYPE_CHECKING:
    from luthier.models.local import LocalModel
    from luthier.probe.online import EarlyExit
    from luthier.probe.trace import ChainTrace

ONLINE, WHOLE = "online.jsonl", "whole.jsonl"


def run_online(inputs: ProbeInputs, rule: EarlyExit, folder: Path, command: str, progress: Progress = quiet, *, whole: bool = True) -> JSON:
    """Write `online.jsonl`, traces of chains that end once the rule is met, and with
    `whole` those of the same chains to their end; return what `run.json` holds. A stopped run continues where it was.
    """
    if not inputs.data:
        raise SettingsError("no data: give files of multiple-choice questions")
    with RunFolder(folder, "probe online", command, {**asdict(inputs), **asdict(rule)}, inputs.seed) as run:
        files = {path: file_sha256(Path(path)) for path in inputs.data if Path(path).is_file()}
        run.record["inputs"] = files
        questions = [question for question, _, _ in questions_of(inputs)]
        model = open_model(inputs.model, None if inputs.adapter is None else Path(inputs.adapter), inputs.dtype)
        made = [ONLINE, *([WHOLE] if whole else [])]
        keyed = {**asdict(inputs), "files": files, **asdict(rule), "whole": whole}
        run.step("online", keyed, made, lambda: _write(_Work(questions, inputs, model, progress), rule, folder, whole=whole))
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        return run.record


@dataclass(frozen=True)
class _Work:
    questions: Sequence[ChoiceQuestion]
    inputs: ProbeInputs
    model: LocalModel
    progress: Progress


def _write(work: _Work, rule: EarlyExit, folder: Path, *, whole: bool) -> JSON:
    cut = _chains(work, rule, folder / ONLINE)
    found: JSON = {
        "chains": len(cut),
        "exited": sum(bool(trace.extra.get("exited")) for trace in cut),
        "tokens": sum(trace.tokens for trace in cut),
        "forwarded": sum(trace.forwarded for trace in cut),
        "right": _right(cut),
        "whole": None,
    }
    if whole:
        full = _chains(work, None, folder / WHOLE)
        found["whole"] = _compared(cut, full)
    return found


def _chains(work: _Work, rule: EarlyExit | None, path: Path) -> list[ChainTrace]:
    from luthier.probe.chain import write_chain
    from luthier.probe.trace import ChainTrace

    sampling = chain_sampling(work.inputs)
    work.progress.step("online" if rule else "whole", len(work.questions))
    with Journal(path) as journal:
        done = sum(1 for _ in journal)
        work.progress.advance(done)
        for index, question in enumerate(work.questions[done:], done):
            trace = write_chain(
                work.model,
                question,
                work.inputs.probe,
                sampling=sampling,
                index=index,
                mode=work.inputs.mode,
                normalise=work.inputs.normalise,
                early_exit=rule,
            )
            journal.append(trace.to_row())
            work.progress.advance(1)
    return [ChainTrace.from_row(row) for _, row in read_rows(path)]


def _compared(cut: Sequence[ChainTrace], full: Sequence[ChainTrace]) -> JSON:
    import numpy as np

    from luthier.statistics.rates import wilson
    from luthier.statistics.resampling import paired

    known = [(one, other) for one, other in zip(cut, full, strict=True) if one.question.answer is not None]
    difference: Any = None
    if known:
        right = np.array([[bool(other.right), bool(one.right)] for one, other in known], dtype=float)
        difference = paired(right[:, 0], right[:, 1]).to_row()
    same = sum(one.final == other.final for one, other in zip(cut, full, strict=True))
    return {
        "tokens": sum(trace.tokens for trace in full),
        "right": _right(full),
        "same_answer": wilson(same, len(full)).to_row(),
        "difference": difference,
    }


def _right(traces: Sequence[ChainTrace]) -> JSON:
    from luthier.statistics.rates import wilson

    known = [trace for trace in traces if trace.question.answer is not None]
    return wilson(sum(bool(trace.right) for trace in known), len(known)).to_row()
