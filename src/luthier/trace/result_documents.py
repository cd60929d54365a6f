"""Which samples of lm-evaluation-harness are of one document: those of one `doc_id`, unless their `doc_hash` says otherwise.

Another version, order or part of a data set gives other documents the same numbers; a difference between two models on them would be one between questions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from luthier.trace.result_layouts import Answered

_SHOWN = 12  # characters of a hash, of 64, that tell an item from another of its number


class Documents:
    """The documents of all files that were read. notes: what was paired by hash, and what could not be, by file."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._marks: dict[str, str] = {}  # by item
        self._items: dict[str, list[str]] = {}  # by mark

    def named(self, answers: Iterable[tuple[int, Answered]], where: object) -> Iterator[tuple[int, Answered]]:
        """The answers of one file, each under the item of its document. where: the file's name.

        A document is that of an earlier file where number and hash agree, or where its hash stands once in both; else it is an item of its own.
        """
        own: dict[str, str] = {}
        held: list[tuple[int, Answered]] = []  # from the first one on that needs to know the whole file, in the file's order
        for line, answered in answers:
            if answered.document:
                own.setdefault(answered.item, answered.document)
            if held or not self._is_plain(answered.item, answered.document):
                held.append((line, answered))
            else:
                yield line, answered
        times = Counter(own.values())
        for line, answered in held:
            yield line, answered._replace(item=self._item(answered.item, answered.document, times))
        self._keep(own, times, where)

    def _is_plain(self, item: str, mark: str) -> bool:
        """Whether the number says it all, or nothing else does."""
        return not mark or self._marks.get(item) == mark or (item not in self._marks and mark not in self._items)

    def _item(self, item: str, mark: str, times: Counter[str]) -> str:
        if self._is_plain(item, mark):
            return item
        known = self._items.get(mark, [])
        if len(known) == 1 and times[mark] == 1:
            return known[0]
        return item if item not in self._marks else f"{item}#{mark.rpartition(':')[2][:_SHOWN]}"

    def _keep(self, own: dict[str, str], times: Counter[str], where: object) -> None:
        named = {item: self._item(item, mark, times) for item, mark in own.items()}
        apart = sum(name.startswith(f"{item}#") and name not in self._marks for item, name in named.items())
        moved = sum(name != item for item, name in named.items()) - apart
        if moved:
            self.notes.append(f"{where}: {moved} of {len(own)} documents are paired by doc_hash, as their doc_id is another one's before")
        if apart:
            self.notes.append(
                f"{where}: {apart} of {len(own)} documents are items of their own, as their doc_id is another one's before and their doc_hash is "
                "new or not the only one"
            )
        for item, mark in own.items():
            name = named[item]
            self._marks.setdefault(name, mark)
            if name not in self._items.setdefault(mark, []):
                self._items[mark].append(name)
