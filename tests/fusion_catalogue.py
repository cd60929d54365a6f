"""A catalogue of invented devices for the tests of knowledge fusion: dated rows with dates, numbers, versions and names."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from random import Random

from luthier.records import JSON, write_jsonl

MAKERS = ("Acme", "Bolt", "Corvid", "Dynamo", "Ember", "Fjord", "Gale", "Helix")
COLUMNS = ("release date", "weight", "firmware", "maker")


def catalogue(count: int, seed: int = 0, lines: Sequence[str] = ("Nova", "Orion", "Vega", "Lyra")) -> list[JSON]:
    """So many devices, released from 2020 to 2025, each with four attributes; some cells are missing."""
    draw = Random(seed)
    rows: list[JSON] = []
    for number in range(count):
        day = datetime.date(2020, 1, 1) + datetime.timedelta(days=draw.randrange(2190))
        rows.append(
            {
                "device": f"{draw.choice(lines)} {draw.choice('ABCDEFGH')}{number}",
                "date": day.isoformat(),
                "release date": day.isoformat(),
                "weight": f"{draw.randrange(80, 900)} g",
                "firmware": f"{draw.randrange(1, 9)}.{draw.randrange(20)}.{draw.randrange(1000)}",
                "maker": draw.choice(MAKERS) if draw.random() < 0.9 else "",
            }
        )
    return rows


def write_catalogue(path: Path, count: int, seed: int = 0) -> Path:
    write_jsonl(path, catalogue(count, seed))
    return path
