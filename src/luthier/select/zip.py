"""ZIP: greedy selection of the rows that compress worst together (entropy law, arXiv 2407.06645).

g(S) = bytes of S / bytes of S after DEFLATE at level 9; low g means little redundancy. Rows are plain texts here: what of a
record is measured, and whether a row is any good, is decided elsewhere (noise has a low g too).
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import nsmallest
from typing import Literal, NamedTuple

from luthier.errors import SettingsError
from luthier.select.budget import Allowance, Budget, Pick
from luthier.select.replica import Replica

BATCH = 10_000  # rows measured at a time
Mode = Literal["paper", "compat"]
Form = Literal["turns", "list"]


def zip_select(
    texts: Sequence[str],
    budget: int,
    k1: int = 10_000,
    k2: int = 200,
    k3: int = 100,
    *,
    mode: Mode = "paper",
    form: Form = "turns",
    progress: Callable[[int], None] | None = None,
) -> list[int]:
    """Indices of the selected texts, in the order they were picked.

    A round takes the k1 rows of lowest known g (global), measures each together with the set so far and keeps the k2 lowest
    (coarse), and picks k3 of these one by one against each other (fine). Rounds repeat until `budget` rows are picked.
    mode: "paper" compares exactly, breaks ties by index, never repeats a row, meets the budget, clamps k to what is left and
        passes over empty texts. "compat" picks what the published code picks, its faults included: 32-bit ratios, unpicked
        coarse rows lost, a budget rounded up to whole rounds, and repeated rows once fewer than k1 fresh ones are left.
    form: "turns" measures a set as its texts joined by newlines; "list" as `[a, b]`, where the texts are the rows' reprs.
    progress: called after each round with the number of new picks.
    Sizes are those of the zlib that Python is linked with (`zlib.ZLIB_RUNTIME_VERSION`); zlib-ng picks other rows.
    Raises SettingsError for sizes that have no meaning.
    """
    _check(len(texts), budget, (k1, k2, k3), mode, form)
    rows = [text.encode("utf-8", "replace") for text in texts]
    rounds: Iterator[list[int]]
    if mode == "compat":
        rounds = _compat_rounds(rows, budget, (k1, k2, k3), _FORMS[form])
    else:
        search = Zip(rows, k1, k2, k3, form=form, allowance=Allowance(Budget(budget, "rows")))
        rounds = ([pick.index for pick in new] for new in search.rounds())
    picks: list[int] = []
    for new in rounds:
        picks += new
        if progress is not None:
            progress(len(new))
    return picks


def evaluations(rows: int, budget: int, k1: int = 10_000, k2: int = 200, k3: int = 100) -> int:
    """How many rows "paper" mode measures for a budget in rows, the pool's own ratios included; exact where no row is empty."""
    count, left, budget = (rows if budget else 0), rows, min(budget, rows)
    while budget > 0:
        coarse = min(k1, left)
        block = min(k2, coarse)
        picks = min(k3, block, budget)
        count += coarse + picks * block - picks * (picks - 1) // 2
        left, budget = left - picks, budget - picks
    return count


def compression_ratio(texts: Iterable[str]) -> float:
    """R of a whole data set: bytes of the texts joined by newlines / their compressed bytes. High is redundant; 0 without text."""
    whole = _Compressed(_FORMS["turns"])
    first = True
    for text in texts:
        whole.feed(text.encode("utf-8", "replace") if first else b"\n" + text.encode("utf-8", "replace"))
        first = False
    raw, packed = whole.sizes_with(b"")
    return raw / packed


def own_ratios(texts: Iterable[str]) -> list[float]:
    """g of every text alone, as stage 0 of ZIP has it; 0 for an empty text."""
    rows = (text.encode("utf-8", "replace") for text in texts)
    return [raw / packed for raw, packed in (own_sizes(row, _FORMS["turns"]) for row in rows)]


class _Brackets(NamedTuple):
    """How the bytes of a set are put together."""

    opening: bytes
    joint: bytes
    closing: bytes


_FORMS = {"turns": _Brackets(b"", b"\n", b""), "list": _Brackets(b"[", b", ", b"]")}
_TAKEN = 1e6


