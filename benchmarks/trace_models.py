"""Accuracy of a language model from a few items, its family left out of the calibration, beside the share right among as many random items;
and items that no model has answered, by the models' ability alone, with difficulty read from text, and with the true difficulty.

`--data` is a folder with events.csv.gz (learner, item, correct) and items.jsonl.gz (item, text, concepts); each concept is a benchmark of its
own. Without it, and with `--quick`, answers of made-up families to made-up sums stand in. Intervals draw families again. `--pupils` is a folder
with fold*.csv and skill.json (ASSISTments 2009 as in AKT): the same state on people.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from harness import benchmark

COUNTS = (20, 50, 100)
FOLDS = 5
FEW = (0, 1, 2, 4, 8)  # answers to an item
DRAWS = 200  # of families, for intervals


def measure(quick: bool, *, data: str, draws: str, embedder: str, cache: str, rows: str, pupils: str) -> dict[str, Any]:
    from luthier.trace.results import read_results

    with tempfile.TemporaryDirectory() as scratch:
        made = quick or not data
        folder = _made_up(Path(scratch)) if made else Path(data)
        log = read_results([folder / "events.csv.gz"], folder / "items.jsonl.gz")
    read = None if quick or embedder == "none" else _embedder(embedder)
    figures: dict[str, Any] = {
        "data": "made up here" if made else folder.name,
        "embedder": embedder if read else "none",
        "draws": 3 if quick else int(draws),
    }
    for concept in log.catalogue.concepts:
        figures[concept.concept] = _one(_part(log, concept.concept), figures["draws"], read, cache)
        print(f"{concept.concept}: {figures[concept.concept]}", flush=True)
    if pupils and not quick:
        figures["pupils"] = _pupils(Path(pupils))
        print(f"pupils: {figures['pupils']}", flush=True)
    return figures | {"state": _state(log), "table": _table(100_000 if quick else int(rows))}


def _pupils(folder: Path) -> dict[str, Any]:
    """Pupils' answers in their order, the first fold left out: every answer by the state of those before it, the last 200 of each pupil."""
    import numpy as np

    from luthier.statistics.ranks import area_under_curve
    from luthier.statistics.resampling import bootstrap_statistic
    from luthier.trace.item_response import calibrate
    from luthier.trace.readers.reading import read_answers

    files = sorted(folder.glob("fold*.csv"))
    log, first = (read_answers(some, names=folder / "skill.json") for some in (files, files[:1]))
    left = len(first.learners)
    train = log.take_learners(range(left, len(log.learners)))
    started = time.process_time()
    model = calibrate(train).model(train)
    seconds = time.process_time() - started
    chances: list[float] = []
    right: list[bool] = []
    pupils: list[int] = []
    for pupil in range(left):
        part = log.of_learner(pupil)
        if part.stop - part.start < 10:
            continue
        state = model.start()
        for item, correct in zip(log.item[part][-200:], log.correct[part][-200:], strict=True):
            chances.append(float(model.predict(state, [item])[0]))
            state = model.update(state, int(item), float(correct))
            right.append(bool(correct > 0.5))
            pupils.append(pupil)
    told, seen = np.array(chances), np.array(right)
    area = bootstrap_statistic(lambda at: area_under_curve(told[at], seen[at]), pupils, draws=DRAWS)
    return {
        "pupils": len(set(pupils)),
        "answers": len(told),
        "fit_s": round(seconds, 1),
        "spread": round(model.spread, 2),
        "auc": _interval(area, 4),
    }


