"""Any folder of sentence-transformers as an embedder, run by that library: for models with modules that `transformer_embedder` does not know."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import MissingFileError, SettingsError
from luthier.models.embedder import Kind, fingerprint_of, unit_rows
from luthier.models.hardware import chosen_device
from luthier.models.loading import loading
from luthier.packages import file_sha256

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer


class SentenceTransformerEmbedder:
    """folder: holds modules.json. max_length: tokens read of a text, as the folder says where None. Needs the extra `retrieval`."""

    def __init__(self, folder: Path | str, *, max_length: int | None = None, name: str | None = None, device: str = "auto") -> None:
        self.folder, self.name = Path(folder), name or Path(folder).name
        if not (self.folder / "modules.json").is_file():
            raise MissingFileError(f"{folder}: no model of sentence-transformers here (modules.json is missing)")
        self._asked, self.device = max_length, device

    @cached_property
    def model(self) -> SentenceTransformer:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError:
            raise SettingsError("this model needs sentence-transformers; run: pip install 'luthier[retrieval]'") from None
        with loading(self.folder, "model", "give a complete folder of sentence-transformers"):
            model = SentenceTransformer(str(self.folder), device=chosen_device(self.device), local_files_only=True, trust_remote_code=False)
        if self._asked is not None:
            model.max_seq_length = self._asked
        return model

    @property
    def max_length(self) -> int | None:  # type: ignore[override]
        length = self.model.max_seq_length
        return int(length) if isinstance(length, int) else None

    @cached_property
    def fingerprint(self) -> str:
        files = sorted(path for path in self.folder.rglob("*") if path.suffix in (".json", ".safetensors", ".txt", ".model"))
        return fingerprint_of(files={str(path.relative_to(self.folder)): file_sha256(path) for path in files}, length=self._asked)

    def key(self, kind: Kind) -> str:
        return self.fingerprint

    def encode(self, texts: Sequence[str], kind: Kind = "document") -> NDArray[np.float32]:
        """Unit vectors, (texts, dimensions), with the model's own prompt for queries or documents."""
        encode = self.model.encode_query if kind == "query" else self.model.encode_document
        return unit_rows(encode(list(texts), show_progress_bar=False, convert_to_numpy=True), texts, self.name)

    def token_counts(self, texts: Sequence[str], kind: Kind = "document") -> NDArray[np.int64] | None:
        return None
