"""How likely a model holds each of a few answers, at many places of a text at once.

A probe is a short text after which an answer would stand: its letter, or its words. Placed after the prompt and after each step of one or
more chains, all its copies are read in one pass (`luthier.models.branches`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from luthier.errors import EngineError, SettingsError
from luthier.models.branches import Head, Mode, TokenTree, drop_last, read_tree, reading_mode
from luthier.records.choices import LETTERS

if TYPE_CHECKING:
    import numpy as np

    from luthier.models.local import LocalModel

Targets = Literal["letters", "texts"]
Normalise = Literal["token", "byte", "none"]
PASS_TOKENS = 2048  # of chains and probes that share a pass: its attention grows with the square


@dataclass(frozen=True)
class Probe:
    """The text of a probe, and whether letters or the options' own words follow it."""

    text: str
    targets: Targets


PROBES = {"letters": Probe("\nThe best option is (", "letters"), "texts": Probe("\nThe answer is", "texts")}


def probe_of(probe: str | Probe) -> Probe:
    """`letters`, `texts`, or a probe text of one's own, which letters follow where it ends in a bracket and the options' words else."""
    if isinstance(probe, Probe):
        return probe
    if probe in PROBES:
        return PROBES[probe]
    if not probe.strip():
        raise SettingsError("the probe text is empty; give 'letters', 'texts', or a text after which an answer would stand")
    return Probe(probe, "letters" if probe.rstrip().endswith(("(", "[")) else "texts")


@dataclass
class ChainPlaces:
    """A chain's token ids and the places to probe, as counts of its tokens."""

    ids: Sequence[int]
    places: Sequence[int]


