"""The `local` engine: any transformers causal language model from a folder, with an optional PEFT adapter, on this machine.

It turns prompts into token ids by the model's own chat template, batches them by length, and generates or scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from luthier.errors import EngineError, MissingFileError, PromptError
from luthier.models.adapter_parts import Reading, fit_rows, needs_rows, reading_of
from luthier.models.base_model import check_base
from luthier.models.branches import context_room, too_long
from luthier.models.chat_template import ChatTemplate
from luthier.models.decoding import RowProcessor, decode, refuse_overflow
from luthier.models.grammar import GrammarEngine, GrammarMask
from luthier.models.hardware import Hardware, HardwareSettings, check_hardware, input_device
from luthier.models.loading import loading, reason
from luthier.models.protocol import GREEDY, Capability, Completion, Draw, Progress, Prompt, Sampling, Samplings, Score, Usage, draws
from luthier.models.weights import load_weights, note_loaded, placed, reading_dtype, refuse_broken_adapter, training_dtype

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

BATCH_TOKENS = 8192  # prompt tokens in one batch, padding included: bounds the memory of prefill


class LocalModel:
    """A causal language model in this process.

    folder: a transformers folder; an adapter folder goes to `adapter`. batch_size: prompts generated side by side. hardware: `device`, `dtype`
    ("auto" is as stored, but what the device computes fast where it has no bf16 instructions), `attention`, `device_map` and `quantize`, as in
    `HardwareSettings`. Raises MissingFileError where the folder is not a model, SettingsError for what this machine lacks.
    """

    supports: frozenset[Capability] = frozenset({"generate", "grammar", "json_schema", "score", "module"})
    guided_by = "llguidance"

    def __init__(
        self,
        folder: Path | str,
        *,
        adapter: Path | str | None = None,
        batch_size: int = 32,
        name: str | None = None,
        **hardware: Unpack[Hardware],
    ) -> None:
        self.folder, self.adapter, self.batch_size, self.hardware = Path(folder), adapter, batch_size, HardwareSettings(**hardware)
        check_hardware(self.hardware)
        if not (self.folder / "config.json").is_file():
            raise MissingFileError(f"{folder}: no model here (config.json is missing); give a transformers folder")
        if adapter is not None and not (Path(adapter) / "adapter_config.json").is_file():
            raise MissingFileError(f"{adapter}: no adapter here (adapter_config.json is missing); give a PEFT folder")
        self.name = name or self.folder.name
        self.usage = Usage()
        self._module: Any = None
        self._tokenizer: Any = None
        self.reading: Reading | None = None
        self._grammar: GrammarEngine | None = None

    @classmethod
    def of(cls, module: Any, tokenizer: Any, name: str | None = None) -> LocalModel:
        """The engine around a module and a tokenizer that are loaded already; neither is changed but for the padding side."""
        path = Path(getattr(module.config, "_name_or_path", "") or "model")
        model = cls.__new__(cls)
        model.folder, model.adapter, model.batch_size, model.hardware = path, None, 32, HardwareSettings()
        model.name, model.usage, model._grammar = name or path.name, Usage(), None
        model._module, model._tokenizer, model.reading = module.eval(), _for_generation(tokenizer, path), None
        return model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, with left padding set for generation; that of the adapter where it brings another one (`adapter_parts.reading_of`)."""
        if self._tokenizer is None:
            found = reading_of(self.folder, self.adapter)
            if found.tokenizer.chat_template is None:
                raise EngineError(f"{self.folder}: the tokenizer has no chat template; use an instruct model")
            self.reading = found._replace(tokenizer=_for_generation(found.tokenizer, self.folder))
            self._tokenizer = self.reading.tokenizer
        return self._tokenizer

    @property
    def lacks_rows(self) -> bool:
        """Whether the adapter brings tokens that the base has no rows for."""
        return (
            self.adapter is not None
            and self.tokenizer is not None
            and self.reading is not None
            and needs_rows(self._base_rows, self.reading)
        )

    @property
    def _base_rows(self) -> int:
        from transformers import AutoConfig

        with loading(self.folder, "configuration"):
            return int(AutoConfig.from_pretrained(self.folder, local_files_only=True).get_text_config().vocab_size)

    def refuse_rows(self) -> None:
        """Raises EngineError where the adapter brings tokens that weights which cannot be fitted have no rows for."""
        if self.lacks_rows:
            raise EngineError(f"{self.adapter}: brings tokens that the base has no rows for; merge it with `luthier export --to gguf`")

    def base_alone(self) -> LocalModel | None:
        """The base without the adapter in float32, reading as this model does; None where there is no adapter, or no row for what it reads."""
        if self.adapter is None or self.lacks_rows:
            return None
        bare = LocalModel(self.folder, dtype="float32")
        bare._tokenizer = self.tokenizer
        return bare

    @property
    def config(self) -> PreTrainedConfig:
        """The configuration of what reads text; no weights are loaded for it."""
        if self._module is not None:
            return self._module.config.get_text_config()
        from transformers import AutoConfig

        with loading(self.folder, "configuration"):
            return AutoConfig.from_pretrained(self.folder, local_files_only=True).get_text_config()

    @property
    def template(self) -> ChatTemplate:
        """The chat template, and what it can do."""
        return ChatTemplate.of(self.tokenizer)

    @property
    def module(self) -> PreTrainedModel:
        """The torch module in evaluation mode, with its adapter merged in where one was given; on quantised weights it stays beside them."""
        if self._module is None:
            module = load_weights(self.folder, self.hardware, reading_dtype(self.folder, self.hardware))
            if self.adapter is not None:
                with loading(self.adapter, "adapter", f"give a PEFT adapter of {self.folder}"):
                    module = _adapted(module, Path(self.adapter), self.folder, merge=self.hardware.quantize is None)
            self._module = placed(module, self.hardware).eval()
            note_loaded(self._module, self.name, self.folder, self.hardware)
        return self._module

    @property
    def device(self) -> torch.device:
        """Where its inputs belong."""
        return input_device(self.module)  # type: ignore[no-any-return]

    @property
    def dtype(self) -> str:
        """The number format that was asked for."""
        return self.hardware.dtype

    @property
    def training_dtype(self) -> torch.dtype:
        """What its base weights are held in while an adapter is trained: as asked for, else what the device computes fast."""
        return training_dtype(self.hardware)

    @property
    def stop_ids(self) -> list[int]:
        """Token ids that end an answer. Raises EngineError where none is told."""
        return told_stops(self.module.generation_config.eos_token_id, self.tokenizer, self.folder)

    def render(self, prompt: Prompt) -> str:
        """The prompt as the model reads it, up to where its answer begins. Raises PromptError where the template refuses this one, EngineError where
        it renders nothing."""
        rows, template = [message.to_row() for message in prompt.messages], self.template
        with loading(self.folder, "chat template", "mend the template, or give another model"):
            try:
                text = template.render(rows, [tool.to_row() for tool in prompt.tools], generate=True)
            except Exception as problem:
                if not template.works:
                    raise
                raise PromptError(f"{self.name}: the chat template refuses the messages: {reason(problem)}") from problem
            if not template.works:
                raise EngineError(f"{self.folder}: the chat template renders nothing of what is said; mend it, or give another model")
            return text

    def generate(self, prompts: Sequence[Prompt], sampling: Samplings = GREEDY, progress: Progress | None = None) -> list[Completion]:
        """Answer every prompt. Batches go from long to short; results and seeds follow the order given. sampling: one for all, or one a
        prompt (`protocol.draws`).

        Prompts that read alike (several draws, or free and constrained answers to one question) are read once a batch.
        """
        encoded = [self.encode(self.render(prompt)) for prompt in prompts]
        drawn = draws(sampling, len(prompts))
        alike: dict[Sampling, list[int]] = {}
        for index, draw in enumerate(drawn):
            alike.setdefault(replace(draw.sampling, seed=0), []).append(index)
        answers: list[Completion | None] = [None] * len(prompts)
        for members in alike.values():
            for places in self._batches([encoded[i] for i in members]):
                batch = [members[place] for place in places]
                made = self._generate_batch([encoded[i] for i in batch], [prompts[i] for i in batch], [drawn[i] for i in batch])
                for index, completion in zip(batch, made, strict=True):
                    answers[index] = completion
                    self.usage.add(completion)
                if progress is not None:
                    progress(len(batch))
        return [answer for answer in answers if answer is not None]

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        """Log-probabilities (nats) of `continuations[i]` after `prompts[i]`; prompt and continuation are tokenised apart."""
        if len(prompts) != len(continuations):
            raise EngineError(f"{len(prompts)} prompts but {len(continuations)} continuations to score")
        return self.score_tokens([(self.encode(self.render(p)), self.encode(text)) for p, text in zip(prompts, continuations, strict=True)])

    def score_tokens(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Score]:
        """Log-probabilities (nats) of the second token ids of each pair after the first, of which there is at least one."""
        if not all(before for before, _ in pairs):
            raise EngineError("a continuation is scored after at least one token; one pair has none before it")
        scores: list[Score | None] = [None] * len(pairs)
        for batch in self._batches([before + after for before, after in pairs]):
            for index, score in zip(batch, self._score_batch([pairs[i] for i in batch]), strict=True):
                scores[index] = score
        return [score for score in scores if score is not None]

    def encode(self, text: str) -> list[int]:
        """Token ids of a text as it stands, without special tokens before or after it."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _batches(self, encoded: Sequence[list[int]]) -> Iterator[list[int]]:
        """Indices in batches, long to short, equal sequences side by side."""
        first: dict[tuple[int, ...], int] = {}
        twins = [first.setdefault(tuple(ids), index) for index, ids in enumerate(encoded)]
        order = sorted(range(len(encoded)), key=lambda i: (-len(encoded[i]), twins[i], i))
        while order:
            size = max(1, min(self.batch_size, BATCH_TOKENS // max(1, len(encoded[order[0]]))))
            yield order[:size]
            order = order[size:]

    def _generate_batch(self, encoded: list[list[int]], prompts: list[Prompt], drawn: list[Draw]) -> list[Completion]:
        """Answers drawn alike but for their seeds."""
        import torch

        sampling = drawn[0].sampling
        limit = min(sampling.max_tokens, self.room_behind(max(map(len, encoded))))
        inputs = self.tokenizer.pad({"input_ids": encoded}, return_tensors="pt").to(self.device)
        seeds = [one.sampling.seed for one in drawn]
        draw = SeededDraw(sampling, [one.place for one in drawn], seeds) if sampling.temperature > 0 else None
        processors: list[RowProcessor] = [draw] if draw is not None else []
        if any(prompt.grammar is not None or prompt.json_schema is not None for prompt in prompts):
            matchers, width = [self._matcher(prompt) for prompt in prompts], inputs["input_ids"].shape[1]
            processors = [GrammarMask(self.grammar_engine, matchers, width, limit, draw)]
        with torch.inference_mode():
            answers = decode(
                self.module,
                inputs["input_ids"],
                inputs["attention_mask"],
                max_tokens=limit,
                stop_ids=self.stop_ids,
                processors=processors,
                ended=partial(self._has_stop, sampling.stop) if sampling.stop else None,
            )
        answered = zip(answers, encoded, prompts, strict=True)
        return [self._completion(row, len(ids), sampling, bool(prompt.tools)) for row, ids, prompt in answered]

    @property
    def room(self) -> int:
        """Tokens that one prompt with its answer may take: past its positions a model fails, or says nothing that it was trained for."""
        return context_room(self.config)

    def room_behind(self, length: int) -> int:
        """Tokens that fit behind so many. Raises PromptError where none do."""
        if length >= self.room:
            raise too_long(self.name, length, self.room)
        return self.room - length

    def _has_stop(self, stops: Sequence[str], ids: list[int], cache: Any) -> bool:
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return any(stop in text for stop in stops)

    def _completion(self, ids: list[int], prompt_tokens: int, sampling: Sampling, tools: bool = False) -> Completion:
        stops = set(self.stop_ids)
        end = next((at for at, token in enumerate(ids) if token in stops), None)
        said = ids if end is None else ids[:end]
        text = self.template.said(said) if tools else self.tokenizer.decode(said, skip_special_tokens=True)
        cut = min((at for stop in sampling.stop if (at := text.find(stop)) >= 0), default=None)
        if cut is not None:
            return Completion(text[:cut], "stop", prompt_tokens, len(ids))
        if end is not None:
            return Completion(text, "stop", prompt_tokens, end + 1)
        return Completion(text, "length", prompt_tokens, len(ids))

    @property
    def grammar_engine(self) -> GrammarEngine:
        """The grammars' view of this model's tokenizer."""
        if self._grammar is None:
            self._grammar = GrammarEngine(self.tokenizer, self.stop_ids)
        return self._grammar

    def _matcher(self, prompt: Prompt) -> Any:
        if prompt.grammar is not None:
            return self.grammar_engine.matcher(prompt.grammar)
        return None if prompt.json_schema is None else self.grammar_engine.schema_matcher(prompt.json_schema)

    def _score_batch(self, pairs: list[tuple[list[int], list[int]]]) -> list[Score]:
        import torch

        joined = [before + after for before, after in pairs]
        self.room_behind(max(map(len, joined)) - 1)
        inputs = self.tokenizer.pad({"input_ids": joined}, return_tensors="pt").to(self.device)
        positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        longest = max(len(after) for _, after in pairs)
        with torch.inference_mode():
            logits = self.module(**inputs, position_ids=positions, logits_to_keep=longest + 1).logits[:, :-1].float()
        targets = inputs["input_ids"][:, inputs["input_ids"].shape[1] - longest :]
        logprobs = logits.gather(-1, targets[..., None])[..., 0] - logits.logsumexp(-1)
        kept = [row[longest - len(after) :] for (_, after), row in zip(pairs, logprobs, strict=True)]
        for row in kept:
            refuse_overflow(self.module, row.clamp(min=-1e30))  # a token that a model rules out has minus infinity
        return [Score(tuple(after), tuple(row.tolist())) for (_, after), row in zip(pairs, kept, strict=True)]


def _for_generation(tokenizer: Any, folder: Path) -> Any:
    """The tokenizer, which pads before a text. Raises EngineError where it has nothing to pad with."""
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise EngineError(
                f"{folder}: the tokenizer names neither a token that ends an answer nor one that pads; write eos_token into tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def told_stops(ids: Any, tokenizer: Any, folder: Path) -> list[int]:
    """Token ids that end an answer: those of a configuration, else the tokenizer's. Raises EngineError where neither tells one."""
    ids = tokenizer.eos_token_id if ids is None else ids
    if ids is None:
        raise EngineError(f"{folder}: nothing tells which token ends an answer; write eos_token_id into generation_config.json")
    return list(ids) if isinstance(ids, list | tuple) else [ids]


