"""What is served held against what was trained: nothing differs where nothing was changed, and ten ways to break it are each caught and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from command import luthier
from luthier.errors import SettingsError
from luthier.models.local import LocalModel
from luthier.models.merged_folder import write_model_gguf
from luthier.models.openvino import OpenVinoModel
from luthier.models.parity import ParitySettings, answer, compare, table
from luthier.models.parity_checks import compare_calls, compare_prompts, compare_stops, compare_tokens
from luthier.models.parity_sides import EngineSide, OpenVinoSide, llamacpp_side, said_text, told_tokens
from luthier.models.protocol import Prompt, Sampling
from luthier.models.source import find_source
from luthier.records import JSON, Message, Tool, ToolCall
from stock_templates import stock, write_architecture

TOOLS = tuple(
    Tool(name, f"To {name}.", {"type": "object", "properties": {"city": {"type": "string"}}}) for name in ("get_weather", "book_table")
)
ASKED = [
    Prompt((Message("system", "Be brief."), Message("user", f"What is the weather in Lisbon in {year}?")), TOOLS)
    for year in (2024, 12, 345)
]
AFTER_CALL = Prompt(
    (
        Message("user", "Rain?"),
        Message("assistant", tool_calls=(ToolCall("get_weather", {"city": "Lisbon"}),)),
        Message("tool", "yes", name="get_weather"),
        Message("user", "And?"),
    ),
    TOOLS,
)
PROMPTS = [*ASKED, AFTER_CALL]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_architecture("qwen2", tmp_path_factory.mktemp("parity") / "model")
    (folder / "chat_template.jinja").write_text(stock("qwen2_5"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=4, target_modules="all-linear"))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    place = tmp_path_factory.mktemp("adapter")
    tuned.save_pretrained(place)
    return place


def trained(base: Path, adapter: Path) -> LocalModel:
    return LocalModel(base, adapter=adapter, dtype="float32")


class Altered(EngineSide):
    """The trained model, served otherwise."""

    def __init__(
        self, model: Any, rows: Callable[[list[JSON], list[JSON]], Any] | None = None, text: Callable[[str], str] | None = None
    ) -> None:
        super().__init__(model)
        self.rows, self.text, self.more = rows, text, list[int]()

    def prompt(self, prompt: Prompt) -> str:
        messages, tools = [m.to_row() for m in prompt.messages], [tool.to_row() for tool in prompt.tools]
        if self.rows is not None:
            messages, tools = self.rows(messages, tools)
        # as a server does it: the template itself, which nothing fits the messages to
        made = str(self.model.tokenizer.apply_chat_template(messages, tools=tools or None, add_generation_prompt=True, tokenize=False))
        return made if self.text is None else self.text(made)

    def tokens(self, text: str) -> list[int]:
        return self.more + (super().tokens(text) or [])


def told(base: Path, adapter: Path, side: Any, prompts: Sequence[Prompt] = PROMPTS) -> str:
    """The serious differences, in words."""
    made = table(list(compare(trained(base, adapter), side, prompts, weights="f16", max_tokens=8)), "parity")
    assert made.code == int(not made.value["same"])
    return "\n".join(
        f"{one['check']}: {each['why']}" for one in made.value["checks"] for each in one["differences"] if not each["precision"]
    )


def test_nothing_differs_where_nothing_was_changed(base: Path, adapter: Path) -> None:
    made = table(list(compare(trained(base, adapter), Altered(trained(base, adapter)), PROMPTS, weights="f32", max_tokens=8)), "parity")
    assert made.code == 0
    assert made.lines[-1] == "what is served is what was trained"
    assert all(one["equal"] == len(PROMPTS) for one in made.value["checks"])


def moved(messages: list[JSON], tools: list[JSON]) -> Any:
    if messages[0]["role"] != "system":
        return messages, tools
    return [{**messages[1], "content": f"{messages[1]['content']}\n{messages[0]['content']}"}, *messages[2:]], tools


def as_text(messages: list[JSON], tools: list[JSON]) -> Any:
    made = json.loads(json.dumps(messages))
    for message in made:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    return made, tools


PROMPT_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "template changed": (
        {"text": lambda text: text.replace("<|im_start|>user", "<|im_start|>human")},
        "prompt: another chat template: at sign",
    ),
    "tools in another order": (
        {"rows": lambda messages, tools: (messages, tools[::-1])},
        "prompt: the same parts in another order, tools say",
    ),
    "system turn moved": ({"rows": moved}, "prompt: what the system turn says stands elsewhere"),
    "system turn left out": ({"rows": lambda m, t: ([x for x in m if x["role"] != "system"], t)}, "what the system turn says is left out"),
    "arguments as text": ({"rows": as_text}, "prompt: arguments of calls are rendered as text, not as objects"),
    "BOS doubled in the text": ({"text": lambda text: "<s>" + text}, "prompt: the text begins with <s> once more: BOS is doubled"),
}


@pytest.mark.parametrize("fault", PROMPT_FAULTS)
def test_another_prompt_is_caught_and_named(fault: str, base: Path, adapter: Path) -> None:
    change, words = PROMPT_FAULTS[fault]
    assert words in told(base, adapter, Altered(trained(base, adapter), **change))


def test_a_doubled_bos_is_caught_and_named(base: Path, adapter: Path) -> None:
    side = Altered(trained(base, adapter))
    side.more = [trained(base, adapter).tokenizer.bos_token_id]
    assert "tokens: the token that begins a text is put before it once more: BOS is doubled" in told(base, adapter, side)


def test_grouped_digits_are_caught_and_named(base: Path, adapter: Path) -> None:
    from tokenizers.pre_tokenizers import ByteLevel, Digits
    from tokenizers.pre_tokenizers import Sequence as Several

    model = trained(base, adapter)
    single = model.tokenizer.backend_tokenizer
    single.pre_tokenizer = Several([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    ids, names = single.encode("12 people", add_special_tokens=False).ids, ["1", "2", " people"]
    assert len(ids) >= 3
    found = compare_tokens([1, 2, 3], [9, 3], names, ["12", " people"], bos=None)
    assert found is not None
    assert found.why == "digits are read in groups: another pre-tokenizer"
    found = compare_tokens([9, 3], [1, 2, 3], ["12", " people"], names, bos=None)
    assert found is not None
    assert found.why == "digits are read one by one: another pre-tokenizer"


def test_an_adapter_that_is_left_out_is_caught_and_named(base: Path, adapter: Path) -> None:
    words = told(base, adapter, Altered(LocalModel(base, dtype="float32")))
    assert "nats a token from the trained model, 0.00 from its base: the adapter is left out" in words


def test_another_base_is_caught_and_named(base: Path, adapter: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    other = Path(shutil.copytree(base, tmp_path / "other"))
    torch.manual_seed(9)
    model = AutoModelForCausalLM.from_pretrained(base)
    for weight in model.parameters():
        weight.data = weight.data + 0.15 * torch.randn_like(weight)
    model.save_pretrained(other)
    assert "where f16 explains 0.05: another base, or a coarser quantisation than told" in told(
        base, adapter, Altered(trained(other, adapter))
    )


def test_a_coarser_quantisation_than_told_is_caught(base: Path, adapter: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    other = Path(shutil.copytree(base, tmp_path / "coarse"))
    model = AutoModelForCausalLM.from_pretrained(base)
    for weight in model.parameters():
        if weight.dim() == 2:
            step = weight.data.abs().amax(-1, keepdim=True).clamp(min=1e-6) / 3  # rows of nothing stay so
            weight.data = (weight.data / step).round() * step
    model.save_pretrained(other)
    assert "a coarser quantisation than told" in told(base, adapter, Altered(trained(other, adapter)))


def test_a_lost_stop_token_is_caught_and_named(base: Path, adapter: Path, tmp_path: Path) -> None:
    model = trained(base, adapter)
    text = model.generate([ASKED[0]], Sampling(max_tokens=8))[0].text
    stop = model.encode(text)[-1]
    stopping = Path(shutil.copytree(base, tmp_path / "stopping"))
    config = json.loads((base / "generation_config.json").read_text())
    (stopping / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": stop}))
    words = told(stopping, adapter, Altered(trained(base, adapter)), ASKED[:1])
    assert "stop: the answer goes on where the trained model stops: its stop token is lost" in words


def copied(base: Path, to: Path, name: str, **changes: Any) -> Path:
    """A copy of a model with one of its JSON files changed."""
    folder = Path(shutil.copytree(base, to))
    row = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**row, **changes}))
    return folder


def other_weights(base: Path, to: Path, change: Callable[[Any], Any]) -> Path:
    from transformers import AutoModelForCausalLM

    folder = Path(shutil.copytree(base, to))
    model = AutoModelForCausalLM.from_pretrained(base)
    for weight in model.parameters():
        if weight.dim() == 2:
            weight.data = change(weight.data)
    model.save_pretrained(folder)
    return folder


def coarse(weight: Any) -> Any:
    step = weight.abs().amax(-1, keepdim=True) / 3
    return (weight / step).round() * step


def grouping(base: Path, to: Path) -> Path:
    """A copy whose tokenizer reads 20 as one token."""
    from transformers import AutoTokenizer

    folder = Path(shutil.copytree(base, to))
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["20"])
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model with narrower logits: OpenVINO multiplies in bfloat16 where it can, whose noise is as wide as they are."""
    from transformers import AutoModelForCausalLM

    folder = write_architecture("qwen2", tmp_path_factory.mktemp("calm") / "model")
    (folder / "chat_template.jinja").write_text(stock("qwen2_5"), encoding="utf-8")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.lm_head.weight.data *= 0.3
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def calm_adapter(calm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    tuned = get_peft_model(
        AutoModelForCausalLM.from_pretrained(calm), LoraConfig(r=4, target_modules="all-linear", exclude_modules=["lm_head"])
    )
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    place = tmp_path_factory.mktemp("calm-adapter")
    tuned.save_pretrained(place)
    return place


def served(folder: Path, adapter: Path | None, weights: Any = "f16") -> OpenVinoSide:
    return OpenVinoSide(OpenVinoModel(folder, adapter=adapter, weights=weights))


needs_openvino = pytest.mark.skipif(find_spec("openvino_genai") is None, reason="the extra luthier[openvino] is not installed")


@needs_openvino
def test_openvino_serves_what_was_trained(calm: Path, calm_adapter: Path) -> None:
    made = table(list(compare(trained(calm, calm_adapter), served(calm, calm_adapter), PROMPTS, weights="f16", max_tokens=8)), "parity")
    assert made.code == 0, made.lines
    checks = {one["check"]: one for one in made.value["checks"]}
    assert all(checks[name]["equal"] == len(PROMPTS) for name in ("prompt", "tokens", "calls"))
    assert checks["log-probabilities"]["compared"] > 0


FOLDER_FAULTS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "template changed": (
        lambda base, to: copied_template(base, to, ("<|im_start|>assistant\\n", "<|im_start|>helper\\n")),
        "prompt: another chat template: at sign",
    ),
    "tools in another order": (
        lambda base, to: copied_template(base, to, ("for tool in tools", "for tool in tools|reverse")),
        "prompt: the same parts in another order, tools say",
    ),
    "system turn moved": (
        lambda base, to: copied_template(
            base,
            to,
            ("{{- messages[0]['content'] }}", ""),
            ("{%- for tool in tools %}", "{{- messages[0]['content'] }}{%- for tool in tools %}"),
        ),
        "prompt: what the system turn says stands elsewhere",
    ),
    "system turn left out": (
        lambda base, to: copied_template(base, to, ("{{- messages[0]['content'] }}", "")),
        "prompt: what the system turn says stands elsewhere",  # where a template loses it, the engine reads it before the first user turn
    ),
    "arguments as text": (
        lambda base, to: copied_template(base, to, ("tool_call.arguments | tojson", "tool_call.arguments | tojson | tojson")),
        "prompt: arguments of calls are rendered as text, not as objects",
    ),
    "BOS doubled": (
        lambda base, to: copied_template(base, to, start="{{ bos_token }}"),
        "the text begins with <s> once more: BOS is doubled",
    ),
    "digits grouped": (grouping, "tokens: digits are read in groups: another pre-tokenizer"),
    "another base": (
        lambda base, to: other_weights(base, to, lambda weight: weight.flip(0)),
        "where f16 explains 0.05: another base, or a coarser quantisation than told",
    ),
    "coarser quantisation": (lambda base, to: other_weights(base, to, coarse), "a coarser quantisation than told"),
}


