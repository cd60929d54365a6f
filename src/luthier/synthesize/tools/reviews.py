"""`luthier tools review`: the dialogues of a run that the experts were unsure of, on a page for a person, and what the person said of them.

A row of `review.jsonl` is taken by writing true in its field `accepted`, refused by false; those that are taken go to `accepted.jsonl`, without
the fields of the review, so that they can be trained on beside `checked.jsonl`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError, MissingFileError
from luthier.progress import Progress
from luthier.records import JSON, read_conversations, write_jsonl
from luthier.records.files import atomic_write, read_rows
from luthier.report.talk import dialogue
from luthier.report.wording import Told
from luthier.synthesize.tools.page import REVIEW
from luthier.synthesize.tools.pool_settings import ReviewSettings

PAGE, ACCEPTED = "review.html", "accepted.jsonl"
FIELDS = ("accepted", "verdicts")  # of the review, and of no dialogue that is trained on


def review(settings: ReviewSettings, progress: Progress) -> Told:
    """Write the page of what is open, and the rows that were accepted. Raises MissingFileError where the run has no review, BadRowError for an answer
    that is neither true, false nor null."""
    folder = Path(settings.run)
    path = folder / REVIEW
    if not path.is_file():
        raise MissingFileError(
            f"{path}: nothing to review there; `luthier synthesize tools --judge MODEL` leaves what its experts are unsure of"
        )
    rows = [row for _, row in read_rows(path)]
    list(read_conversations(path))  # an edit that broke a row is named by its line
    for number, row in enumerate(rows, 1):
        if row.get("accepted") not in (True, False, None) or (
            isinstance(row.get("accepted"), int) and not isinstance(row["accepted"], bool)
        ):
            raise BadRowError(f'"accepted" is {row["accepted"]!r}; write true, false or null', path, number)
    accepted = [_bare(row) for row in rows if row.get("accepted") is True]
    waiting = [row for row in rows if row.get("accepted") is None]
    write_jsonl(folder / ACCEPTED, accepted)
    with atomic_write(folder / PAGE) as stream:
        stream.write(page(waiting, str(path)))
    refused = len(rows) - len(accepted) - len(waiting)
    counts = {"waiting": len(waiting), "accepted": len(accepted), "refused": refused}
    lines = [
        f"{folder / PAGE}: {len(waiting)} dialogues wait for a person",
        f'{path}: write "accepted": true or false into a row, then run this again',
        f"{folder / ACCEPTED}: {len(accepted)} accepted; {refused} refused",
    ]
    return Told(lines, {**counts, "page": str(folder / PAGE)})


def page(rows: Sequence[JSON], place: str) -> str:
    """One HTML document without scripts."""
    from luthier.report.page import environment

    shown: list[dict[str, Any]] = [
        {"number": number, "dialogue": dialogue(row), "verdicts": list(_verdicts(row))} for number, row in enumerate(rows, 1)
    ]
    return environment().get_template("synthesize/tools/review.html.j2").render(rows=shown, place=place)


def _verdicts(row: JSON) -> Iterable[JSON]:
    """Those that are not a pass."""
    for one in row.get("verdicts") or ():
        if isinstance(one, dict) and one.get("verdict") != "pass":
            yield {name: str(one.get(name) or "") for name in ("expert", "verdict", "evidence", "argument")}


def _bare(row: JSON) -> JSON:
    return {name: value for name, value in row.items() if name not in FIELDS}
