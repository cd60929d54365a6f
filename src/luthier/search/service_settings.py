"""What `luthier serve search` is told."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any

from luthier.errors import SettingsError
from luthier.models.budget import Budget
from luthier.models.opening import ServedModelSettings
from luthier.run.listening import KEY, own_names
from luthier.search.settings import SearchSettings
from luthier.settings import check, option


@dataclass(frozen=True)
class ServeSettings(ServedModelSettings, SearchSettings):
    """Serve searches to any client of OpenAI's chat completions: a request with tests, or with doctests in it, is answered by a search.

    Models are called luthier/STRATEGY-CALLS:NAME, such as luthier/rethink-16:bundled; a request without tests is answered by the model itself.
    """

    host: str = option("127.0.0.1", "Others than this machine can ask only if you say so here, and with a key.")
    key_from: str = option(
        KEY, "Environment variable of the key that clients send; for a host that others reach it must be set.", metavar="NAME"
    )
    port: int = option(8766, "0 takes a free one.", least=0, most=65535)
    queue: int = option(8, "Requests that wait; one more is told to come again.", least=1, most=1024)
    test_seconds: float = option(6.0, "Longest that a test may take.", above=0, most=3600)

    def __post_init__(self) -> None:
        check(self)
        Budget.parse(self.budget)
        if own_names(self.host) is None and self.key() is None:
            if self.endpoint and self.key_from == KEY:
                raise SettingsError(f"{KEY} is the key of --endpoint, and not for clients: name a variable with theirs, --key-from NAME")
            raise SettingsError(
                f"--host {self.host} is reached by other machines: set {self.key_from} to a key, which every client then sends"
            )

    def key(self) -> str | None:
        """What clients send, None for nothing: the variable, unless it is the one whose key goes to the model's own server."""
        return None if self.endpoint and self.key_from == KEY else os.environ.get(self.key_from) or None

    def how(self) -> SearchSettings:
        """The settings of a search that a request does not change."""
        own: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(SearchSettings)}
        return SearchSettings(**own)
