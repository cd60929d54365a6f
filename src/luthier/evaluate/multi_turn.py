"""Scores a model on BFCL's multi-turn dialogues: it answers, its calls run on the simulated APIs, what these answer goes back to it, turn by turn.

As in the benchmark, a turn ends with an answer in which no call is read, and a dialogue that takes more than 20 steps in a turn ends
there. Many dialogues run side by side, so that their answers are drawn in one batch. Each answer goes to a journal, from which a stopped
evaluation finds the same dialogues again, with the same batches.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.errors import SettingsError
from luthier.evaluate.bfcl_results import REGISTERED
from luthier.evaluate.bfcl_simulators import simulators
from luthier.evaluate.multi_turn_verdicts import DialogueVerdict, ReadStep, official_dialogue, read_step, strict_dialogue
from luthier.evaluate.settings import Decoding
from luthier.evaluate.tools import MOST_CALLS, Score, check_prompts, scores
from luthier.models import Completion, LanguageModel, Prompt, Sampling
from luthier.models.asking import Talk, side_by_side
from luthier.models.grammar import calls_grammar
from luthier.records import JSON, Message, Tool, ToolCall
from luthier.records.bfcl_multi_turn import MultiTurnItem
from luthier.records.journal import Journal

MOST_STEPS = 20  # of a turn, as in the benchmark
STEP_TOKENS = 256  # of one answer; the true calls of 99 turns in 100 are written in 100, and where they take more there is more
AT_ONCE = 8  # with few, little is lost when a run is stopped within a batch
FIELDS = ("id", "category", "decoding")  # that every row of answers has
STEP_FIELDS = ("id", "decoding", "turn", "step")  # that every row of steps has
SHOWN = 300  # characters of what a tool answers in the text of a dialogue
NO_ANSWER = "no answer to a prompt that the model has no room for, or refuses"


@dataclass(frozen=True)
class Step:
    """What a dialogue waits for: the answer to a prompt. turn, step: from 0."""

    item: MultiTurnItem
    decoding: Decoding
    turn: int
    step: int
    prompt: Prompt

    @property
    def place(self) -> tuple[str, str, int, int]:
        return self.decoding, self.item.id, self.turn, self.step


@dataclass(frozen=True)
class Dialogue:
    """A dialogue as it went. turns: the answers of each; results: what the tools answered to each of them. refused: why it could not go on."""

    item: MultiTurnItem
    decoding: Decoding
    turns: tuple[tuple[ReadStep, ...], ...]
    results: tuple[tuple[tuple[str, ...], ...], ...]
    refused: str = ""


def evaluate_multi_turn(
    model: LanguageModel,
    items: Sequence[MultiTurnItem],
    journal: Path,
    steps: Path,
    *,
    decodings: Sequence[Decoding] = ("free", "constrained"),
    form: str = "brackets",
    max_tokens: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Score]:
    """Hold and judge every dialogue under every decoding. journal: judged dialogues; steps: every answer, which is not asked for again.

    form: that calls under a grammar are written in, of `grammar.FORMS`. max_tokens: of one answer; where left out, enough for the true calls. Raises
    EngineError where the engine cannot follow a grammar and a decoding needs one, and where a prompt does not name a tool on offer; SettingsError where a journal holds another model's answers.
    """
    check_prompts(model, items)
    pairs = [(item, decoding) for item in items for decoding in decodings]
    with Journal(journal, FIELDS) as rows, Journal(steps, STEP_FIELDS) as kept:
        for path, name in [(journal, row.get("model")) for row in rows] + [(steps, row.get("model")) for row in kept]:
            if name != model.name:
                raise SettingsError(f"{path}: holds answers of {name}, not of {model.name}; choose another file")
        done = {(row["decoding"], row["id"]): row for row in rows}
        known = {(row["decoding"], row["id"], row["turn"], row["step"]): _completion(row) for row in kept}

        def ended(place: int, dialogue: Dialogue) -> None:
            key = dialogue.decoding, dialogue.item.id
            if key not in done:
                done[key] = {**judged(dialogue), "model": model.name}
                rows.append(done[key])
            if progress is not None:
                progress(1)

        def answer(wanted: Sequence[Step]) -> list[Completion]:
            if any(
                want.place not in known for want in wanted
            ):  # the whole batch again where it was torn: the numbers are those of a whole one
                made = _asked(model, wanted, max_tokens)
                fresh = {want.place: one for want, one in zip(wanted, made, strict=True) if want.place not in known}
                kept.extend([{**_step_row(want), **vars(fresh[want.place]), "model": model.name} for want in wanted if want.place in fresh])
                known.update(fresh)
            return [known[want.place] for want in wanted]

        side_by_side((hold(item, decoding, form) for item, decoding in pairs), {Step: answer}, at_once=AT_ONCE, ended=ended)
    return scores([done[decoding, item.id] for decoding in decodings for item in items])


def hold(item: MultiTurnItem, decoding: Decoding, form: str = "brackets") -> Talk[Dialogue]:
    """One dialogue: yields each `Step`, is sent its Completion, and returns how it went."""
    (world,) = simulators(item, REGISTERED)
    messages: list[Message] = []
    turns: list[tuple[ReadStep, ...]] = []
    results: list[tuple[tuple[str, ...], ...]] = []
    for number, turn in enumerate(item.turns):
        messages += turn.messages
        steps: list[ReadStep] = []
        answers: list[tuple[str, ...]] = []
        calling = True
        while calling and len(steps) <= MOST_STEPS:
            prompt = Prompt(tuple(messages), turn.tools, grammar=_grammar(turn.tools, form, decoding))
            completion: Completion = yield Step(item, decoding, number, len(steps), prompt)
            if completion.finish == "refused":
                refused = f"turn {number + 1}: {NO_ANSWER} ({completion.prompt_tokens:,} tokens)"
                return Dialogue(item, decoding, (*turns, tuple(steps)), (*results, tuple(answers)), refused)
            steps.append(read_step(completion, turn.tools))
            answers.append(tuple(world.execute(steps[-1].calls)))
            messages += _said(steps[-1], answers[-1])
            calling = bool(steps[-1].calls)
        turns.append(tuple(steps))
        results.append(tuple(answers))
        if calling:
            break
    return Dialogue(item, decoding, tuple(turns), tuple(results))


def _grammar(tools: Sequence[Tool], form: str, decoding: Decoding) -> str | None:
    if decoding == "free":
        return None
    guided = decoding == "guided"
    return calls_grammar(tools, calls=(1, MOST_CALLS), sentence=not guided, text=guided, whole=guided, form=form)


def _said(step: ReadStep, answers: Sequence[str]) -> Iterator[Message]:
    """The answer and what the tools answered to it, as the model reads them in its next prompt; calls in its own template's form."""
    if not answers:
        yield Message("assistant", step.completion.text)
        return
    names = [name for call in step.decoded for name in call]
    if step.read.calls is not None and len(step.read.calls) == len(answers):
        calls = step.read.calls
    else:  # only the benchmark's decoding reads them
        calls = tuple(ToolCall(name, arguments) for call in step.decoded for name, arguments in call.items())
    yield Message("assistant", None, tuple(ToolCall(_encodable(call.name), _plain(call.arguments)) for call in calls))
    for name, answer in zip(names, answers, strict=True):
        yield Message("tool", _encodable(answer), name=_encodable(name))


