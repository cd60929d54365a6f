"""A real model on HumanEval, each strategy with the same tokens a problem: pass@1 by the private tests, paired, and over tokens.

Answers and verdicts are kept in `--folder`, so the benchmark goes on where it was stopped; `--minutes` ends it after the problems that are
under way, and the figures are of the problems that every strategy has done. `--tests FILE` brings the problems with their public tests,
`--every 4` takes each fourth of them. A served model is named with `--endpoint`; where Luthier knows its name, its own tokenizer counts.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import RESULTS, benchmark
from luthier.models.opening import model_folder, open_model
from luthier.models.protocol import Prompt
from luthier.sandbox import Limits, Sandbox
from luthier.search.comparison_page import solved_at
from luthier.search.problem import Held
from luthier.search.readers import read_all
from luthier.search.scoring import score
from luthier.search.settings import SearchSettings
from luthier.search.solving import Solved, solve_all
from luthier.statistics.rates import mcnemar, wilson

ARMS: dict[str, dict[str, Any]] = {
    "greedy": {"strategy": "single"},
    "best-of-n": {"strategy": "best-of-n"},
    "best-of-n, votes": {"strategy": "best-of-n", "tie_break": "inputs"},
    "s-star": {"strategy": "s-star"},
    "ab-mcts": {"strategy": "ab-mcts"},
    "thought-mcts": {"strategy": "thought-mcts", "feedback": False},
    "rethink": {"strategy": "rethink"},
    "rethink, drawn first": {"strategy": "rethink", "drawn_first": 4, "programs": 2, "blocks": False, "feedback_tokens": 700},
}
AT_ONCE = 12
TESTS = "humaneval_public_tests.jsonl.gz"


def measure(quick: bool, **options: str) -> dict[str, Any]:
    if not Path(options["tests"]).exists() and options["tests"] == TESTS:
        print(f"search_model: skipped, no {TESTS}; give problems with their public tests with --tests")
        raise SystemExit
    problems = read_all([options["tests"]])[:: int(options["every"])]
    problems = problems[:2] if quick else problems
    arms = {name: ARMS[name] for name in (options["arms"].split(";") if options["arms"] else ARMS)}
    model = _opened(options["model"], options["engine"], options["endpoint"])
    folder = Path(options["folder"]) / f"{options['model'].rpartition('/')[2]}-{options['tokens']}"
    settings = SearchSettings(budget=f"{options['tokens']} tokens", max_tokens=int(options["answer"]))
    end = time.monotonic() + 60 * float(options["minutes"])
    done: dict[str, list[tuple[Held, Solved]]] = {name: [] for name in arms}
    with Sandbox(limits=Limits(wall=3, cpu=2.5)) as box:
        for at in range(0, len(problems), AT_ONCE):
            if time.monotonic() > end:
                break
            some = problems[at : at + AT_ONCE]
            for name, changes in arms.items():
                own = replace(settings, **changes)
                found = solve_all([one.posed for one in some], model, box, own, folder=folder, at_once=AT_ONCE)
                done[name] += list(zip(some, found, strict=True))
                print(f"{at + len(some)} of {len(problems)}: {name}", flush=True)
        return {"model": options["model"], "tokens": int(options["tokens"]), **_figures(done, box)}


def _opened(name: str, engine: str, endpoint: str) -> Any:
    if not endpoint:
        return open_model(name, engine=engine)  # type: ignore[arg-type]
    from transformers import AutoTokenizer

    from luthier.models.endpoint import EndpointModel

    class Counted(EndpointModel):
        """A served model whose prompts are counted by its own tokenizer, so that reservations are tight."""

        tokenizer = AutoTokenizer.from_pretrained(model_folder(name))

        def render(self, prompt: Prompt) -> str:
            rows = [message.to_row() for message in prompt.messages]
            return str(self.tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=True))

    return Counted(endpoint, name, concurrency=AT_ONCE, timeout=900.0)


def _figures(done: dict[str, list[tuple[Held, Solved]]], box: Sandbox) -> dict[str, Any]:
    scores = {name: score(found, box, curve=True) for name, found in done.items()}
    rows: dict[str, Any] = {}
    for name, found in done.items():
        solved, own = [one for _, one in found], scores[name]
        counts: Counter[str] = Counter()
        asked: Counter[str] = Counter()
        for one in solved:
            counts.update(one.counts)
            asked.update(one.asked)
        curve = [one.to_row() for one in own]
        rows[name] = {
            "private": wilson(sum(bool(one.private) for one in own), len(own)).to_row(),
            "apart": wilson(
                sum(bool(one.apart) for one in own if one.apart is not None), sum(one.apart is not None for one in own)
            ).to_row(),
            "public": wilson(sum(one.public for one in own), len(own)).to_row(),
            "tokens": sum(one.spent.tokens for one in solved) / max(1, len(solved)),
            "calls": sum(one.spent.calls for one in solved) / max(1, len(solved)),
            "programs": sum(len(one.candidates) for one in solved) / max(1, len(solved)),
            "over_tokens": {str(tokens): solved_at(curve, 1, tokens) for tokens in (500, 1000, 2000, 3000, 4000, 6000)},
            "asked": dict(asked),
            "not_read": dict(counts),
            "steps": _steps(solved),
            "wrong": [one.task for one in own if not one.private],
        }
    return {"problems": len(next(iter(scores.values()))), "arms": rows, "pairs": _pairs(scores)}


def _steps(found: Sequence[Solved]) -> dict[str, Any]:
    """Where a search gains or breaks: how often a program passes by how it came about, of all and of those after a first one that failed, and what
    rethinking changed."""
    passed: dict[str, list[bool]] = {}
    later: dict[str, list[bool]] = {}
    changes: Counter[str] = Counter()
    for one in found:
        ordered = sorted(one.candidates, key=lambda candidate: candidate.number)
        for candidate in ordered:
            passed.setdefault(candidate.how, []).append(candidate.passes)
        for candidate in ordered[1:] if ordered and not ordered[0].passes else ():
            later.setdefault(candidate.how, []).append(candidate.passes)
        by_node: dict[int, list[Any]] = {}
        for candidate in one.candidates:
            by_node.setdefault(candidate.node, []).append(candidate)
        for node, own in by_node.items():
            if node and any(each.how == "rethought" for each in own):
                before, after = own[0].reward, own[-1].reward
                changes["better" if after > before else "worse" if after < before else "as before"] += 1
    passes, after = ({how: [sum(told), len(told)] for how, told in some.items()} for some in (passed, later))
    return {"passes": passes, "after_a_failure": after, "rethinks": dict(changes)}


def _pairs(scores: dict[str, Any]) -> list[dict[str, Any]]:
    import numpy as np

    from luthier.statistics.resampling import bootstrap

    rows = []
    for name, own in scores.items() if "best-of-n" in scores else ():
        if name == "best-of-n":
            continue
        told = [(bool(mine.private), bool(other.private)) for mine, other in zip(own, scores["best-of-n"], strict=True)]
        gained, lost = sum(a and not b for a, b in told), sum(b and not a for a, b in told)
        interval = bootstrap(np.array([float(a) - float(b) for a, b in told])).to_row()
        rows.append({"strategy": name, "against": "best-of-n", "gained": gained, "lost": lost, "p": mcnemar(gained, lost), **interval})
    return rows


def line(figures: dict[str, Any]) -> str:
    told = ", ".join(
        f"{name} {100 * row['private']['rate']:.1f} ({100 * row['private']['low']:.0f} to {100 * row['private']['high']:.0f})"
        for name, row in figures["arms"].items()
    )
    pairs = ", ".join(
        f"{row['strategy']} {100 * row['mean']:+.1f} ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})" for row in figures["pairs"]
    )
    return (
        f"{figures['model']}, {figures['problems']} problems, {figures['tokens']} tokens each: % solved {told}; against best-of-n {pairs}"
    )


if __name__ == "__main__":
    benchmark(
        "search_model",
        measure,
        line,
        __doc__,
        model="qwen2.5-coder-0.5b",
        engine="transformers",
        endpoint="",
        tests=TESTS,
        every="1",
        tokens="6000",
        answer="400",
        minutes="600",
        arms="",
        folder=str(RESULTS / "search_model"),
    )
