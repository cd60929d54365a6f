"""Scores a model on function calling: BFCL items, its own checker, free or constrained decoding, official and strict metrics.

Official is BFCL's verdict. Strict closes its holes: values must fit the tool's schema and equal an accepted value letter by letter
(case and white space apart), and "no tool fits" must be said in a finished sentence, not by gibberish or a broken call.
Calls are read in whatever form the model's family writes them, which is told; a tool that the prompt does not name is never scored.
Answers go to a journal chunk by chunk, so that a stopped evaluation continues, with the same batches and the same result.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from luthier.errors import EngineError, SettingsError
from luthier.evaluate.bfcl import official_verdict
from luthier.evaluate.settings import Decoding
from luthier.models import Completion, LanguageModel, Prompt, Sampling
from luthier.models.grammar import FORMS, calls_grammar
from luthier.records import JSON
from luthier.records.bfcl import Item
from luthier.records.call_forms import Reading, read_calls
from luthier.records.journal import Journal
from luthier.records.patterns import validator_class
from luthier.statistics.rates import Rate, wilson

FIELDS = ("id", "category", "decoding")  # that every row of answers has
MAX_TOKENS = 64
MAX_JSON_TOKENS = 160  # the same calls as JSON, often spread over lines
CHUNK = 32


@dataclass(frozen=True)
class Score:
    """One line of the score table. forms: answers by the form of their calls; unread: attempts at a call in no known form."""

    category: str
    decoding: str
    official: Rate
    strict: Rate
    forms: JSON
    unread: int

    def to_row(self) -> JSON:
        return {
            "category": self.category,
            "decoding": self.decoding,
            "items": self.official.items,
            "official": self.official.to_row(),
            "strict": self.strict.to_row(),
            "forms": self.forms,
            "unread": self.unread,
        }


def evaluate_tools(
    model: LanguageModel,
    items: Sequence[Item],
    journal: Path,
    *,
    decodings: Sequence[Decoding] = ("free", "constrained"),
    max_tokens: int | None = None,
    form: str = "brackets",
    progress: Callable[[int], None] | None = None,
) -> list[Score]:
    """Answer and judge every item under every decoding; rows go to `journal`, and what is there already is not asked again.

    form: that constrained answers are written in, of `grammar.FORMS`. Raises EngineError where the engine cannot follow a grammar and "constrained" is
    asked for, and where a prompt does not name a tool on offer; SettingsError where the journal holds another model's answers.
    """
    check_prompts(model, items)
    limit = max_tokens or (MAX_TOKENS if own_form(model) == "brackets" == form else MAX_JSON_TOKENS)
    done: dict[tuple[str, str], JSON] = {}
    with Journal(journal, FIELDS) as rows:
        done = {(row["decoding"], row["id"]): row for row in rows}
        strangers = {row.get("model") for row in done.values()} - {model.name}
        if strangers:
            raise SettingsError(f"{journal}: holds answers of {strangers.pop()}, not of {model.name}; choose another file")
        for chunk in _chunks(items, decodings):
            if any((decoding, item.id) not in done for decoding, item in chunk):
                prompts = [prompt_for(item, decoding, form) for decoding, item in chunk]
                answers = model.generate(prompts, Sampling(max_tokens=limit))
                for (decoding, item), completion in zip(chunk, answers, strict=True):
                    row = {**judge(item, completion, decoding).to_row(), "model": model.name}
                    if (decoding, item.id) not in done:
                        rows.append(row)
                    done[decoding, item.id] = row
            if progress is not None:
                progress(len(chunk))
    return scores([done[decoding, item.id] for decoding in decodings for item in items])


def _chunks(items: Sequence[Item], decodings: Sequence[Decoding]) -> Iterator[list[tuple[Decoding, Item]]]:
    """Fixed groups of prompts of like length: the batches, and so the numbers, do not depend on where a run was stopped.

    An item's decodings stand in one group, so that an engine which reads equal prompts once does so.
    """
    order = sorted(items, key=lambda item: (item.category, len(str(item.functions)) + len(item.question), item.id))
    size = max(1, CHUNK // len(decodings))
    for start in range(0, len(order), size):
        yield [(decoding, item) for item in order[start : start + size] for decoding in decodings]


def check_prompts(model: LanguageModel, items: Sequence[Item]) -> None:
    """Raises EngineError where the prompt of an item does not name a tool on offer, since no answer to it could be right; of a server, which keeps its
    prompts to itself, where one is as long without the tools."""
    render = getattr(model, "render", None)
    if render is None:
        if items and hasattr(model, "base_url"):
            _check_served(model, items[0])
        return
    for item in items:
        prompt = render(Prompt(item.messages, item.tools))
        missing = next((tool.name for tool in item.tools if tool.name not in prompt), None)
        if missing is not None:
            raise EngineError(
                f"{model.name}: the prompt of item {item.id} does not name the tool {missing}; mend the model's chat template"
            )


def _check_served(model: LanguageModel, item: Item) -> None:
    asked = [Prompt(item.messages, item.tools), Prompt(item.messages)]
    shown, bare = model.generate(asked, Sampling(max_tokens=1))
    if "refused" not in (shown.finish, bare.finish) and shown.prompt_tokens <= bare.prompt_tokens:
        told = f"its prompt has {shown.prompt_tokens} tokens with tools and {bare.prompt_tokens} without"
        raise EngineError(f"{model.name}: the server does not show the tools to the model ({told}); give it a chat template that does")


def own_form(model: LanguageModel) -> str:
    """The form that a model's template writes calls in, where a grammar can be made of it, else brackets."""
    found = getattr(getattr(model, "template", None), "call_form", "")
    return found if found in FORMS else "brackets"