def _plain(arguments: JSON) -> JSON:
    """Arguments as JSON has them: what Python writes beyond that, tuples and bytes say, is near enough to be read back by the model."""
    named = {str(name): value for name, value in arguments.items()}
    found: JSON = json.loads(_encodable(json.dumps(named, default=str, skipkeys=True, ensure_ascii=False)))
    return found


def _encodable(text: str) -> str:
    """Without halves of characters, which an escape in a call can write and no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()


def _asked(model: LanguageModel, wanted: Sequence[Step], max_tokens: int | None) -> list[Completion]:
    """The model's answers, in one batch; a prompt that its context does not hold is refused by itself, not with the batch."""
    room = _room(model)
    reader: Any = getattr(model, "reader", model)
    asked = [max_tokens or _enough(want) for want in wanted]
    lengths = [len(reader.encode(reader.render(want.prompt))) if room else 0 for want in wanted]
    fitting = [place for place, length in enumerate(lengths) if not room or length < room]
    rooms = [Sampling(max_tokens=min(asked[place], room - lengths[place]) if room else asked[place]) for place in fitting]
    found = dict(zip(fitting, model.generate([wanted[place].prompt for place in fitting], rooms), strict=True)) if fitting else {}
    return [found[place] if place in found else Completion("", "refused", lengths[place], 0) for place in range(len(wanted))]


