"""Probing with a small model: one set of numbers by all ways, and chains that do not notice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from luthier.errors import BadRowError, EngineError, SettingsError
from luthier.models.local import LocalModel
from luthier.models.options import OptionReader, Probe
from luthier.models.protocol import Sampling
from luthier.probe import EarlyExit, probe_chain, probe_chains
from luthier.probe.chain import chain_prompt, stated_answer, write_chain
from luthier.records.choices import ChoiceQuestion

QUESTION = ChoiceQuestion("What is the weather in Lisbon?", ("fine weather", "a table", "12 people", "no function"), 0)
CHAIN = "First I look at the weather in Lisbon. Then I book a table for 12 people.\nAfter that a tool says days=3. The answer is a table"
LONG = Sampling(max_tokens=240, temperature=1.3, seed=5)
GREEDY, WARM = Sampling(max_tokens=48), Sampling(max_tokens=48, temperature=1.3, seed=5)


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder)


@pytest.mark.parametrize("probe", ["letters", "texts", "\nMy choice: (", "\nIt is"])
def test_all_modes_give_one_set_of_numbers(model: LocalModel, probe: str):
    traces = {mode: probe_chain(model, QUESTION, chain=CHAIN, mode=mode, probe=probe) for mode in ("naive", "rollback", "packed", "auto")}
    naive = traces["naive"]
    assert len(naive.steps) == 3
    assert naive.conf.shape == (4, 4)
    for mode, one in traces.items():
        assert one.mode == ("packed" if mode == "auto" else mode)
        np.testing.assert_allclose(one.conf, naive.conf, atol=1e-5)
        np.testing.assert_allclose(one.mass, naive.mass, atol=1e-5)
        assert one.answers == naive.answers
    assert traces["packed"].forwarded < naive.forwarded / 2
    assert traces["packed"].naive == naive.naive
    assert naive.stated == 1
    assert naive.statement == "The answer is a table"


@pytest.mark.parametrize("sampling", [GREEDY, WARM], ids=["greedy", "sampled"])
@pytest.mark.parametrize("mode", ["auto", "rollback", "naive"])
def test_a_chain_does_not_notice_that_it_is_probed(model: LocalModel, sampling: Sampling, mode: str):
    for index in (0, 3):
        prompts = [chain_prompt(QUESTION, "letters")] * (index + 1)
        expected = model.generate(prompts, sampling)[index].text
        for rule in (None, EarlyExit(99, 1.0)):  # probed at the end, and on the way
            made = write_chain(model, QUESTION, sampling=sampling, index=index, mode=mode, early_exit=rule)  # type: ignore[arg-type]
            assert made.chain == expected
            stored = probe_chain(model, QUESTION, chain=made.chain)
            if stored.ends == made.ends:  # a text that is tokenised again may be other tokens
                np.testing.assert_allclose(made.conf, stored.conf, atol=1e-4)


def test_probing_on_the_cache_puts_only_probes_through(model: LocalModel):
    made = write_chain(model, QUESTION, sampling=WARM)
    asked = len(model.encode("\nThe best option is ("))
    assert made.forwarded <= (len(made.steps) + 1) * asked
    assert len(made.conf) == len(made.steps) + 1


def test_later_text_does_not_reach_earlier_rows(model: LocalModel):
    one = probe_chain(model, QUESTION, chain="I look at the weather there. Then I go on in some way.")
    other = probe_chain(model, QUESTION, chain="I look at the weather there. Now all becomes different.")
    np.testing.assert_allclose(one.conf[:2], other.conf[:2], atol=1e-6)
    assert not np.allclose(one.conf[2], other.conf[2], atol=1e-6)


def test_chains_of_a_question_share_its_prompt(model: LocalModel):
    chains = [CHAIN, "I think that no function fits here.", ""]
    together = probe_chains(model, QUESTION, chains)
    for chain, one in zip(chains, together, strict=True):
        alone = probe_chain(model, QUESTION, chain=chain)
        np.testing.assert_allclose(one.conf, alone.conf, atol=1e-5)
        assert one.steps == alone.steps
    assert [one.number for one in together] == [0, 1, 2]
    assert together[2].steps == ()
    assert together[2].early
    assert sum(one.forwarded for one in together) < sum(probe_chain(model, QUESTION, chain=chain).forwarded for chain in chains)


def test_many_long_chains_are_read_in_several_passes(model: LocalModel, monkeypatch: pytest.MonkeyPatch):
    chains = [f"{CHAIN} {number}" for number in range(4)]
    whole = probe_chains(model, QUESTION, chains)
    monkeypatch.setattr("luthier.models.options.PASS_TOKENS", 200)
    for one, other in zip(whole, probe_chains(model, QUESTION, chains), strict=True):
        np.testing.assert_allclose(one.conf, other.conf, atol=1e-5)


def test_confidences_move_with_the_options(model: LocalModel):
    """Letters stay where they are, so the texts' order matters to the model; the words of an answer do not see the others."""
    bare = ChoiceQuestion("Where?", ("in Lisbon", "on Tuesday", "at a table"), prompt="Where is it?")
    turned = ChoiceQuestion("Where?", bare.options[::-1], prompt="Where is it?")
    one, other = (probe_chain(model, each, chain="Think of the weather there.", probe="texts") for each in (bare, turned))
    np.testing.assert_allclose(one.conf, other.conf[:, ::-1], atol=1e-6)