def _table(rows: int) -> dict[str, float]:
    """CPU-seconds to read a table of so many answers and to calibrate its items, and the peak of the process's memory."""
    import numpy as np

    from luthier.run.machine import peak_memory_mib
    from luthier.trace.item_response import calibrate
    from luthier.trace.results import read_results

    draw, learners, items = np.random.default_rng(0), 1 + rows // 500, 5000
    ability, difficulty = draw.normal(0, 1, learners), draw.normal(0, 1, items)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "answers.csv"
        with file.open("w") as stream:
            stream.write("learner,item,correct\n")
            for start in range(0, rows, 100_000):
                who, what = (draw.integers(0, most, min(100_000, rows - start)) for most in (learners, items))
                right = draw.random(len(who)) < 1 / (1 + np.exp(difficulty[what] - ability[who]))
                stream.writelines(f"{a},{b},{c:d}\n" for a, b, c in zip(who, what, right, strict=True))
        started = time.process_time()
        log = read_results([file])
        read = time.process_time()
        fitted = calibrate(log)
        spent = time.process_time() - read
    names = [int(item.item) for item in log.catalogue.items]
    return {
        "rows": rows,
        "read_s": round(read - started, 2),
        "calibrate_s": round(spent, 2),
        "peak_mib": peak_memory_mib(),
        "correlation": round(float(np.corrcoef(fitted.difficulty, difficulty[names])[0, 1]), 4),
    }


def _state(log: Any) -> dict[str, float]:
    """CPU-time of one learner's state, medians of rounds in which short and long histories take turns."""
    import numpy as np

    from luthier.trace.item_response import calibrate

    model, draw = calibrate(log).model(log), np.random.default_rng(0)
    count = len(model.difficulty)
    states = [model.state_of(draw.integers(0, count, size), draw.integers(0, 2, size)) for size in (10, 10_000)]
    spent: dict[str, list[float]] = {name: [] for name in ("update_us_after_10", "update_us_after_10000", "predict_ms", "mastery_ms")}
    for _ in range(21):
        for name, state in zip(list(spent)[:2], states, strict=True):
            started = time.process_time()
            for item in range(200):
                model.update(state, item % count, 1.0)
            spent[name].append((time.process_time() - started) / 200 * 1e6)
        for name, read in (
            ("predict_ms", lambda: model.predict(states[1], range(count))),
            ("mastery_ms", lambda: model.mastery(states[1])),
        ):
            started = time.process_time()
            read()
            spent[name].append((time.process_time() - started) * 1e3)
    ratio = median(b / a for a, b in zip(spent["update_us_after_10"], spent["update_us_after_10000"], strict=True))
    return {name: round(median(values), 2) for name, values in spent.items()} | {
        "ratio": round(ratio, 3),
        "items": count,
        "bytes": states[0].nbytes,
    }


def _embedder(name: str) -> Any:
    from luthier.models.opening import open_embedder

    return open_embedder(name)


def _part(log: Any, concept: str) -> Any:
    """The answers to one concept's items, of the learners that answered nearly all of them."""
    import numpy as np

    from luthier.trace.answers import AnswerCollector, Catalogue

    inside = np.array([concept in item.concepts for item in log.catalogue.items])
    items = [item for item, keep in zip(log.catalogue.items, inside, strict=True) if keep]
    whole = np.bincount(log.learner[inside[log.item]], minlength=len(log.learners)) >= 0.9 * len(items)
    collector = AnswerCollector()
    for learner, item, correct in zip(log.learner, log.item, log.correct, strict=True):
        if inside[item] and whole[learner]:
            collector.add(log.learners[learner], log.catalogue.items[item].item, float(correct))
    return collector.log(Catalogue.of(items))


def _one(log: Any, draws: int, embedder: Any, cache: str) -> dict[str, Any]:
    from luthier.trace.new_model import families

    names = families(log.learners)
    return {
        "learners": len(log.learners),
        "items": len(log.catalogue.items),
        "families": len(set(names)),
        "left_out": _left_out(log, names, draws),
        **_unseen(log, names, embedder, cache),
    }


