"""The connections of the service: malformed requests, clients that are slow, too many or without a key, and how it ends."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import SettingsError
from luthier.synthesize.tools.importers import openapi_tools
from luthier.trace.service import Roster, Service
from luthier.trace.service.routes import ROUTES
from luthier.trace.tracer import Tracer
from trace_service_tracer import small_tracer

INNER = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"  # what a proxy in front would take for a body
JSON_HEAD = b"Host: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def tracer(tmp_path_factory: pytest.TempPathFactory) -> Tracer:
    return small_tracer(tmp_path_factory.mktemp("vectors"))


@pytest.fixture(scope="module")
def service(tracer: Tracer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tracer, tmp_path_factory.mktemp("learners"), port=0) as service:
        service.start()
        yield service


def connect(service: Service) -> socket.socket:
    host, port = service.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def talk(service: Service, data: bytes, *, end: bool = False) -> bytes:
    """All that comes back until the service closes; end: the client says that nothing follows."""
    with connect(service) as raw:
        raw.sendall(data)
        if end:
            raw.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: raw.recv(1 << 16), b""))


def status_of(raw: socket.socket) -> int:
    """Of a whole reply on a connection that stays open."""
    answer = b""
    while not answer.endswith(b"}\n"):
        answer += raw.recv(1 << 16)
    return int(answer.split()[1])


def ask(service: Service, method: str, path: str, fields: dict[str, Any] | None = None, *headers: str) -> tuple[int, dict[str, Any]]:
    body = b"" if fields is None else json.dumps(fields).encode()
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
        "Connection: close",
    ]
    head, _, reply = talk(service, "\r\n".join([*lines, "", ""]).encode() + body).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(reply)


MALFORMED = {
    "two lengths, the first short": b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"Content-Length: 0\r\nContent-Length: 41\r\n\r\n" + INNER,
    "two lengths, the second short": b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"Content-Length: 41\r\nContent-Length: 0\r\n\r\n" + INNER,
    "the same length twice": b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"Content-Length: 41\r\nContent-Length: 41\r\n\r\n" + INNER,
    "a list of lengths": b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"Content-Length: 41, 41\r\n\r\n" + INNER,
    "a signed length": b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"Content-Length: +41\r\n\r\n" + INNER,
    "a length of other digits": b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + "Content-Length: ４１\r\n\r\n".encode() + INNER,
    "a length beyond all numbers": b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n" + INNER,
    "a space before the colon of the length": b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"Content-Length : 41\r\n\r\n" + INNER,
    "a space before the colon of the coding": b"POST /predict HTTP/1.1\r\n"
    + JSON_HEAD
    + b"Transfer-Encoding : chunked\r\nContent-Length: 41\r\n\r\n"
    + INNER,
    "a coding and a length": b"POST /predict HTTP/1.1\r\n"
    + JSON_HEAD
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
    + INNER,
    "a coding alone": b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "an unknown coding": b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"Transfer-Encoding: cow\r\n\r\n" + INNER,
    "a header without a colon": b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"foo\r\nContent-Length: 41\r\n\r\n" + INNER,
    "a header without a name": b"GET /health HTTP/1.1\r\n: x\r\nHost: localhost\r\n\r\n",
    "a folded header": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    "a fold before all headers": b"GET /health HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "a bare return": b"GET /health HTTP/1.1\r\nX: a\rY: b\r\nHost: localhost\r\n\r\n",
    "a zero byte": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
    "no Host": b"GET /health HTTP/1.1\r\n\r\n",
    "no Host, in HTTP/1.0": b"GET /health HTTP/1.0\r\n\r\n",
    "two Hosts": b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
    "an empty Host": b"GET /health HTTP/1.1\r\nHost:\r\n\r\n",
    "a whole address": b"GET http://evil/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "half an address": b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an address that is no path": b"GET health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an address for all": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a tunnel": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "another protocol": b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "bytes in the address": b"GET /health\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a space in the address": b"GET /health ?a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "another version": b"GET /health HTTP/3.7\r\nHost: localhost\r\n\r\n",
    "no version": b"GET /health\r\n\r\n",
    "garbage": b"\x00\xff\r\n\r\n",
    "the beginning of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an unknown method": b"TAKE /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a small method": b"get /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two keys": b"GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "a head without end": b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"a" * (1 << 17),
    "headers without end": b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 20_000,
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_is_refused_once_and_its_connection_ends(service: Service, data: bytes) -> None:
    with connect(service) as raw:
        raw.sendall(data)
        try:
            answer = b"".join(iter(lambda: raw.recv(1 << 16), b""))
        except ConnectionResetError:  # closed before all of a long head was read
            answer = b""
    assert answer.count(b"HTTP/1.1 ") == 1 or len(data) > 1 << 16
    if answer:
        assert answer.split()[1] in (b"400", b"411", b"431")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_what_was_asked_before_garbage_is_answered_and_nothing_after_it(service: Service) -> None:
    answer = talk(service, INNER + INNER + b"GET / HTTP/1.1\r\nHost:\r\n\r\n" + INNER)
    assert [line.split()[1] for line in answer.splitlines() if line.startswith(b"HTTP/1.1")] == [b"200", b"200"]


@pytest.mark.parametrize(
    "head",
    [
        b"DELETE /learners/kept HTTP/1.1\r\n",
        b"DELETE /learners/kept HTTP/1.1\r\nHost: localhost\r\n",
        b"DELETE /learners/kept HTTP/1.1\r\nHost: local",
    ],
)
def test_a_head_that_is_cut_off_is_not_obeyed(service: Service, head: bytes) -> None:
    ask(service, "POST", "/answers", {"learner": "kept", "item": "q1", "correct": 1, "id": "one"})
    assert talk(service, head, end=True) == b""
    assert ask(service, "GET", "/learners/kept/state")[1]["answers"] == 1


def test_a_body_that_is_cut_off_counts_nothing(service: Service) -> None:
    head = b"POST /answers HTTP/1.1\r\n" + JSON_HEAD + b"Content-Length: 60\r\n\r\n"
    assert talk(service, head + b'{"learner": "cut", "item": "q1", "correct": 1}', end=True) == b""
    assert ask(service, "GET", "/learners/cut/state")[0] == 404


def test_who_says_that_nothing_follows_is_still_answered(service: Service) -> None:
    assert talk(service, INNER, end=True).startswith(b"HTTP/1.1 200")


def test_a_client_too_many_is_told_so(tracer: Tracer, tmp_path: Path) -> None:
    with Service(tracer, tmp_path, port=0, connections=2) as service:
        service.start()
        with connect(service) as first, connect(service) as second:
            for raw in (first, second):
                raw.sendall(INNER)
                assert status_of(raw) == 200
            assert talk(service, b"").startswith(b"HTTP/1.1 503")
            first.sendall(INNER)
            assert status_of(first) == 200


@pytest.mark.parametrize(
    "sent", [b"", b"\r\n", b"G", INNER[:-2], b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"Content-Length: 9\r\n\r\n{"]
)
def test_a_slow_client_is_cut_off(tracer: Tracer, tmp_path: Path, sent: bytes) -> None:
    with Service(tracer, tmp_path, port=0, deadline=0.0) as service:
        service.start()
        with connect(service) as raw:
            raw.sendall(sent)
            with contextlib.suppress(ConnectionResetError):
                assert raw.recv(1 << 16) == b""


def test_beyond_loopback_a_key_is_asked_of_everybody(tracer: Tracer, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LUTHIER_API_KEY"):
        Service(tracer, tmp_path, "0.0.0.0", 0)  # noqa: S104
    with Service(tracer, tmp_path, port=0, key="schlüssel") as service:
        service.start()
        sent = "schlüssel".encode().decode("latin-1")
        for wrong in (
            [],
            ["Authorization: Bearer other"],
            ["Authorization: Bearer"],
            [f"Authorization: Basic {sent}"],
            ["Authorization: Bearer schl"],
        ):
            assert ask(service, "GET", "/health", None, *wrong)[0] == 401
        host = ["GET /openapi.json HTTP/1.1", "Host: localhost", "Connection: close", "Authorization: bearer schlüssel", "", ""]
        answer = talk(service, "\r\n".join(host).encode())
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"scheme": "bearer"' in answer


def test_many_answers_in_one_request_count_all_or_none(service: Service) -> None:
    rows = [{"learner": f"batch {turn % 2}", "item": f"q{turn}", "correct": turn % 2, "id": str(turn)} for turn in range(6)]
    status, reply = ask(service, "POST", "/answers", {"answers": rows})
    assert (status, [each["answers"] for each in reply["answers"]]) == (200, [1, 1, 2, 2, 3, 3])
    again = ask(service, "POST", "/answers", {"answers": [*rows, rows[0], {"learner": "batch 0", "item": "q1", "correct": 1}]})[1][
        "answers"
    ]
    assert [each["repeated"] for each in again] == [True] * 7 + [False]
    fresh = {"learner": "batch 9", "item": "q1", "correct": 1, "id": "x"}
    for bad, wanted, words in (
        ({"learner": "a", "item": "q99", "correct": 1}, 422, "answer 2: "),
        ({"learner": "a", "item": "q1", "correct": 7}, 400, "0 to 1"),
        (fresh | {"correct": 0}, 409, "another answer"),
    ):
        status, reply = ask(service, "POST", "/answers", {"answers": [fresh, bad]})
        assert status == wanted
        assert words in reply["error"]
        assert ask(service, "GET", "/learners/batch%209/state")[0] == 404
    assert ask(service, "POST", "/answers", {"answers": [fresh], "learner": "a"})[0] == 400


def test_answers_of_one_request_are_those_of_many(tracer: Tracer, tmp_path: Path) -> None:
    from luthier.trace.service.roster import Given

    given = [Given("a", f"q{turn}", turn % 2, str(turn % 7)) for turn in range(7)] + [Given("a", "q0", 0, "0")]
    with Roster(tracer, tmp_path / "one") as one, Roster(tracer, tmp_path / "many") as many:
        assert one.answer_all(given) == [many.answer(*each) for each in given]
        assert one.state("a").to_row() == many.state("a").to_row()


def test_an_answer_is_on_disk_before_it_is_confirmed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    ask(service, "POST", "/answers", {"learner": "disk", "item": "q1", "correct": 1})
    assert synced
    many = len(synced)
    ask(service, "GET", "/predict?learner=disk&item=q1")
    assert len(synced) == many

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    status, reply = ask(service, "POST", "/answers", {"learner": "disk", "item": "q1", "correct": 1})
    assert status == 507
    assert "Input/output error" in reply["error"]
    assert ask(service, "GET", "/predict?learner=disk&item=q1")[0] == 200


def test_what_was_not_confirmed_waits_for_the_disk_when_it_is_sent_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    answer = {"learner": "again", "item": "q1", "correct": 1, "id": "one"}
    with monkeypatch.context() as disk:
        disk.setattr(os, "fdatasync", broken)
        assert [ask(service, "POST", "/answers", answer)[0] for _ in range(2)] == [507, 507]
    assert ask(service, "POST", "/answers", answer) == (200, {"answers": 1, "repeated": True})


def test_what_is_under_way_is_answered_when_the_service_stops(tracer: Tracer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, gate = threading.Event(), threading.Event()

    def waits(*_: object) -> dict[str, float]:
        begun.set()
        gate.wait(60)
        return {"q1": 0.5}

    with Service(tracer, tmp_path, port=0) as service:
        monkeypatch.setattr(tracer, "predict", waits)
        service.start()
        with connect(service) as raw:
            raw.sendall(b"GET /predict?learner=a&item=q1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert begun.wait(60)
            service.stop()
            gate.set()
            assert b'"predictions": {"q1": 0.5}' in b"".join(iter(lambda: raw.recv(1 << 16), b""))


def test_programs_can_read_the_routes(service: Service) -> None:
    found, document = ask(service, "GET", "/openapi.json")
    assert found == 200
    tools = list(openapi_tools(document, Path("openapi.json")))
    assert len(tools) == sum(len(ways) for ways in ROUTES.values())
