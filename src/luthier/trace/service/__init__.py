"""A fitted tracer as a small HTTP service for a tutoring system, on loopback."""

from luthier.trace.service.roster import Roster
from luthier.trace.service.server import HOST, PORT, Service, serve

__all__ = ["HOST", "PORT", "Roster", "Service", "serve"]