def prompt_for(item: Item, decoding: Decoding, form: str = "brackets") -> Prompt:
    """The item as a prompt. Constrained: exactly one call where a tool fits; a call or a sentence where none does."""
    if decoding == "free":
        return Prompt(item.messages, item.tools)
    return Prompt(item.messages, item.tools, grammar=calls_grammar(item.tools, sentence=item.category == "irrelevance", form=form))


@dataclass(frozen=True)
class JudgedAnswer:
    """One answer with both verdicts and the reason for a failure; truth: what was asked for, as text. form: of its calls, and attempted, as in
    `records.call_forms.Reading`."""

    id: str
    category: str
    decoding: str
    question: str
    answer: str
    finish: str
    official: bool
    strict: bool
    reason: str
    truth: str
    form: str
    attempted: bool

    def to_row(self) -> JSON:
        return asdict(self)


def judge(item: Item, completion: Completion, decoding: str) -> JudgedAnswer:
    """Both verdicts on one answer."""
    read = read_calls(completion.text, [tool.name for tool in item.tools])
    official, reason = official_verdict(item, read.calls)
    if read.calls is None and not official:
        reason = "tried to call a tool in no known form, or broke off" if read.attempted else "called no tool"
    strict, strict_reason = _strict_verdict(item, read, completion) if official else (False, "")
    return JudgedAnswer(
        id=item.id,
        category=item.category,
        decoding=decoding,
        question=item.question,
        answer=completion.text,
        finish=completion.finish,
        official=official,
        strict=strict,
        reason=reason or strict_reason,
        truth=_truth_text(item),
        form=read.form,
        attempted=read.attempted,
    )


def _strict_verdict(item: Item, read: Reading, completion: Completion) -> tuple[bool, str]:
    if item.category == "irrelevance":
        if read.attempted:
            return False, "tried to call a tool although none fits"
        finished = completion.finish == "stop" and bool(completion.text.strip()) and "```" not in completion.text
        return finished, "" if finished else "did not say that no tool fits: the text has no end, or is code"
    for call in read.calls or ():
        accepted: JSON = next((answer[call.name] for answer in item.truth if call.name in answer), {})
        tool = next(tool for tool in item.tools if tool.name == call.name)
        for name, value in call.arguments.items():
            if not _fits(value, tool.parameters["properties"].get(name, {})):
                return False, f"{name} does not fit the tool's schema"
            if not any(_same(value, option) for option in accepted.get(name, ())):
                return False, f"{name} equals no accepted value letter by letter"
    return True, ""


def _fits(value: Any, schema: JSON) -> bool:
    return bool(validator_class()(schema).is_valid(value))


def _same(value: Any, accepted: Any) -> bool:
    """Equality that forgives case and white space in strings, int against float, and BFCL's lists of alternatives in objects."""
    if isinstance(value, str) and isinstance(accepted, str):
        return "".join(value.split()).casefold() == "".join(accepted.split()).casefold()
    if isinstance(value, dict) and isinstance(accepted, dict):
        return all(key in accepted and any(_same(item, option) for option in _alternatives(accepted[key])) for key, item in value.items())
    if isinstance(value, list) and isinstance(accepted, list):
        return len(value) == len(accepted) and all(_same(a, b) for a, b in zip(value, accepted, strict=True))
    return bool(type(value) is type(accepted) or (not isinstance(value, bool) and not isinstance(accepted, bool))) and value == accepted


def _alternatives(accepted: Any) -> list[Any]:
    return accepted if isinstance(accepted, list) else [accepted]


def _truth_text(item: Item) -> str:
    """The accepted calls, readable: the first accepted value of each argument, others after a slash."""
    calls = []
    for answer in item.truth:
        for name, arguments in answer.items():
            parts = [
                f"{key}={' / '.join(repr(value) for value in values if value != '') or 'left out'}" for key, values in arguments.items()
            ]
            calls.append(f"{name}({', '.join(parts)})")
    return "; ".join(calls) or "no call"


def scores(rows: Sequence[JSON]) -> list[Score]:
    """The table of judged rows: one line per category and decoding, in order of appearance."""
    groups: dict[tuple[str, str], list[JSON]] = defaultdict(list)
    for row in rows:
        groups[row["category"], row["decoding"]].append(row)
    return [_score(category, decoding, group) for (category, decoding), group in groups.items()]


def _score(category: str, decoding: str, rows: Sequence[JSON]) -> Score:
    forms = Counter(row["form"] for row in rows if row.get("form"))
    unread = sum(bool(row.get("attempted")) and not row.get("form") for row in rows)
    return Score(category, decoding, _rate(rows, "official"), _rate(rows, "strict"), dict(forms.most_common()), unread)


def _rate(rows: Sequence[JSON], verdict: str) -> Rate:
    return wilson(sum(bool(row[verdict]) for row in rows), len(rows))
