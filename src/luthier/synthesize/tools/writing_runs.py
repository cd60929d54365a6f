"""The steps of `luthier synthesize tools` in which a model speaks: it words the requests, plays the agents, or judges. Each keeps its answers in a journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from luthier.errors import MissingFileError
from luthier.models.protocol import LanguageModel
from luthier.progress import Progress
from luthier.records import JSON, Conversation, read_conversations, write_jsonl
from luthier.synthesize.tools.page import CHECKED, DIALOGUES, POOL, REVIEW
from luthier.synthesize.tools.pool import ToolPool
from luthier.synthesize.tools.settings import DialogueSettings

ANSWERS, WORDED, JUDGEMENTS = "answers.jsonl", "worded.jsonl", "judge_answers.jsonl"
RULED, OPEN, FAILED = "passed_rules.jsonl", "open.jsonl", "failed_experts.jsonl"


class Opened:
    """A model that is opened when it is first asked: where all is recorded it never is."""

    def __init__(self, opening: Any) -> None:
        self._opening = opening
        self._model: LanguageModel | None = None

    def __call__(self) -> LanguageModel:
        self._model = self._model or self._opening()
        return self._model


def word_all(settings: DialogueSettings, total: int, model: Opened, out: Path, progress: Progress) -> JSON:
    """The requests of all dialogues in the writer's words, where every value survives; what did not is counted by reason."""
    from luthier.synthesize.tools.rewording import reworded
    from luthier.synthesize.tools.writing import recorded

    progress.step("Saying requests in other words", total)
    counts: Counter[str] = Counter()
    with recorded(model, _answers(settings, out), settings.spending, replay=settings.replay is not None) as writer:
        rows = list(read_conversations(out / DIALOGUES))
        made = writer.write((reworded(row, settings.seed) for row in rows), ended=lambda *_: progress.advance())
        texts = {row.messages[0].content for row in rows}
        kept: list[Conversation] = []
        for row, one in zip(rows, made, strict=True):
            counts.update(one.counts)
            other = one.conversation or row
            text = other.messages[0].content
            if other.extra.get("worded") == "model" and text in texts:
                counts.update({"model": -1, "template": 1, "not taken: another dialogue says it": 1})
                kept.append(replace(row, extra={**row.extra, "worded": "template"}))
                continue
            texts.add(text)
            kept.append(other)
        account = writer.to_row()
    write_jsonl(out / WORDED, (row.to_row() for row in kept))
    said = {name: counts.pop(name, 0) for name in ("model", "template")}
    return {"dialogues": len(kept), **said, "reasons": dict(counts.most_common()), "writer": account}


def play_all(settings: DialogueSettings, own: int, model: Opened, out: Path, progress: Progress) -> JSON:
    """Dialogues by user, assistant and tool agents about the user's own tools; what was dropped is counted by reason."""
    from luthier.synthesize.tools.agents import dialogue
    from luthier.synthesize.tools.briefs import SHARES, briefs
    from luthier.synthesize.tools.type_shares import with_shares
    from luthier.synthesize.tools.writing import recorded

    progress.step("Dialogues by agents", settings.count)
    tools = list(islice(ToolPool.read(out / POOL), own))
    counts: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    types: Counter[str] = Counter()
    with ExitStack() as stack:
        writer = stack.enter_context(recorded(model, _answers(settings, out), settings.spending, replay=settings.replay is not None))
        executor = _executor(settings, stack)
        shares = with_shares(SHARES, settings.told_shares)
        drawn = briefs(settings.count, tools, seed=settings.seed, turns=settings.turns, shares=shares, least=settings.each)
        talks = (dialogue(brief, executor(brief.tools, brief.seed), structured=writer.structured) for brief in drawn)
        kept: list[Conversation] = []
        texts: set[str | None] = set()
        for one in writer.write(talks, ended=lambda *_: progress.advance()):
            counts.update(one.counts)
            if one.conversation is None:
                dropped[one.dropped] += 1
            elif one.conversation.messages[0].content in texts:
                dropped["the request was made before"] += 1
            else:
                texts.add(one.conversation.messages[0].content)
                types[one.conversation.extra["type"]] += 1
                kept.append(_answered(one.conversation, settings.executor))
        account = writer.to_row()
    made = write_jsonl(out / DIALOGUES, (row.to_row() for row in kept))
    told: JSON = {"made": made, "real": made, "types": dict(types), "wanted": settings.count}
    return {**told, "dropped": dict(dropped.most_common()), "counts": dict(counts.most_common()), "writer": account}


