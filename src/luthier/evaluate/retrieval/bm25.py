"""BM25 by `bm25s`, with tokenizers for prose and for code.

Splitting identifiers and stemming is worth many points on code and costs some on shell commands, so the tokenizer is a choice that is
recorded with every score.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from luthier.errors import SettingsError
from luthier.evaluate.retrieval.metrics import Run
from luthier.evaluate.retrieval.settings import Tokenizing

Tokenizer = Callable[[str], list[str]]
TOKENIZERS: tuple[str, ...] = get_args(Tokenizing)

_WORD = re.compile(r"\w\w+")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")


@dataclass(frozen=True)
class BM25:
    """Settings of BM25 (Lucene's form of the idf). k1, b: saturation and length; tokenizer: a name of TOKENIZERS or a function."""

    tokenizer: str | Tokenizer = "code"
    k1: float = 1.5
    b: float = 0.75

    @property
    def name(self) -> str:
        kind = self.tokenizer if isinstance(self.tokenizer, str) else getattr(self.tokenizer, "__name__", "function")
        usual = (self.k1, self.b) == (1.5, 0.75)
        return f"bm25:{kind}" if usual else f"bm25:{kind}(k1={self.k1:g},b={self.b:g})"

    def search(self, queries: Sequence[str], documents: Sequence[str], k: int = 100) -> Run:
        """The k best documents of each query; those that share no token with it are not found (-1). Raises SettingsError."""
        import numpy as np

        library, tokens = _library(), tokenizer(self.tokenizer)
        corpus = [tokens(text) for text in documents]
        depth = min(k, len(documents))
        found = np.full((len(queries), k), -1, dtype=np.int32)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        if any(corpus):
            index = library.BM25(k1=self.k1, b=self.b, method="lucene")
            index.index(corpus, show_progress=False)
            for row, asked in enumerate(queries):
                known = [token for token in tokens(asked) if token in index.vocab_dict]
                if known:
                    found[row, :depth], scores[row, :depth] = _best(index.get_scores(known), depth)
        scores[found < 0] = -np.inf
        return Run(found, scores, self.name)


def tokenizer(chosen: str | Tokenizer) -> Tokenizer:
    """`word`: lower-case words of two letters or more; `stem`: stemmed, without stop words; `code`: identifiers and their stemmed parts."""
    if not isinstance(chosen, str):
        return chosen
    if chosen not in TOKENIZERS:
        raise SettingsError(f"unknown tokenizer {chosen!r}; choose one of {', '.join(TOKENIZERS)}")
    return {"word": words, "stem": stemmed, "code": code_tokens}[chosen]


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def stemmed(text: str) -> list[str]:
    return [_stem(word) for word in words(text) if word not in _stop_words()]


def code_tokens(text: str) -> list[str]:
    """`readHTTPHeader_v2` gives read, http, header, v, 2: identifiers in camel and snake case fall apart, their parts are stemmed."""
    return [_stem(part.lower()) for part in _PARTS.findall(text)]


@cache
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word))


@cache
def _stemmer() -> Any:
    try:
        import Stemmer
    except ImportError:
        raise SettingsError("this tokenizer needs PyStemmer; run: pip install 'luthier[retrieval]'") from None
    return Stemmer.Stemmer("english")


@cache
def _stop_words() -> frozenset[str]:
    return frozenset(_library().stopwords.STOPWORDS_EN)


def _library() -> Any:
    try:
        import bm25s
    except ImportError:
        raise SettingsError("BM25 needs bm25s; run: pip install 'luthier[retrieval]'") from None
    return bm25s


def _best(scores: Any, k: int) -> tuple[Any, Any]:
    """The k greatest above 0, equal ones in the order of the corpus; -1 fills the rest."""
    import numpy as np

    if k < len(scores):
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        near = np.flatnonzero(scores >= max(least, np.finfo(np.float32).tiny))
    else:
        near = np.flatnonzero(scores > 0)
    chosen = near[np.lexsort((near, -scores[near]))][:k]
    ids = np.full(k, -1, dtype=np.int32)
    values = np.full(k, -np.inf, dtype=np.float32)
    ids[: len(chosen)], values[: len(chosen)] = chosen, scores[chosen]
    return ids, values
