"""The table of commands: a settings class, the function that works on it, and the page that shows what came of it.

A command is its words. One that keeps a run folder is a `RunCommand`; one that answers at once is a `Question`; the few that talk
with people or serve are click commands of their own.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunCommand:
    """settings, run: `module:name` of the settings class and of `run(settings, out, progress) -> Run`.

    page: a module with `draw(run) -> Page` and `lines(run) -> list[str]`, what is said in a terminal. out: the run folder by default.
    """

    settings: str
    run: str
    page: str
    out: str


@dataclass(frozen=True)
class Question:
    """settings, answer: `module:name` of the settings class and of `answer(settings, progress) -> Told`."""

    settings: str
    answer: str


@dataclass(frozen=True)
class Own:
    """A click command of its own, `module:name`, and what it is for."""

    command: str


Command = RunCommand | Question | Own

GROUPS = {
    "run": "Run a whole flow: data, selection, training, evaluation, report.",
    "models": "List, pull and show models.",
    "synthesize": "Make training data.",
    "select": "Choose the rows of a pool that teach most; how redundant a pool is.",
    "train": "Fine-tune a model, plainly, towards flat minima, on preference pairs, or to infuse facts.",
    "decode": "Learn a temperature that knows when variety is wanted.",
    "probe": "Look into a model: chains of thought, step by step; how sharp its minimum is.",
    "probe tree": "A small decision tree that tells wrong chains by how their confidence moves.",
    "sandbox": "Run and judge model-written Python where it can harm and fake nothing.",
    "evaluate": "Score a model: function calling, programs, multiple choice, code retrieval, knowledge fusion.",
    "evaluate retrieval": "Score retrievers on tasks of queries, documents and judgements.",
    "trace": "Follow learners, pupils or models: what they know, what comes next.",
}

COMMANDS: dict[str, Command] = {
    "run tools": Own("luthier.cli.run:tools"),
    "models list": Own("luthier.cli.models:list_models"),
    "models pull": Own("luthier.cli.models:pull"),
    "models show": Own("luthier.cli.models:show"),
    "synthesize tools": RunCommand(
        "luthier.synthesize.tools.settings:DialogueSettings",
        "luthier.synthesize.tools.runs:run",
        "luthier.synthesize.tools.page",
        "runs/dialogues",
    ),
    "synthesize pairs": RunCommand(
        "luthier.synthesize.pairs.settings:PairSettings", "luthier.synthesize.pairs.runs:run", "luthier.synthesize.pairs.page", "runs/pairs"
    ),
    "synthesize fusion": Own("luthier.cli.fusion:synthesize_fusion"),
    "select": Own("luthier.cli.select:command"),
    "train sft": Own("luthier.cli.train:sft"),
    "train preference": Own("luthier.cli.train:preference"),
    "train infuse": Own("luthier.cli.fusion:infuse"),
    "decode": Own("luthier.cli.decode:command"),
    "generate": Own("luthier.cli.generate:command"),
    "probe run": RunCommand("luthier.probe.settings:ProbeSettings", "luthier.probe.runs:run", "luthier.probe.page", "runs/probe"),
    "probe online": RunCommand(
        "luthier.probe.settings:OnlineSettings", "luthier.probe.early_exit:run", "luthier.probe.early_exit_page", "runs/probe-online"
    ),
    "probe tree fit": Question("luthier.probe.settings:TreeFitSettings", "luthier.probe.judging:fit_tree"),
    "probe tree apply": Question("luthier.probe.settings:TreeApplySettings", "luthier.probe.judging:apply_tree"),
    "probe select": Question("luthier.probe.settings:ChoosingSettings", "luthier.probe.judging:choose_chains"),
    "probe export": Question("luthier.probe.settings:ExportSettings", "luthier.probe.judging:inspect_log"),
    "probe sharpness": Own("luthier.cli.probe:sharpness"),
    "evaluate tools": RunCommand(
        "luthier.evaluate.settings:ToolsEvaluationSettings",
        "luthier.evaluate.runs:run_tools",
        "luthier.evaluate.tools_page",
        "runs/tools-scores",
    ),
    "evaluate choice": RunCommand(
        "luthier.evaluate.settings:ChoiceSettings", "luthier.evaluate.runs:run_choice", "luthier.evaluate.choice_page", "runs/choice"
    ),
    "evaluate code": RunCommand(
        "luthier.evaluate.settings:CodeSettings", "luthier.evaluate.code_runs:run_code", "luthier.evaluate.code_page", "runs/code"
    ),
    "evaluate fusion": Own("luthier.cli.fusion:evaluate_fusion"),
    "evaluate retrieval": Own("luthier.cli.retrieval:command"),
    "trace": Own("luthier.cli.trace:command"),
    "sandbox doctor": Question("luthier.sandbox.settings:DoctorSettings", "luthier.sandbox.answers:doctor"),
    "sandbox run": Question("luthier.sandbox.settings:ScriptSettings", "luthier.sandbox.answers:script"),
    "sandbox judge": Question("luthier.sandbox.settings:JudgeSettings", "luthier.sandbox.answers:judge"),
    "sandbox attack": Question("luthier.sandbox.settings:AttackSettings", "luthier.sandbox.answers:attack"),
    "report": Own("luthier.cli.report:command"),
}


def load(place: str) -> Any:
    """What `module:name` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
