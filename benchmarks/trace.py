"""A tracer's cost: training beside a DKT of equal width in one run, an answer's update by length of history, new items, all items of a learner.

Synthetic learners with planted abilities and 110 concepts, 16,000 items in 136 sets of concepts; one thread, CPU-seconds. The peer that replays
a history for each prediction is DKT read anew. Arms take turns within a round, and a ratio is the median over rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from harness import benchmark

CONCEPTS, ITEMS, SETS = 110, 16_000, 136
LENGTHS = (10, 100, 1000, 10_000)


def measure(quick: bool, learners: str, rounds: str) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    people, count = (200, 1) if quick else (int(learners), int(rounds))
    log = synthetic(people, 4000 if quick else ITEMS)
    found: dict[str, Any] = {"learners": people, "answers": len(log), "items": len(log.catalogue.items)}
    found |= _training(log, 2 if quick else 5, count)
    found |= _stepping(log, 20 if quick else 60)
    return found


def synthetic(learners: int, items: int) -> Any:
    """Answers of learners with a normal ability to items with a normal difficulty, about 66 each, as many as in ASSISTments 2009."""
    import numpy as np

    from luthier.trace.answers import AnswerCollector, Catalogue, Item

    random = np.random.default_rng(0)
    names = [f"concept {number}" for number in range(CONCEPTS)]
    sets = [(names[number],) for number in range(CONCEPTS)] + [
        tuple(sorted(random.choice(names, 2, replace=False))) for _ in range(SETS - CONCEPTS)
    ]
    listed = [Item(f"q{number}", "", sets[number % len(sets)]) for number in range(items)]
    collector = AnswerCollector()
    ability, difficulty = random.normal(0, 1, learners), random.normal(-0.6, 1, items)
    for learner in range(learners):
        for item in random.integers(0, items, int(random.integers(12, 120))):
            right = random.random() < 1 / (1 + np.exp(difficulty[item] - ability[learner]))
            collector.add(f"u{learner}", listed[item].item, float(right))
    return collector.log(Catalogue.of(listed))


def _training(log: Any, epochs: int, rounds: int) -> dict[str, Any]:
    """CPU-seconds of `epochs` epochs of the tracer and of DKT, same widths, batches and answers."""
    import torch

    from luthier.trace.fitting import fit
    from luthier.trace.learner_model import Dkt
    from luthier.trace.settings import FitSettings, TracerSettings
    from luthier.trace.tracer import Tracer

    settings = FitSettings(epochs=epochs, least=1)
    empty = log.take_learners([])
    ours, theirs = [], []
    for _ in range(rounds):
        tracer = Tracer(TracerSettings(fit=settings), embedder=_Hashed())
        module = tracer._new_module(log.catalogue, len(log.catalogue.items))
        ours.append(_cpu(lambda module=module: fit(module, log, empty, settings)))
        torch.manual_seed(0)
        dkt = Dkt(log.catalogue.concepts_of, CONCEPTS, 64, 128)
        theirs.append(_cpu(lambda dkt=dkt: fit(dkt, log, empty, settings)))
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return {
        "epochs": epochs,
        "train_s": median(ours),
        "dkt_train_s": median(theirs),
        "train_over_dkt": median(ratios),
        "nodes": len(module.question_texts),
    }


def _stepping(log: Any, rounds: int) -> dict[str, Any]:
    """Milliseconds of an update and a prediction after histories of several lengths; of reading the history anew; of new and of all items."""
    import numpy as np
    import torch

    from luthier.trace.answers import Item
    from luthier.trace.settings import FitSettings, TracerSettings
    from luthier.trace.sinkt import answer_input
    from luthier.trace.tracer import Tracer

    tracer = Tracer(TracerSettings(fit=FitSettings(epochs=1, least=1)), embedder=_Hashed())
    tracer.fit(log.take_learners(range(min(100, len(log.learners)))))
    items = [item.item for item in tracer.bank.items]
    random = np.random.default_rng(1)
    states, histories, state = {}, {}, tracer.start()
    rows = random.integers(0, len(items), LENGTHS[-1])
    for number, row in enumerate(rows, 1):
        state = tracer.update(state, items[row], float(random.random() < 0.6))
        if number in LENGTHS:
            states[number], histories[number] = state, rows[:number]
    updates: dict[int, list[float]] = {length: [] for length in LENGTHS}
    predictions: list[float] = []
    for _ in range(rounds):
        for length in LENGTHS:
            updates[length].append(_cpu(lambda s=states[length]: [tracer.update(s, items[0], 1.0) for _ in range(50)]) / 50)
        predictions.append(_cpu(lambda: [tracer.predict(states[LENGTHS[0]], items[:1]) for _ in range(50)]) / 50)
    gru, table = tracer.module.sinkt.gru, torch.from_numpy(tracer.bank.table.concept)
    with torch.inference_mode():
        anew = {
            length: median(_cpu(lambda h=histories[length]: gru(answer_input(table[h][None], torch.ones(1, len(h))))) for _ in range(3))
            for length in LENGTHS
        }
    everything = median(_cpu(lambda: tracer.chances(states[10], np.arange(len(items)))) for _ in range(5))
    adding = [_cpu(lambda n=n: tracer.add_items([Item(f"new {n}", f"What is {n} and {n + 1}?", ("concept 1",))])) for n in range(10)]
    encoded = _with_minilm(tracer)
    shortest, longest = min(updates[LENGTHS[0]]), min(updates[LENGTHS[-1]])
    return {
        "update_ms": {str(length): 1000 * min(each) for length, each in updates.items()},
        "update_ratio": longest / shortest,
        "predict_ms": 1000 * min(predictions),
        "anew_ms": {str(length): 1000 * each for length, each in anew.items()},
        "anew_over_update": anew[LENGTHS[-1]] / longest,
        "all_items_ms": 1000 * everything,
        "items_per_s": len(items) / everything,
        "add_item_ms": 1000 * median(adding),
        "add_item_minilm_ms": encoded,
        "state_bytes": states[10].hidden.nbytes + 2 * states[10].concept_answers.nbytes,
    }


def _with_minilm(tracer: Any) -> float:
    """Milliseconds of a new item whose text the bundled encoder reads; the tracer was made with vectors as wide as its own."""
    from luthier.models.minilm import bundled_embedder
    from luthier.trace.answers import Item

    tracer._embedder = bundled_embedder()
    tracer.encode(["the weights are read once"])
    text = "A train leaves at 9:{n:02} and takes two hours and a half. At what time does it arrive?"
    return 1000 * median(_cpu(lambda n=n: tracer.add_items([Item(f"text {n}", text.format(n=n), ("concept 1",))])) for n in range(20))


class _Hashed:
    """Texts as fixed random unit vectors, so that the cost of a text encoder is measured apart."""

    name, max_length, fingerprint = "hashed", None, "hashed-384"

    def key(self, kind: str) -> str:
        return self.fingerprint

    def encode(self, texts: Any, kind: str = "document") -> Any:
        import hashlib

        import numpy as np

        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
        found = np.stack([np.random.default_rng(seed).normal(size=384) for seed in seeds]).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def token_counts(self, texts: Any, kind: str = "document") -> None:
        return None


def _cpu(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def line(figures: dict[str, Any]) -> str:
    return (
        f"{figures['learners']} learners x {figures['epochs']} epochs in {figures['train_s']:.1f} CPU-s, {figures['train_over_dkt']:.2f}x DKT; "
        f"update {figures['update_ms']['10']:.3f} ms, {figures['update_ratio']:.2f}x after 10,000 answers ({figures['anew_over_update']:.0f}x less than reading anew); "
        f"new item {figures['add_item_ms']:.1f} ms, with MiniLM {figures['add_item_minilm_ms']:.0f} ms; {figures['items_per_s']:,.0f} items/s"
    )


if __name__ == "__main__":
    benchmark("trace", measure, line, __doc__, learners="2000", rounds="3")
