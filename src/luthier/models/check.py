"""What to know of a model before any work: its template, system turns, stop token, tools, calls and masks, a line each. Of the weights only the
output matrix is read, for the marks that were never learned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.errors import EngineError
from luthier.models.chat_template import CallWay, ChatTemplate
from luthier.models.grammar import FORMS
from luthier.models.loading import load_module, loading
from luthier.models.opening import MODEL, hub_label, model_folder
from luthier.models.openvino import stop_ids
from luthier.models.token_rows import output_matrix, unlearned
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.report.wording import Told
from luthier.settings import REQUIRED, argument, check

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_WORD = "xqzv"
_TALK = [{"role": role, "content": _WORD} for role in ("user", "assistant", "user", "assistant")]
_CALL = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": _WORD, "arguments": {}}}]}
_RESULT = {"role": "tool", "name": _WORD, "content": _WORD}
_TOOL = {"type": "function", "function": {"name": _WORD, "description": _WORD, "parameters": {"type": "object", "properties": {}}}}
_MASKS = {
    "markers": "by the template's {% generation %} marks",
    "trl": "by the template that TRL trains with instead",
    "prefixes": "by rendering what stands before and through each turn",
}


@dataclass(frozen=True)
class CheckSettings:
    """What Luthier makes of MODEL before any work: template, system turns, stop token, tools, calls, masks, a line each."""

    model: str = argument(MODEL, default=REQUIRED)

    def __post_init__(self) -> None:
        check(self)


class Finding(NamedTuple):
    """One line. good: nothing to mend."""

    what: str
    told: str
    good: bool


def answer(settings: CheckSettings, progress: Progress = quiet) -> Told:
    """The findings. Raises MissingFileError, EngineError, FetchError as opening the model does."""
    found = check_model(model_folder(settings.model))
    name = hub_label(settings.model)
    lines = [f"{'ok' if one.good else '! '}  {one.what:10} {one.told}" for one in found]
    return Told([name, *lines], {"model": name, "findings": [one._asdict() for one in found]})


def check_model(folder: Path) -> list[Finding]:
    """The findings on a transformers folder. Raises EngineError where its configuration or tokenizer cannot be read."""
    from transformers import AutoConfig, AutoTokenizer

    with loading(folder, "configuration"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with loading(folder, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    found = [_model(config), _weights(folder), _tokens(config, tokenizer)]
    if tokenizer.chat_template is None:
        return [*found, Finding("template", "none: a base model, or a folder without chat_template.jinja; use an instruct model", False)]
    template = ChatTemplate.of(tokenizer)
    if not template.works:
        return [*found, Finding("template", "refuses the simplest prompt; mend it, or give another model", False)]
    found += [_template(template), _system(template), _stop(template, folder), _tools(template), _calls(template), _thoughts(template)]
    return [*found, _masks(template), *_marks(folder, template)]


def _model(config: PretrainedConfig) -> Finding:
    text = config.get_text_config()
    context = getattr(text, "max_position_embeddings", None)
    tied = "tied" if getattr(config, "tie_word_embeddings", False) else "apart"
    size = f"{text.num_hidden_layers} layers, {text.hidden_size} wide, output {tied}"
    return Finding("model", f"{config.model_type}: {size}, context {context or 'not told'}", True)


def _weights(folder: Path) -> Finding:
    """Whether they are the model that the configuration describes; names and shapes alone are read."""
    from transformers import AutoModelForCausalLM

    try:
        module = load_module(AutoModelForCausalLM, folder, device_map="meta")
    except EngineError as problem:
        return Finding("weights", str(problem).removeprefix(f"{folder}: "), False)
    return Finding("weights", f"all there, {sum(one.numel() for one in module.parameters()) / 1e6:,.1f}M parameters", True)


def _tokens(config: PretrainedConfig, tokenizer: Any) -> Finding:
    known, room = len(tokenizer), config.get_text_config().vocab_size
    more = "" if known <= room else f"; {known - room} tokens have no row, and fail where they are used: resize the embedding"
    digits = tokenizer.tokenize("12345")
    told = f"{known:,} of {room:,} rows; digits {'one by one' if len(digits) >= 5 else 'in groups'}"
    return Finding("tokens", told + more, known <= room)


def _template(template: ChatTemplate) -> Finding:
    named = f"{len(template.text)} by name; the default one" if isinstance(template.text, dict) else "one"
    same = _served(template) == template.trained(_TALK)
    more = "" if same else "; TRL trains earlier turns in another rendering than is served (thoughts)"
    return Finding("template", f"{named}{more}", True)


def _system(template: ChatTemplate) -> Finding:
    return Finding(
        "system", "a turn of its own" if template.takes_system else "refused, dropped or moved; it stands before the first user turn", True
    )


def _stop(template: ChatTemplate, folder: Path) -> Finding:
    tokenizer = template.tokenizer
    try:
        stops = stop_ids(folder, tokenizer)
    except EngineError as problem:
        return Finding("stop", str(problem).removeprefix(f"{folder}: "), False)
    said = _served(template).rpartition(_WORD)[2]
    end = next((token for token in tokenizer(said, add_special_tokens=False)["input_ids"] if token in tokenizer.added_tokens_decoder), None)
    names = ", ".join(str(tokenizer.convert_ids_to_tokens(token)) for token in stops)
    if end is None:
        return Finding("stop", f"{names}; the template ends a turn with {said!r}, which is no token", False)
    ended = str(tokenizer.convert_ids_to_tokens(end))
    if end not in stops:
        return Finding("stop", f"{names}; but a turn ends with {ended}: add it to eos_token_id in generation_config.json", False)
    if not template.trains_stop():
        return Finding("stop", f"{ended} ends a turn, but the template's marks leave it out: it is not learned", False)
    return Finding("stop", f"{ended} ends a turn, is learned, and ends an answer", True)


def _served(template: ChatTemplate) -> str:
    return template.render(_TALK)


def _tools(template: ChatTemplate) -> Finding:
    told = "shown by the template" if template.shows_tools else "not shown by the template; written into the system turn, in <tools>"
    return Finding("tools", told, True)


def _calls(template: ChatTemplate) -> Finding:
    written = _written(template.calls)
    if template.calls.arguments and not template.places.call_texts:
        written += ", without what is said beside them"
    form = template.call_form
    if not form:
        return Finding("calls", f"{written}; in a form that is not known, so answers would not be read", False)
    grammar = "" if form in FORMS else "; constrained ones are written in brackets"
    return Finding("calls", f"{written}; read as {form}{grammar}", True)


def _written(way: CallWay) -> str:
    if not way.arguments:
        return "not rendered by the template; written as <tool_call> tags"
    told = ["arguments as JSON text"] * (way.arguments == "text") + ["with ids of nine signs"] * way.ids
    return ", ".join(["rendered by the template", *told, *(["arguments as text within text"] * (not way.once))])


def _thoughts(template: ChatTemplate) -> Finding:
    places = template.places
    if not places.key:
        return Finding("thoughts", "no place for them in the template; left out of what is trained and asked, and counted", True)
    beside = places.call_thoughts or not template.calls.arguments
    where = "" if places.thoughts and beside else " before answers alone" if places.thoughts else " before calls alone"
    return Finding("thoughts", f"rendered by the template{where}", True)


def _marks(folder: Path, template: ChatTemplate) -> list[Finding]:
    """The marks of turns and calls that the model would have to say and never learned; nothing where there are none, or no weights to see it by."""
    tokenizer, marks = template.tokenizer, set[int]()
    talks: list[list[JSON]] = [[*_TALK], [_TALK[0], _CALL, _RESULT, _TALK[1]]]
    for talk in talks:
        try:
            made = template.masked(talk, [_TOOL])
        except Exception:  # noqa: S112  # the lines of masks and calls tell what a template cannot do
            continue
        marks |= {token for token, said in zip(made.ids, made.mask, strict=True) if said and token in tokenizer.added_tokens_decoder}
    output = output_matrix(folder)
    if output is None or not (found := unlearned(output, marks)):
        return []
    names = ", ".join(f"{tokenizer.convert_ids_to_tokens(one.token)} (its row is that of {one.alike:,} tokens)" for one in found)
    return [Finding("marks", f"never learned: {names}; `luthier train sft` trains their rows too", False)]


def _masks(template: ChatTemplate) -> Finding:
    try:
        made = template.masked(_TALK)
    except Exception as problem:  # BadRowError, or what the template raises
        return Finding("masks", f"{_MASKS[template.masks]}: {problem}", False)
    said = template.tokenizer.decode([token for token, speaks in zip(made.ids, made.mask, strict=True) if speaks])
    return Finding("masks", f"{_MASKS[template.masks]}; of two answers {said!r} is learned", said.count(_WORD) == 2)
