"""Is what is served what was trained: the same prompts, tokens, log-probabilities, answers, calls and stops on a run's own conversations."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from luthier.errors import BadRowError, EngineError, SettingsError
from luthier.models.local import LocalModel
from luthier.models.merged_folder import write_model_gguf
from luthier.models.opening import api_key
from luthier.models.parity_checks import (
    TOLERANCES,
    Difference,
    compare_answers,
    compare_calls,
    compare_logprobs,
    compare_prompts,
    compare_stops,
    compare_tokens,
    is_near,
)
from luthier.models.parity_sides import Answered, OpenVinoSide, ServerSide, Side, llamacpp_side
from luthier.models.protocol import Prompt, Sampling
from luthier.models.source import Source, find_source
from luthier.progress import Progress, quiet
from luthier.records import Conversation, read_conversations, read_rows, to_pair
from luthier.records.call_forms import read_calls
from luthier.records.files import evenly
from luthier.report.wording import Told
from luthier.settings import REQUIRED, argument, check, option

CHECKS = ("prompt", "tokens", "log-probabilities", "answer", "calls", "stop")
EXAMPLES = 3  # of each kind of difference


@dataclass(frozen=True)
class ParitySettings:
    """Is what is served what was trained? Ask both, on conversations of the run's own data, and say what differs and why.

    With llamacpp: a GGUF file of SOURCE, made for it where none is given. Exit code 1 where anything but precision differs.
    """

    source: str = argument("A run folder, an adapter, or a model.", default=REQUIRED)
    served: str = option(REQUIRED, "llamacpp, openvino, or the base URL of a server.", "--with", metavar="ENGINE|URL")
    file: str | None = option(None, "The GGUF file that llama.cpp serves.", metavar="GGUF")
    weights: str = option("f16", f"Format of what is served, which explains small differences: {', '.join(TOLERANCES)}.")
    data: tuple[str, ...] = option((), "Conversations, where the run's own data are not to be used.", metavar="FILE")
    conversations: int = option(50, "How many, evenly spaced.", least=1)
    max_tokens: int = option(48, "Of each answer.", least=1)
    model: str | None = option(None, "The base, where nothing tells it.")
    name: str = option("model", "What the server calls the model.")

    def __post_init__(self) -> None:
        check(self)
        if self.weights not in TOLERANCES:
            raise SettingsError(f"--weights is {self.weights}; give one of {', '.join(TOLERANCES)}")
        if self.file is not None and self.served != "llamacpp":
            raise SettingsError("--file is of --with llamacpp")


class Case(NamedTuple):
    """One conversation up to its last answer. compared: what both sides told; found: the differences. apart: nats a token between the log-probabilities
    of one answer, None where they were not told."""

    compared: set[str]
    found: list[Difference]
    apart: float | None


def answer(settings: ParitySettings, progress: Progress = quiet) -> Told:
    """The table of what differs and why. Raises MissingFileError, SettingsError where there are no conversations, EngineError."""
    source = find_source(settings.source, settings.model)
    prompts = prompts_of(source, settings.data, settings.conversations)
    trained = LocalModel(source.folder, adapter=source.adapter, dtype="float32", name=source.base.name)
    with _side(settings, source, progress) as side:
        progress.step(f"Compare with {side.name}", len(prompts))
        cases = list(compare(trained, side, prompts, weights=settings.weights, max_tokens=settings.max_tokens, progress=progress))
    return table(cases, f"{source.base.name} as trained, and {side.name}", side.remarks)


def hold_gguf(source: Source, file: Path, *, weights: str, conversations: int, progress: Progress = quiet) -> Told:
    """The table of a GGUF file that was just made; where llama.cpp is not there, or no conversations to compare on, a line that says so."""
    if find_spec("xllamacpp") is None:
        return _not_held("llama.cpp is not there; pip install 'luthier[llamacpp]'")
    try:
        prompts = prompts_of(source, (), conversations)
    except (SettingsError, BadRowError):  # rows of texts, say, or the data are gone
        return _not_held(
            "none of the data it was trained on is there as a conversation; `luthier models parity SOURCE --data FILE` takes others"
        )
    trained = LocalModel(source.folder, adapter=source.adapter, dtype="float32", name=source.base.name)
    with llamacpp_side(file) as side:
        progress.step(f"Compare with {side.name}", len(prompts))
        cases = list(compare(trained, side, prompts, weights=weights, progress=progress))
    return table(cases, f"{source.base.name} as trained, and {side.name}", side.remarks)


def _not_held(reason: str) -> Told:
    return Told([f"not held against what was trained: {reason}"], {"held": False, "reason": reason})


def prompts_of(source: Source, files: Sequence[str], count: int) -> list[Prompt]:
    """Conversations of the run's data, each up to its last answer. Raises SettingsError where there are none."""
    read = [Path(file) for file in files] if files else source.data
    talks = [each for path in read for each in _talks(path)]
    ends = [(talk, max((at for at, m in enumerate(talk.messages) if m.role == "assistant"), default=0)) for talk in talks]
    found = [Prompt(talk.messages[:end], talk.tools) for talk, end in ends if end]
    if not found:
        raise SettingsError("no conversation with an answer to compare on; name files of them with --data")
    return evenly(found, count)


