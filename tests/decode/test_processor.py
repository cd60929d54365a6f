"""Dynamic decoding in `generate`: token-identical where nothing changes, one temperature a row, in the right order, refused where it cannot be right."""

from __future__ import annotations

import gc
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LogitsProcessorList, TopKLogitsWarper, TopPLogitsWarper, TypicalLogitsWarper

from decode_heads import PROMPTS, load, padded, random_head, sample
from luthier.decode import DDS, DiversityHead, Dynatemp, Edt, EntropyScore
from luthier.decode.mappings import Statistics
from luthier.decode.rules import Fixed
from luthier.decode.tap import StateTap, output_embedding
from luthier.errors import SettingsError

LEVELS = ("sequence", "token", 0.5)


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> Any:
    return load(tiny_model_folder)


@pytest.fixture(scope="module")
def head(model: Any) -> DiversityHead:
    return random_head(model)


def constant(head: DiversityHead, t0: float = 1.0, **settings: Any) -> DDS:
    """f is 1 whatever the state: the score is always the mean."""
    from dataclasses import replace

    network = replace(head.network, w2=torch.zeros_like(head.network.w2), b2=torch.tensor(0.0))
    return DDS(replace(head, network=network, statistics=Statistics(0.5, 0.25, 0.75)), t0=t0, **settings)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("sampler", [{}, {"top_k": 20}, {"top_p": 0.8}, {"min_p": 0.05}, {"typical_p": 0.7}])
def test_f_of_1_samples_the_same_tokens_as_plain_generation(model: Any, head: DiversityHead, level: Any, sampler: dict[str, Any]):
    for seed in range(3):
        plain = sample(model, seed=seed, **sampler)
        for dds in (constant(head, level=level), DDS(Fixed(1.0), level=level)):
            assert torch.equal(sample(model, seed=seed, logits_processor=[dds.processor(model)], **sampler), plain)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.6])
def test_constant_f_samples_the_same_tokens_as_that_temperature(model: Any, head: DiversityHead, level: Any, temperature: float):
    for sampler in ({}, {"top_p": 0.8}):
        plain = sample(model, temperature=temperature, **sampler)
        for dds in (constant(head, temperature, level=level), DDS(Fixed(temperature), level=level)):
            assert torch.equal(sample(model, logits_processor=[dds.processor(model)], **sampler), plain)


