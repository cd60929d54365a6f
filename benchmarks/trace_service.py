"""The service of a tracer over loopback: requests a second and how long one takes, an answer and a prediction in turn, by 1 and by 8 clients.

The server is a process of its own and so are the clients, as in a school; all share the machine's cores. The tracer is fitted on made
learners over 1,000 questions and 100 concepts. The same updates and predictions without HTTP are the peer. Last, how long opening takes with
all answers in the journal, and after they moved to the learners' file.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from harness import benchmark

CLIENTS = (1, 8)
ITEMS, CONCEPTS, ASKED = 1000, 100, 10


def measure(quick: bool) -> dict[str, Any]:
    requests, opened = (400, 2000) if quick else (8000, 20_000)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tracer = _fitted(folder)
        figures: dict[str, Any] = {
            "requests": requests,
            "items": ITEMS,
            "concepts": CONCEPTS,
            "asked": ASKED,
            "library_cpu_ms": _library(tracer, requests),
            "clients": {str(clients): _load(folder, clients, requests) for clients in CLIENTS},
        }
        return figures | {"opening": _opening(tracer, folder / "opening", opened)}


class HashedTexts:
    """A unit vector from the hash of a text: the figures do not depend on what the texts say."""

    name, max_length, fingerprint = "hashed", None, "hashed"

    def key(self, kind: str) -> str:
        return self.fingerprint

    def encode(self, texts: Sequence[str], kind: str = "document") -> Any:
        import numpy as np

        from luthier.models.embedder import unit_length

        seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
        return unit_length(np.stack([np.random.default_rng(seed).normal(size=64) for seed in seeds]).astype(np.float32))

    def token_counts(self, texts: Sequence[str], kind: str = "document") -> None:
        return None


def _fitted(folder: Path) -> Any:
    import numpy as np

    from luthier.models.embedding_cache import EmbeddingCache
    from luthier.trace.answers import AnswerCollector, Catalogue, Concept, Item
    from luthier.trace.settings import FitSettings, TracerSettings
    from luthier.trace.tracer import Tracer

    random, collector = np.random.default_rng(0), AnswerCollector()
    for learner in range(200):
        skill = random.normal(size=CONCEPTS)
        for item in random.integers(0, ITEMS, size=40):
            collector.add(f"l{learner}", f"q{item}", float(random.random() < 1 / (1 + np.exp(-skill[item % CONCEPTS]))))
    items = tuple(Item(f"q{at}", f"question {at}", (f"c{at % CONCEPTS}",)) for at in range(ITEMS))
    catalogue = Catalogue(items, tuple(Concept(f"c{at}", f"concept {at}") for at in range(CONCEPTS)))
    settings = TracerSettings(dim=64, fit=FitSettings(epochs=1))
    tracer = Tracer(settings, embedder=HashedTexts(), cache=EmbeddingCache(folder / "vectors"))
    tracer.fit(collector.log(catalogue))
    tracer.save(folder / "tracer")
    return tracer


def _library(tracer: Any, requests: int) -> float:
    """CPU-milliseconds of a request without HTTP and without a journal."""
    state, begin = tracer.start(), time.process_time()
    for turn in range(requests // 2):
        state = tracer.update(state, f"q{turn * 7 % ITEMS}", turn % 2)
        tracer.predict(state, _asked(turn))
    return 1e3 * (time.process_time() - begin) / requests


def _load(folder: Path, clients: int, requests: int) -> dict[str, float]:
    """Requests a second of all clients together, CPU-milliseconds of the server for one, and how long one takes: median, 99th percentile."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(folder / "tracer", folder / f"learners-{clients}", theirs))
    server.start()
    port = ours.recv()
    gate, each = context.Barrier(clients + 1), requests // (2 * clients)
    with context.Pool(clients, initializer=_meet, initargs=(gate,)) as pool:
        found = pool.starmap_async(_client, [(port, number, each) for number in range(clients)], chunksize=1)
        gate.wait(timeout=120)
        begin = time.perf_counter()
        times = found.get()
        wall = time.perf_counter() - begin
    server.terminate()
    cpu = ours.recv()
    server.join()
    assert server.exitcode == 0, f"the service ended with {server.exitcode}"
    figures = {"per_second": 2 * each * clients / wall, "server_cpu_ms": 1e3 * cpu / (2 * each * clients)}
    for at, kind in enumerate(("answer", "predict")):
        took = sorted(one for some in times for one in some[at])
        figures |= {f"{kind}_median_ms": 1e3 * median(took), f"{kind}_p99_ms": 1e3 * took[int(len(took) * 0.99)]}
    return figures