class _Compressed:
    """A growing set and its compressor. Measuring one more row forks the compressor instead of compressing everything again:
    DEFLATE's output does not depend on how its input is cut up, so the sizes are exact."""

    def __init__(self, form: _Brackets) -> None:
        self._form, self._deflate, self._raw, self._packed = form, zlib.compressobj(9), 0, 0
        self.feed(form.opening)

    def feed(self, data: bytes) -> None:
        self._raw += len(data)
        self._packed += len(self._deflate.compress(data))

    def add(self, row: bytes) -> None:
        self.feed(row + self._form.joint)

    def sizes_with(self, row: bytes) -> tuple[int, int]:
        """Bytes of the set with this row as its last, and of its compressed form."""
        fork = self._deflate.copy()
        tail = row + self._form.closing
        return self._raw + len(tail), self._packed + len(fork.compress(tail)) + len(fork.flush())


class SetSizes:
    """The picked set as one process keeps it: a compressor that has read it, and that each candidate is measured against."""

    def __init__(self, rows: Sequence[bytes], form: Form = "turns") -> None:
        self._rows, self._set = rows, _Compressed(_FORMS[form])

    def grow(self, indices: Sequence[int]) -> None:
        """Add rows to the set, in this order."""
        for index in indices:
            self._set.add(self._rows[index])

    def measure(self, indices: Sequence[int]) -> list[tuple[int, int]]:
        """For each row, the bytes of the set with it as its last, and of its compressed form."""
        return [self._set.sizes_with(self._rows[index]) for index in indices]


class Zip:
    """The algorithm of the paper; `rounds()` yields the picks of each round until the allowance is exhausted or no row is left.

    rows: UTF-8 bytes a row; empty ones are passed over. Rows that a round measured but did not pick stay in, with their new g.
    State between rounds: `picks`, and for every row the sizes it was last measured at, `raw` and `packed` (0 where never); give them
    back to `resume` and the rounds go on as they would have. state: where rows are measured; this process by default.
    Raises SettingsError where k1, k2 or k3 is no number from 1.
    """

    def __init__(
        self,
        rows: Sequence[bytes],
        k1: int = 10_000,
        k2: int = 200,
        k3: int = 100,
        *,
        form: Form = "turns",
        allowance: Allowance | None = None,
        state: Replica[tuple[int, int]] | None = None,
    ) -> None:
        _check_sizes((k1, k2, k3))
        self.rows, self.sizes, self.form = rows, (k1, k2, k3), _FORMS[form]
        self.state = state or SetSizes(rows, form)
        self.allowance = allowance or Allowance()
        self.picks: list[Pick] = []
        self.raw, self.packed = (array("Q", [0]) * len(rows) for _ in range(2))

    def resume(self, picks: Sequence[Pick], raw: Sequence[int], packed: Sequence[int]) -> None:
        """Go on after these picks, which must be whole rounds; they are taken out of the allowance."""
        self.picks, self.raw, self.packed = list(picks), array("Q", raw), array("Q", packed)
        for pick in picks:
            self.allowance.admit(pick.index)

    def left(self) -> dict[int, float]:
        """The rows that are no picks and have a score, with that which they were last measured at."""
        taken = {pick.index for pick in self.picks}
        sizes = enumerate(zip(self.raw, self.packed, strict=True))
        return {index: raw / packed for index, (raw, packed) in sizes if packed and self.rows[index] and index not in taken}

    def rounds(self) -> Iterator[list[Pick]]:
        k1, k2, k3 = self.sizes
        if self.allowance.exhausted:
            return
        taken = {pick.index for pick in self.picks} | self.allowance.capped_rows.keys()
        if self.picks:
            self.state.grow([pick.index for pick in self.picks])
        else:
            self._note(range(len(self.rows)))  # together with nothing: each row alone
        known = {i: _exact(self.raw[i], self.packed[i]) for i, row in enumerate(self.rows) if row and i not in taken}
        order = lambda index: (known[index], index)  # noqa: E731
        while known and not self.allowance.exhausted:
            candidates = nsmallest(k1, known, key=order)
            self._note(candidates)
            known.update((index, _exact(self.raw[index], self.packed[index])) for index in candidates)
            block = nsmallest(k2, candidates, key=order)
            new, refused = self._one_by_one(block, min(k3, len(block)), self.picks[-1].round + 1 if self.picks else 1)
            self.state.grow([pick.index for pick in new])
            for index in [pick.index for pick in new] + refused:
                del known[index]
            self.picks += new
            if new:
                yield new

    def _note(self, indices: Sequence[int]) -> None:
        for start in range(0, len(indices), BATCH):
            batch = indices[start : start + BATCH]
            for index, (raw, packed) in zip(batch, self.state.measure(batch), strict=True):
                self.raw[index], self.packed[index] = raw, packed

    def _one_by_one(self, block: Sequence[int], count: int, number: int) -> tuple[list[Pick], list[int]]:
        """Pick `count` rows of the block, each the one of lowest g with those picked before it; ties go to the earliest."""
        picked = _Compressed(self.form)
        picks: list[Pick] = []
        refused: list[int] = []
        left = list(block)
        while left and len(picks) < count and not self.allowance.exhausted:
            measured = {index: picked.sizes_with(self.rows[index]) for index in left}
            for best in sorted(left, key=lambda index: _exact(*measured[index])):
                left.remove(best)
                if self.allowance.admit(best):
                    raw, packed = measured[best]
                    picked.add(self.rows[best])
                    picks.append(Pick(best, raw / packed, number))
                    break
                refused.append(best)
                if self.allowance.exhausted:
                    break
        return picks, refused


