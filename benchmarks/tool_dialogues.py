"""Dialogues about given APIs: how many are made and fully checked in a CPU-second, and how many it takes to call every tool and parameter.

--api: a description of APIs, the sample that ships with the package by default. No model, one thread.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import Any

from harness import benchmark


def measure(quick: bool, api: str) -> dict[str, Any]:
    from luthier.synthesize.tools.apis import import_apis
    from luthier.synthesize.tools.checks import check
    from luthier.synthesize.tools.own_dialogues import own_dialogues

    tools = list(import_apis(api.split(",")))
    list(own_dialogues(300, tools, seed=1))  # patterns compiled, words loaded
    count, checked = (1000, 300) if quick else (6000, 2000)
    start = time.process_time()
    rows = list(own_dialogues(count, tools, seed=2))
    made = time.process_time()
    failed = sum(bool(check(row)) for row in rows[:checked])
    done = time.process_time()
    return {
        "api": api,
        "tools": len(tools),
        "made": len(rows),
        "a_second": len(rows) / (made - start),
        "checked_a_second": len(rows[:checked]) / (done - made),
        "failed": failed,
        "needed": _needed(tools),
    }


def _needed(tools: list[Any]) -> int | None:
    """Dialogues until every tool and every parameter was called; None where 5,000 are not enough."""
    from luthier.synthesize.tools.coverage import Coverage
    from luthier.synthesize.tools.own_dialogues import own_dialogues

    coverage = Coverage(tools)
    for number, row in enumerate(islice(own_dialogues(5000, tools), 5000), 1):
        coverage.add(row)
        if not number % 10 and not coverage.to_row()["missing"]:
            return number
    return None


def line(figures: dict[str, Any]) -> str:
    return (
        f"{figures['tools']} tools: {figures['a_second']:,.0f} dialogues a CPU-second, {figures['checked_a_second']:,.0f} fully checked "
        f"({figures['failed']} failed); every tool and parameter within {figures['needed']} dialogues"
    )


if __name__ == "__main__":
    benchmark("tool_dialogues", measure, line, __doc__, api="sample")
