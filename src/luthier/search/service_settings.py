"""What `luthier serve search` is told."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from luthier.models.budget import Budget
from luthier.models.service_settings import ListeningSettings
from luthier.search.settings import SearchSettings
from luthier.settings import option


@dataclass(frozen=True)
class ServeSettings(ListeningSettings, SearchSettings):
    """Serve searches to any client of OpenAI's chat completions: a request with tests, or with doctests in it, is answered by a search.

    Models are called luthier/STRATEGY-CALLS:NAME, such as luthier/rethink-16:bundled; a request without tests is answered by the model itself.
    """

    port: int = option(8766, "0 takes a free one.", least=0, most=65535)
    queue: int = option(8, "Requests that wait; one more is told to come again.", least=1, most=1024)
    test_seconds: float = option(6.0, "Longest that a test may take.", above=0, most=3600)

    def __post_init__(self) -> None:
        super().__post_init__()
        Budget.parse(self.budget)

    def how(self) -> SearchSettings:
        """The settings of a search that a request does not change."""
        own: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(SearchSettings)}
        return SearchSettings(**own)