def copied_template(base: Path, to: Path, *changes: tuple[str, str], start: str = "") -> Path:
    folder, text = Path(shutil.copytree(base, to)), stock("qwen2_5")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "chat_template.jinja").write_text(start + text, encoding="utf-8")
    return folder


@needs_openvino
@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_a_folder_that_openvino_serves_otherwise_is_caught_and_named(fault: str, calm: Path, calm_adapter: Path, tmp_path: Path) -> None:
    change, words = FOLDER_FAULTS[fault]
    assert words in told(calm, calm_adapter, served(change(calm, tmp_path / "other"), calm_adapter))


@needs_openvino
def test_an_adapter_that_openvino_leaves_out_is_caught_and_named(calm: Path, calm_adapter: Path) -> None:
    assert "from its base: the adapter is left out" in told(calm, calm_adapter, served(calm, None))


@needs_openvino
def test_a_stop_token_that_openvino_lost_is_caught_and_named(calm: Path, calm_adapter: Path, tmp_path: Path) -> None:
    model = trained(calm, calm_adapter)
    text = model.generate([ASKED[0]], Sampling(max_tokens=8))[0].text
    stopping = copied(calm, tmp_path / "stopping", "generation_config.json", eos_token_id=model.encode(text)[-1])
    words = told(stopping, calm_adapter, served(calm, calm_adapter), ASKED[:1])
    assert "stop: the answer goes on where the trained model stops: its stop token is lost" in words