def _talks(path: Path) -> list[Conversation]:
    """The conversations of a file; of pairs, each prompt with its better answer."""
    try:
        return list(read_conversations(path))
    except BadRowError:
        pairs = [to_pair(row) for _, row in read_rows(path)]
        return [Conversation((*pair.prompt, *pair.chosen), pair.tools) for pair in pairs]


@contextmanager
def _side(settings: ParitySettings, source: Source, progress: Progress) -> Iterator[Side]:
    if settings.served == "openvino":
        from luthier.models.openvino import OpenVinoModel

        if settings.weights not in ("int8", "f16"):
            raise SettingsError(f"--weights is {settings.weights}; the openvino engine holds int8 or f16")
        # mypy sees str: what it may be is held above
        yield OpenVinoSide(OpenVinoModel(source.folder, adapter=source.adapter, weights=settings.weights, name=source.base.name))  # type: ignore[arg-type]
    elif settings.served == "llamacpp":
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(settings.file) if settings.file else _made(source, Path(scratch), settings.weights, progress)
            with llamacpp_side(file) as side:
                yield side
    elif "://" in settings.served:
        yield ServerSide(settings.served, settings.name, api_key())
    else:
        raise SettingsError(f"--with is {settings.served!r}; give llamacpp, openvino, or the URL of a server")


def _made(source: Source, folder: Path, weights: str, progress: Progress) -> Path:
    if weights not in ("f16", "bf16", "q8_0", "f32"):
        raise SettingsError(f"a GGUF file with {weights} weights is llama.cpp's own work; name it with --file")
    write_model_gguf(source, folder / "model.gguf", weights=weights, progress=progress)  # type: ignore[arg-type]
    return folder / "model.gguf"


def compare(
    trained: LocalModel, side: Side, prompts: Sequence[Prompt], *, weights: str, max_tokens: int = 48, progress: Progress = quiet
) -> Iterator[Case]:
    """The differences on each prompt, those of precision among them. Raises EngineError where the other side does not answer."""
    sampling = Sampling(max_tokens=max_tokens)
    bare = trained.base_alone()
    for prompt in prompts:
        yield _compared(trained, bare, side, prompt, sampling=sampling, weights=weights)
        progress.advance()


def _compared(trained: LocalModel, bare: LocalModel | None, side: Side, prompt: Prompt, *, sampling: Sampling, weights: str) -> Case:
    case = Case(set(), [], None)

    def note(what: str, found: Difference | None) -> None:
        case.compared.add(what)
        case.found.extend([found] if found is not None else [])

    tokenizer, ours = trained.tokenizer, trained.render(prompt)
    system = next((message.content or "" for message in prompt.messages if message.role == "system"), "")
    theirs, ids = side.prompt(prompt), trained.encode(ours)
    other = side.tokens(ours) if theirs in (None, ours) else None
    if theirs is not None:
        note("prompt", compare_prompts(ours, theirs, system=system, bos=str(tokenizer.bos_token or "")))
    if other is not None:
        note(
            "tokens",
            compare_tokens(ids, other, _names(tokenizer, ids), side.names(other) or _names(tokenizer, other), bos=tokenizer.bos_token_id),
        )
    made = trained.generate([prompt], sampling)[0]
    try:
        served = side.answer(prompt, sampling)
    except EngineError as problem:
        if not prompt.tools:
            raise
        note("calls", Difference("calls", f"{problem}; what was trained says {made.text[:60]!r}"))
        return case
    if theirs is None and other is None and served.prompt_tokens is not None:
        told = f"the prompt is {served.prompt_tokens} tokens where {len(ids)} were trained: another template or tokenizer"
        note("tokens", None if served.prompt_tokens == len(ids) else Difference("tokens", told))
    if case.found:  # another prompt has another answer, and nothing more is to be learned of it
        return case
    names = [tool.name for tool in prompt.tools]
    wanted, given = read_calls(made.text, names).calls, read_calls(served.text, names).calls
    retold = bool(prompt.tools) and (given is not None or served.parsed) and made.text.strip() != served.text.strip()
    if served.ids or not retold:  # a server tells calls, not the text that they were read from
        score = _score(trained, prompt, ids, served)
        if score and len(served.logprobs) >= len(score):
            without = None if bare is None else partial(_score, bare, prompt, ids, served)
            note("log-probabilities", compare_logprobs(score, served.logprobs, weights=weights, without=without))
            case = case._replace(apart=fmean(abs(one - other) for one, other in zip(score, served.logprobs, strict=False)))
    gap = None
    if made.text.strip() != served.text.strip() and (served.ids or not retold):
        gap = _gap_of(trained, ids, served.ids) if served.ids else _gap(trained, prompt, made.text, served.text)
    near = is_near(gap, weights)
    cut = retold and made.finish == "length"  # what a server makes of half a call is its own business
    if prompt.tools and not cut:
        note("calls", compare_calls(_plain(wanted), _plain(given), near=near))
    if not retold:
        note("answer", compare_answers(made.text, served.text, gap=gap, weights=weights))
        note("stop", compare_stops(made.finish, served.finish, said=made.text, other=served.text, near=near))
    return case


