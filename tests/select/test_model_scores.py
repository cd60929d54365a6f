"""Perplexity and instruction-following difficulty: against plain forward passes, what is passed over and why, stopped and continued."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from watched import Watched

from luthier.errors import EngineError, LuthierError
from luthier.models.local import LocalModel
from luthier.records import read_rows, write_jsonl
from luthier.select.answers import forecast
from luthier.select.model_sample import sample
from luthier.select.model_scores import JOURNAL, ifd_ratios, perplexities
from luthier.select.runs import run
from luthier.select.selection import select
from luthier.select.settings import SelectionSettings, SelectSettings
from select_rows import make_rows

ROWS = make_rows(40)
OPEN: dict[str, Any] = {"noise": None, "near": None}
CALL = {
    "messages": [
        {"role": "user", "content": "Weather in Lisbon on Tuesday?"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Lisbon"}}}]},
        {"role": "tool", "content": "sunny"},
        {"role": "assistant", "content": "It will be sunny in Lisbon."},
    ]
}
PAIR = {"prompt": "What is the weather?", "chosen": "Sunny, 3 degrees", "rejected": "Weather"}
TEXT = {"text": "You are a helpful assistant that answers with calls"}
MUTE = {"messages": [{"role": "user", "content": "Anyone there?"}]}
HEADER = "<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder, dtype="float32")


@pytest.fixture
def uniform(tiny_model_folder: Path) -> LocalModel:
    """Every token is as likely as any other, whatever comes before."""
    engine = LocalModel(tiny_model_folder, dtype="float32")
    engine.module.lm_head.weight.data.zero_()
    return engine


def ids(model: LocalModel, text: str) -> list[int]:
    return model.tokenizer(text, add_special_tokens=False)["input_ids"]


def loss(model: LocalModel, before: list[int], after: list[int]) -> float:
    """One unpadded forward pass, log-softmax in double precision by hand, one token after the other."""
    import torch

    with torch.inference_mode():
        logits = model.module(torch.tensor([before + after])).logits[0].double()
    total = 0.0
    for at, token in enumerate(after, len(before)):
        row = logits[at - 1]
        total -= float(row[token] - row.max() - torch.log(torch.exp(row - row.max()).sum()))
    return total / len(after)


def prompt_of(model: LocalModel, messages: list[dict[str, Any]]) -> list[int]:
    text = model.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return ids(model, text)


def test_the_numbers_are_those_of_plain_forward_passes(model: LocalModel) -> None:
    rows = [*ROWS[:6], CALL, PAIR]
    cases = [(row["messages"][:1], row["messages"][1]["content"]) for row in ROWS[:6]]
    cases += [
        (CALL["messages"][:3], "It will be sunny in Lisbon."),
        ([{"role": "user", "content": "What is the weather?"}], "Sunny, 3 degrees"),
    ]
    given = [loss(model, prompt_of(model, messages), ids(model, answer)) for messages, answer in cases]
    alone = [loss(model, ids(model, HEADER), ids(model, answer)) for _, answer in cases]
    assert [one.value for one in perplexities(model, rows)] == pytest.approx([math.exp(one) for one in given], rel=1e-4)
    ratios = [one.value for one in ifd_ratios(model, rows)]
    assert ratios == pytest.approx([one / other for one, other in zip(given, alone, strict=True)], rel=1e-4)


def test_a_text_is_read_whole_and_without_a_template(model: LocalModel) -> None:
    first, *rest = ids(model, TEXT["text"])
    assert perplexities(model, [TEXT])[0].value == pytest.approx(math.exp(loss(model, [first], rest)), rel=1e-4)


@pytest.mark.parametrize("kept", [1, 7, 30])
def test_of_a_prompt_the_last_tokens_count_and_of_an_answer_the_first(model: LocalModel, kept: int) -> None:
    question, answer = ROWS[0]["messages"]
    after = ids(model, answer["content"])[:kept]
    expected = loss(model, prompt_of(model, [question])[-kept:], after)
    assert perplexities(model, ROWS[:1], max_tokens=kept)[0].value == pytest.approx(math.exp(expected), rel=1e-4)
    ratio = expected / loss(model, ids(model, HEADER), after)
    assert ifd_ratios(model, ROWS[:1], max_tokens=kept)[0].value == pytest.approx(ratio, rel=1e-4)


def test_a_prompt_that_changes_nothing_has_a_ratio_of_one(uniform: LocalModel) -> None:
    assert {one.value for one in ifd_ratios(uniform, ROWS)} == {1.0}
    vocabulary = uniform.module.config.vocab_size
    assert [one.value for one in perplexities(uniform, ROWS)] == pytest.approx([vocabulary] * len(ROWS), rel=1e-5)


def test_rows_without_prompt_or_answer_say_so(model: LocalModel) -> None:
    rows = [TEXT, MUTE, {"text": "a"}, {"messages": [{"role": "assistant", "content": "Hello there"}]}]
    assert [one.reason for one in ifd_ratios(model, rows)] == ["no prompt", "no answer", "no prompt", "no prompt"]
    told = perplexities(model, rows)
    assert [one.value is None for one in told] == [False, True, True, False]
    assert told[1].reason == "no answer"
    assert "two tokens" in told[2].reason


def test_half_a_surrogate_pair_and_a_refusing_template_stop_nothing(tiny_model_folder: Path) -> None:
    engine = LocalModel(tiny_model_folder, dtype="float32")
    odd = {"messages": [{"role": "user", "content": "a \ud83d b"}, {"role": "assistant", "content": "c \ud83d d"}]}
    assert perplexities(engine, [odd])[0].value is not None
    refusal = "{% if 'briefly' in messages[0].content %}{{ raise_exception('not brief') }}{% endif %}"
    engine.tokenizer.chat_template = refusal + engine.tokenizer.chat_template
    system = {"messages": [{"role": "system", "content": "Speak briefly"}, *ROWS[0]["messages"]]}
    told = ifd_ratios(engine, [system, ROWS[0]])
    assert told[0].reason == "the model's chat template refuses it: not brief"
    assert told[1].value is not None


def test_a_template_without_an_opening_is_scored_after_the_first_token(tiny_model_folder: Path) -> None:
    engine = LocalModel(tiny_model_folder, dtype="float32")
    engine.tokenizer.chat_template = "{% for message in messages %}[{{ message.content }}]{% endfor %}"
    question, answer = (message["content"] for message in ROWS[0]["messages"])
    given = loss(engine, ids(engine, f"[{question}]"), ids(engine, answer))
    alone = loss(engine, [engine.tokenizer.bos_token_id], ids(engine, answer))
    assert ifd_ratios(engine, ROWS[:1])[0].value == pytest.approx(given / alone, rel=1e-4)


def test_damaged_weights_are_an_error(tiny_model_folder: Path) -> None:
    engine = LocalModel(tiny_model_folder, dtype="float32")
    engine.module.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(EngineError, match="finite"):
        perplexities(engine, ROWS[:2])


def test_perplexity_keeps_the_middle_band_nearest_to_the_median_first(model: LocalModel) -> None:
    made = select(ROWS, budget=40, method="perplexity", model=str(model.folder), band=(0.2, 0.7), **OPEN)
    every = [one.value for one in perplexities(LocalModel(model.folder), ROWS)]
    low, high = np.quantile(every, [0.2, 0.7])
    assert set(made.indices) == {index for index, value in enumerate(every) if low <= value <= high}
    assert [pick.score for pick in made.picks] == [every[index] for index in made.indices]
    middle = median(pick.score for pick in made.picks)
    away = [abs(math.log(pick.score / middle)) for pick in made.picks]
    assert away == sorted(away)
    told = list(made.scores())
    assert [row["score"] for row in told] == every
    left = [row for row in told if not row["taken"]]
    assert all(row["reason"].startswith("perplexity: ") and "outside the band" in row["reason"] for row in left)
    assert made.report["dropped"] == {"perplexity": len(left)}
    assert made.report["scored_rows"] == 40


def test_ifd_takes_the_highest_below_one(model: LocalModel) -> None:
    rows = [*ROWS, TEXT, MUTE]
    made = select(rows, budget=40, method="ifd", model=str(model.folder), **OPEN)
    ratios = [one.value for one in ifd_ratios(LocalModel(model.folder), ROWS)]
    below = sorted((ratio for ratio in ratios if ratio < 1), reverse=True)
    assert 0 < len(below) < len(ratios)  # the random model is helped by some prompts and misled by others
    assert [pick.score for pick in made.picks] == below
    told = {row["row"]: row for row in made.scores()}
    for number, ratio in enumerate(ratios, 1):
        assert told[number]["score"] == ratio
        if ratio >= 1:
            assert told[number]["reason"] == f"ifd: {ratio:.3f}: the prompt does not help the answer"
    assert told[41]["reason"] == "not scored: no prompt"
    assert told[42]["reason"] == "not scored: no answer"
    assert "score" not in told[41]


def test_nothing_is_picked_where_no_prompt_helps(uniform: LocalModel, tmp_path: Path) -> None:
    uniform.module.save_pretrained(tmp_path)
    uniform.tokenizer.save_pretrained(tmp_path)
    assert select(ROWS, budget=5, method="ifd", model=str(tmp_path), **OPEN).picks == []


def test_only_a_seeded_sample_is_read(model: LocalModel) -> None:
    settings = SelectSettings(budget=40, method="ifd", model=str(model.folder), score_rows=15, **OPEN)
    made = select([*ROWS, ROWS[3]], settings=settings)
    told = list(made.scores())
    drawn = sample(range(40), 15, 0)
    assert [row["row"] - 1 for row in told if "score" in row] == drawn
    assert told[40]["reason"] == "duplicate: the same text as row 4"
    reasons = {told[index]["reason"] for index in range(40) if index not in drawn}
    assert reasons == {"not scored: outside the sample of 15 rows"}
    assert sample(range(40), 15, 1) != drawn
    assert sample(range(40), None, 0) == sample(range(40), 0, 0) == sample(range(40), 99, 0) == list(range(40))


@pytest.mark.parametrize("method", ["perplexity", "ifd"])
@pytest.mark.parametrize("stop", [1, 20, 39])
def test_a_stopped_scoring_continues_to_the_same_picks(
    model: LocalModel, tmp_path: Path, method: str, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luthier.select.model_scores.BATCH_TOKENS", 400)
    settings = SelectSettings(budget=12, method=method, model=str(model.folder), **OPEN)
    whole = select(ROWS, settings=settings)

    class StoppedError(Exception):
        pass

    class Watch(Watched):
        def update(self, done: int, total: int, note: str = "") -> None:
            if done >= stop:
                raise StoppedError

    with pytest.raises(StoppedError):
        select(ROWS, settings=settings, run=tmp_path, progress=Watch())
    before = (tmp_path / JOURNAL).read_bytes()
    with (tmp_path / JOURNAL).open("ab") as stream:
        stream.write(b'{"losses": {"half')
    assert select(ROWS, settings=settings, run=tmp_path).picks == whole.picks
    finished = (tmp_path / JOURNAL).read_bytes()
    assert finished.startswith(before)
    monkeypatch.setattr(LocalModel, "score_tokens", lambda *_: pytest.fail("a finished scoring is only read"))
    assert select(ROWS, settings=settings, run=tmp_path).picks == whole.picks
    assert (tmp_path / JOURNAL).read_bytes() == finished


def test_losses_of_other_weights_are_not_taken(uniform: LocalModel, model: LocalModel, tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "uniform"
    uniform.module.save_pretrained(folder)
    uniform.tokenizer.save_pretrained(folder)
    perplexities(model, ROWS, run=run)
    assert perplexities(LocalModel(folder), ROWS[:3], run=run) == perplexities(uniform, ROWS[:3])
    coarse = LocalModel(model.folder, dtype="bfloat16")
    assert perplexities(coarse, ROWS[:3], run=run) == perplexities(coarse, ROWS[:3])


def test_equal_texts_are_read_once_and_every_step_is_told(model: LocalModel) -> None:
    seen = Watched()
    perplexities(model, [ROWS[0], ROWS[1], ROWS[0]], progress=seen)
    assert seen.told == [("Reading rows with a model", 2), (2, 2)]
    assert perplexities(model, []) == []


@pytest.mark.parametrize("method", ["perplexity", "ifd"])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": "nowhere"}, r"nowhere: no model here \(config.json is missing\)"),
        ({"band": (0.7, 0.2)}, "band"),
        ({"band": (0.2, 1.2)}, "band"),
        ({"score_rows": -1}, "--score-rows is -1"),
    ],
)
def test_settings_without_meaning_are_refused(tiny_model_folder: Path, method: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(LuthierError, match=words) as raised:
        select("no-such-pool.jsonl", budget=1, method=method, **{"model": str(tiny_model_folder), **settings})
    assert len(str(raised.value).splitlines()) == 1


def test_the_forecast_times_a_few_rows_and_the_files_are_written(model: LocalModel, tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    write_jsonl(pool, ROWS)
    settings = SelectionSettings(str(pool), budget=5, method="ifd", model=str(model.folder), score_rows=30, **OPEN)
    plan = forecast(settings)
    assert plan.measurements == 30
    assert plan.seconds == pytest.approx(plan.seconds_per_1000 * 30 / 1000)
    assert plan.seconds > 0
    made = run(settings, tmp_path / "run")
    report = made.results("choose")
    assert report["rows"] == 5
    assert report["scored_rows"] == 30
    told = [row for _, row in read_rows(tmp_path / "run" / "scores.jsonl.gz")]
    assert sum("score" in row for row in told) == 30
    assert json.loads((tmp_path / "run" / "run.json").read_text())["steps"]["choose"]["results"] == report
    assert list(made.record["inputs"]) == [str(pool), str(model.folder)]


@pytest.mark.weights
def test_the_bundled_model_tells_a_fitting_prompt_from_a_stranger(bundled_model: LocalModel) -> None:
    answers = {
        "What is the capital of France?": "The capital of France is Paris.",
        "Name the planets nearest to the sun.": "Mercury and Venus are the planets nearest to the sun.",
        "How do I boil an egg?": "Put the egg in boiling water for eight minutes, then cool it.",
    }
    prompts = list(answers)
    fitting = [{"instruction": prompt, "output": answers[prompt]} for prompt in prompts]
    strange = [{"instruction": prompt, "output": answers[other]} for prompt, other in zip(prompts, prompts[1:] + prompts[:1], strict=True)]
    fit, off = ifd_ratios(bundled_model, fitting), ifd_ratios(bundled_model, strange)
    assert all(one.value < 1 for one in fit)
    assert all(one.value < other.value for one, other in zip(fit, off[-1:] + off[:-1], strict=True))
    scrambled = [{**row, "output": " ".join(reversed(row["output"].split()))} for row in fitting]
    pairs = zip(perplexities(bundled_model, fitting), perplexities(bundled_model, scrambled), strict=True)
    assert all(one.value < other.value for one, other in pairs)
