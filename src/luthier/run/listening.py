"""Where a service listens and whom it lets in: one socket, opened before anything is promised, and a key where others can reach it.

For the services of searches, tracers and runs.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket

from luthier.errors import SettingsError

KEY = "LUTHIER_API_KEY"


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


def own_names(host: str) -> frozenset[str] | None:
    """What a request may call a server on loopback; None where it listens to others too."""
    names = {"localhost", "127.0.0.1", "::1", host.lower()}
    if host == "localhost":
        return frozenset(names)
    try:
        return frozenset(names) if ipaddress.ip_address(host).is_loopback else None
    except ValueError:
        return None


def bears(authorization: str, key: bytes) -> bool:
    """Whether a request's header Authorization, as HTTP libraries decode it (latin-1), carries the key. Takes as long for a wrong one as for the right one."""
    scheme, _, given = authorization.partition(" ")
    return hmac.compare_digest(given.strip().encode("latin-1", "replace"), key) and scheme.lower() == "bearer"
