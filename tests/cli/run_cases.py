"""The least that each command of the table can run on: words of a command line, made of small files and a random model."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from command import luthier
from fusion_catalogue import write_catalogue
from luthier.records import write_jsonl
from model_answers import planted
from preference_rows import ROWS
from retrieval_tasks import static_folder

COLOURS = ("red", "green", "blue", "grey")
SKILLS = ("adding numbers", "adding fractions", "drawing graphs")


class Materials:
    """Small files below a folder, each made when it is first asked for."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model

    def rows(self, name: str, rows: list[Any]) -> Path:
        write_jsonl(self.folder / name, rows)
        return self.folder / name

    @cached_property
    def adapter(self) -> Path:
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        place = self.folder / "adapter"
        base = AutoModelForCausalLM.from_pretrained(self.model)
        get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "v_proj"])).save_pretrained(place)
        return place

    @cached_property
    def encoder(self) -> Path:
        words = [f"{letter}{number}" for letter in "vw" for number in range(60)]
        return static_folder(self.folder / "encoder", ["adding", "numbers", "fractions", "drawing", "graphs", "question", *words], 24)

    @cached_property
    def questions(self) -> Path:
        return self.rows(
            "colours.jsonl",
            [
                {
                    "question": f"Which colour has number {number}?",
                    "options": list(COLOURS),
                    "answer": COLOURS[number % 4],
                    "solution": f"We count to {number} here.\nThe answer is {COLOURS[number % 4]}",
                }
                for number in range(6)
            ],
        )

    @cached_property
    def problems(self) -> Path:
        prompts = {"double": "def double(x):\n", "half": "def half(x):\n"}
        tests = {"double": "assert double(2) == 4", "half": "assert half(2) == 1"}
        return self.rows(
            "problems.jsonl",
            [{"task_id": name, "prompt": text, "entry_point": name, "test": tests[name]} for name, text in prompts.items()],
        )

    @cached_property
    def searched(self) -> Path:
        row = {"task_id": "double", "prompt": "def double(x):\n", "entry_point": "double", "test": "assert double(2) == 4"}
        return self.rows("searched.jsonl", [{**row, "given_tests": ["assert double(1) == 2"]}])

    @cached_property
    def repository(self) -> Path:
        place = self.folder / "repository"
        (place / "tests").mkdir(parents=True)
        (place / "sums.py").write_text("def total(values):\n    return sum(values) + 1\n")
        (place / "tests" / "test_sums.py").write_text("from sums import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n")
        return place

    @cached_property
    def conversations(self) -> Path:
        talk = [
            [{"role": "user", "content": f"Paint {n}"}, {"role": "assistant", "content": f"The answer is {COLOURS[n % 4]}."}]
            for n in range(12)
        ]
        return self.rows("talks.jsonl", [{"messages": messages, "source": f"s{n % 2}"} for n, messages in enumerate(talk)])

    @cached_property
    def pairs(self) -> Path:
        return self.rows("pairs.jsonl", ROWS)

    @cached_property
    def documents(self) -> Path:
        return write_catalogue(self.folder / "devices.jsonl", 40)

    @cached_property
    def suite(self) -> Path:
        out = self.folder / "suite"
        luthier("synthesize", "fusion", self.documents, "--subject", "device", "--per-scenario", 4, "--out", out, "--quiet")
        return out

    @cached_property
    def task(self) -> Path:
        draw = random.Random(2)
        words = [" ".join(f"w{number}" for number in draw.sample(range(60), 5)) for _ in range(40)]
        rows = self.rows("asked.jsonl", [{"query": text, "document": text.replace("w", "v")} for text in words])
        out = self.folder / "task"
        luthier("evaluate", "retrieval", "build", "pairs", rows, "--train", 0.5, "--near", "keep", "--out", out, "--quiet")
        return out

    @cached_property
    def answers(self) -> Path:
        draw = random.Random(0)
        rows = [
            {
                "learner": f"p{learner}",
                "item": f"{skill} question {n}",
                "correct": draw.randrange(2),
                "timestamp": time,
                "concepts": [skill],
            }
            for learner in range(40)
            for time, (skill, n) in enumerate((draw.choice(SKILLS), draw.randrange(4)) for _ in range(12))
        ]
        return self.rows("answers.jsonl", rows)

    @cached_property
    def tracer(self) -> Path:
        luthier("trace", *fit(self), "--out", self.folder / "fitted", "--quiet")
        return self.folder / "fitted" / "tracer"

    @cached_property
    def labels(self) -> Path:
        out = self.folder / "labels"
        luthier("decode", *label(self), "--out", out, "--quiet")
        return out / "labels.jsonl"

    @cached_property
    def head(self) -> Path:
        out = self.folder / "head"
        luthier("decode", "fit", self.labels, "--model", self.model, "--folds", 3, "--along", 0, "--out", out, "--quiet")
        return out

    @cached_property
    def results(self) -> Path:
        return self.rows("results.jsonl", planted(12, 40, concepts=2, spread=0.4).log.rows())

    @cached_property
    def mistakes(self) -> Path:
        """Pairs whose answers are known, to be bridged."""
        asked = [{"role": "user", "content": "Which colour?"}]
        said = [[{"role": "assistant", "content": f"I think.\nThe answer is {colour}"}] for colour in COLOURS]
        rows = [{"prompt": asked, "chosen": said[n % 4], "rejected": said[(n + 1) % 4], "answer": COLOURS[n % 4]} for n in range(6)]
        return self.rows("mistakes.jsonl", rows)

    @cached_property
    def api(self) -> Path:
        schema = {"type": "object", "properties": {"city": {"type": "string", "description": "City."}}, "required": ["city"]}
        tools = [
            {"name": f"find_{noun}", "description": f"Finds every {noun} in a city.", "inputSchema": schema}
            for noun in ("hotel", "boat", "pilot")
        ]
        import json

        (self.folder / "mcp.json").write_text(json.dumps({"tools": tools}))
        return self.folder / "mcp.json"


