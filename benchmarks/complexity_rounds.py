"""Training in rounds on dialogues of the right complexity beside as many tokens of dialogues taken at random, from the same pool.

Before each round of the guided arm the learner's own loss is read again, of prior dialogues and of candidates: what it answers already and
what is far beyond it is left for later (arXiv 2409.00920, sec. 3.4). Both arms are scored after each round on dialogues about tools that the
pool does not have, the same for both. A stopped benchmark goes on at the round it was in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from harness import RESULTS, benchmark
from luthier.records import Conversation, SkippedRows, atomic_write, read_rows, write_jsonl
from luthier.statistics.rates import mcnemar, wilson

ARMS = ("plain", "guided")
PRIOR, CANDIDATES = 100, 400
HELD, ROUND, ANSWERS = "held.jsonl", "round.json", "answers.jsonl"
FOLDER = RESULTS / "complexity_rounds"


def measure(quick: bool, **options: str) -> dict[str, Any]:
    from luthier.synthesize.tools.dialogues import synthesize_dialogues

    rounds, tokens, asked = (1, 600, 3) if quick else (int(options["rounds"]), int(options["tokens"]), int(options["held"]))
    place = FOLDER / ("quick" if quick else f"{options['model'].rpartition('/')[2]}-{tokens}-{options['seed']}")
    place.mkdir(parents=True, exist_ok=True)
    seed = int(options["seed"])
    pool = list(synthesize_dialogues(40 if quick else 6_000, seed=2 * seed))
    offered = {tool.name for row in pool for tool in row.tools}
    unseen = (row for row in synthesize_dialogues(60 * asked, seed=2 * seed + 1) if not any(tool.name in offered for tool in row.tools))
    held = [row for row, _ in zip(unseen, range(asked), strict=False)] or list(synthesize_dialogues(asked, seed=2 * seed + 1))
    write_jsonl(place / HELD, (row.to_row() for row in held))
    trial = Trial(options["model"], pool, place, tokens, *((4, 8) if quick else (PRIOR, CANDIDATES)))
    arms = {arm: [_round(trial, arm, number) for number in range(1, rounds + 1)] for arm in ARMS}
    return {"model": options["model"], "tokens": tokens, "held": len(held), "arms": arms, "pair": _pair(arms)}


@dataclass(frozen=True)
class Trial:
    """What both arms share. tokens: of a round, at most; prior: dialogues that the range is read from; candidates: of which a round takes."""

    model: str
    pool: Sequence[Conversation]
    folder: Path
    tokens: int
    prior: int
    candidates: int


def _round(trial: Trial, arm: str, number: int) -> dict[str, Any]:
    """Choose, train on, and score; kept in a file once it is done."""
    from luthier.evaluate.own_items import read_own_items
    from luthier.evaluate.tools import evaluate_tools
    from luthier.models.opening import open_model
    from luthier.train.settings import SftSettings
    from luthier.train.sft import fine_tune

    place = trial.folder / f"{arm}-{number}"
    done = place / ROUND
    if done.is_file():
        told: dict[str, Any] = json.loads(done.read_text())
        return told
    place.mkdir(exist_ok=True)
    before = None if number == 1 else str(trial.folder / f"{arm}-{number - 1}" / "adapter")
    learner: Any = open_model(trial.model, before)
    chosen, shares = _chosen(trial, arm, number, learner)
    settings = SftSettings(sigma=0.0, learning_rate=1.5e-3, rank=16, by_length=True, sft={"gradient_accumulation_steps": 2}, seed=number)
    made = fine_tune([trial.pool[at] for at in chosen], learner, place, settings)
    items = read_own_items([str(trial.folder / HELD)])
    evaluate_tools(open_model(trial.model, str(place / "adapter")), items, place / ANSWERS, decodings=("free",))
    verdicts = {row["id"]: bool(row["strict"]) for _, row in read_rows(place / ANSWERS, SkippedRows())}
    right = [verdicts[item.id] for item in items]
    told = {
        "rows": len(chosen),
        "tokens": made.tokens,
        "loss": made.loss,
        "inside": shares,
        "right": sum(right),
        "items": len(right),
        "verdicts": right,
        "chosen": chosen,
    }
    with atomic_write(done) as stream:
        json.dump(told, stream)
    print(f"{arm}, round {number}: {len(chosen)} rows, {made.tokens:,} tokens, {sum(right)} of {len(right)} right", flush=True)
    return told


def _chosen(trial: Trial, arm: str, number: int, learner: Any) -> tuple[list[int], dict[str, int] | None]:
    """Rows until the tokens are reached: of candidates drawn at random, in that order; the guided arm takes those inside the range first,
    then the nearest to it."""
    from luthier.synthesize.tools.complexity import appropriate_range, complexities, solved
    from luthier.train.sft import encode

    earlier = (trial.folder / f"{arm}-{one}" / ROUND for one in range(1, number))
    taken = {at for path in earlier for at in json.loads(path.read_text())["chosen"]}
    pool, free = trial.pool, [at for at in range(len(trial.pool)) if at not in taken]
    drawn = Random(number).sample(free, min(len(free), trial.prior + trial.candidates))
    prior, order = drawn[: trial.prior], drawn[trial.prior :]
    shares = None
    if arm == "guided":
        known = [pool[at] for at in prior]
        bounds = appropriate_range([one.mean for one in complexities(known, learner)], solved(known, learner))
        away = dict(zip(order, (bounds.distance(one.mean) for one in complexities([pool[at] for at in order], learner)), strict=True))
        shares = {"inside": sum(not value for value in away.values()), "of": len(order)}
        order = sorted(order, key=lambda at: away[at])  # stable, so those inside keep their drawn order
    chosen, total = list[int](), 0
    for at in order:
        size = len(encode(replace(pool[at], extra={}), learner.tokenizer)["input_ids"])
        if total + size > trial.tokens:
            break
        chosen.append(at)
        total += size
    return chosen, shares


def _pair(arms: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    plain, guided = (arms[arm][-1]["verdicts"] for arm in ARMS)
    gained = sum(mine and not other for mine, other in zip(guided, plain, strict=True))
    lost = sum(other and not mine for mine, other in zip(guided, plain, strict=True))
    return {"gained": gained, "lost": lost, "p": mcnemar(gained, lost)}


def line(figures: dict[str, Any]) -> str:
    parts = []
    for arm, rounds in figures["arms"].items():
        rates = [wilson(one["right"], one["items"]) for one in rounds]
        shown = " -> ".join(f"{100 * rate.rate:.1f}" for rate in rates)
        parts.append(f"{arm} {shown} % (last {100 * rates[-1].low:.0f} to {100 * rates[-1].high:.0f})")
    pair = figures["pair"]
    return (
        f"{figures['model']}, {len(next(iter(figures['arms'].values())))} rounds of at most {figures['tokens']:,} tokens, "
        f"{figures['held']} held-out dialogues: right after each round {', '.join(parts)}; guided gains {pair['gained']} and loses {pair['lost']} "
        f"(McNemar p {pair['p']:.2f})"
    )


if __name__ == "__main__":
    benchmark("complexity_rounds", measure, line, __doc__, model="bundled", rounds="3", tokens="40000", held="300", seed="0")
