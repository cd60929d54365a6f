"""The learner's loss as dialogues get harder: more tools on offer, more calls, paired on the same dialogues; and what steering brings into the range.

The paper's claims (arXiv 2409.00920, sec. 3.3): the mean loss grows with the tools on offer and with the calls. The second is looked at a token
and in sum, because later calls copy the form of the first.
"""

from __future__ import annotations

import time
from dataclasses import replace
from random import Random
from statistics import fmean, stdev
from typing import Any

from harness import benchmark

OFFERED = (1, 2, 4, 8)
QUICK, DIALOGUES = 8, 48


def measure(quick: bool, model: str) -> dict[str, Any]:
    from luthier.models.opening import open_model
    from luthier.records import Conversation
    from luthier.synthesize.tools.complexity import Complexity, ComplexityRange, complexities, quantile
    from luthier.synthesize.tools.dialogues import synthesize_dialogues
    from luthier.synthesize.tools.steering import _Operators, steer

    learner = open_model(model)
    count = QUICK if quick else DIALOGUES
    singles = [row for row in synthesize_dialogues(40 * count, seed=0) if row.extra["type"] == "single"]
    operators = _Operators(singles)
    chosen: dict[int, list[Conversation]] = {number: [] for number in OFFERED}
    several: dict[int, list[Conversation]] = {1: [], 2: [], 3: []}
    for at, row in enumerate(singles):
        random = Random(at)
        called = row.messages[-1].tool_calls[0].name
        bare = replace(row, tools=tuple(tool for tool in row.tools if tool.name == called))
        grown, more = [bare], [bare]
        while len(grown) < max(OFFERED) and (found := operators.more_candidates(grown[-1], random)) is not None:
            grown.append(found)
        while len(more) < max(several) and (found := operators.more_calls(more[-1], random)) is not None:
            more.append(found)
        if len(grown) == max(OFFERED) and len(more) == max(several):
            for number in OFFERED:
                chosen[number].append(grown[number - 1])
            for number, rows in several.items():
                rows.append(more[number - 1])
        if len(chosen[1]) == count:
            break

    def measured(rows: list[Conversation]) -> list[Complexity]:
        return complexities(rows, learner)

    offered = {number: measured(rows) for number, rows in chosen.items()}
    calls = {number: measured(rows) for number, rows in several.items()}
    start = time.process_time()
    plain = measured(singles[: 2 * count])
    seconds = (time.process_time() - start) / (2 * count)
    losses = [one.mean for one in plain]
    bounds = ComplexityRange(quantile(losses, 0.35), quantile(losses, 0.65), "", "")
    steered = steer(singles[: 2 * count], bounds, lambda rows: complexities(rows, learner))
    return {
        "model": learner.name,
        "dialogues": len(chosen[1]),
        "offered": {str(number): [one.mean for one in some] for number, some in offered.items()},
        "calls": {str(number): [one.mean for one in some] for number, some in calls.items()},
        "calls_sum": {str(number): [one.total for one in some] for number, some in calls.items()},
        "cpu_seconds": seconds,
        "inside": sum(bounds.distance(value) == 0 for value in losses),
        "inside_steered": sum(one.inside for one in steered),
        "steered": len(steered),
    }


def line(figures: dict[str, Any]) -> str:
    means = {name: ", ".join(f"{fmean(some):.2f}" for some in figures[name].values()) for name in ("offered", "calls", "calls_sum")}
    first, last = figures["offered"]["1"], figures["offered"][str(max(OFFERED))]
    rises = [after - before for before, after in zip(first, last, strict=True)]
    error = stdev(rises) / len(rises) ** 0.5
    return (
        f"{figures['model']}, {figures['dialogues']} dialogues: loss a token {means['offered']} with {', '.join(map(str, OFFERED))} tools on offer "
        f"(rise {fmean(rises):.2f}, s.e. {error:.2f}); {means['calls']} with 1, 2, 3 calls, in sum {means['calls_sum']}; steering brings "
        f"{figures['inside']} -> {figures['inside_steered']} of {figures['steered']} into the middle third; {figures['cpu_seconds']:.2f} CPU-s a dialogue"
    )


if __name__ == "__main__":
    benchmark("complexity", measure, line, __doc__, model="bundled")