def fit(at: Materials) -> list[Any]:
    return ["fit", at.answers, "--encoder", at.encoder, "--dim", 8, "--epochs", 2, "--least", 2]


def label(at: Materials) -> list[Any]:
    return ["label", "--chat", 6, "--facts", 6, "--m", 2, "--max-tokens", 4, "--model", at.model]


CASES: dict[str, Callable[[Materials], list[Any]]] = {
    "probe run": lambda at: [at.questions, "--model", at.model, "--adapter", at.adapter, "--max-tokens", 24],
    "probe online": lambda at: [at.questions, "--model", at.model, "--max-tokens", 24],
    "probe sharpness": lambda at: [at.adapter, at.conversations, "--model", at.model, "--draws", 1, "--sigma", 0.1],
    "evaluate choice": lambda at: [at.questions, "--model", at.model, "--adapter", at.adapter],
    "evaluate tools": lambda at: ["--model", at.model, "--items", 2, "--decoding", "free"],
    "evaluate code": lambda at: [at.problems, "--model", at.model, "-n", 2, "--max-tokens", 8],
    "search run": lambda at: [at.searched, "--model", at.model, "--budget", "4 calls", "--max-tokens", 8, "--thoughts", 2],
    "search compare": lambda at: [
        at.searched,
        "--model",
        at.model,
        "--strategies",
        "best-of-n,single",
        "--budget",
        "2 calls",
        "--max-tokens",
        8,
    ],
    "search repair": lambda at: [
        "tests/test_sums.py::test_total",
        "--root",
        at.repository,
        "--model",
        at.model,
        "--budget",
        "2 calls",
        "--strategy",
        "best-of-n",
        "--max-tokens",
        8,
    ],
    "evaluate fusion": lambda at: [at.suite, "--model", "scripted:reader", "--limit", 3],
    "evaluate retrieval run": lambda at: [at.task, "--model", at.encoder, "--model", "bm25"],
    "evaluate retrieval build": lambda at: ["doc2code", Path(__file__).parents[2] / "src" / "luthier" / "statistics"],
    "evaluate retrieval train": lambda at: [at.task, "--base", at.encoder, "--epochs", 1],
    "synthesize tools": lambda at: ["--api", at.api, "--count", 12],
    "synthesize complexity": lambda at: [at.conversations, "--model", at.model, "--limit", 4, "--prior", 2],
    "tools evolve": lambda at: ["sample", "--count", 8],
    "synthesize pairs": lambda at: [at.mistakes, "--bridge", "answer-swap"],
    "synthesize fusion": lambda at: [at.documents, "--subject", "device", "--per-scenario", 4],
    "select run": lambda at: [at.conversations, "--budget", "4 rows", "--noise", 0, "--near", 0],
    "select compare": lambda at: [
        at.conversations,
        "--budget",
        "4 rows",
        "--noise",
        0,
        "--near",
        0,
        "--method",
        "random",
        "--method",
        "zip",
    ],
    "train sft": lambda at: [at.conversations, "--model", at.model, "--epochs", 1],
    "train preference": lambda at: [at.pairs, "--model", at.model, "--epochs", 1],
    "train infuse": lambda at: [
        at.suite,
        "--model",
        at.model,
        "--set",
        "continued.num_train_epochs=1",
        "--set",
        "supervised.num_train_epochs=1",
    ],
    "decode label": lambda at: label(at)[1:],
    "decode fit": lambda at: [at.labels, "--model", at.model, "--folds", 3, "--along", 0],
    "decode compare": lambda at: [
        at.head,
        "--labels",
        at.labels,
        "--model",
        at.model,
        "--m",
        2,
        "--max-tokens",
        4,
        "--limit",
        6,
        "--extra",
        0,
    ],
    "trace import": lambda at: [at.answers],
    "trace fit": lambda at: fit(at)[1:],
    "trace evaluate": lambda at: [*fit(at)[1:], "--resamples", 20],
    "trace mastery": lambda at: [at.tracer, at.answers],
    "trace relate": lambda at: [at.answers, "--model", at.model, "--encoder", at.encoder],
    "compare": lambda at: [at.results],
    "trace models": lambda at: [at.results, "--ask", 10, "--embedder", "none"],
}
ELSEWHERE = {"run tools": "tests/recipes/test_tools_flow.py runs it with the bundled model"}
