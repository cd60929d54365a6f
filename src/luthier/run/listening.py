"""Where a service listens: one socket, opened before anything is promised, for the services of searches, tracers and runs."""

from __future__ import annotations

import socket

from luthier.errors import SettingsError


def listen(host: str, port: int) -> socket.socket:
    """A socket on which clients queue from here on, also before they are answered. port: 0 takes a free one.

    Raises SettingsError for an address or a port that cannot be had.
    """
    # named as TCP, without which asyncio leaves Nagle's delay on: 40 ms a reply
    door = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((host, port))
        door.listen()
    except (OSError, OverflowError) as problem:
        door.close()
        reason = getattr(problem, "strerror", None) or problem
        raise SettingsError(f"cannot listen on {host}, port {port}: {reason}; choose another port") from None
    return door