@dataclass
class OptionScores:
    """Log-probabilities (nats) of the options at a list of places, (places, options), and each option's length in tokens and bytes.

    forwarded: tokens through the model for all of them; naive: what reading each path from its beginning takes.
    """

    logprobs: np.ndarray
    tokens: np.ndarray
    octets: np.ndarray
    forwarded: int = 0
    naive: int = 0

    def confidence(self, normalise: Normalise = "token") -> np.ndarray:
        """A distribution over the options at each place: softmax of their log-probabilities, by token, by byte or whole."""
        import numpy as np

        lengths = {"token": self.tokens, "byte": self.octets, "none": np.ones_like(self.tokens)}[normalise]
        scores = self.logprobs / lengths
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

    def at(self, places: slice, parts: int = 1) -> OptionScores:
        """The scores at some of the places, which bear one of `parts` equal parts of what reading cost."""
        return OptionScores(self.logprobs[places], self.tokens, self.octets, self.forwarded // parts, self.naive // parts)

    @property
    def mass(self) -> np.ndarray:
        """The probability that any of the options follows, (places,): a probe with little of it does not ask for them."""
        import numpy as np

        return np.asarray(np.exp(self.logprobs).sum(axis=1))


class OptionReader:
    """Scores a question's options with one model and one probe.

    Raises EngineError where letters are not single tokens of this vocabulary, or two options begin alike and end there.
    """

    def __init__(self, model: LocalModel, probe: str | Probe, options: Sequence[str], mode: Mode = "auto") -> None:
        self.model, self.probe, self.mode = model, probe_of(probe), mode
        self.asked = model.encode(self.probe.text) if self.probe.text else []
        letters = self.probe.targets == "letters"
        if letters and len(options) > len(LETTERS):
            raise EngineError(f"{len(options)} options, {len(LETTERS)} letters; probe with their texts")
        lead = "" if not self.probe.text or self.probe.text[-1].isspace() else " "
        written = list(LETTERS[: len(options)]) if letters else [f"{lead}{option.strip()}" for option in options]
        self.targets = [tuple(model.encode(text)) for text in written]
        if letters and any(len(ids) != 1 for ids in self.targets):
            raise EngineError(f"{model.name}: a letter is not one token of its vocabulary; probe with the options' texts")
        if len(set(self.targets)) < len(self.targets) or not all(self.targets):
            raise EngineError("two options are the same tokens, or one has none: they cannot be told apart")
        self.octets = [len(text.encode()) for text in written]

    def chains(self, prompt: Sequence[int], chains: Sequence[ChainPlaces]) -> tuple[OptionScores, list[OptionScores]]:
        """Scores right after the prompt, and at the places of each chain; chains share the prompt, and passes up to some length."""
        first: OptionScores | None = None
        scored: list[OptionScores] = []
        for group in self._groups(prompt, chains) or [[]]:
            start, found = self._pass(prompt, group, with_start=first is None)
            first = first or start
            scored += found
        assert first is not None  # noqa: S101  # the first pass reads it
        return first, scored

    def on_cache(self, ids: Sequence[int], places: Sequence[int], cache: Any, cached: int) -> OptionScores:
        """Scores after so many of `ids`, of which the first `cached` are in `cache`; the cache is as before afterwards.

        cache None reads from the beginning.
        """
        if not self.asked:
            raise EngineError("a probe on a cache needs a probe text")
        mode = self.mode_for(len(ids))
        if cache is not None and mode == "rollback" and min(places) < cached:
            cache, cached = copy.deepcopy(cache), min(places)  # rolling back forgets what is read again later
            drop_last(cache, int(cache.get_seq_length()) - cached)
        tree = TokenTree()
        trunk = tree.add(ids[: max(cached, *places)])
        return self._read(
            tree,
            [(trunk, place) for place in places],
            None if mode == "naive" else cache,
            0 if cache is None or mode == "naive" else cached,
        )

    def mode_for(self, length: int) -> Mode:
        """How texts of that many tokens are read."""
        if self.mode != "auto":
            return self.mode
        return reading_mode(self.model.module, length + len(self.asked) + max(map(len, self.targets)))[0]

    def _groups(self, prompt: Sequence[int], chains: Sequence[ChainPlaces]) -> list[list[ChainPlaces]]:
        each = len(self.asked) + (sum(len(ids) for ids in self.targets) if self.probe.targets == "texts" else 0)
        groups: list[list[ChainPlaces]] = []
        size = PASS_TOKENS
        for chain in chains:
            length = len(chain.ids) + len(chain.places) * each
            if not groups or size + length > PASS_TOKENS:
                groups.append([])
                size = len(prompt)
            groups[-1].append(chain)
            size += length
        return groups

    def _pass(
        self, prompt: Sequence[int], chains: Sequence[ChainPlaces], *, with_start: bool
    ) -> tuple[OptionScores | None, list[OptionScores]]:
        tree = TokenTree()
        trunk = tree.add(prompt)
        places = [(trunk, len(prompt))] if with_start else []
        for chain in chains:
            segment = tree.add(chain.ids, trunk) if len(chain.ids) else trunk
            places += [(segment, place) if place else (trunk, len(prompt)) for place in chain.places]
        scores = self._read(tree, places)
        cut = 1 if with_start else 0
        start = scores.at(slice(0, 1)) if with_start else None
        if start is not None and chains:
            start.forwarded = start.naive = 0  # the chains bear the cost, in equal parts
        found = []
        for chain in chains:
            found.append(scores.at(slice(cut, cut + len(chain.places)), len(chains)))
            cut += len(chain.places)
        return start, found

    def _read(self, tree: TokenTree, places: Sequence[tuple[int, int]], cache: Any = None, cached: int = 0) -> OptionScores:
        """Scores at (segment, count of its tokens)."""
        import numpy as np
        import torch

        starts = tree.starts()
        heads: list[Head] = []
        wanted: list[int] = []  # the token whose log-probability each head gives
        rows: list[list[list[int]]] = []  # by place and option: entries of `heads`
        naive = 0
        for segment, place in places:
            probe = tree.add(self.asked, segment, place) if self.asked else segment
            last = Head(probe, (len(self.asked) if self.asked else place) - 1)
            length = starts[segment] + place + len(self.asked)
            row = []
            for ids in self.targets:
                entries = [len(heads)]
                heads.append(last)
                if len(ids) > 1:
                    branch = tree.add(ids[:-1], probe, last.token + 1)
                    entries += range(len(heads), len(heads) + len(ids) - 1)
                    heads += [Head(branch, index) for index in range(len(ids) - 1)]
                wanted += ids
                row.append(entries)
            rows.append(row)
            texts = [len(ids) - 1 for ids in self.targets]
            naive += length if not any(texts) else sum(length + text for text in texts)
        unique = sorted(set(heads))
        reading = read_tree(self.model.module, tree, unique, self.mode, cache=cache, cached=cached)
        at = {head: number for number, head in enumerate(unique)}
        which = torch.tensor([at[head] for head in heads])
        logits = reading.logits
        values = (logits[which, torch.tensor(wanted)] - logits.logsumexp(-1)[which]).cpu().double().numpy()
        totals = np.array([[sum(values[entry] for entry in entries) for entries in row] for row in rows])
        return OptionScores(
            totals.reshape(len(places), len(self.targets)),
            np.array([len(ids) for ids in self.targets]),
            np.array(self.octets),
            reading.tokens,
            naive,
        )
