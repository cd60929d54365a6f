"""The service of a tracer over loopback: requests a second and how long one takes, an answer and a prediction in turn, by 1 and by 8 clients.

The server is a process of its own and so are the clients, as in a school; all share the machine's cores. The tracer is fitted on made
learners over 1,000 questions and 100 concepts. The same updates and predictions without HTTP are the peer, and with `--peer SRC` the service of
another checkout, measured in turn in the same run. Then crowds: connections all at once, writers on one learner, and slow clients that want
more descriptors than the server has, with how many were answered, refused or left hanging. Last, how long opening takes with all answers in
the journal, and after they moved to the learners' file.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import multiprocessing
import os
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from harness import benchmark

CLIENTS = (1, 8)
ITEMS, CONCEPTS, ASKED = 1000, 100, 10


def measure(quick: bool, peer: str) -> dict[str, Any]:
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
            "crowds": _crowds(folder, quick),
        }
        if peer:
            figures["peer"] = {str(clients): _load(folder, clients, requests, peer) for clients in CLIENTS}
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


def _load(folder: Path, clients: int, requests: int, source: str = "") -> dict[str, float]:
    """Requests a second of all clients together, CPU-milliseconds of the server for one, and how long one takes: median, 99th percentile."""
    context = multiprocessing.get_context("spawn")
    server, port, ours = _started(folder / f"learners-{clients}{'-peer' if source else ''}", folder / "tracer", source)
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


def _started(learners: Path, tracer: Path, source: str = "", descriptors: int = 0) -> tuple[Any, int, Any]:
    """A server's process, its port, and the end of a pipe that hears its CPU-seconds. source: another checkout's src."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(tracer, learners, theirs, source, descriptors))
    server.start()
    return server, ours.recv(), ours


def _serve(saved: Path, folder: Path, ready: Any, source: str, descriptors: int) -> None:
    if source:
        sys.path.insert(0, source)
    if descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    from luthier.trace.service import serve
    from luthier.trace.tracer import Tracer

    def tell(line: str) -> None:
        if line.startswith("serving on"):
            ready.send(int(line.split()[2].rsplit(":", 1)[1]))

    tracer = Tracer.load(saved)
    begin = time.process_time()
    serve(tracer, folder, port=0, tell=tell)
    ready.send(time.process_time() - begin)


def _crowds(folder: Path, quick: bool) -> dict[str, Any]:
    """What becomes of many clients at once; a request that has no reply after 60 s hangs."""
    server, port, ours = _started(folder / "learners-crowd", folder / "tracer", descriptors=1024)
    found = {
        "at_once": _at_once(port, 1000, b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        "writers": _writers(port, 50, 4 if quick else 40),
        "slow": _slow(port, 300 if quick else 3000, server.pid),
    }
    server.terminate()
    ours.recv()
    server.join()
    assert server.exitcode == 0, f"the service ended with {server.exitcode}"
    return found


def _at_once(port: int, clients: int, request: bytes) -> dict[str, float]:
    """All connections are opened, then all ask."""
    begin = time.perf_counter()
    held = [_opened(port) for _ in range(clients)]
    for each in held:
        with contextlib.suppress(OSError):
            each.sendall(request)
    said = [_status(each) for each in held]
    return {
        "clients": clients,
        "served": said.count("200"),
        "refused": said.count("503") + said.count("closed"),
        "hung": said.count("hung"),
        "seconds": time.perf_counter() - begin,
    }


def _opened(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def _status(client: socket.socket) -> str:
    with client:
        try:
            answer = client.recv(1 << 16)
        except TimeoutError:
            return "hung"
        except OSError:
            return "closed"
    return answer[9:12].decode() if answer else "closed"


def _writers(port: int, writers: int, each: int) -> dict[str, float]:
    """Answers of one learner by many clients; all of them must count."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(lambda number: _write(port, number, each), range(writers)))
    seconds = time.perf_counter() - begin
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/learners/shared/state")
    counted = json.loads(connection.getresponse().read())["answers"]
    return {"writers": writers, "sent": writers * each, "counted": counted, "per_second": writers * each / seconds}


def _write(port: int, number: int, count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for turn in range(count):
        fields = {"learner": "shared", "item": f"q{turn}", "correct": 1, "id": f"{number} {turn}"}
        connection.request("POST", "/answers", json.dumps(fields), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        assert (reply.status, bool(reply.read())) == (200, True)


def _slow(port: int, clients: int, pid: int) -> dict[str, float]:
    """Clients that send one byte and wait, with one that asks meanwhile, until all are cut off or refused."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(clients + 500, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    held = [_opened(port) for _ in range(clients)]
    for each in held:
        with contextlib.suppress(OSError):
            each.sendall(b"G")
    before, begin = _cpu(pid), time.perf_counter()
    probe = _opened(port)
    with contextlib.suppress(OSError):
        probe.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    told, answered = _status(probe), time.perf_counter() - begin
    said = [_status(each) for each in held]
    after = _opened(port)
    after.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return {
        "clients": clients,
        "refused": said.count("503"),
        "cut": said.count("closed"),
        "hung": said.count("hung"),
        "probe": told,
        "probe_ms": 1e3 * answered,
        "cut_after_s": time.perf_counter() - begin,
        "server_cpu_s": _cpu(pid) - before,
        "after": _status(after),
    }


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    opening, crowds = figures["opening"], figures["crowds"]
    at_once, writers, slow = crowds["at_once"], crowds["writers"], crowds["slow"]
    parts += [f"peer, {clients} clients {each['per_second']:.0f} requests/s" for clients, each in figures.get("peer", {}).items()]
    parts += [
        f"{at_once['clients']} at once: {at_once['served']} served, {at_once['refused']} refused, {at_once['hung']} hung in {at_once['seconds']:.1f} s",
        f"{writers['writers']} writers on one learner: {writers['counted']} of {writers['sent']} counted, {writers['per_second']:.0f}/s",
        f"{slow['clients']} slow clients: {slow['refused']} refused, {slow['cut']} cut off, {slow['hung']} hung within {slow['cut_after_s']:.0f} s, server CPU {slow['server_cpu_s']:.1f} s, "
        f"another meanwhile {slow['probe']} in {slow['probe_ms']:.0f} ms, after them {slow['after']}",
    ]
    return (
        "; ".join(parts)
        + f"; CPU without HTTP {figures['library_cpu_ms']:.2f} ms; opening {opening['answers']:.0f} answers of {opening['learners']:.0f} learners "
        f"{opening['learners_s']:.2f} s, from the journal alone {opening['journal_s']:.2f} s, forgetting one {opening['forget_s']:.2f} s"
    )


if __name__ == "__main__":
    benchmark("trace_service", measure, line, __doc__, peer="")
