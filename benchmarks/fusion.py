"""Knowledge fusion without a model: how long a suite takes from 1,000 facts, how many answers a second are judged, and what exact judging is worth.

The peer of judging is what benchmarks of retrieval-augmented models do without a judge model: the answer is right where it holds the value as a
substring, case aside. Both see the same answers: right ones in other writings of the value, and hedged ones that add a wrong value.
"""

from __future__ import annotations

import datetime
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from harness import benchmark

WRITINGS = ("{d:%Y-%m-%d}", "{d.day} {d:%B} {d.year}", "{d:%B} {d.day}, {d.year}", "{d:%b} {d.day}, {d.year}", "{d:%Y/%m/%d}")


def measure(quick: bool) -> dict[str, Any]:
    from luthier.records import write_jsonl
    from luthier.records.fusion_suite import problems, read_suite
    from luthier.synthesize.fusion import Columns, FusionSuite, KnowledgeBase, SuiteSettings, split_facts

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "devices.jsonl"
        write_jsonl(path, _devices(100 if quick else 500))
        built = []
        for name in ("a", "b"):
            start = time.perf_counter(), time.process_time()
            kb = KnowledgeBase.from_paths([path], Columns(("device",)))
            suite = FusionSuite.build(split_facts(kb, by="random", holdout=0.2), SuiteSettings(per_scenario=200, distractors=(0, 1, 3, 5)))
            manifest = suite.save(Path(folder) / name)
            read_suite(Path(folder) / name)
            built.append({"seconds": time.perf_counter() - start[0], "cpu_seconds": time.process_time() - start[1]})
        same = all((Path(folder) / "a" / name).read_bytes() == (Path(folder) / "b" / name).read_bytes() for name in manifest["files"])
        return {
            "facts": len(kb.facts),
            "items": len(suite.items),
            "questions": manifest["questions"],
            "build": built,
            "byte_identical": same,
            "items_with_a_problem": sum(1 for _ in problems(suite.items, suite.memory)),
            "judging": _judging(suite, 1 if quick else 5),
        }


def _devices(count: int) -> list[dict[str, str]]:
    """Invented devices with a release date and a weight each."""
    draw, first = Random(0), datetime.date(2018, 1, 1)
    lines = ("Nova", "Orion", "Vega", "Lyra", "Cygnus", "Draco")
    return [
        {
            "device": f"{draw.choice(lines)} {draw.choice('ABCDEFGH')}{number}",
            "release date": str(first + datetime.timedelta(draw.randrange(2900))),
            "weight": f"{draw.randrange(80, 2000)} g",
        }
        for number in range(count)
    ]


def _judging(suite: Any, rounds: int) -> dict[str, Any]:
    from luthier.evaluate.fusion import Scorer

    scorer, draw = Scorer(suite.facts), Random(1)
    items = [item for item in suite.items if item.scenario in ("S1", "S3") and item.needed[0].kind == "date"]
    right = [_rewritten(item, draw) for item in items]
    hedged = [f"{text} Or it was {_other(item, draw)}." for item, text in zip(items, right, strict=True)]
    counts: Counter[str] = Counter()
    for item, good, both in zip(items, right, hedged, strict=True):
        counts["right_ours"] += scorer.judge(item, good).right
        counts["right_substring"] += _substring(item, good)
        counts["hedged_ours"] += scorer.judge(item, both).right
        counts["hedged_substring"] += _substring(item, both)
    start = time.process_time()
    for _ in range(rounds):
        for item, text in zip(items, right, strict=True):
            scorer.judge(item, text)
    ours = (time.process_time() - start) / (rounds * len(items))
    return {
        "answers": len(items),
        "accepted": {name: count / len(items) for name, count in counts.items()},
        "answers_per_cpu_second": 1 / ours,
    }


def _rewritten(item: Any, draw: Random) -> str:
    day = datetime.date.fromisoformat(item.needed[0].values[0])
    return f"The {item.needed[0].attribute} of {item.needed[0].subject} is {draw.choice(WRITINGS).format(d=day)}."


def _other(item: Any, draw: Random) -> str:
    return str(datetime.date.fromisoformat(item.needed[0].values[0]) + datetime.timedelta(draw.randrange(1, 400)))


def _substring(item: Any, answer: str) -> bool:
    return all(any(value.lower() in answer.lower() for value in one.values) for one in item.needed)


def line(figures: dict[str, Any]) -> str:
    judging, build = figures["judging"], min(one["cpu_seconds"] for one in figures["build"])
    kept = judging["accepted"]
    return (
        f"{figures['facts']} facts to {figures['items']} labelled items in {build:.1f} CPU-s, identical again: {figures['byte_identical']}, with a problem: "
        f"{figures['items_with_a_problem']}; {judging['answers_per_cpu_second']:,.0f} answers judged a CPU-second; right answers accepted {kept['right_ours']:.0%} "
        f"(substring {kept['right_substring']:.0%}), hedged ones {kept['hedged_ours']:.0%} (substring {kept['hedged_substring']:.0%})"
    )


if __name__ == "__main__":
    benchmark("fusion", measure, line, __doc__)