def _score(model: LocalModel, prompt: Prompt, before: list[int], served: Answered) -> tuple[float, ...]:
    """Log-probabilities of an answer under a model of ours: of its own tokens where they are told, else of its text."""
    if served.ids:
        return model.score_tokens([(before, list(served.ids))])[0].logprobs
    return model.score([prompt], [served.text])[0].logprobs if served.text else ()


def _names(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    return [str(tokenizer.decode([token])) for token in ids]


def _plain(calls: Any) -> str:
    """Calls in words, arguments in one order: it says nothing."""
    return "no call" if not calls else "; ".join(f"{call.name}({dict(sorted(call.arguments.items()))})" for call in calls)


def _gap(trained: LocalModel, prompt: Prompt, ours: str, theirs: str) -> float | None:
    """Nats by which our token beats theirs where two answers part; where an answer ended its token is the stop token. None where there is no such place."""
    one, other = trained.encode(ours), trained.encode(theirs)
    at = len(list(takewhile(lambda both: both[0] == both[1], zip(one, other, strict=False))))
    stop = trained.stop_ids[0]
    before = trained.encode(trained.render(prompt)) + one[:at]
    pairs = [(before, [ids[at] if at < len(ids) else stop]) for ids in (one, other)]
    if pairs[0] == pairs[1]:  # the same token, on which one of them stops
        return None
    best, found = (score.logprobs[0] for score in trained.score_tokens(pairs))
    return best - found


def _gap_of(trained: LocalModel, before: list[int], ids: Sequence[int]) -> float | None:
    """Nats by which our best token beats theirs, at the first token of their answer that is not our best. None where there is none, and where they go on
    behind a token that would have stopped us, which is no tie."""
    import torch

    if any(token in trained.stop_ids for token in ids[:-1]):
        return None
    with torch.inference_mode():
        given = torch.tensor([[*before, *ids]], device=trained.device)
        logprobs = trained.module(given, logits_to_keep=len(ids) + 1).logits[0, :-1].float().log_softmax(-1)
    theirs = logprobs.gather(-1, torch.tensor(ids, device=logprobs.device)[:, None])[:, 0]
    gaps = [float(gap) for gap in logprobs.amax(-1) - theirs if gap > 0]
    return gaps[0] if gaps else None


def table(cases: Sequence[Case], title: str, remarks: Sequence[str] = ()) -> Told:
    """A line a check, with what differs and why; code 1 where anything but precision does. remarks: what whoever serves it must know."""
    lines, rows, bad = [title], [], 0
    apart = [case.apart for case in cases if case.apart is not None]
    for what in CHECKS:
        count = sum(what in case.compared for case in cases)
        found = [each for case in cases for each in case.found if each.what == what]
        serious = [each for each in found if not each.precision]
        bad += len(serious)
        more = f", {fmean(apart):.3f} nats a token apart" if what == "log-probabilities" and apart else ""
        told = f"{count - len(found)} of {count} equal{more}" if count else "not compared"
        lines.append(f"{'! ' if serious else 'ok' if count else '- '}  {what:18} {told}")
        lines += [f"      {times} x {why}" for why, times in Counter(each.why for each in found).most_common(EXAMPLES)]
        rows.append({"check": what, "compared": count, "equal": count - len(found), "differences": [each._asdict() for each in found[:20]]})
    lines += remarks
    lines.append("what is served is what was trained" if not bad else "what is served is NOT what was trained")
    return Told(
        lines, {"checks": rows, "apart": fmean(apart) if apart else None, "same": not bad, "remarks": list(remarks)}, int(bool(bad))
    )