def _enough(want: Step) -> int:
    written = sum(map(len, want.item.turns[want.turn].truth))
    return max(STEP_TOKENS, written // 2)  # a token is seldom less than two letters


def _room(model: LanguageModel) -> int:
    """Tokens that a prompt with its answer may take; 0 where the engine does not tell, as a server, which refuses by itself."""
    reader: Any = getattr(model, "reader", model)
    if not hasattr(reader, "encode"):
        return 0
    return int(getattr(model, "room", None) or getattr(reader.config, "max_position_embeddings", None) or 0)


def _step_row(want: Step) -> JSON:
    return {"id": want.item.id, "decoding": want.decoding, "turn": want.turn, "step": want.step}


def _completion(row: JSON) -> Completion:
    return Completion(row["text"], row["finish"], row["prompt_tokens"], row["completion_tokens"])


def judged(dialogue: Dialogue) -> JSON:
    """The dialogue with both verdicts, as a row of answers. failure: the rule that is broken; result: as the benchmark's evaluator is given it."""
    item, steps = dialogue.item, [step for turn in dialogue.turns for step in turn]
    official = DialogueVerdict(False, NO_ANSWER, dialogue.refused)
    if not dialogue.refused:
        official = official_dialogue(item, [[step.calls for step in turn if step.calls] for turn in dialogue.turns])
    strict = strict_dialogue(item, dialogue.turns) if official.right else official
    forms = Counter(step.read.form for step in steps if step.read.form)
    return {
        "id": item.id,
        "category": item.category,
        "decoding": dialogue.decoding,
        "question": item.question,
        "answer": transcript(dialogue),
        "finish": "refused" if dialogue.refused else steps[-1].completion.finish,
        "official": official.right,
        "strict": strict.right,
        "reason": strict.reason,
        "failure": strict.failure,
        "truth": "\n".join(
            f"turn {number}: {', '.join(turn.truth) or 'nothing can be called yet'}" for number, turn in enumerate(item.turns, 1)
        ),
        "form": forms.most_common(1)[0][0] if forms else "",
        "attempted": any(step.read.attempted for step in steps),
        "called": any(step.calls for step in steps),
        "steps": len(steps),
        "result": f"Error during inference: {dialogue.refused}"
        if dialogue.refused
        else [[step.text for step in turn] for turn in dialogue.turns],
    }


def transcript(dialogue: Dialogue) -> str:
    """What the model said and what the tools answered, to be read by people."""
    lines: list[str] = []
    for number, (turn, answers) in enumerate(zip(dialogue.turns, dialogue.results, strict=True), 1):
        lines.append(f"turn {number}")
        for step, answered in zip(turn, answers, strict=True):
            lines.append(step.completion.text.strip())
            lines += [f"→ {answer if len(answer) <= SHOWN else answer[:SHOWN] + '…'}" for answer in answered]
    return "\n".join([*lines, *([dialogue.refused] if dialogue.refused else [])])