def _left_out(log: Any, names: Sequence[str], draws: int) -> dict[str, Any]:
    """Mean absolute error in points, by items asked."""
    import numpy as np

    from luthier.statistics.resampling import bootstrap_statistic
    from luthier.trace.new_model import hold_out_families

    held = hold_out_families(log, COUNTS, names=names, draws=draws)
    adaptive = hold_out_families(log, COUNTS, names=names, draws=draws, chosen="adaptive")
    found = {}
    for count in COUNTS:
        some = [one for one in held if one.asked == count]
        ours, plain = (np.array([100 * abs(getattr(one, side) - one.accuracy) for one in some]) for side in ("guess", "plain"))
        asked = [one for one in adaptive if one.asked == count]
        chosen = np.array([100 * abs(one.guess - one.accuracy) for one in asked])
        clusters = [one.family for one in some]
        found[str(count)] = {
            "irt": _interval(bootstrap_statistic(lambda at, ours=ours: float(ours[at].mean()), clusters, draws=1000)),
            "adaptive": _interval(
                bootstrap_statistic(lambda at, chosen=chosen: float(chosen[at].mean()), [one.family for one in asked], draws=1000)
            ),
            "random": _interval(bootstrap_statistic(lambda at, plain=plain: float(plain[at].mean()), clusters, draws=1000)),
            "difference": _interval(bootstrap_statistic(lambda at, both=plain - ours: float(both[at].mean()), clusters, draws=1000)),
            "covered": round(float(np.mean([one.estimate.low <= one.accuracy <= one.estimate.high for one in some])), 3),
            "covered_adaptive": round(float(np.mean([one.estimate.low <= one.accuracy <= one.estimate.high for one in asked])), 3),
            "width": round(100 * float(np.mean([one.estimate.high - one.estimate.low for one in some])), 2),
        }
    return found


def _unseen(log: Any, names: Sequence[str], embedder: Any, cache: str) -> dict[str, Any]:
    """Areas under the ROC curve over all answers to items left out in FOLDS parts; abilities come from the other parts."""
    import numpy as np

    from luthier.models.embedding_cache import EmbeddingCache
    from luthier.statistics.ranks import area_under_curve, spearman
    from luthier.statistics.resampling import bootstrap_statistic
    from luthier.trace.difficulty import fit_text_difficulty, text_features
    from luthier.trace.item_response import calibrate

    texts = [item.text for item in log.catalogue.items]
    kinds = {"length": text_features(texts, None)}
    if embedder is not None:
        kinds["text"] = text_features(texts, embedder, EmbeddingCache(cache or None))
    truth = calibrate(log).difficulty
    fold = np.random.default_rng(0).permutation(len(texts)) % FOLDS
    scores = {name: np.zeros(len(log)) for name in ("ability", *kinds, "ceiling")}
    read = {name: np.zeros(len(texts)) for name in kinds}
    for part in range(FOLDS):
        kept, left = fold != part, np.flatnonzero(fold == part)
        fitted = calibrate(log.where(kept[log.item]))
        answers = ~kept[log.item]
        ability = fitted.ability[log.learner[answers]]
        scores["ability"][answers] = ability
        scores["ceiling"][answers] = ability - truth[log.item[answers]]
        for name, features in kinds.items():
            told = fit_text_difficulty(features[kept], fitted.difficulty[kept], fitted.difficulty_sd[kept]).predict(features[left]).mean
            read[name][left] = told
            scores[name][answers] = ability - read[name][log.item[answers]]
    right = log.correct > 0.5
    clusters = [names[learner] for learner in log.learner]
    areas = {
        name: _interval(bootstrap_statistic(lambda at, score=score: area_under_curve(score[at], right[at]), clusters, draws=DRAWS), 4)
        for name, score in scores.items()
    }
    return {
        "unseen": {"auc": areas, "spearman": {name: round(spearman(told, truth) or 0.0, 3) for name, told in read.items()}},
        "few_answers": _few(log, fold, [*kinds.values()][-1]),
    }