def judge_all(settings: DialogueSettings, pool: JSON, model: Opened, out: Path, progress: Progress) -> JSON:
    """What the rules leave open is asked of the experts: passed, failed, or for a person to look at (`review.jsonl`)."""
    from luthier.synthesize.tools.checks import check
    from luthier.synthesize.tools.coverage import Coverage
    from luthier.synthesize.tools.experts import Judged, judged
    from luthier.synthesize.tools.writing import recorded

    rows = [*read_conversations(out / RULED), *read_conversations(out / OPEN)]
    progress.step("Asking the experts", len(rows))
    own = list(islice(ToolPool.read(out / POOL), pool["own"])) if pool["own"] else []
    stated = {tool.name: tool for tool in own}
    coverage, types = Coverage(own, pool["left_out"]), Counter[str]()
    verdicts: Counter[str] = Counter()
    asked = 0

    def talk(row: Conversation, *, structured: bool) -> Generator[Any, Any, Judged]:
        seen = replace(row, tools=tuple(stated.get(tool.name, tool) for tool in row.tools))
        if settings.given:
            seen = replace(seen, extra={"answered": "given", **seen.extra})
        return judged(seen, check(row), settings.seed, structured=structured)

    with recorded(model, out / JUDGEMENTS, settings.spending) as writer:
        ways = partial(talk, structured=writer.structured)
        found: list[Judged] = writer.write(map(ways, rows), ended=lambda *_: progress.advance())
        account = writer.to_row()
    sorted_rows: dict[str, list[JSON]] = {"pass": [], "fail": [], "unsure": []}
    for row, one in zip(rows, found, strict=True):
        asked += bool(one.verdicts)
        verdicts.update(f"{each.expert}: {each.verdict}" for each in one.verdicts)
        told: JSON = {"verdicts": [each.to_row() for each in one.verdicts]} if one.verdicts else {}
        if one.outcome == "pass":
            coverage.add(row)
            types[str(row.extra.get("type") or "without a type")] += 1
        waiting: JSON = {"accepted": None} if one.outcome == "unsure" else {}
        sorted_rows[one.outcome].append({**waiting, **row.to_row(), **told})
    passed, failed, unsure = (
        write_jsonl(out / name, sorted_rows[kind]) for name, kind in ((CHECKED, "pass"), (FAILED, "fail"), (REVIEW, "unsure"))
    )
    counts: JSON = {
        "dialogues": len(rows),
        "asked_about": asked,
        "passed": passed,
        "failed": failed,
        "unsure": unsure,
        "types": dict(types),
    }
    counts |= {"coverage": coverage.to_row()} if own else {}
    return {**counts, "verdicts": dict(verdicts.most_common()), "judge": account}


def _answers(settings: DialogueSettings, out: Path) -> Path:
    return Path(settings.replay) if settings.replay else out / ANSWERS


def _executor(settings: DialogueSettings, stack: ExitStack) -> Any:
    """A function of (tools, seed) that gives the executor of one dialogue."""
    from luthier.synthesize.tools import executors

    if settings.executor == "told":
        return executors.told
    if settings.functions is None:
        return executors.mocked
    from luthier.sandbox import Sandbox

    try:
        program = Path(settings.functions).read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        raise MissingFileError(f"{settings.functions}: cannot be read as Python ({problem})") from None
    box = stack.enter_context(Sandbox())
    return lambda tools, seed: executors.sandboxed(box, program, tools)


def _answered(conversation: Conversation, executor: str) -> Conversation:
    if not any(message.role == "tool" for message in conversation.messages):
        return conversation
    return replace(conversation, extra={**conversation.extra, "answered": executor})


def model_steps(names: Iterable[str]) -> list[str]:
    """The settings that a step with the writer depends on."""
    return [*names, "writer", "endpoint", "engine", "budget", "replay", "dtype", "quantize"]
