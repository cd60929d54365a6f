"""The `openvino` engine (extra `luthier[openvino]`): Llama, Mistral, Qwen 2 and 3, generated faster on a CPU.

Prompts are read as the `local` engine reads them; OpenVINO GenAI generates with continuous batching. Its int8 weights move
log-probabilities by about 0.06 nats a token, its f16 weights by no more than bfloat16 does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from luthier.errors import TOO_LONG, EngineError, PromptError, SettingsError
from luthier.models.ebnf import ebnf
from luthier.models.local import LocalModel, told_stops
from luthier.models.openvino_export import adapter_scale, exported
from luthier.models.openvino_form import read_form
from luthier.models.prompt_reading import ReadsAsTransformers
from luthier.models.protocol import GREEDY, Capability, Completion, Progress, Prompt, Sampling, Samplings, Score, Usage, draws

if TYPE_CHECKING:
    from openvino_genai import GenerationConfig as Decoding

    from luthier.models.openvino_graph import Form


PACKAGES = ("openvino", "openvino_genai", "openvino_tokenizers")
CACHE_GIB = 1  # keys and values of all running answers; GenAI would size it from the machine's memory
SCORE_TOKENS = 1024  # positions scored at once: their logits take 200 MB with a vocabulary of 49152, 620 with Qwen's


class Spoken(NamedTuple):
    """An answer, the ids of its tokens, the one that ends it among them, and the log-probability (nats) that the engine gave each."""

    completion: Completion
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


class OpenVinoModel(ReadsAsTransformers):
    """A model of the Llama form in this process, run by OpenVINO GenAI.

    folder: a transformers folder with safetensors; a PEFT adapter folder goes to `adapter`. weights: "int8" or "f16".
    batch_size: answers generated side by side. Raises EngineError where the extra is not installed.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        adapter: Path | str | None = None,
        weights: Literal["int8", "f16"] = "int8",
        batch_size: int = 64,
        name: str | None = None,
    ) -> None:
        if any(find_spec(package) is None for package in PACKAGES):
            raise EngineError("the openvino engine needs: pip install 'luthier[openvino]'")
        if weights not in ("int8", "f16"):
            raise SettingsError(f"weights {weights!r} is not known to the openvino engine; choose int8 or f16")
        self.reader = LocalModel(folder, adapter=adapter)  # never asked for its module
        self.folder, self.adapter = Path(folder), None if adapter is None else Path(adapter)
        self.weights, self.batch_size, self.name = weights, batch_size, name or self.folder.name
        able: set[Capability] = {"generate", "grammar", "json_schema"}
        if not adapter:
            able.add("score")
        self.supports: frozenset[Capability] = frozenset(able)
        self.usage = Usage()
        self._pipeline: Any = None
        self._scorer: Any = None

    def generate(self, prompts: Sequence[Prompt], sampling: Samplings = GREEDY, progress: Progress | None = None) -> list[Completion]:
        """Answer every prompt; a new one starts whenever one ends. Results and seeds follow the order given."""
        return [spoken.completion for spoken in self.speak(prompts, sampling, progress)]

    def speak(
        self, prompts: Sequence[Prompt], sampling: Samplings = GREEDY, progress: Progress | None = None, *, logprobs: bool = False
    ) -> list[Spoken]:
        """As `generate`; with logprobs each answer's log-probabilities at temperature 1, as they were when it was generated, an adapter among them."""
        encoded = [self.encode(self.reader.render(prompt)) for prompt in prompts]
        drawn = draws(sampling, len(prompts))
        self._check_room(max((len(ids) + one.sampling.max_tokens for ids, one in zip(encoded, drawn, strict=True)), default=0))
        stops = stop_ids(self.folder, self.tokenizer)
        answers: dict[int, Spoken] = {}
        running: dict[int, Any] = {}
        try:
            pipeline = self._ready_pipeline()
            while len(answers) < len(prompts):
                for index in range(len(answers) + len(running), min(len(prompts), len(answers) + self.batch_size)):
                    settings = generation_settings(prompts[index], *drawn[index], stops)
                    settings.logprobs = int(logprobs)
                    running[index] = pipeline.add_request(index, _row(encoded[index]), settings)
                pipeline.step()
                ended = {index: end for index, handle in running.items() if (end := _ended(handle)) is not None}
                for index, end in ended.items():
                    del running[index]
                    ids, told = [int(token) for token in end.generated_ids], tuple(map(float, end.generated_log_probs)) if logprobs else ()
                    made = self._completion(ids, stops, len(encoded[index]), drawn[index].sampling, bool(prompts[index].tools))
                    answers[index] = Spoken(made, tuple(ids), told)
                    self.usage.add(made)
                if progress is not None and ended:
                    progress(len(ended))
        except RuntimeError as problem:
            raise EngineError(f"OpenVINO could not generate: {_reason(problem)}") from problem
        finally:
            if len(answers) < len(prompts):  # a pipeline with requests left in it cannot be used again
                self._pipeline = None
        return [answers[index] for index in range(len(prompts))]

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        """Log-probabilities (nats) of `continuations[i]` after `prompts[i]`; prompt and continuation are tokenised apart."""
        if self.adapter is not None:
            raise EngineError("the openvino engine cannot score with an adapter; use the local engine")
        if len(prompts) != len(continuations):
            raise EngineError(f"{len(prompts)} prompts but {len(continuations)} continuations to score")
        pairs = [(self.encode(self.reader.render(prompt)), self.encode(text)) for prompt, text in zip(prompts, continuations, strict=True)]
        order = sorted(range(len(pairs)), key=lambda index: -sum(map(len, pairs[index])))
        scores: dict[int, Score] = {}
        while order:
            size = max(1, SCORE_TOKENS // max(1, sum(map(len, pairs[order[0]]))))
            batch, order = order[:size], order[size:]
            scores.update(zip(batch, self._score_batch([pairs[index] for index in batch]), strict=True))
        return [scores[index] for index in range(len(pairs))]

    @property
    def room(self) -> int:
        """Tokens that one prompt with its answer may take."""
        return token_room(read_form(self.folder))

    def _check_room(self, longest: int) -> None:
        """GenAI would work for minutes on an answer that is longer than its cache, and then give it up."""
        form, room = read_form(self.folder), self.room
        if longest > room:
            why = " (its attention window, which this engine does not slide)" if form.windowed and room == form.context else ""
            told = f"a prompt and its answer take {longest} tokens where the model has room for {room}{why}; shorten it"
            raise PromptError(told, TOO_LONG)

    def _completion(self, ids: list[int], stops: list[int], prompt_tokens: int, sampling: Sampling, tools: bool = False) -> Completion:
        ended = bool(ids) and ids[-1] in stops
        said = ids[:-1] if ended else ids
        text = self.reader.template.said(said) if tools else str(self.tokenizer.decode(said, skip_special_tokens=True))
        cut = min((at for stop in sampling.stop if (at := text.find(stop)) >= 0), default=None)
        finish: Literal["stop", "length"] = "stop" if ended or cut is not None else "length"
        return Completion(text[:cut], finish, prompt_tokens, len(ids))

    def _ready_pipeline(self) -> Any:
        if self._pipeline is None:
            import openvino_genai as genai

            scheduler = genai.SchedulerConfig()
            scheduler.cache_size, scheduler.max_num_seqs = CACHE_GIB, self.batch_size
            settings = _device_settings()
            # tokens that the adapter adds have rows once it is merged
            scale = None if self.adapter is None or self.reader.lacks_rows else adapter_scale(self.adapter)
            if self.adapter is not None and scale is not None:
                # static: the adapter becomes part of the graph, a third faster than one that can be exchanged
                lora, mode = genai.Adapter(self.adapter / "adapter_model.safetensors"), genai.AdapterConfig.Mode.MODE_STATIC
                settings["adapters"] = genai.AdapterConfig(lora, scale, mode)
            own = self.adapter if self.tokenizer is not None and self.reader.reading is not None and self.reader.reading.own else None
            folder = exported(self.folder, self.weights, self.tokenizer, merged=self.adapter if scale is None else None, tokens_of=own)
            self._pipeline = genai.ContinuousBatchingPipeline(folder, scheduler, "CPU", settings)
        return self._pipeline

    def _score_batch(self, pairs: list[tuple[list[int], list[int]]]) -> list[Score]:
        import numpy as np
        import openvino as ov

        if self._scorer is None:
            graph = exported(self.folder, self.weights, self.tokenizer) / "openvino_model.xml"
            self._scorer = ov.Core().compile_model(graph, "CPU", _device_settings()).create_infer_request()
        width = max(len(before) + len(after) for before, after in pairs)
        ids, mask = (np.zeros((len(pairs), width), dtype=np.int64) for _ in range(2))
        for row, (before, after) in enumerate(pairs):  # padded on the right, where nothing looks back at it
            ids[row, : len(before) + len(after)], mask[row, : len(before) + len(after)] = before + after, 1
        positions = np.broadcast_to(np.arange(width), ids.shape).copy()
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        self._scorer.reset_state()
        logits = self._scorer.infer({**inputs, "beam_idx": np.arange(len(pairs), dtype=np.int32)})["logits"]
        return [_score(logits[row, len(before) - 1 : len(before) + len(after) - 1], after) for row, (before, after) in enumerate(pairs)]


def token_room(form: Form) -> int:
    """Tokens that one prompt with its answer may take: the model's context, or what the cache holds in 16-bit keys and values."""
    token_bytes = 2 * 2 * form.layers * form.kv_heads * form.head_size
    return min(form.context, CACHE_GIB * 2**30 // token_bytes)


def stop_ids(folder: Path, tokenizer: Any) -> list[int]:
    """Token ids that end an answer, as transformers would take them. Raises EngineError where none is told."""
    from transformers import AutoConfig, GenerationConfig

    known = (folder / "generation_config.json").is_file()
    source = GenerationConfig if known else AutoConfig
    return told_stops(source.from_pretrained(folder, local_files_only=True).eos_token_id, tokenizer, folder)


def _device_settings() -> dict[str, Any]:
    """Keys and values in 16 bits (GenAI's 8 are farther from the reference and no faster); as many threads as torch would take."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return {"KV_CACHE_PRECISION": "f16"} | ({"INFERENCE_NUM_THREADS": int(threads)} if threads.isdigit() else {})


def generation_settings(prompt: Prompt, sampling: Sampling, index: int, stops: list[int]) -> Decoding:
    """GenAI's configuration of one answer; a sampled one draws with a seed of its own."""
    import openvino_genai as genai

    config = genai.GenerationConfig()
    config.max_new_tokens, config.stop_token_ids, config.apply_chat_template = sampling.max_tokens, set(stops), False
    config.stop_strings, config.include_stop_str_in_output = set(sampling.stop), True
    if sampling.temperature > 0:
        config.do_sample, config.temperature, config.top_p = True, sampling.temperature, sampling.top_p
        # GenAI's generator reads the low 32 bits of a seed only, so seed and index are hashed into them together.
        config.rng_seed = int.from_bytes(hashlib.sha256(f"{sampling.seed}/{index}".encode()).digest()[:4], "big")
        if sampling.top_k > 0:
            config.top_k = sampling.top_k
    if prompt.grammar is not None:
        config.structured_output_config = genai.StructuredOutputConfig(grammar=ebnf(prompt.grammar))
    if prompt.json_schema is not None:
        config.structured_output_config = genai.StructuredOutputConfig(json_schema=json.dumps(prompt.json_schema))
    return config


def _row(ids: list[int]) -> Any:
    import numpy as np
    import openvino as ov

    return ov.Tensor(np.array([ids], dtype=np.int64))


def _ended(handle: Any) -> Any:
    """A finished answer as GenAI tells it, None while it runs."""
    from openvino_genai import GenerationStatus

    status = handle.get_status()
    if status == GenerationStatus.RUNNING:
        return None
    if status != GenerationStatus.FINISHED:
        raise EngineError(f"OpenVINO gave an answer up ({status.name}); use a smaller batch_size or the local engine")
    return handle.read_all()[0]


def _score(logits: Any, after: list[int]) -> Score:
    """logits: (tokens, vocabulary), the ones that predict `after`."""
    import numpy as np

    shifted = logits.astype(np.float64)
    shifted -= shifted.max(-1, keepdims=True)
    picked = shifted[np.arange(len(after)), after] - np.log(np.exp(shifted).sum(-1))
    return Score(tuple(after), tuple(picked.tolist()))


def _reason(problem: RuntimeError) -> str:
    """The first line of an OpenVINO message, without its time and source paths."""
    lines = str(problem).strip().splitlines() or ["no reason given"]
    return re.sub(r"^\[[\d:]+\] \S+: | failed at \S+$", "", lines[0])
