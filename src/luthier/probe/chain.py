"""Probing chains of thought (Chain-of-Probe, arXiv 2406.16144, section 3): what the model would answer before the chain and after each step.

Stored chains are read in one pass with all their probes; while a chain is generated, the probes are read on its cache, which is then as it
was, so the chain is the one that would have been generated anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from luthier.errors import EngineError
from luthier.models.branches import Mode
from luthier.models.options import ChainPlaces, Normalise, OptionReader, OptionScores, Probe, probe_of
from luthier.models.protocol import Prompt, Sampling
from luthier.probe.chain_trace import ChainTrace
from luthier.probe.online import EarlyExit, generate_probed
from luthier.probe.steps import Steps, split_steps
from luthier.records import Message
from luthier.records.choices import LETTERS, ChoiceQuestion, check_options, match_option, stated_choice

if TYPE_CHECKING:
    from luthier.models.local import LocalModel

ASK = {
    "letters": 'Think step by step, then write "The answer is" and the letter of the option you choose.',
    "texts": 'Think step by step, then write "The answer is" and the option you choose.',
}
CHAIN = Sampling(max_tokens=256, temperature=0.0)


def chain_prompt(question: ChoiceQuestion, targets: str) -> Prompt:
    """What a model is asked for a chain; a question that brought the writer's own prompt is asked with that."""
    if question.prompt is not None:
        return Prompt((Message("user", question.prompt),))
    listed = question.lettered() if targets == "letters" else question.listed()
    return Prompt((Message("user", f"{listed}\n\n{ASK[targets]}"),))


def probe_chain(  # noqa: PLR0917
    model: Any,
    question: str | ChoiceQuestion,
    options: Sequence[str] = (),
    chain: str | None = None,
    mode: Mode = "auto",
    probe: str | Probe = "letters",
    *,
    tokenizer: Any = None,
    sampling: Sampling = CHAIN,
    normalise: Normalise = "token",
    early_exit: EarlyExit | None = None,
) -> ChainTrace:
    """Probe one chain: `chain`, or one that the model writes now.

    model: a `LocalModel`, or a transformers model with its `tokenizer`. probe: `letters`, `texts` (answers of any length), or a probe
    text of one's own. mode: `auto`, `packed`, `rollback` or `naive`, all with the same numbers. normalise: how the words of an answer
    count. early_exit: ends a chain that is being written once its rule is met.
    Raises EngineError where the model cannot be probed, BadRowError for options that cannot be told apart.
    """
    local = as_local(model, tokenizer)
    asked = question if isinstance(question, ChoiceQuestion) else ChoiceQuestion(question, tuple(options))
    check_options(asked.options)
    if chain is None:
        return write_chain(local, asked, probe, sampling=sampling, mode=mode, normalise=normalise, early_exit=early_exit)
    return probe_chains(local, asked, [chain], probe, mode=mode, normalise=normalise)[0]


def probe_chains(
    model: LocalModel,
    question: ChoiceQuestion,
    chains: Sequence[str],
    probe: str | Probe = "letters",
    *,
    mode: Mode = "auto",
    normalise: Normalise = "token",
) -> list[ChainTrace]:
    """Probe stored chains of one question; the prompt, and the probe after it, are read once for all of them."""
    target = probe_of(probe)
    prompt = model.encode(model.render(chain_prompt(question, target.targets)))
    ids = [model.encode(chain) for chain in chains]
    split = [split_steps(model.tokenizer, each) for each in ids]
    reader = OptionReader(model, target, question.options, mode)
    first, found = reader.chains(prompt, [ChainPlaces(each, steps.ends) for each, steps in zip(ids, split, strict=True)])
    used = reader.mode_for(len(prompt) + max(map(len, ids), default=0))
    return [
        trace_of(question, chain, steps, [first, scores], tokens=len(each), probe=target, mode=used, normalise=normalise, number=number)
        for number, (chain, each, steps, scores) in enumerate(zip(chains, ids, split, found, strict=True))
    ]


def write_chain(
    model: LocalModel,
    question: ChoiceQuestion,
    probe: str | Probe = "letters",
    *,
    sampling: Sampling = CHAIN,
    index: int = 0,
    mode: Mode = "auto",
    normalise: Normalise = "token",
    early_exit: EarlyExit | None = None,
) -> ChainTrace:
    """Generate a chain and probe it on the way, on its own cache: its text is that of `model.generate` with the same sampling.

    index: the place of the draw, as in a list of prompts.
    """
    target = probe_of(probe)
    prompt = model.encode(model.render(chain_prompt(question, target.targets)))
    reader = OptionReader(model, target, question.options, mode)
    made = generate_probed(model, prompt, reader, sampling, index=index, early_exit=early_exit, normalise=normalise)
    used = reader.mode_for(len(prompt) + made.tokens)
    return trace_of(
        question,
        made.text,
        made.steps,
        made.scores,
        tokens=made.tokens,
        probe=target,
        mode=used,
        normalise=normalise,
        number=index,
        exited=made.exited,
    )


def trace_of(
    question: ChoiceQuestion,
    chain: str,
    steps: Steps,
    scores: Sequence[OptionScores],
    *,
    tokens: int,
    probe: Probe,
    mode: str,
    normalise: Normalise,
    number: int,
    exited: bool = False,
) -> ChainTrace:
    """scores: those before the chain, then those of its steps, in one or more parts."""
    import numpy as np

    parts = [part for part in scores if len(part.logprobs)]
    return ChainTrace(
        question,
        chain,
        steps.texts,
        np.concatenate([part.confidence(normalise) for part in parts]),
        np.concatenate([part.mass for part in parts]),
        stated_answer(chain, question),
        steps.statement,
        tokens,
        sum(part.forwarded for part in scores),
        sum(part.naive for part in scores),
        mode,
        probe.targets,
        number,
        steps.ends,
        {"exited": True} if exited else {},
    )


def stated_answer(chain: str, question: ChoiceQuestion) -> int | None:
    """The option that a chain states in the end; a last line that is an option, or its letter, counts, unless it ends a list of options."""
    stated = stated_choice(chain, question.options)
    if stated is not None:
        return stated
    longest = 1 + max(len(option.split()) for option in question.options)
    named = [
        match_option(line, question.options) if len(line.split()) <= longest else None
        for line in chain.strip().splitlines()
        if line.strip()
    ]
    return named[-1] if named and {*named[:-1]} <= {None, named[-1]} else None


def as_local(model: Any, tokenizer: Any = None) -> LocalModel:
    """The engine of a model that is one, or of a transformers model with its tokenizer. Raises EngineError."""
    from luthier.models.local import LocalModel

    if isinstance(model, LocalModel):
        return model
    if tokenizer is not None and hasattr(model, "forward"):
        return LocalModel.of(model, tokenizer)
    supports: frozenset[str] = getattr(model, "supports", frozenset())
    if supports and "module" not in supports:
        raise EngineError(f"{model.name}: probing reads logits at every step, which this engine does not give; use a local model")
    raise EngineError("give a LocalModel, or a transformers model with tokenizer=…")


def letter(place: int | None) -> str:
    """A, B, C … of a place among the options; a dash for none."""
    return "–" if place is None else LETTERS[place]
