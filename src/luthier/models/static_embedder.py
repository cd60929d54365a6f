"""Static embeddings: a text is the mean of its tokens' vectors, so that encoding is a table look-up, a hundred times faster than a transformer.

Reads the folders of sentence-transformers' `StaticEmbedding` and of model2vec (`tokenizer.json`, `model.safetensors`). `distil` makes one
out of a transformer by reading every entry of its vocabulary alone (as Model2Vec does).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import EngineError, MissingFileError
from luthier.models.embedder import Kind, fingerprint_of, unit_rows
from luthier.packages import file_sha256

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from luthier.models.transformer_embedder import TransformerEmbedder

TABLES = ("embedding.weight", "embeddings", "embedding", "embedding.embedding.weight")
CHUNK = 4096  # texts whose tokens are held at once


class StaticEmbedder:
    """Means of token vectors. folder: holds, itself or in a sub-folder, tokenizer.json and model.safetensors. Raises MissingFileError."""

    max_length: int | None = None

    def __init__(self, folder: Path | str, *, name: str | None = None) -> None:
        self.folder, self.name = Path(folder), name or Path(folder).name
        self.place = static_place(self.folder)

    @cached_property
    def fingerprint(self) -> str:
        files = (self.place / "model.safetensors", self.place / "tokenizer.json")
        return fingerprint_of(kind="static", files=[file_sha256(file) for file in files])

    def key(self, kind: Kind) -> str:
        return self.fingerprint

    @cached_property
    def tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(self.place / "tokenizer.json"))
        except Exception as problem:  # the library raises nothing narrower
            raise EngineError(f"{self.place / 'tokenizer.json'}: not a tokenizer ({problem})") from problem
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def table(self) -> NDArray[np.float32]:
        """One vector a token, (vocabulary, dimensions)."""
        import numpy as np
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self.place / "model.safetensors"
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as problem:
            raise EngineError(f"{path}: not a readable safetensors file ({problem}); fetch or train it again") from problem
        found = next((tensors[name] for name in TABLES if name in tensors), None)
        if found is None or found.ndim != 2:
            raise EngineError(f"{path}: no table of token vectors ({', '.join(TABLES)}); it holds {', '.join(tensors)}")
        return np.asarray(found, dtype=np.float32)

    def encode(self, texts: Sequence[str], kind: Kind = "document") -> NDArray[np.float32]:
        """Unit vectors, (texts, dimensions); zeros for a text without tokens."""
        import numpy as np
        import torch

        table = torch.from_numpy(self.table)
        vectors = np.zeros((len(texts), table.shape[1]), dtype=np.float32)
        for start in range(0, len(texts), CHUNK):
            ids = [torch.tensor(row, dtype=torch.long) for row in self._token_ids(texts[start : start + CHUNK])]
            offsets = torch.tensor([0, *(len(row) for row in ids[:-1])]).cumsum(0)
            means = torch.nn.functional.embedding_bag(torch.cat(ids), table, offsets, mode="mean")
            vectors[start : start + len(ids)] = means.numpy()
        return unit_rows(vectors, texts, self.name)

    def token_counts(self, texts: Sequence[str], kind: Kind = "document") -> NDArray[np.int64]:
        import numpy as np

        return np.array([len(row) for row in self._token_ids(texts)], dtype=np.int64)

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in found]


def static_place(folder: Path) -> Path:
    """Where the table of a static model lies: the folder, or the one sub-folder that sentence-transformers numbers 0."""
    for place in (folder, *sorted(folder.glob("0_*"))):
        if (place / "tokenizer.json").is_file() and (place / "model.safetensors").is_file():
            return place
    raise MissingFileError(f"{folder}: no static embeddings here (tokenizer.json and model.safetensors); give such a folder")


def distil(model: TransformerEmbedder, folder: Path) -> Path:
    """Write static embeddings of a transformer: its vector of each vocabulary entry alone, as Model2Vec does, with the dimensions of the model.

    Principal axes are scaled half-way to equal spread, and an entry weighs log(1 + rank), as vocabularies begin with what is frequent (Zipf);
    entries without a letter or digit weigh nothing, for in code they are most of all tokens.
    """
    import json

    import numpy as np
    from safetensors.numpy import save_file

    vocabulary = model.tokenizer.get_vocab()
    entries = sorted(vocabulary, key=lambda entry: vocabulary[entry])
    words = [model.tokenizer.convert_tokens_to_string([entry]).strip() or entry for entry in entries]
    vectors = model.encode([word.removeprefix("##") for word in words])
    centred = vectors - vectors.mean(axis=0)
    _, spread, axes = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    turned = (centred @ axes.T) / np.sqrt(np.maximum(spread, 1e-9 * spread[0]))
    table = np.zeros((max(vocabulary.values()) + 1, turned.shape[1]), dtype=np.float32)
    table[[vocabulary[entry] for entry in entries]] = turned * entry_weights(words)[:, None]
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"embedding.weight": table}, folder / "model.safetensors")
    model.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "luthier.json").write_text(json.dumps({"distilled_from": model.name, "fingerprint": model.fingerprint}) + "\n")
    return folder


def entry_weights(entries: Sequence[str]) -> NDArray[np.float64]:
    """log(1 + rank) of each entry of a vocabulary in its order, where only entries of two letters or digits and more count as ranked."""
    import numpy as np

    letters = np.array([sum(letter.isalnum() for letter in entry) * (entry[:1] not in "[<") for entry in entries])
    ranks = np.maximum(np.cumsum(letters >= 2), 1)
    return np.where(letters >= 2, np.log1p(ranks), np.where(letters == 1, np.log(2.0), 0.0))