@needs_openvino
def test_openvino_is_refused_weights_that_it_does_not_hold(calm: Path, tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "Yes."}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    settings = ParitySettings(str(calm), served="openvino", weights="q4", data=(str(tmp_path / "rows.jsonl"),))
    with pytest.raises(SettingsError, match="--weights is q4; the openvino engine holds int8 or f16"):
        answer(settings)


def test_calls_behind_a_near_tie_are_precision() -> None:
    assert compare_calls("f({})", "f({})", near=False) is None
    found = compare_calls("f({})", "no call", near=False)
    assert found is not None
    assert (found.why, found.precision) == ("no call where f({}) was trained", False)
    found = compare_calls("f({})", "no call", near=True)
    assert found is not None
    assert found.precision


def test_a_stop_that_is_a_near_tie_is_precision() -> None:
    lost = compare_stops("stop", "length", said="Yes.", other="Yes. And")
    assert lost is not None
    assert not lost.precision
    near = compare_stops("stop", "length", said="Yes.", other="Yes. And", near=True)
    assert near is not None
    assert near.precision
    assert compare_stops("stop", "length", said="Yes.", other="No", near=True) is None


def test_equal_prompts_are_no_difference() -> None:
    assert compare_prompts("a", "a") is None
    assert compare_tokens([1], [1], ["a"], ["a"], bos=1) is None


