"""What every service of a model is told: which model, where it listens, and whose key it asks for."""

from __future__ import annotations

import os
from dataclasses import dataclass

from luthier.errors import SettingsError
from luthier.models.opening import ServedModelSettings
from luthier.run.listening import KEY, own_names
from luthier.settings import option


@dataclass(frozen=True)
class ListeningSettings(ServedModelSettings):
    """A model, and where it is served."""

    host: str = option("127.0.0.1", "Others than this machine can ask only if you say so here, and with a key.")
    port: int = option(0, "0 takes a free one.", least=0, most=65535)
    key_from: str = option(
        KEY, "Environment variable of the key that clients send; for a host that others reach it must be set.", metavar="NAME"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if own_names(self.host) is not None or self.key() is not None:
            return
        if self.endpoint and self.key_from == KEY:
            raise SettingsError(f"{KEY} is the key of --endpoint, and not for clients: name a variable with theirs, --key-from NAME")
        raise SettingsError(f"--host {self.host} is reached by other machines: set {self.key_from} to a key, which every client then sends")

    def key(self) -> str | None:
        """What clients send, None for nothing: the variable, unless it is the one whose key goes to the model's own server."""
        return None if self.endpoint and self.key_from == KEY else os.environ.get(self.key_from) or None