def _few(log: Any, fold: Any, features: Any) -> dict[str, list[float]]:
    """Items with a few answers: area under the curve over their other answers, with one prior for all and with that of their text."""
    import numpy as np

    from luthier.statistics.ranks import area_under_curve
    from luthier.trace.difficulty import fit_text_difficulty
    from luthier.trace.item_response import DifficultyPrior, calibrate

    order, found = np.random.default_rng(1).random(len(log)), {}
    rank = np.empty(len(log), dtype=int)  # of an answer among those to its item, at random
    for item in range(len(fold)):
        rows = np.flatnonzero(log.item == item)
        rank[rows] = np.argsort(np.argsort(order[rows]))
    for count in FEW:
        scores = np.zeros((2, len(log)))
        asked = rank >= FEW[-1]  # the same answers for every count
        for part in range(FOLDS):
            left = fold[log.item] == part
            part_log = log.where(~left | (rank < count))
            flat = calibrate(part_log)
            known = fold != part
            told = fit_text_difficulty(features[known], flat.difficulty[known], flat.difficulty_sd[known]).predict(features)
            text = calibrate(
                part_log, prior=DifficultyPrior(np.where(known, flat.prior.mean, told.mean), np.where(known, flat.prior.sd, told.sd))
            )
            for row, fitted in zip(scores, (flat, text), strict=True):
                row[left] = fitted.ability[log.learner[left]] - fitted.difficulty[log.item[left]]
        found[str(count)] = [round(area_under_curve(row[asked], log.correct[asked] > 0.5) or 0.0, 4) for row in scores]
    return found


def _interval(found: Any, digits: int = 2) -> list[float]:
    return [round(value, digits) for value in found]


def _made_up(folder: Path) -> Path:
    """24 models of 8 families and 300 sums: longer ones are harder, families differ in ability and members a little."""
    import csv
    import gzip
    import math

    from luthier.records import write_jsonl

    random = Random(0)
    items, rows = [], []
    for number in range(300):
        terms = random.randint(2, 9)
        text = "What is " + " + ".join(str(random.randint(1, 10 ** random.randint(1, 4))) for _ in range(terms)) + "?"
        items.append({"item": f"sum-{number}", "text": text, "concepts": ["sums"], "difficulty": 0.09 * len(text) - 3 + random.gauss(0, 1)})
    for family in ("ash", "birch", "cedar", "elm", "fir", "maple", "oak", "pine"):
        level = random.gauss(0, 1.2)
        for size in (1, 2, 3):
            ability = level + 0.5 * size + random.gauss(0, 0.3)
            for item in items:
                chance = 1 / (1 + math.exp(item["difficulty"] - ability))
                rows.append({"learner": f"{family}-{size}b", "item": item["item"], "correct": int(random.random() < chance)})
    write_jsonl(folder / "items.jsonl.gz", [{name: item[name] for name in ("item", "text", "concepts")} for item in items])
    with gzip.open(folder / "events.csv.gz", "wt", newline="") as stream:
        writer = csv.DictWriter(stream, ["learner", "item", "correct"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def line(figures: dict[str, Any]) -> str:
    told = []
    for name, one in figures.items():
        if isinstance(one, dict) and "left_out" in one:
            at, area = one["left_out"]["50"], one["unseen"]["auc"]
            best = "text" if "text" in area else "length"
            told.append(
                f"{name}: {one['families']} families left out, 50 items: {at['irt'][0]} points of error, adaptive {at['adaptive'][0]}, random {at['random'][0]}, "
                f"{at['covered']:.0%} of intervals hold; unseen items AUC {area['ability'][0]:.3f} ability, {area[best][0]:.3f} + {best}, "
                f"{area['ceiling'][0]:.3f} ceiling"
            )
    state = figures["state"]
    told.append(
        f"a state of {state['bytes']} bytes takes an answer in {state['update_us_after_10']} us, {state['ratio']} times that after 10,000 answers"
    )
    table = figures["table"]
    told.append(
        f"{table['rows']:,} answers read in {table['read_s']} CPU-s and calibrated in {table['calibrate_s']}, peak {table['peak_mib']} MiB"
    )
    return "; ".join(told)


if __name__ == "__main__":
    benchmark("trace_models", measure, line, __doc__, data="", draws="5", embedder="minilm", cache="", rows="1000000", pupils="")
