"""The `llamacpp` engine (extra `luthier[llamacpp]`): GGUF files as they are, generated side by side on a CPU.

Prompts are rendered and encoded as the `transformers` engine does it, so that both read the same token ids; llama.cpp gets ids, never texts.
Its quantised weights answer otherwise than those of another form, and an answer may differ in its last digits with what runs beside it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from luthier.errors import TOO_LONG, EngineError, LuthierError, MissingFileError, PromptError
from luthier.models.base_model import check_base
from luthier.models.gguf_lora import write_lora
from luthier.models.local import LocalModel
from luthier.models.prompt_reading import ReadsAsTransformers
from luthier.models.protocol import GREEDY, Capability, Completion, Draw, Progress, Prompt, Samplings, Score, Usage, draws

CONTEXT = 32_768  # tokens of all running answers together: 0.4 GiB of keys and values for a model of 0.5B
SURE = 1e9  # a bias that makes a token certain; its log-probability is still told as the model has it


class LlamaCppModel(ReadsAsTransformers):
    """A GGUF file in this process, run by llama.cpp.

    file: the weights. folder: the same model as a transformers folder, for its tokenizer and chat template. adapter: a PEFT folder of plain LoRA,
    which is put on the weights as they are read. batch_size: answers generated side by side. Raises EngineError where the extra is not installed, MissingFileError.
    """

    supports: frozenset[Capability] = frozenset({"generate", "grammar", "json_schema", "score"})
    guided_by = "llguidance"

    def __init__(
        self, file: Path | str, folder: Path | str, *, adapter: Path | str | None = None, batch_size: int = 16, name: str | None = None
    ) -> None:
        if find_spec("xllamacpp") is None:
            raise EngineError("the llamacpp engine needs: pip install 'luthier[llamacpp]'")
        if not Path(file).is_file():
            raise MissingFileError(f"{file}: no GGUF file here")
        self.file, self.reader = Path(file), LocalModel(folder, adapter=adapter)  # never asked for its module
        self.batch_size, self.name, self.usage = batch_size, name or self.file.stem, Usage()
        self._server: Any = None
        self._room: int | None = None

    @property
    def folder(self) -> Path:
        return self.reader.folder

    def generate(self, prompts: Sequence[Prompt], sampling: Samplings = GREEDY, progress: Progress | None = None) -> list[Completion]:
        """Answer every prompt; a new one starts whenever one ends. Results and seeds follow the order given."""
        encoded = [self.reader.encode(self.render(prompt)) for prompt in prompts]
        drawn = draws(sampling, len(prompts))
        needs = [len(ids) + one.sampling.max_tokens for ids, one in zip(encoded, drawn, strict=True)]
        jobs = [partial(self._answer, ids, prompt, draw) for ids, prompt, draw in zip(encoded, prompts, drawn, strict=True)]
        answers = self._side_by_side(jobs, needs, progress)
        for answer in answers:
            self.usage.add(answer)
        return answers

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        """Log-probabilities (nats) of `continuations[i]` after `prompts[i]`; prompt and continuation are tokenised apart.

        llama.cpp tells the chance of a token it has drawn, so each token of a continuation is made certain in turn; what comes before it
        is kept in the cache.
        """
        if len(prompts) != len(continuations):
            raise EngineError(f"{len(prompts)} prompts but {len(continuations)} continuations to score")
        encode = self.reader.encode
        pairs = [(encode(self.render(prompt)), encode(text)) for prompt, text in zip(prompts, continuations, strict=True)]
        return self._side_by_side([partial(self._score, *pair) for pair in pairs], [sum(map(len, pair)) for pair in pairs], None)

    @property
    def room(self) -> int:
        """Tokens that one prompt with its answer may take: the model's context, or what the engine holds."""
        if self._room is None:
            from transformers import AutoConfig

            config = AutoConfig.from_pretrained(self.folder, local_files_only=True).get_text_config()
            self._room = min(CONTEXT, getattr(config, "max_position_embeddings", None) or CONTEXT)
        return self._room

    def close(self) -> None:
        """Let go of the weights; the next call loads them again."""
        self._server = None

    def _side_by_side(self, jobs: Sequence[Callable[[], Any]], needs: Sequence[int], progress: Progress | None) -> list[Any]:
        """What the jobs give, in order; as many at a time as the context holds. needs: tokens of each."""
        longest = max(needs, default=0)
        if longest > self.room:
            raise PromptError(
                f"{self.name}: a prompt and its answer take {longest:,} tokens where there is room for {self.room:,}; shorten it", TOO_LONG
            )
        if not jobs:
            return []
        self._ready()
        with ThreadPoolExecutor(max(1, min(self.batch_size, CONTEXT // max(1, longest)))) as pool:
            running = [pool.submit(job) for job in jobs]
            try:
                for ended in as_completed(running):
                    ended.result()
                    if progress is not None:
                        progress(1)
            except BaseException:
                for each in running:
                    each.cancel()
                raise
            return [each.result() for each in running]

    def _ready(self) -> Any:
        """llama.cpp with the weights in it."""
        if self._server is None:
            xllamacpp = binding()
            params = xllamacpp.CommonParams()
            params.model.path = str(self.file)
            params.n_parallel, params.n_ctx, params.kv_unified = self.batch_size, CONTEXT, True
            params.hostnames, params.port = ["127.0.0.1"], 0  # it listens, though nobody asks it over a socket
            params.warmup, params.verbosity, params.enable_chat_template = False, 0, False
            choose_threads(params)
            try:
                with self._put_on(params):
                    self._server = xllamacpp.Server(params)
            except LuthierError:
                raise
            except Exception as problem:  # the binding raises nothing narrower
                raise EngineError(f"{self.file}: llama.cpp cannot load it ({_reason(problem)})") from problem
        return self._server

    @contextmanager
    def _put_on(self, params: Any) -> Iterator[None]:
        """Within, the adapter is a file that llama.cpp reads."""
        if self.reader.adapter is None:
            yield
            return
        import xllamacpp

        adapter = Path(self.reader.adapter)
        check_base(adapter, self.folder)
        self.reader.refuse_rows()
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "adapter.gguf"
            write_lora(adapter, self.folder, file)
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(file), 1.0)]
            yield

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = self._ready().handle_completions({"min_p": 0.0, "cache_prompt": True, **request})
        except Exception as problem:  # the same
            raise EngineError(f"{self.name}: llama.cpp gave an answer up ({_reason(problem)})") from problem
        if not isinstance(reply, dict) or "choices" not in reply:
            raise EngineError(f"{self.name}: llama.cpp gave an answer up ({str(reply)[:200]})")
        return reply

    def _answer(self, ids: list[int], prompt: Prompt, draw: Draw) -> Completion:
        sampling = draw.sampling
        marks = list(self.template.kept_marks) if prompt.tools else []
        request = {"prompt": ids, "n_predict": sampling.max_tokens, "preserved_tokens": marks}
        reply = self._ask({**request, **_drawing(draw), **_constraint(prompt)})
        choice = reply["choices"][0]
        text = str(choice["text"])
        cut = min((at for stop in sampling.stop if (at := text.find(stop)) >= 0), default=None)
        ended = cut is not None or choice["finish_reason"] == "stop"
        finish: Literal["stop", "length"] = "stop" if ended else "length"
        return Completion(text[:cut], finish, len(ids), int(reply["usage"]["completion_tokens"]))

    def _score(self, before: list[int], after: list[int]) -> Score:
        found = []
        for place, token in enumerate(after):
            told = self._drawn(before + after[:place], token, 1)
            if told is None:  # of a token that ends within a letter llama.cpp tells nothing, but it stands among the others
                (letter, *_) = self.reader.encode("a")
                drawn = self._drawn(before + after[:place], letter, len(self.tokenizer)) or {}
                told = next((one for one in drawn.get("top_logprobs", ()) if one["id"] == token), None)
            if told is None or told["id"] != token:
                raise EngineError(f"{self.name}: llama.cpp does not tell the chance of token {token}; use the transformers engine")
            found.append(float(told["logprob"]))
        return Score(tuple(after), tuple(found))

    def _drawn(self, ids: list[int], token: int, shown: int) -> dict[str, Any] | None:
        """What is told of a token that is made certain after these. shown: how many of the likeliest are listed with it."""
        told = {"prompt": ids, "n_predict": 1, "temperature": 0, "logit_bias": [[token, SURE]], "n_probs": shown}
        content = (self._ask(told)["choices"][0].get("logprobs") or {}).get("content") or [None]
        return None if content[0] is None else dict(content[0])


def _drawing(draw: Draw) -> dict[str, Any]:
    """How llama.cpp draws an answer; a sampled one with a seed of its own, in the order of the other engines."""
    sampling = draw.sampling
    told: dict[str, Any] = {"temperature": sampling.temperature, "stop": list(sampling.stop)}
    if sampling.temperature > 0:
        seed = hashlib.sha256(f"{sampling.seed}/{draw.place}".encode()).digest()[:4]
        told |= {"top_p": sampling.top_p, "top_k": sampling.top_k, "samplers": ["temperature", "top_k", "top_p"]}
        told["seed"] = int.from_bytes(seed, "big") % (2**32 - 1)  # the last one stands for a random seed
    return told


def _constraint(prompt: Prompt) -> dict[str, Any]:
    if prompt.grammar is not None:
        return {"grammar": f"%llguidance {{}}\n{prompt.grammar}"}
    return {} if prompt.json_schema is None else {"json_schema": prompt.json_schema}


def binding() -> Any:
    """The module xllamacpp, whose threads do not wait at full speed: on a busy machine they would starve each other."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read as the library is loaded
    import xllamacpp

    return xllamacpp


def choose_threads(params: Any) -> None:
    """As many threads as torch would take."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    if told.isdigit() and int(told):
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(told)


def _reason(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__