@pytest.mark.slow
@pytest.mark.skipif(find_spec("xllamacpp") is None, reason="llama.cpp is an extra")
def test_what_llamacpp_serves_of_a_run_is_what_was_trained(tiny_model_folder: Path, tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"Rain in {year}?"}, {"role": "assistant", "content": "Yes, 12 days."}]}
        for year in (1999, 2024)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    luthier("train", "sft", tmp_path / "rows.jsonl", "--model", tiny_model_folder, "--epochs", 1, "--quiet", "--out", tmp_path / "run")
    said = luthier("models", "parity", tmp_path / "run", "--with", "llamacpp", "--max-tokens", 6, "--quiet")
    assert "prompt             2 of 2 equal" in said.stdout
    assert "tokens             2 of 2 equal" in said.stdout
    assert said.stdout.splitlines()[-1] == "what is served is what was trained"
    write_model_gguf(find_source(str(tmp_path / "run")), tmp_path / "model.gguf", weights="f16")
    with llamacpp_side(tmp_path / "model.gguf") as server:
        asked = luthier("models", "parity", tmp_path / "run", "--with", server.base, "--max-tokens", 6, "--quiet")
    assert asked.stdout.splitlines()[0] == f"{tiny_model_folder} as trained, and {server.base}"
    assert asked.stdout.splitlines()[1:] == said.stdout.splitlines()[1:]
    missing = luthier("models", "parity", tmp_path / "run", "--with", "nothing", ok=False)
    assert "give llamacpp, openvino, or the URL of a server" in missing.stderr


