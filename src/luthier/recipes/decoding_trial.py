"""Measure dynamic decoding: every way of setting the temperature on the same held-out contexts, at one mean temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.packages import file_sha256
from luthier.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.recipes.tools import open_model
from luthier.records import JSON

if TYPE_CHECKING:
    from luthier.decode.arms import Arm, Bench
    from luthier.decode.evaluation import ArmResult, Trial
    from luthier.decode.labels import Label

MAPPINGS = ("linear", "exponential", "logit")
DRAWN = "replies.jsonl"


@dataclass(frozen=True)
class TrialInputs:
    """Heads that `run_fit` wrote, the first of which is tried in every way, and the labels they were fitted on.

    limit: contexts, drawn evenly from both kinds; extra: how many of them also try other mappings and samplers, 0 for none.
    target: expected mean temperature of every arm; m, max_tokens: replies to a context.
    """

    heads: tuple[str, ...]
    labels: str
    model: str = "bundled"
    adapter: str | None = None
    target: float = 0.8
    m: int = 3
    max_tokens: int = 24
    limit: int | None = 300
    extra: int = 80
    samplers: tuple[str, ...] = ("temperature", "top_k", "min_p", "typical_p")
    seed: int = 0


def run_trial(inputs: TrialInputs, folder: Path, command: str, progress: Progress = quiet) -> JSON:
    """Write `report.html` in `folder` and return what `run.json` holds; a stopped run draws no reply twice."""
    if not inputs.heads:
        raise SettingsError("no head: give at least one folder that `luthier decode fit` wrote")
    with RunFolder(folder, "decode eval", command, asdict(inputs), inputs.seed) as run:
        named = [Path(inputs.labels), *(Path(head) / "head.json" for head in inputs.heads)]
        run.record["inputs"] = {str(path): file_sha256(path) for path in named if path.is_file()}
        keyed = {**asdict(inputs), "files": run.record["inputs"]}
        run.step("compare", keyed, [], lambda: _compare(inputs, folder, progress))
        _write_page(run.record, folder)
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        return run.record


def _compare(inputs: TrialInputs, folder: Path, progress: Progress) -> JSON:
    from luthier.decode.evaluation import compare, run_arm, summarise

    trial = _trial(inputs, progress)
    bench = trial.bench
    places = choose(bench.labels, inputs.limit, inputs.seed)
    few = choose([bench.labels[at] for at in places], inputs.extra, inputs.seed) if inputs.extra else []
    main, extra = main_arms(list(bench.heads)), extra_arms(next(iter(bench.heads)), inputs.samplers) if few else []
    progress.step("draw", len(places) * len(main) + len(few) * len(extra))
    results = [run_arm(trial, arm, places, folder / DRAWN, progress.advance) for arm in main]
    others = [run_arm(trial, arm, [places[at] for at in few], folder / DRAWN, progress.advance) for arm in extra]
    return {
        "model": trial.model.name,
        "target": inputs.target,
        "m": inputs.m,
        "max_tokens": inputs.max_tokens,
        "first": results[0].arm.name,
        "arms": [summarise(one, bench) for one in results],
        "extra": [summarise(one, bench) for one in others],
        "comparisons": [compare(one, other) for one, other in _pairs(results)],
        "spent": _spent(results[0], bench),
    }


def _trial(inputs: TrialInputs, progress: Progress) -> Trial:
    from luthier.decode.arms import Bench
    from luthier.decode.evaluation import Draws, Trial
    from luthier.decode.features import read_features
    from luthier.decode.head import DiversityHead
    from luthier.decode.labels import read_labels
    from luthier.decode.portable import PortableHead
    from luthier.decode.similarity import StateEncoder

    labels = read_labels(inputs.labels)
    model = open_model(inputs.model, None if inputs.adapter is None else Path(inputs.adapter))
    heads = {Path(head).name: DiversityHead.load(head, model.module) for head in inputs.heads}
    if len(heads) < len(inputs.heads):
        raise SettingsError("two heads have folders of one name; give them different ones")
    portables = {Path(head).name: PortableHead.load(Path(head) / "portable.json") for head in inputs.heads}
    progress.step("read", len(labels))
    features = read_features(model, labels, progress=progress.advance)
    bench = Bench(labels, features, heads, portables, int(model.module.config.get_text_config().vocab_size))
    encoder = StateEncoder(model.module, model.tokenizer, name=model.name)
    return Trial(model, encoder, bench, Draws(inputs.target, inputs.m, inputs.max_tokens, inputs.seed))


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


def _write_page(record: JSON, folder: Path) -> None:
    from luthier.report.decoding_page import Spent, write_eval_page

    results = record["steps"]["compare"]["results"]
    write_eval_page(results, [Spent(**one) for one in results["spent"]], folder / "report.html")