def test_an_early_exit_cuts_at_a_step(model: LocalModel):
    index, whole = next(
        (index, one) for index in range(20) if len((one := write_chain(model, QUESTION, sampling=LONG, index=index)).steps) > 2
    )
    cut = write_chain(model, QUESTION, sampling=LONG, index=index, early_exit=EarlyExit(1, 0.0))
    assert cut.extra == {"exited": True}
    assert cut.ends == whole.ends[: len(cut.ends)]
    assert len(cut.ends) < len(whole.ends)
    assert cut.tokens < whole.tokens
    assert whole.chain.startswith(cut.chain)
    np.testing.assert_allclose(cut.conf, whole.conf[: len(cut.conf)], atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "met"),
    [
        ([[0.6, 0.4]], False),
        ([[0.6, 0.4], [0.9, 0.1]], False),
        ([[0.4, 0.6], [0.7, 0.3], [0.8, 0.2]], True),
        ([[0.7, 0.3], [0.7, 0.3], [0.6, 0.4]], False),
        ([[0.7, 0.3], [0.3, 0.7], [0.9, 0.1]], False),
    ],
)
def test_the_rule_of_an_early_exit(rows: list[list[float]], met: bool):
    assert EarlyExit(same=2, margin=0.5).is_met(rows) is met


def test_a_stop_text_ends_the_chain_as_it_does_without_probes(model: LocalModel):
    text = model.generate([chain_prompt(QUESTION, "letters")], WARM)[0].text
    stop = Sampling(max_tokens=48, temperature=1.3, seed=5, stop=(text[20:23],))
    made = write_chain(model, QUESTION, sampling=stop)
    assert made.chain == model.generate([chain_prompt(QUESTION, "letters")], stop)[0].text
    assert made.tokens < 48


@pytest.mark.parametrize(
    ("chain", "place"),
    [
        ("I think.\nB. a table", 1),
        ("(C)", 2),
        ("A. fine weather\nB. a table", None),
        ("no function\n\nno function", 3),
        ("Hm.", None),
        ("", None),
    ],
)
def test_the_last_line_may_be_the_answer(chain: str, place: int | None):
    assert stated_answer(chain, QUESTION) == place


def test_a_transformers_model_with_its_tokenizer(model: LocalModel):
    one = probe_chain(model.module, QUESTION.question, QUESTION.options, CHAIN, tokenizer=model.tokenizer)
    np.testing.assert_allclose(one.conf, probe_chain(model, QUESTION, chain=CHAIN).conf, atol=1e-6)


class TextOnly:
    name, supports = "served", frozenset({"generate"})


def test_what_cannot_be_probed(model: LocalModel, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(EngineError, match="does not give; use a local model"):
        probe_chain(TextOnly(), QUESTION, chain=CHAIN)
    with pytest.raises(EngineError, match="with tokenizer="):
        probe_chain(object(), QUESTION, chain=CHAIN)
    with pytest.raises(BadRowError, match="two options or more"):
        probe_chain(model, "Which?", ["one"], CHAIN)
    with pytest.raises(BadRowError, match="is there twice"):
        probe_chain(model, "Which?", ["one", "One "], CHAIN)
    with pytest.raises(SettingsError, match="probe text is empty"):
        probe_chain(model, QUESTION, chain=CHAIN, probe=" ")
    with pytest.raises(EngineError, match="same tokens"):
        OptionReader(model, Probe("\nIt is", "texts"), ["tool", " tool"])
    monkeypatch.setattr("luthier.models.options.LETTERS", "日本語X")
    with pytest.raises(EngineError, match="not one token"):
        OptionReader(model, "letters", ["one", "two"])