def _compat_rounds(rows: Sequence[bytes], budget: int, sizes: tuple[int, int, int], form: _Brackets) -> Iterator[list[int]]:
    """The published code: a round marks its whole block as taken, and forgets marks when it measures marked rows again."""
    k1, k2, k3 = sizes
    known = array("f", (_single(*own_sizes(row, form)) for row in rows))
    anchor = _Compressed(form)
    while budget > 0 and rows:
        candidates = nsmallest(k1, range(len(rows)), key=known.__getitem__)
        for index in candidates:
            known[index] = _single(*anchor.sizes_with(rows[index]))
        block = nsmallest(k2, candidates, key=known.__getitem__)
        picks = _repeating(rows, block, k3, form)
        for index in block:
            known[index] = _TAKEN
        for index in picks:
            anchor.add(rows[index])
        budget -= len(picks)
        yield picks


def _repeating(rows: Sequence[bytes], block: Sequence[int], count: int, form: _Brackets) -> list[int]:
    """The published fine stage: as the paper's, but with 32-bit ratios, and k3 > k2 repeats the first row."""
    picked = _Compressed(form)
    picks: list[int] = []
    while len(picks) < count:
        left = [index for index in block if index not in picks] or block[:1]
        best = min(left, key=lambda index: _single(*picked.sizes_with(rows[index])))
        picked.add(rows[best])
        picks.append(best)
    return picks


def own_sizes(row: bytes, form: _Brackets = _FORMS["turns"]) -> tuple[int, int]:
    """Bytes of one row alone, and of its compressed form."""
    return _Compressed(form).sizes_with(row)


def _exact(raw: int, packed: int) -> int:
    """An integer that orders as raw / packed does: two different fractions of sizes below 4 GiB lie more than 2**-64 apart."""
    return (raw << 64) // packed


def _single(raw: int, packed: int) -> float:
    """The ratio in single precision."""
    return array("f", (raw / packed,))[0]


def _check(rows: int, budget: int, sizes: tuple[int, int, int], mode: str, form: str) -> None:
    if mode not in ("paper", "compat") or form not in _FORMS:
        raise SettingsError(f"mode is paper or compat and form is turns or list, not {mode!r} and {form!r}")
    if not isinstance(budget, int) or budget < 0:
        raise SettingsError(f"the budget is a number of rows from 0, not {budget}")
    _check_sizes(sizes)
    k1, k2, _ = sizes
    if mode == "compat" and rows and budget and not k2 <= k1 <= rows:
        raise SettingsError(f"mode compat needs k2 <= k1 <= the {rows} rows of the pool, as the published code does; k1 is {k1}, k2 {k2}")


def _check_sizes(sizes: tuple[int, int, int]) -> None:
    if any(not isinstance(size, int) or size < 1 for size in sizes):
        raise SettingsError(f"k1, k2 and k3 are numbers of rows from 1, not {sizes}")
