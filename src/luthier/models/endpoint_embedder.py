"""Any OpenAI-compatible embedding server (vLLM, text-embeddings-inference, llama.cpp, hosted ones) as an embedder, through the `openai` client."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from luthier.errors import EngineError, SettingsError
from luthier.models.embedder import Kind, fingerprint_of, unit_rows
from luthier.models.endpoint import server_url
from luthier.models.endpoint_rows import SHOWN
from luthier.texts.secrets import without_secrets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from openai import OpenAI


class EndpointEmbedder:
    """The embedding model `model` behind `base_url` (`http://host:8000/v1`).

    dimensions: asked of models that can shorten their vectors. prompts: text put before queries or documents. batch: texts a request.
    api_key: sent as a bearer token, and not kept anywhere.
    """

    max_length: int | None = None

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        *,
        dimensions: int | None = None,
        prompts: dict[Kind, str] | None = None,
        batch: int = 64,
        retries: int = 4,
        timeout: float = 60.0,
    ) -> None:
        if batch < 1:
            raise SettingsError(f"batch is {batch}; it must be 1 or more")
        self.base_url, self.name, self.api_key = server_url(base_url), model, api_key
        self.dimensions, self.prompts, self.batch = dimensions, dict(prompts or {}), batch
        self.retries, self.timeout = retries, timeout

    @property
    def fingerprint(self) -> str:
        """The server's address and the name it gives: weights cannot be seen from here."""
        return fingerprint_of(url=self.base_url, model=self.name, dimensions=self.dimensions, prompts=self.prompts)

    def key(self, kind: Kind) -> str:
        return fingerprint_of(url=self.base_url, model=self.name, dimensions=self.dimensions, prompt=self.prompts.get(kind, ""))

    @cached_property
    def client(self) -> OpenAI:
        from openai import OpenAI

        # The client insists on a key; one found in the environment must not reach an arbitrary server.
        return OpenAI(base_url=self.base_url, api_key=self.api_key or "none", max_retries=self.retries, timeout=self.timeout)

    def encode(self, texts: Sequence[str], kind: Kind = "document") -> NDArray[np.float32]:
        """Unit vectors, (texts, dimensions). Raises EngineError where the server cannot answer or answers with other shapes."""
        import numpy as np

        prompt = self.prompts.get(kind, "")
        parts = [self._ask([prompt + text for text in texts[start : start + self.batch]]) for start in range(0, len(texts), self.batch)]
        if len({len(row) for part in parts for row in part}) > 1:
            raise EngineError(f"{self.base_url} answers with vectors of different lengths; check the model {self.name!r}")
        vectors = np.array([row for part in parts for row in part], dtype=np.float32).reshape(len(texts), -1)
        return unit_rows(vectors, texts, self.name)

    def token_counts(self, texts: Sequence[str], kind: Kind = "document") -> NDArray[np.int64] | None:
        return None

    def _ask(self, texts: list[str]) -> list[list[float]]:
        from openai import OpenAIError

        asked: dict[str, Any] = {"model": self.name, "input": texts, "encoding_format": "float"}
        if self.dimensions is not None:
            asked["dimensions"] = self.dimensions
        try:
            reply = self.client.embeddings.create(**asked)
            rows = sorted(reply.data, key=lambda row: row.index)
        except (OpenAIError, ValueError, TypeError, AttributeError) as problem:
            words = without_secrets(" ".join(str(problem).split()), self.api_key)[:SHOWN]
            raise EngineError(
                f"{self.base_url} gives no embeddings of {self.name!r} ({words}); check the server, the name and the URL (it usually ends in /v1)"
            ) from problem
        if len(rows) != len(texts):
            raise EngineError(f"{self.base_url} answers {len(rows)} vectors to {len(texts)} texts; lower the batch")
        vectors = [row.embedding for row in rows]
        if not all(isinstance(vector, list) and all(isinstance(part, int | float) for part in vector) for vector in vectors):
            raise EngineError(f"{self.base_url} answers with embeddings that are no lists of numbers; check the model {self.name!r}")
        return [list(vector) for vector in vectors]
