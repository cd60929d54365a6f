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

    page: a module with `draw(run) -> Page` and `lines(run) -> list[str]`, what is said in a terminal, and perhaps `code(run) -> int`, the exit
    status of a run that was done. out: the run folder by default.
    """

    settings: str
    run: str
    page: str
    out: str


@dataclass(frozen=True)
class Question:
    """settings, answer: `module:name` of the settings class and of `answer(settings, progress) -> Told`.

    writes: whether it writes a file that its settings name, and refuses one that is there already unless it is told to replace it.
    """

    settings: str
    answer: str
    writes: bool = False


@dataclass(frozen=True)
class Own:
    """A click command of its own, `module:name`, and what it is for."""

    command: str


Command = RunCommand | Question | Own

GROUPS = {  # what the words before the last are for, and single words that need not be loaded to say so
    "run": "Run a whole flow: data, selection, training, evaluation, report.",
    "records": "Say what the readers make of files.",
    "models": "List, pull, show and check models.",
    "synthesize": "Make training data.",
    "tools": "Pools of tools: read, lint and count them; dialogues in other layouts.",
    "select": "Choose the rows of a pool that teach most; how redundant a pool is.",
    "train": "Fine-tune a model, plainly, towards flat minima, on preference pairs, or to infuse facts.",
    "decode": "Learn a temperature that knows when variety is wanted.",
    "generate": "Reply to prompts, at temperatures a head chooses.",
    "probe": "Look into a model: chains of thought, step by step; how sharp its minimum is.",
    "probe tree": "A small decision tree that tells wrong chains by how their confidence moves.",
    "search": "Search programs with a model: thoughts, programs, what execution says, better thoughts.",
    "serve": "Answer over HTTP, as OpenAI-compatible servers do.",
    "sandbox": "Run and judge model-written Python where it can harm and fake nothing.",
    "evaluate": "Score a model: function calling, programs, multiple choice, code retrieval, knowledge fusion. `luthier compare` tells two scores apart.",
    "evaluate retrieval": "Score retrievers on tasks of queries, documents and judgements.",
    "trace": "Follow learners, pupils or models: what they know, what comes next.",
    "export": "Write what was trained as others take it: merged, GGUF, Ollama, a card, the hub.",
    "compare": "Compare models or checkpoints on the items that both answered.",
    "doctor": "Look at this machine: what can be used, each lack with its cure.",
    "cache": "The cache of fetched and converted files, and emptying it.",
    "view": "Show all runs below a folder in a browser: listed, filtered, two side by side, row by row.",
    "report": "Draw the page of a run of any command, finished or not.",
}

COMMANDS: dict[str, Command] = {
    "run tools": RunCommand(
        "luthier.recipes.settings:ToolsSettings", "luthier.recipes.tools:run", "luthier.recipes.tools_page", "runs/tools"
    ),
    "records check": Question("luthier.recipes.record_check:CheckSettings", "luthier.recipes.record_check:answer"),
    "models list": Own("luthier.cli.models:list_models"),
    "models pull": Own("luthier.cli.models:pull"),
    "models show": Own("luthier.cli.models:show"),
    "models check": Question("luthier.models.check:CheckSettings", "luthier.models.check:answer"),
    "models parity": Question("luthier.models.parity:ParitySettings", "luthier.models.parity:answer"),
    "synthesize tools": RunCommand(
        "luthier.synthesize.tools.settings:DialogueSettings",
        "luthier.synthesize.tools.runs:run",
        "luthier.synthesize.tools.page",
        "runs/dialogues",
    ),
    "synthesize complexity": RunCommand(
        "luthier.synthesize.tools.complexity_settings:ComplexitySettings",
        "luthier.synthesize.tools.complexity_runs:run",
        "luthier.synthesize.tools.complexity_page",
        "runs/complexity",
    ),
    "synthesize pairs": RunCommand(
        "luthier.synthesize.pairs.settings:PairSettings", "luthier.synthesize.pairs.runs:run", "luthier.synthesize.pairs.page", "runs/pairs"
    ),
    "synthesize fusion": RunCommand(
        "luthier.synthesize.fusion.settings:FusionSettings", "luthier.recipes.suite:run", "luthier.synthesize.fusion.page", "runs/fusion"
    ),
    "tools import": Question(
        "luthier.synthesize.tools.pool_settings:ImportSettings", "luthier.synthesize.tools.pool_answers:import_pool", writes=True
    ),
    "tools evolve": RunCommand(
        "luthier.synthesize.tools.pool_settings:EvolveSettings",
        "luthier.synthesize.tools.evolution_runs:run",
        "luthier.synthesize.tools.evolution_page",
        "runs/evolve",
    ),
    "tools lint": Question("luthier.synthesize.tools.pool_settings:LintSettings", "luthier.synthesize.tools.pool_answers:lint_tools"),
    "tools stats": Question("luthier.synthesize.tools.pool_settings:StatsSettings", "luthier.synthesize.tools.pool_answers:count_tools"),
    "tools export": Question(
        "luthier.synthesize.tools.pool_settings:ExportSettings", "luthier.synthesize.tools.pool_answers:export_dialogues", writes=True
    ),
    "tools review": Question("luthier.synthesize.tools.pool_settings:ReviewSettings", "luthier.synthesize.tools.reviews:review"),
    "select run": RunCommand("luthier.select.settings:SelectionSettings", "luthier.select.runs:run", "luthier.select.page", "runs/select"),
    "select compare": RunCommand(
        "luthier.select.settings:ComparisonSettings", "luthier.select.runs:compare", "luthier.select.comparison_page", "runs/select-compare"
    ),
    "select ratio": Question("luthier.select.settings:RatioSettings", "luthier.select.answers:ratio"),
    "select explain": Question("luthier.select.settings:ExplainSettings", "luthier.select.answers:explain"),
    "select law": Question("luthier.select.settings:LawSettings", "luthier.select.law_page:law", writes=True),
    "train sft": RunCommand("luthier.train.settings:SftRunSettings", "luthier.train.runs:run", "luthier.train.page", "runs/sft"),
    "train preference": RunCommand(
        "luthier.train.settings:PreferenceRunSettings",
        "luthier.train.preference.runs:run",
        "luthier.train.preference.page",
        "runs/preference",
    ),
    "train infuse": RunCommand(
        "luthier.train.settings:InfusionRunSettings", "luthier.train.infusion:run", "luthier.train.infusion_page", "runs/infusion"
    ),
    "decode label": RunCommand(
        "luthier.decode.settings:LabelSettings", "luthier.decode.runs:label", "luthier.decode.label_page", "runs/decode/labels"
    ),
    "decode fit": RunCommand("luthier.decode.settings:FitSettings", "luthier.decode.runs:fit", "luthier.decode.page", "runs/decode/head"),
    "decode compare": RunCommand(
        "luthier.decode.settings:ComparisonSettings",
        "luthier.decode.comparison:run",
        "luthier.decode.comparison_page",
        "runs/decode/compare",
    ),
    "decode chat": Own("luthier.cli.chat:command"),
    "decode export": Question("luthier.decode.settings:ExportSettings", "luthier.decode.replies:export", writes=True),
    "generate": Question("luthier.decode.settings:GenerateSettings", "luthier.decode.replies:generate", writes=True),
    "probe run": RunCommand("luthier.probe.settings:ProbeSettings", "luthier.probe.runs:run", "luthier.probe.page", "runs/probe"),
    "probe online": RunCommand(
        "luthier.probe.settings:OnlineSettings", "luthier.probe.early_exit:run", "luthier.probe.early_exit_page", "runs/probe-online"
    ),
    "probe tree fit": Question("luthier.probe.settings:TreeFitSettings", "luthier.probe.judging:fit_tree", writes=True),
    "probe tree apply": Question("luthier.probe.settings:TreeApplySettings", "luthier.probe.judging:apply_tree", writes=True),
    "probe select": Question("luthier.probe.settings:ChoosingSettings", "luthier.probe.judging:choose_chains", writes=True),
    "probe export": Question("luthier.probe.settings:ExportSettings", "luthier.probe.judging:inspect_log", writes=True),
    "probe sharpness": RunCommand(
        "luthier.train.settings:SharpnessSettings", "luthier.train.runs:run_sharpness", "luthier.train.sharpness_page", "runs/sharpness"
    ),
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
    "evaluate fusion": RunCommand(
        "luthier.evaluate.fusion.settings:FusionEvaluationSettings",
        "luthier.evaluate.fusion.runs:run",
        "luthier.evaluate.fusion.page",
        "runs/fusion-scores",
    ),
    "evaluate retrieval run": RunCommand(
        "luthier.evaluate.retrieval.settings:RetrievalSettings",
        "luthier.evaluate.retrieval.runs:run",
        "luthier.evaluate.retrieval.page",
        "runs/retrieval",
    ),
    "evaluate retrieval build": RunCommand(
        "luthier.evaluate.retrieval.settings:BuildSettings",
        "luthier.evaluate.retrieval.build.building:run",
        "luthier.evaluate.retrieval.build.page",
        "runs/task",
    ),
    "evaluate retrieval train": RunCommand(
        "luthier.recipes.retriever:RetrieverTrainingSettings",
        "luthier.recipes.retriever:run",
        "luthier.recipes.retriever_page",
        "runs/retriever",
    ),
    "evaluate retrieval audit": Question("luthier.evaluate.retrieval.settings:AuditSettings", "luthier.evaluate.retrieval.audit:answer"),
    "evaluate retrieval compare": Question(
        "luthier.evaluate.retrieval.settings:ComparisonSettings", "luthier.evaluate.retrieval.compare:answer"
    ),
    "evaluate retrieval search": Question(
        "luthier.evaluate.retrieval.settings:SearchSettings", "luthier.evaluate.retrieval.look:answer_search"
    ),
    "evaluate retrieval export": Question(
        "luthier.evaluate.retrieval.settings:ExportSettings", "luthier.evaluate.retrieval.look:answer_export", writes=True
    ),
    "trace import": RunCommand(
        "luthier.trace.settings:ImportSettings", "luthier.trace.runs:import_answers", "luthier.trace.answers_page", "runs/trace-import"
    ),
    "trace fit": RunCommand("luthier.trace.settings:TrainingSettings", "luthier.trace.runs:fit", "luthier.trace.fit_page", "runs/trace"),
    "trace evaluate": RunCommand(
        "luthier.trace.settings:EvaluationSettings", "luthier.trace.runs:evaluate", "luthier.trace.evaluation_page", "runs/trace-evaluation"
    ),
    "trace mastery": RunCommand(
        "luthier.trace.settings:MasterySettings", "luthier.trace.learners:run", "luthier.trace.learners_page", "runs/trace-mastery"
    ),
    "trace recommend": Question("luthier.trace.settings:AdviceSettings", "luthier.trace.learners:recommend_items"),
    "trace explain": Question("luthier.trace.settings:ExplanationSettings", "luthier.trace.learners:explain_item"),
    "trace relate": RunCommand(
        "luthier.trace.settings:RelateSettings", "luthier.trace.relate:run", "luthier.trace.relate_page", "runs/trace-relations"
    ),
    "trace export": Question("luthier.trace.settings:ExportSettings", "luthier.trace.learners:export_step", writes=True),
    "trace serve": Own("luthier.cli.trace:serve"),
    "trace models": RunCommand(
        "luthier.trace.settings:ModelsSettings", "luthier.trace.models:run", "luthier.trace.models_page", "runs/trace-models"
    ),
    "compare": RunCommand(
        "luthier.trace.compare:CompareSettings", "luthier.trace.compare:run", "luthier.trace.compare_page", "runs/compare"
    ),
    "search run": RunCommand("luthier.search.commands:SearchRunSettings", "luthier.search.runs:run", "luthier.search.page", "runs/search"),
    "search compare": RunCommand(
        "luthier.search.commands:SearchCompareSettings",
        "luthier.search.runs:compare",
        "luthier.search.comparison_page",
        "runs/search-compare",
    ),
    "search export": Question("luthier.search.commands:SearchExportSettings", "luthier.search.exporting:export", writes=True),
    "search repair": RunCommand(
        "luthier.search.repairing:RepairSettings", "luthier.search.repairing:run", "luthier.search.repair_page", "runs/search-repair"
    ),
    "serve chat": Own("luthier.cli.serve:chat"),
    "serve search": Own("luthier.cli.serve:search"),
    "sandbox doctor": Question("luthier.sandbox.settings:DoctorSettings", "luthier.sandbox.answers:doctor"),
    "sandbox run": Question("luthier.sandbox.settings:ScriptSettings", "luthier.sandbox.answers:script"),
    "sandbox judge": Question("luthier.sandbox.settings:JudgeSettings", "luthier.sandbox.answers:judge", writes=True),
    "sandbox attack": Question("luthier.sandbox.settings:AttackSettings", "luthier.sandbox.answers:attack"),
    "export": Question("luthier.models.export:ExportSettings", "luthier.models.export:answer"),
    "doctor": Question("luthier.recipes.doctor:DoctorSettings", "luthier.recipes.doctor:doctor"),
    "cache": Question("luthier.recipes.doctor:CacheSettings", "luthier.recipes.doctor:cache"),
    "report": Own("luthier.cli.report:command"),
    "view": Own("luthier.cli.view:command"),
}


def load(place: str) -> Any:
    """What `module:name` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
