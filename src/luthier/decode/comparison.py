"""Measure dynamic decoding: every way of setting the temperature on the same held-out contexts, at one mean temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from luthier.decode import comparison_page
from luthier.decode.settings import ComparisonSettings
from luthier.errors import SettingsError
from luthier.models.opening import require
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.run import Run
from luthier.run.folder import Read

if TYPE_CHECKING:
    from luthier.decode.arms import Arm, Bench
    from luthier.decode.evaluation import ArmResult
    from luthier.decode.head import DiversityHead
    from luthier.decode.labels import Label
    from luthier.decode.portable import PortableHead
    from luthier.models.local import LocalModel

MAPPINGS = ("linear", "exponential", "logit")
DRAWN = "replies.jsonl"
PORTABLE = "portable.json"


def run(settings: ComparisonSettings, out: Path, progress: Progress = quiet) -> Run:
    """Compare the heads in `out`; a stopped run draws no reply twice.

    Raises SettingsError where a head is another model's or no base temperature gives the mean, MissingFileError where one is absent.
    """
    from luthier.decode.head import FACTS, FOLDS, WEIGHTS, DiversityHead
    from luthier.decode.labels import read_labels
    from luthier.decode.portable import PortableHead

    heads = {Path(head).name: DiversityHead.load(head) for head in settings.heads}
    portables = {Path(head).name: PortableHead.load(Path(head) / PORTABLE) for head in settings.heads}
    if len(heads) < len(settings.heads):
        raise SettingsError("two heads have folders of one name; give them different ones")
    labels, model = read_labels(settings.labels), require(settings.open(), "module", "dynamic decoding")
    files = [Path(head) / name for head in settings.heads for name in (FACTS, WEIGHTS, FOLDS, PORTABLE)]
    reads: list[Read] = [settings.labels, *(path for path in files if path.is_file()), *settings.reads()]
    with Run(out, "decode compare", settings, reads=reads, progress=progress, draw=comparison_page.draw) as made:
        job = _Job(settings, labels, heads, portables, model, out, progress)
        made.step("compare", partial(_compare, job), files=[DRAWN])
    return made


@dataclass(frozen=True)
class _Job:
    """What the step works on."""

    settings: ComparisonSettings
    labels: Sequence[Label]
    heads: dict[str, DiversityHead]
    portables: dict[str, PortableHead]
    model: LocalModel
    folder: Path
    progress: Progress


def _compare(job: _Job) -> JSON:
    from luthier.decode.arms import Bench
    from luthier.decode.evaluation import Draws, Trial, compare, run_arm, summarise
    from luthier.decode.features import read_features
    from luthier.decode.similarity import StateEncoder

    settings, labels, heads, model, progress = job.settings, job.labels, job.heads, job.model, job.progress
    for head in heads.values():
        head.check(model.module)
    progress.step("Reading contexts", len(labels))
    features = read_features(model, labels, progress=progress.advance)
    bench = Bench(labels, features, heads, job.portables, int(model.module.config.get_text_config().vocab_size))
    encoder = StateEncoder(model.module, model.tokenizer, name=model.name)
    trial = Trial(model, encoder, bench, Draws(settings.target, settings.m, settings.max_tokens, settings.seed))
    places = choose(labels, settings.limit, settings.seed)
    few = choose([labels[at] for at in places], settings.extra, settings.seed) if settings.extra else []
    main, extra = main_arms(list(heads)), extra_arms(next(iter(heads)), settings.samplers) if few else []
    progress.step("Sampling with every temperature", len(places) * len(main) + len(few) * len(extra))
    results = [run_arm(trial, arm, places, job.folder / DRAWN, progress.advance) for arm in main]
    others = [run_arm(trial, arm, [places[at] for at in few], job.folder / DRAWN, progress.advance) for arm in extra]
    return {
        "model": model.name,
        "target": settings.target,
        "m": settings.m,
        "max_tokens": settings.max_tokens,
        "first": results[0].arm.name,
        "arms": [summarise(one, bench).to_row() for one in results],
        "extra": [summarise(one, bench).to_row() for one in others],
        "comparisons": [compare(one, other).to_row() for one, other in _pairs(results)],
        "spent": _spent(results[0], bench),
    }


def choose(rows: Sequence[Label], limit: int | None, seed: int) -> list[int]:
    """Places of at most `limit` labels, half of each kind where there are so many, in order."""
    if limit is None or limit >= len(rows):
        return list(range(len(rows)))
    places = list(range(len(rows)))
    Random(f"choose/{seed}").shuffle(places)
    kinds = {kind: [at for at in places if rows[at].context.kind == kind] for kind in ("chat", "fact")}
    smaller, larger = sorted(kinds.values(), key=len)
    share = min(limit // 2, len(smaller))
    return sorted([*smaller[:share], *larger[: limit - share]])


def main_arms(heads: list[str]) -> list[Arm]:
    """The comparison that matters: the first head, the others, entropy under the same mapping, entropy rules, a fixed one, the oracle."""
    from luthier.decode.arms import Arm

    first, *others = heads
    return [
        Arm("head", head=first),
        Arm("fixed"),
        Arm("entropy"),
        *(Arm("head", head=name) for name in others),
        Arm("oracle"),
        Arm("dynatemp", "token"),
        Arm("edt", "token"),
        Arm("head", "token", head=first),
        Arm("entropy", "token"),
        Arm("head", 0.5, head=first),
        Arm("portable", "token", head=first),
    ]


def extra_arms(head: str, samplers: tuple[str, ...]) -> list[Arm]:
    """The first head under the other mappings, and beside a fixed temperature and entropy under other samplers."""
    from luthier.decode.arms import Arm

    arms = [Arm("head", mapping=mapping, head=head) for mapping in MAPPINGS]  # type: ignore[arg-type]
    for sampler in samplers:
        arms += [Arm("head", sampler=sampler, head=head), Arm("fixed", sampler=sampler), Arm("entropy", sampler=sampler)]
    return arms


def _pairs(results: list[ArmResult]) -> list[tuple[ArmResult, ArmResult]]:
    """The first arm against each other one, and each level against entropy at that level."""
    first, *others = results
    pairs = [(first, other) for other in others]
    by = {(one.arm.source, one.arm.level): one for one in reversed(results)}
    if ("head", "token") in by:
        pairs += [(by["head", "token"], by[name, "token"]) for name in ("entropy", "dynatemp", "edt") if (name, "token") in by]
    second = [one for one in others if one.arm.source == "head" and one.arm.level == "sequence"]
    return pairs + [(one, by["entropy", "sequence"]) for one in second]


def _spent(result: ArmResult, bench: Bench) -> list[JSON]:
    return [
        {
            "text": bench.labels[at].context.messages[-1].content or "",
            "kind": bench.labels[at].context.kind,
            "temperature": row["temperature"],
            "reply": row["replies"][0],
        }
        for at, row in sorted(result.rows.items())
    ]
