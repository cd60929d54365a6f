"""A service that listens: on loopback unless told otherwise, and beyond it only with a key; its port, its bounds, its end.

Starlette and uvicorn (`luthier[serve]`) speak HTTP; nothing is logged that names a learner.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.run.listening import KEY, listen, own_names
from luthier.trace.service.roster import Roster

if TYPE_CHECKING:
    from luthier.trace.tracer import Tracer

HOST, PORT = "127.0.0.1", 8765
MOST_CONNECTIONS = 2000
_OWN_FILES = 192  # descriptors for what the service itself opens, and for connections that are refused


def serve(tracer: Tracer, folder: str | Path, host: str = HOST, port: int = PORT, *, tell: Callable[[str], None] = lambda _: None) -> None:
    """Serve a fitted tracer until SIGTERM or SIGINT (Ctrl-C); `tell` hears the address, and that it stops.

    folder: keeps learners and added items. port: 0 takes a free one. A key is read from LUTHIER_API_KEY, and asked of every client.
    Raises SettingsError where the port or the folder is in use, where others can reach `host` and there is no key, and without the extra.
    """
    with Service(tracer, folder, host, port, key=os.environ.get(KEY) or None, tell=tell) as service, _stopped_by_signals(service):
        asked = f", clients send the key of {KEY}" if service.keyed else ""
        tell(f"serving on {service.url} (learners in {folder}{asked}); Ctrl-C stops it")
        service.run()
    tell("stopped; every answer is kept")


class Service:
    """A server that runs until `stop`; use it as a context manager, or `start` it beside other work. Raises as `serve`.

    connections: how many at once; None for what descriptors allow, at most 2,000. deadline: seconds a client has to send its request, and to take its reply.
    """

    def __init__(
        self,
        tracer: Tracer,
        folder: str | Path,
        host: str = HOST,
        port: int = PORT,
        *,
        key: str | None = None,
        connections: int | None = None,
        deadline: float = 20.0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        try:
            from luthier.trace.service.application import application
            from luthier.trace.service.connections import Bounds, server
        except ModuleNotFoundError as problem:
            raise SettingsError(f"serving needs starlette, uvicorn and httptools: pip install 'luthier[serve]' ({problem})") from None
        names, self.keyed = own_names(host), key is not None
        if names is None and key is None:
            raise SettingsError(f"--host {host} is reached by other machines: set {KEY} to a key, which every client then sends")
        self.roster = Roster(tracer, folder)
        try:
            self._door = listen(host, port)
        except BaseException:
            self.roster.close()
            raise
        bounds = Bounds(_most_connections() if connections is None else connections, deadline)
        self.server = server(application(self.roster, names, key, tell), bounds)
        self._thread: threading.Thread | None = None
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._door.getsockname()[1]}"

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self) -> None:
        """Answer requests until `stop` is called, from another thread or by a signal; requests in progress are answered before it returns."""
        self.server.run(sockets=[self._door])

    def start(self) -> None:
        """Answer requests in a thread of its own."""
        self._thread = threading.Thread(target=self.run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.server.should_exit = True

    def close(self) -> None:
        """Stop, close the port, let the requests in progress end, and write all learners."""
        self.stop()
        if self._thread is not None:
            self._thread.join()
        self._door.close()
        with self.roster.lock:
            if not self.roster.closed:
                self.roster.close()


def _most_connections() -> int:
    """Fewer than there are descriptors: a client too many must be taken to be told so."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_CONNECTIONS if descriptors == resource.RLIM_INFINITY else max(1, min(MOST_CONNECTIONS, descriptors - _OWN_FILES))


@contextlib.contextmanager
def _stopped_by_signals(service: Service) -> Iterator[None]:
    """SIGTERM and SIGINT stop the service; only the main thread may hear them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, lambda *_: service.stop()) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