def test_log_probabilities_of_which_some_are_left_out_are_not_compared() -> None:
    told = [{"id": token, "logprob": -0.5} for token in (4, 5, 6)]
    assert told_tokens({"logprobs": {"content": told}}, 3) == ([-0.5] * 3, (4, 5, 6))
    assert told_tokens({"logprobs": {"content": told}}, 4) == ([], ())
    assert told_tokens({"logprobs": {"content": [{"logprob": -0.5}]}}, 4) == ([-0.5], ())
    assert told_tokens({"logprobs": None}, 4) == ([], ())


@pytest.mark.slow
@pytest.mark.skipif(find_spec("xllamacpp") is None, reason="llama.cpp is an extra")
def test_calls_that_llamacpp_cannot_read_are_text_and_that_is_said(bundled_model: LocalModel, tmp_path: Path) -> None:
    write_model_gguf(find_source("bundled"), tmp_path / "model.gguf", weights="f16")
    with llamacpp_side(tmp_path / "model.gguf") as side:
        cases = list(compare(bundled_model, side, ASKED[:1], weights="f16", max_tokens=8))
        made = table(cases, "parity", side.remarks)
    assert any("--skip-chat-parsing" in line for line in made.lines)
    checks = {each["check"]: each for each in made.value["checks"]}
    assert [checks[name]["compared"] for name in ("prompt", "tokens", "calls")] == [1, 1, 1]
    assert checks["calls"]["equal"] == checks["tokens"]["equal"] == 1


def _call(name: str, arguments: str) -> JSON:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("calls", "cut", "text"),
    [
        ([_call("pay", '{"card": "LC-1"}')], False, '[pay(card="LC-1")]'),
        ([_call("pay", "")], False, "[pay()]"),
        ([_call("pay", '{"card": "LC')], True, ""),
        ([_call("pay", '{"card": "LC-1"}'), _call("pay", '{"ca')], True, '[pay(card="LC-1")]'),
    ],
)
def test_a_call_that_the_end_of_an_answer_cuts_is_no_call_yet(calls: list[JSON], cut: bool, text: str) -> None:
    assert said_text({"content": None, "tool_calls": calls}, cut=cut) == text


def test_a_broken_call_in_an_answer_that_ended_is_an_error() -> None:
    for calls, cut in (([_call("pay", '{"card": "LC')], False), ([_call("pay", "{"), _call("pay", "{}")], True)):
        with pytest.raises(json.JSONDecodeError):
            said_text({"tool_calls": calls}, cut=cut)


def test_calls_are_the_same_in_whatever_order_their_arguments_come() -> None:
    from luthier.models.parity import _plain
    from luthier.records import ToolCall

    assert (
        _plain([ToolCall("f", {"a": 1, "b": 2})]) == _plain([ToolCall("f", {"b": 2, "a": 1})]) != _plain([ToolCall("f", {"b": 1, "a": 2})])
    )