def _adapted(module: Any, adapter: Path, folder: Path, *, merge: bool) -> Any:
    """Weights with the adapter added in float32 and rounded once; unmerged, the adapter's layers stand in the module itself."""
    from peft import PeftModel

    check_base(adapter, folder)
    refuse_broken_adapter(adapter)
    fit_rows(module, folder, adapter)
    tuned = PeftModel.from_pretrained(module, str(adapter))
    return tuned.merge_and_unload() if merge else tuned.get_base_model()


class SeededDraw:
    """Draws each row's next token with a generator of its own, so that a prompt's answer does not depend on its batch."""

    def __init__(self, sampling: Sampling, indices: Sequence[int], seeds: Sequence[int] | None = None) -> None:
        """seeds: of each row, where they are not the sampling's."""
        import torch

        self.sampling = sampling
        # Torch's CPU generator reads the low 32 bits of a seed only, so seed and index are hashed into them together.
        rows = zip(seeds or [sampling.seed] * len(indices), indices, strict=True)
        digests = [hashlib.sha256(f"{seed}/{index}".encode()).digest() for seed, index in rows]
        self.generators = [torch.Generator().manual_seed(int.from_bytes(digest[:4])) for digest in digests]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Returns scores with every token but the drawn one at minus infinity; (rows, vocabulary)."""
        import torch

        picked = [self.pick(row, scores[row : row + 1]) for row in range(len(scores))]
        chosen = torch.full_like(scores, float("-inf"))
        chosen[range(len(picked)), picked] = 0.0
        return chosen

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows go on."""
        self.generators = [self.generators[row] for row in rows]

    def pick(self, row: int, scores: torch.Tensor) -> int:
        """The next token of a row, drawn from its scores, (1, vocabulary)."""
        import torch

        probabilities = self._probabilities(scores.float().cpu())
        return int(torch.multinomial(probabilities[0], 1, generator=self.generators[row]))

    def _probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        scores = scores / self.sampling.temperature
        if self.sampling.top_k > 0:
            least = scores.topk(min(self.sampling.top_k, scores.shape[-1])).values[:, -1:]
            scores = scores.masked_fill(scores < least, float("-inf"))
        probabilities = scores.softmax(-1)
        if self.sampling.top_p < 1:
            ranked, order = probabilities.sort(descending=True)
            beyond = ranked.cumsum(-1) - ranked >= self.sampling.top_p
            probabilities = probabilities.masked_fill(beyond.gather(-1, order.argsort(-1)), 0.0)
        return probabilities