def _serve(saved: Path, folder: Path, ready: Any) -> None:
    from luthier.trace.service import serve
    from luthier.trace.tracer import Tracer

    def tell(line: str) -> None:
        if line.startswith("serving on"):
            ready.send(int(line.split()[2].rsplit(":", 1)[1]))

    tracer = Tracer.load(saved)
    begin = time.process_time()
    serve(tracer, folder, port=0, tell=tell)
    ready.send(time.process_time() - begin)


def _meet(gate: Any) -> None:
    _Gate.gate = gate


class _Gate:
    gate: Any = None


def _client(port: int, number: int, count: int) -> tuple[list[float], list[float]]:
    """Seconds of each answer and of each prediction of one client, who keeps its connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    took: tuple[list[float], list[float]] = ([], [])
    _Gate.gate.wait(timeout=120)
    for turn in range(count):
        learner = f"client {number}, learner {turn // 50}"
        answer = {"learner": learner, "item": f"q{turn * 7 % ITEMS}", "correct": turn % 2, "id": str(turn)}
        for at, (path, fields) in enumerate((("/answers", answer), ("/predict", {"learner": learner, "items": _asked(turn)}))):
            begin = time.perf_counter()
            connection.request("POST", path, json.dumps(fields), {"Content-Type": "application/json"})
            reply = connection.getresponse()
            body = reply.read()
            took[at].append(time.perf_counter() - begin)
            assert reply.status == 200, body
    return took


def _asked(turn: int) -> list[str]:
    return [f"q{(turn * 13 + at) % ITEMS}" for at in range(ASKED)]


def _opening(tracer: Any, folder: Path, answers: int) -> dict[str, float]:
    """Seconds to open a folder, its answers in the learners' file and then in the journal; and to forget a learner, which writes all others anew."""
    from luthier.trace.service import roster

    roster.COMPACT_AFTER = 10 * answers
    held = roster.Roster(tracer, folder)
    for turn in range(answers):
        held.answer(f"l{turn % (answers // 10)}", f"q{turn % ITEMS}", turn % 2)
    journal = (folder / roster.ANSWERS).read_bytes()
    held.close()
    seconds = {"answers": float(answers), "learners": answers / 10}
    begin = time.perf_counter()
    held = roster.Roster(tracer, folder)
    seconds["learners_s"] = time.perf_counter() - begin
    begin = time.perf_counter()
    held.forget("l0")
    seconds["forget_s"] = time.perf_counter() - begin
    held.close()
    (folder / roster.LEARNERS).unlink()
    (folder / roster.ANSWERS).write_bytes(journal)
    begin = time.perf_counter()
    held = roster.Roster(tracer, folder)
    seconds["journal_s"] = time.perf_counter() - begin
    assert held.answers == answers
    held.close()
    return seconds


def line(figures: dict[str, Any]) -> str:
    parts = [
        f"{clients} clients {each['per_second']:.0f} requests/s, server CPU {each['server_cpu_ms']:.2f} ms, answer {each['answer_median_ms']:.2f} ms (p99 {each['answer_p99_ms']:.2f}), "
        f"predict {each['predict_median_ms']:.2f} ms (p99 {each['predict_p99_ms']:.2f})"
        for clients, each in figures["clients"].items()
    ]
    opening = figures["opening"]
    return (
        "; ".join(parts)
        + f"; CPU without HTTP {figures['library_cpu_ms']:.2f} ms; opening {opening['answers']:.0f} answers of {opening['learners']:.0f} learners "
        f"{opening['learners_s']:.2f} s, from the journal alone {opening['journal_s']:.2f} s, forgetting one {opening['forget_s']:.2f} s"
    )


if __name__ == "__main__":
    benchmark("trace_service", measure, line, __doc__)