def test_the_temperature_of_the_models_own_configuration_is_not_applied_behind_it(tiny_model_folder: Path):
    own = load(tiny_model_folder)
    own.generation_config.temperature = 0.5
    ids = own.dummy_inputs["input_ids"] % 500
    with DDS(Fixed(1.5), level="token").attach(own):
        made = own.generate(ids, do_sample=True, top_k=0, max_new_tokens=1, output_scores=True, return_dict_in_generate=True)
    with torch.no_grad():
        logits = own(ids).logits[:, -1]
    assert torch.allclose(made.scores[0], logits / 1.5, atol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_greedy_decoding_does_not_change(model: Any, head: DiversityHead, level: Any):
    plain = sample(model, do_sample=False)
    made = sample(model, do_sample=False, logits_processor=[DDS(head, level=level).processor(model)])
    assert torch.equal(made, plain)


def test_the_tap_sees_the_vector_that_made_the_logits(model: Any):
    tap = StateTap(model)
    with torch.no_grad():
        output = model(**padded())
        states = tap.states
        assert tap.passes == 1
        assert torch.equal(output_embedding(model)(states), output.logits)
        assert torch.allclose(output_embedding(model)(tap.take()), output.logits[:, -1], atol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_a_rows_temperature_depends_on_neither_the_batch_nor_the_padding(model: Any, head: DiversityHead, level: Any):
    forced = [[*prompt, 17, 90, 33] for prompt in PROMPTS]

    def temperatures(prompts: Any) -> torch.Tensor:
        """Of three steps along given tokens."""
        dds = DDS(head, level=level)
        processor = dds.processor(model)
        for end in range(2, -1, -1):
            batch = padded([row[: len(row) - end] for row in prompts])
            with torch.no_grad():
                positions = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
                logits = model(**batch, position_ids=positions).logits[:, -1]
            processor(batch["input_ids"], logits)
        assert len(dds.trace) == 3
        return torch.stack([step.temperatures for step in dds.trace])

    together = temperatures(forced)
    alone = torch.cat([temperatures([row]) for row in forced], 1)
    assert torch.allclose(together, alone, atol=1e-4)
    assert together.std(1).min() > 0.05  # rows differ, or this would say nothing
    assert bool(together.std(0).max() < 1e-6) is (level == "sequence")


def test_mixed_is_the_mean_of_sequence_and_token(model: Any, head: DiversityHead):
    made = {}
    for level in ("sequence", "token", 0.25):
        dds = DDS(head, level=level, smooth=0.0)
        sample(model, do_sample=False, logits_processor=[dds.processor(model)])
        made[level] = torch.stack([step.temperatures for step in dds.trace])
    assert torch.allclose(made[0.25], 0.25 * made["sequence"] + 0.75 * made["token"], atol=1e-6)


def test_smoothing_is_an_exponential_mean_over_steps(model: Any, head: DiversityHead):
    made = {}
    for smooth in (0.0, 0.6):
        dds = DDS(head, level="token", smooth=smooth)
        sample(model, do_sample=False, logits_processor=[dds.processor(model)])
        made[smooth] = torch.stack([step.temperatures for step in dds.trace])
    wanted = made[0.0][0]
    for step, now in enumerate(made[0.0]):
        wanted = wanted if step == 0 else 0.6 * wanted + 0.4 * now
        assert torch.allclose(made[0.6][step], wanted, atol=1e-6)


def test_the_temperature_comes_before_every_truncation(model: Any, head: DiversityHead):
    logits = torch.tensor([[2.0, 1.5, 0.5, -1.0]])
    dds, top_p = DDS(Fixed(0.3)).processor(model), TopPLogitsWarper(0.7)
    dds.tap = None
    ids = torch.tensor([[1]])
    ours, wrong = top_p(ids, dds(ids, logits)), dds(ids, top_p(ids, logits))
    assert torch.isfinite(ours).sum() != torch.isfinite(wrong).sum()
    order: list[str] = []

    class Spy(LogitsProcessorList):
        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
            order[:] = [type(one).__name__ for one in self]
            return super().__call__(input_ids, scores, **kwargs)

    plain = model._get_logits_processor
    model._get_logits_processor = lambda *args, **kwargs: Spy(plain(*args, **kwargs))
    try:
        dynamic = DDS(head).processor(model)
        sample(model, logits_processor=[dynamic], temperature=0.9, top_k=50, top_p=0.9, min_p=0.01, typical_p=0.9)
    finally:
        del model._get_logits_processor
    assert order == [
        "DynamicTemperature",
        "TemperatureLogitsWarper",
        "TopKLogitsWarper",
        "TopPLogitsWarper",
        "MinPLogitsWarper",
        "TypicalLogitsWarper",
    ]
    assert {TopKLogitsWarper.__name__, TypicalLogitsWarper.__name__} <= set(order)


@pytest.mark.parametrize(
    "dds_of",
    [
        lambda head: DDS(head, level="token"),
        DDS,
        lambda head: DDS(Edt(theta=0.3), level="token"),
        lambda head: DDS(Dynatemp(), level="token"),
        lambda head: DDS(EntropyScore(head.entropy), "linear"),
    ],
)
def test_t0_inside_or_as_the_models_temperature_is_the_same(model: Any, head: DiversityHead, dds_of: Any):
    dds = dds_of(head)
    inside = sample(model, logits_processor=[dds.at(0.8).processor(model)])
    assert inside.shape[1] > padded()["input_ids"].shape[1]
    if not isinstance(dds.source, Edt | Dynatemp):  # theirs is clipped after t0
        assert torch.equal(inside, sample(model, logits_processor=[dds.processor(model)], temperature=0.8))


@pytest.mark.parametrize("level", LEVELS)
def test_returned_sequences_share_the_prompts_temperature(model: Any, head: DiversityHead, level: Any):
    dds = DDS(head, level=level)
    made = sample(model, logits_processor=[dds.processor(model)], num_return_sequences=3)
    assert len(made) == 9
    first = dds.trace[0].temperatures.reshape(3, 3)
    assert torch.allclose(first, first[:, :1].expand(3, 3), atol=1e-5)
    assert first[:, 0].std() > 0.01


def test_rows_that_end_early_leave_the_others_alone(model: Any, head: DiversityHead):
    """A row is made to end at once; the other draws what it draws beside a row that goes on."""
    end = 7

    def temperatures(eos: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        dds = DDS(head, level="token")

        def force(batch: int, ids: torch.Tensor) -> list[int]:
            return [end] if batch == 0 else [40 + ids.shape[0] % 30]

        made = sample(model, logits_processor=[dds.processor(model)], prefix_allowed_tokens_fn=force, eos_token_id=eos)
        return torch.stack([step.temperatures for step in dds.trace]), made

    ended, made = temperatures(end)
    going, _ = temperatures(None)
    assert (made[0, 9:] == 2).all()  # padding
    assert torch.allclose(ended[:, 1:], going[:, 1:], atol=1e-5)
    assert torch.isfinite(ended).all()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("do_sample", [True, False])
def test_beams_keep_the_temperature_of_their_prompt(model: Any, head: DiversityHead, level: Any, do_sample: bool):
    dds = DDS(head, level=level)
    sample(model, logits_processor=[dds.processor(model)], num_beams=3, do_sample=do_sample)
    steps = torch.stack([step.temperatures for step in dds.trace])
    assert steps.shape[1] == 9
    if level == "sequence":
        groups = steps.reshape(len(steps), 3, 3)
        assert torch.allclose(groups, groups[:1, :, :1].expand_as(groups), atol=1e-5)
    plain = sample(model, num_beams=3, do_sample=do_sample)
    assert torch.equal(
        sample(model, logits_processor=[constant(head, level=level).processor(model)], num_beams=3, do_sample=do_sample), plain
    )


def test_token_temperatures_of_beams_belong_to_the_beams_own_text(model: Any, head: DiversityHead):
    """After re-ordering, the temperature is that of the text in the row, not of what stood there before."""
    dds, seen = DDS(head, level="token"), []
    processor = dds.processor(model)

    class Watch(type(processor)):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            made = super().__call__(input_ids, scores)
            seen.append((input_ids.clone(), self.dds.trace[-1].temperatures))
            return made

    watch = Watch(dds, model)
    processor.close()
    sample(model, [PROMPTS[0]], logits_processor=[watch], num_beams=3, temperature=2.0)
    moved = 0
    for (before, _), (ids, temperatures) in itertools.pairwise(seen):
        moved += int(not torch.equal(ids[:, :-1], before))
        tap = StateTap(model)
        with torch.no_grad():
            logits = model(input_ids=ids).logits[:, -1]
        assert torch.allclose(dds.rule.temperatures(tap.take(), logits), temperatures, atol=1e-4)
    assert moved > 0
    smooth = DDS(head, level="token", smooth=0.5).processor(model)
    with pytest.raises(SettingsError, match="rows changed places between steps"):
        sample(model, [PROMPTS[0]], logits_processor=[smooth], num_beams=3, temperature=2.0)


@pytest.mark.parametrize("settings", ["assistant", "prompt_lookup", "guidance"])
@pytest.mark.parametrize("level", LEVELS)
def test_decoding_without_one_pass_a_step_is_refused(model: Any, head: DiversityHead, tiny_model_folder: Path, settings: str, level: Any):
    given: dict[str, Any] = {
        "assistant": {"assistant_model": load(tiny_model_folder)},
        "prompt_lookup": {"prompt_lookup_num_tokens": 3},
        "guidance": {"guidance_scale": 1.5},
    }[settings]
    repeating = [[5, 9, 70, 5, 9, 70, 5, 9, 70, 5, 9]]
    with pytest.raises(SettingsError, match=r"no forward pass of this model came before|ran 2 times for one step"):
        sample(model, repeating, logits_processor=[DDS(head, level=level).processor(model)], **given)
    processor = DDS(head, level=level).processor(model)
    assert torch.equal(sample(model, repeating, do_sample=False, logits_processor=[processor]), sample(model, repeating, do_sample=False))


@pytest.mark.parametrize("settings", ["assistant", "prompt_lookup"])
def test_a_rule_on_logits_alone_needs_no_pass_of_its_own(model: Any, tiny_model_folder: Path, settings: str):
    """At token level it holds nothing between steps, so several positions a pass are right. (An assistant that samples proposes other
    tokens, which changes the draw and not its distribution; so only the look-up is compared token by token.)"""
    repeating = [[5, 9, 70, 5, 9, 70, 5, 9, 70, 5, 9]]

    def assisted(**given: Any) -> torch.Tensor:
        helper: Any = {"assistant_model": load(tiny_model_folder)} if settings == "assistant" else {"prompt_lookup_num_tokens": 3}
        return sample(model, repeating, **helper, **given)

    if settings == "prompt_lookup":
        fixed = DDS(Fixed(0.6), level="token")
        assert torch.equal(assisted(logits_processor=[fixed.processor(model)]), assisted(temperature=0.6))
    edt = DDS(Edt(theta=0.3), level="token")
    assert torch.equal(assisted(logits_processor=[edt.processor(model)], do_sample=False), sample(model, repeating, do_sample=False))


def test_one_processor_serves_one_generation_after_the_other(model: Any, head: DiversityHead):
    dds = DDS(head)
    processor = dds.processor(model)
    for prompts in (PROMPTS, [PROMPTS[1]], PROMPTS[:2], PROMPTS):
        made = sample(model, prompts, logits_processor=[processor])
        again = sample(model, prompts, logits_processor=[DDS(head).processor(model)])
        assert torch.equal(made, again)
        assert len(dds.trace) == made.shape[1] - padded(prompts)["input_ids"].shape[1]


def test_attach_is_the_same_and_leaves_nothing_behind(model: Any, head: DiversityHead):
    dds = DDS(head, level="token", t0=0.7)
    wanted = sample(model, logits_processor=[dds.processor(model)])
    gc.collect()
    hooks = len(output_embedding(model)._forward_pre_hooks)
    with dds.attach(model):
        assert torch.equal(sample(model), wanted)
        with DDS(Fixed(1.0)).attach(model):
            assert torch.equal(sample(model), wanted)
        assert torch.equal(sample(model), wanted)
    assert "generate" not in model.__dict__
    assert len(output_embedding(model)._forward_pre_hooks) == hooks
    assert torch.equal(sample(model, logits_processor=[DDS(Fixed(0.7)).processor(model)]), sample(model, temperature=0.7))


def test_the_hook_goes_with_the_processor(model: Any, head: DiversityHead):
    gc.collect()
    before = len(output_embedding(model)._forward_pre_hooks)
    processor = DDS(head).processor(model)
    assert len(output_embedding(model)._forward_pre_hooks) == before + 1
    del processor
    gc.collect()
    assert len(output_embedding(model)._forward_pre_hooks) == before


def test_no_second_forward_pass(model: Any, head: DiversityHead):
    passes = []
    handle = model.register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        for level in LEVELS:
            passes.clear()
            made = sample(model, logits_processor=[DDS(head, level=level).processor(model)], eos_token_id=None)
            assert len(passes) == made.shape[1] - 8 == 12
    finally:
        handle.remove()


def test_a_long_prompt_may_be_read_in_pieces(model: Any, head: DiversityHead):
    dds = DDS(head)
    whole = sample(model, logits_processor=[dds.processor(model)])
    assert torch.equal(sample(model, logits_processor=[dds.processor(model)], prefill_chunk_size=3), whole)


def test_a_model_without_an_output_embedding_is_refused(model: Any, head: DiversityHead):
    with pytest.raises(SettingsError, match="has no output embedding"):
        StateTap(torch.nn.Linear(2, 2))


@pytest.mark.weights
def test_the_bundled_model_with_its_tied_embedding(bundled_model: Any):
    """A head of its own; the tap sees the output side of weights that the input shares; nothing changes where nothing should."""
    module = bundled_model.module
    assert module.config.tie_word_embeddings
    head, ids = random_head(module, scale=0.05), bundled_model.tokenizer("The capital of Japan is", return_tensors="pt")
    settings: dict[str, Any] = {"max_new_tokens": 5, "do_sample": False, "repetition_penalty": 1.0}
    plain = module.generate(**ids, **settings)
    tap = StateTap(module)
    with torch.no_grad():
        logits = module(**ids).logits[:, -1]
        assert torch.allclose(output_embedding(module)(tap.take()), logits, atol=1e-3)
    with DDS(head, level="token").attach(module) as processor:
        assert torch.equal(module.generate(**ids, **settings), plain)
        assert len(processor.dds.trace) == plain.shape[1] - ids["input_ids"].shape[1]
    sampled: list[torch.Tensor] = []
    for given in ({"temperature": 0.7}, {"logits_processor": [DDS(Fixed(0.7)).processor(module)]}):
        torch.manual_seed(1)
        sampled.append(module.generate(**ids, **settings | {"do_sample": True, "top_p": 0.9}, **given))
    assert torch.equal(*sampled)
