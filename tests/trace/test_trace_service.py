"""The HTTP service of a tracer, over real HTTP: what it answers, what it refuses, and what is left after kill -9."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import SettingsError
from luthier.trace.advice import explain, recommend
from luthier.trace.service import Roster, Service
from luthier.trace.service import roster as roster_module
from luthier.trace.tracer import Tracer
from trace_service_tracer import CONCEPTS, ITEMS, WordEmbedder, small_tracer

WORKER = Path(__file__).parent.parent / "trace_service_tracer.py"


class Client:
    """One connection to a service."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=60)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
        self.connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = self.connection.getresponse()
        assert answer.headers["content-type"] == "application/json"
        return answer.status, json.loads(answer.read())

    def post(self, path: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        return self.send("POST", path, json.dumps(fields).encode(), content_type="application/json")

    def ok(self, method: str, path: str, **fields: Any) -> dict[str, Any]:
        status, reply = self.post(path, **fields) if method == "POST" else self.send(method, path)
        assert status == 200, reply
        return reply


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    return small_tracer(folder / "vectors").save(folder / "tracer")


@pytest.fixture
def tracer(saved: Path) -> Tracer:
    return Tracer.load(saved, embedder=WordEmbedder())


@pytest.fixture
def service(tracer: Tracer, tmp_path: Path) -> Iterator[Service]:
    with Service(tracer, tmp_path / "learners", port=0) as service:
        service.start()
        yield service
        service.stop()


@pytest.fixture
def client(service: Service) -> Client:
    return Client(service.url)


@pytest.fixture(scope="module")
def standing(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all requests that are refused."""
    with Service(Tracer.load(saved), tmp_path_factory.mktemp("standing"), port=0) as service:
        service.start()
        yield service
        service.stop()


def test_the_service_says_what_the_tracer_says(client: Client, saved: Path) -> None:
    own = Tracer.load(saved)
    history = [("q1", 1.0), ("q2", 0.0), ("q7", 0.5), ("q0", 1.0)]
    state = own.replay(history)
    for item, correct in history:
        reply = client.ok("POST", "/answers", learner="Ann", item=item, correct=correct, items=["q3"])
    assert reply == {"answers": 4, "repeated": False, "predictions": own.predict(state, ["q3"])}
    whole = client.ok("GET", "/predict?learner=Ann")
    assert whole == {"answers": 4, "predictions": own.predict(state)}
    assert client.ok("POST", "/predict", learner="Ann", items=["q3"])["predictions"] == own.predict(state, ["q3"])
    mastery = client.ok("GET", f"/mastery?learner=Ann&concept={CONCEPTS[1].replace(' ', '%20')}")["mastery"]
    assert mastery == {CONCEPTS[1]: own.mastery(state)[CONCEPTS[1]]._asdict()}
    assert len(client.ok("POST", "/mastery", learner="Ann")["mastery"]) == len(CONCEPTS)
    chance, influences = explain(own, history, "q3")
    explained = client.ok("POST", "/explain", learner="Ann", item="q3")
    assert explained["chance"] == chance
    assert explained["influences"] == [each._asdict() for each in influences]
    advice = client.ok("GET", "/recommend?learner=Ann&n=3&low=0.2&high=0.9&leave_out=q0&respect_prerequisites=false")
    expected = recommend(own, state, 3, (0.2, 0.9), respect_prerequisites=False, leave_out=["q0"])
    assert [each["item"] for each in advice["recommendations"]] == [each.item for each in expected]
    assert advice["recommendations"]
    assert client.ok("POST", "/recommend", learner="Ann", n=3, low=0.2, high=0.9, leave_out=["q0"], respect_prerequisites=False) == advice
    assert client.ok("GET", "/learners/Ann/state") == {"answers": 4, "state": state.to_row()}
    health = client.ok("GET", "/health")
    assert {name: health[name] for name in ("learners", "answers", "items")} == {"learners": 1, "answers": 4, "items": 24}
    stranger = client.ok("POST", "/predict", learner="nobody", items=["q3"])
    assert stranger == {"answers": 0, "predictions": own.predict(own.start(), ["q3"])}


def test_added_items_and_concepts_are_there_after_a_restart(client: Client, service: Service, saved: Path) -> None:
    before = client.ok("POST", "/predict", learner="a", items=list(ITEMS))["predictions"]
    client.ok(
        "POST",
        "/concepts",
        concepts=[{"concept": "fractions", "text": "parts of numbers"}],
        edges=[{"source": CONCEPTS[3], "target": "fractions"}],
    )
    client.ok("POST", "/items", items=[{"item": "new", "text": "half of six", "concepts": ["fractions"]}])
    assert client.ok("POST", "/predict", learner="a", items=list(ITEMS))["predictions"] == before
    client.ok("POST", "/answers", learner="a", item="new", correct=True)
    reply = client.ok("POST", "/mastery", learner="a", concepts=["fractions"])
    assert reply["mastery"]["fractions"]["answers"] == 1
    service.stop()
    service.close()
    with Roster(Tracer.load(saved, embedder=WordEmbedder()), service.roster.folder) as again:
        mastery = again.tracer.mastery(again.state("a"), ["fractions"])
        assert mastery["fractions"]._asdict() == reply["mastery"]["fractions"]
        enlarged = again.tracer.save(service.roster.folder.parent / "enlarged")
    with Roster(Tracer.load(enlarged), service.roster.folder) as again:  # needs no encoder: nothing is new to it
        assert again.tracer.mastery(again.state("a"), ["fractions"]) == mastery


def test_a_forgotten_learner_is_in_no_file(client: Client, service: Service, saved: Path) -> None:
    folder = service.roster.folder
    for name in ("Zoé / 7", "kept"):
        client.ok("POST", "/answers", learner=name, item="q5", correct=1, id="first")
    with service.roster.lock:
        service.roster.compact()
    client.ok("POST", "/answers", learner="Zoé / 7", item="q9", correct=1)
    text = "".join(path.read_text() for path in folder.iterdir())
    assert "q9" in text
    assert "Zo" not in text
    assert client.ok("DELETE", "/learners/Zo%C3%A9%20%2F%207") == {"forgotten": 2}
    assert "q9" not in "".join(path.read_text() for path in folder.iterdir())
    assert client.send("GET", "/learners/Zo%C3%A9%20%2F%207/state")[0] == 404
    assert client.send("DELETE", "/learners/Zo%C3%A9%20%2F%207") == (404, {"error": "nothing is known of this learner"})
    service.stop()
    service.close()
    with Roster(Tracer.load(saved), folder) as again:
        assert (len(again), again.answers_of("kept"), again.answers) == (1, 1, 1)


GOOD = {"learner": "a", "item": "q1", "correct": 1}


@pytest.mark.parametrize(
    ("path", "fields", "status", "words"),
    [
        ("/answers", {"learner": "a", "correct": 1}, 400, "'item' is missing"),
        ("/answers", GOOD | {"item": "q99"}, 422, "'q99' is not known"),
        ("/answers", GOOD | {"correct": 1.5}, 400, "from 0 to 1"),
        ("/answers", GOOD | {"corect": 1}, 400, "no field 'corect'"),
        ("/answers", GOOD | {"items": ["q98"]}, 422, "'q98' is not known"),
        ("/predict", {"learner": 7}, 400, "1 to 256 characters"),
        ("/predict", {"learner": "a", "items": "q1"}, 400, "list of texts"),
        ("/predict", {"learner": "\ud800"}, 400, "surrogate"),
        ("/mastery", {"learner": "a", "concepts": ["no"]}, 422, "'no' is not known"),
        ("/mastery", {}, 400, "'learner' is missing"),
        ("/recommend", {"learner": "a", "n": 0}, 400, "whole number"),
        ("/recommend", {"learner": "a", "low": 0.9, "high": 0.2}, 422, "not a range"),
        ("/explain", {"learner": "a", "item": "q99"}, 422, "'q99' is not known"),
        ("/explain", {"item": "q1"}, 400, "'learner' is missing"),
        ("/items", {"items": [{"item": "q1"}]}, 422, "there already"),
        ("/items", {"items": [{"item": "i", "concepts": ["no"]}]}, 422, "'no' is not known"),
        ("/items", {"items": []}, 400, "1 to 1000"),
        ("/concepts", {"concepts": [{"concept": CONCEPTS[0]}]}, 422, "there already"),
        ("/concepts", {"concepts": [{"concept": "c"}], "edges": [{"source": "c", "target": "c"}]}, 422, "circle"),
        ("/concepts", {"concepts": [{"concept": "c"}], "edges": [{"source": "c"}]}, 400, "'target' is missing"),
        ("/nowhere", {}, 404, "the paths are /health"),
        ("/health", {}, 405, "takes GET"),
        ("/learners/a", {}, 405, "takes DELETE"),
    ],
)
def test_bad_fields_are_refused_in_one_line_and_change_nothing(
    standing: Service, path: str, fields: dict[str, Any], status: int, words: str
) -> None:
    client = Client(standing.url)
    got, reply = client.post(path, **fields)
    assert got == status
    assert words in reply["error"]
    assert "\n" not in reply["error"]
    assert client.ok("GET", "/health")["answers"] == 0


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"{", {"content_type": "application/json"}, 400, "not JSON"),
        (b"[1]", {"content_type": "application/json"}, 400, "a list"),
        (b'{"correct": NaN}', {"content_type": "application/json"}, 400, "NaN"),
        (b"\xff", {"content_type": "application/json; charset=utf-8"}, 400, "not UTF-8"),
        (b"[" * 100_000, {"content_type": "application/json"}, 400, "nested too deeply"),
        (b"learner=a", {"content_type": "application/x-www-form-urlencoded"}, 415, "application/json"),
        (b"{}", {}, 415, "application/json"),
        (b" " * ((1 << 20) + 1), {"content_type": "application/json"}, 413, "the most is"),
        (b"{}", {"content_type": "application/json", "content_length": "many"}, 400, "Bad request"),
        (b"{}", {"content_type": "application/json", "host": "evil.example"}, 403, "Host"),
    ],
)
def test_bad_requests_are_refused_and_the_service_goes_on(
    standing: Service, body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    got, reply = Client(standing.url).send("POST", "/answers", body, **headers)
    assert got == status
    assert words in reply["error"]
    assert Client(standing.url).ok("GET", "/health")["status"] == "ok"


@pytest.mark.parametrize(
    ("query", "words"),
    [("learner=a&n=x", "number"), ("learner=a&learner=b", "twice"), ("learner=a&k=1", "no field 'k'"), ("learner=%ff", "UTF-8")],
)
def test_bad_queries_are_refused(standing: Service, query: str, words: str) -> None:
    status, reply = Client(standing.url).send("GET", f"/recommend?{query}")
    assert status == 400
    assert words in reply["error"]


def test_what_is_not_http_is_refused_in_json(standing: Service) -> None:
    host, port = standing.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as raw:
        raw.sendall(b"no http at all\r\n\r\n")
        answer = raw.makefile("rb").read()
    assert b'{"error": "Bad request' in answer


def test_a_client_that_asks_before_it_sends_its_body_is_answered(standing: Service) -> None:
    host, port = standing.url.removeprefix("http://").split(":")
    body = b'{"learner": "a", "items": ["q1"]}'
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as raw:
        raw.sendall(head.encode())
        answer = raw.makefile("rb")
        assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"
        raw.sendall(body)
        assert b'"predictions": {"q1": 0.' in answer.read()


def test_answers_of_many_clients_at_once_all_count(service: Service, saved: Path) -> None:
    def work(client: int) -> None:
        own = Client(service.url)
        for turn in range(25):
            own.ok("POST", "/answers", learner=f"c{client}", item=ITEMS[turn % 24], correct=turn % 2, items=["q0"])
            own.ok("POST", "/answers", learner="shared", item=ITEMS[client], correct=1, id=f"{client} {turn}")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    own = Tracer.load(saved)
    alone = own.replay((ITEMS[turn % 24], turn % 2) for turn in range(25))
    client = Client(service.url)
    assert client.ok("GET", "/health")["answers"] == 300
    assert client.ok("GET", "/learners/shared/state")["answers"] == 150
    assert all(client.ok("GET", f"/learners/c{at}/state")["state"] == alone.to_row() for at in range(6))


@pytest.fixture(scope="module")
def held(saved: Path) -> Tracer:
    return Tracer.load(saved)


def test_a_fault_is_one_line_that_names_nobody(service: Service, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*_: object) -> None:
        raise RuntimeError("Ann")

    monkeypatch.setattr(service.roster.tracer, "mastery", faulty)
    status, reply = client.send("GET", "/mastery?learner=Ann")
    assert (status, reply) == (500, {"error": "the service has a fault (RuntimeError)"})
    assert client.ok("GET", "/predict?learner=Ann&item=q1")["answers"] == 0


def test_a_port_in_use_is_refused_and_the_folder_is_free_again(held: Tracer, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port}: Address already in use"):
            Service(held, tmp_path, port=port)
    with Roster(held, tmp_path) as roster:
        assert len(roster) == 0
    with pytest.raises(SettingsError, match="port 99999"):
        Service(held, tmp_path, port=99999)


def test_answers_survive_a_kill_and_sigterm_stops_cleanly(saved: Path, tmp_path: Path) -> None:
    def begin() -> tuple[subprocess.Popen[str], Client]:
        process = subprocess.Popen([sys.executable, str(WORKER), str(saved), str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = process.stdout.readline().split()
        assert said[:2] == ["serving", "on"]
        return process, Client(said[2])

    process, client = begin()
    client.ok("POST", "/items", items=[{"item": "new", "text": "two more", "concepts": [CONCEPTS[0]]}])
    history = [(ITEMS[turn % 24], float(turn % 3 == 0)) for turn in range(30)] + [("new", 1.0)]
    for item, correct in history:
        before = client.ok("POST", "/answers", learner="a", item=item, correct=correct, items=["q0", "new"])
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    with (tmp_path / roster_module.ANSWERS).open("a") as half:
        half.write('{"seq": 32, "learner": "half a l')
    process, client = begin()
    after = client.ok("POST", "/predict", learner="a", items=["q0", "new"])
    assert (after["answers"], after["predictions"]) == (31, before["predictions"])
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "stopped; every answer is kept\n")
    assert (tmp_path / roster_module.ANSWERS).read_text() == ""
