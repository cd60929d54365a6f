"""Contexts, similarity, labels and measures: known values, independent oracles, bad rows by line, stopped work continued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luthier.decode import DiversityLabeler, StateEncoder
from luthier.decode.contexts import Context, mixture, read_contexts
from luthier.decode.labels import Label, diversity, read_labels, targets
from luthier.decode.measures import consistency, distinct, is_right, measure, repetition, self_bleu
from luthier.decode.similarity import match_f1, mean_similarity
from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.models.local import LocalModel
from luthier.records import Message, write_jsonl

UNIT = torch.nn.functional.normalize


def ask(text: str, **settings: Any) -> Context:
    return Context((Message("user", text),), **settings)


def test_the_mixture_is_seeded_distinct_and_of_both_kinds():
    one = mixture(60, 80, 3)
    assert one == mixture(60, 80, 3)
    assert one != mixture(60, 80, 4)
    assert len({context.key for context in one}) == 140
    chat, facts = ([context for context in one if context.kind == kind] for kind in ("chat", "fact"))
    assert (len(chat), len(facts)) == (60, 80)
    assert all(context.answers for context in facts)
    assert len({context.group for context in chat}) > 10
    assert len({context.group for context in facts}) > 7
    assert any(len(context.messages) == 3 for context in chat)
    with pytest.raises(SettingsError, match="are asked for; give a file"):
        mixture(100_000, 0)


def test_rows_in_every_layout_are_read_and_bad_ones_named(tmp_path: Path):
    rows = [
        {"prompt": "Hi"},
        {"question": "Who?", "answer": "She"},
        {"problem": "2+2", "answers": [4, "four"], "group": "sums"},
        {"messages": [{"role": "user", "content": "Hello"}], "references": ["Hi", "Hey"], "kind": "chat"},
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    read = read_contexts(tmp_path / "rows.jsonl")
    assert [context.kind for context in read] == ["chat", "fact", "fact", "chat"]
    assert read[2].answers == ("4", "four")
    assert read[3].references == ("Hi", "Hey")
    write_jsonl(tmp_path / "again.jsonl", [context.to_row() for context in read])
    assert read_contexts(tmp_path / "again.jsonl") == read
    for bad, message in (
        ({"text": "no"}, "not a context"),
        ({"prompt": "a", "kind": "poem"}, "kind is 'poem'"),
        ({"prompt": "a", "answers": {"a": 1}}, "neither a text"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "must end with the user"),
    ):
        write_jsonl(tmp_path / "bad.jsonl", [rows[0], bad])
        with pytest.raises(BadRowError, match=rf"bad\.jsonl:2: .*{message}"):
            read_contexts(tmp_path / "bad.jsonl")


def test_a_number_is_an_answer_and_null_is_no_group(tmp_path: Path):
    asked = "How many moons has Venus?"
    write_jsonl(
        tmp_path / "rows.jsonl",
        [
            {"question": asked, "answer": 0},
            {"question": asked, "answer": False, "group": 3},
            {"question": asked, "answer": "", "group": None},
        ],
    )
    found = read_contexts(tmp_path / "rows.jsonl")
    assert [(one.kind, one.answers, one.group) for one in found] == [("fact", ("0",), ""), ("fact", ("False",), "3"), ("chat", (), "")]


def test_matching_has_known_values_and_is_symmetric():
    a, b = torch.eye(3)[:2], torch.eye(3)[1:]
    assert match_f1(a, a) == pytest.approx(1)
    assert match_f1(a, b) == pytest.approx(0.5)  # one of two matches each way
    assert match_f1(a, a[:1]) == pytest.approx(2 * 0.5 * 1 / 1.5)
    assert match_f1(a, a[:0]) == 0.0
    assert match_f1(a[:0], a[:0]) == 1.0
    assert mean_similarity([a, a, b]) == pytest.approx((1 + 0.5 + 0.5) / 3)
    random = torch.Generator().manual_seed(0)
    x, y = UNIT(torch.randn(4, 8, generator=random)), UNIT(torch.randn(6, 8, generator=random))
    assert match_f1(x, y) == pytest.approx(match_f1(y, x))


@given(st.floats(0, 1), st.floats(0, 0.9))
def test_diversity_is_in_range_and_0_for_equal_1_for_unrelated(similarity: float, zero: float):
    assert 0 <= diversity(similarity, zero) <= 1
    assert diversity(1.0, zero) == 0
    assert diversity(zero, zero) == pytest.approx(1)
    assert diversity(None) is None
    assert diversity(0.7, 1.0) == 0


def test_the_sources_of_labels():
    chat, fact = ask("Hi", references=("a", "b")), ask("Who?", kind="fact", answers=("me",))
    labels = [Label(chat, ("x", "y"), 0.8, 0.5), Label(fact, ("x", "y"), 0.6, None), Label(ask("Bye"), ("x", "y"), 0.2, None)]
    assert targets(labels, "samples") == pytest.approx([1, 2 / 3, 0])
    assert targets(labels, "task") == [1, 0, 1]
    assert targets(labels, "blend") == pytest.approx([1, 0, 0.4])
    with pytest.raises(SettingsError, match="label 2 has no several references"):
        targets(labels, "references")
    with pytest.raises(SettingsError, match="are alike"):
        targets(labels[:1], "samples")
    with pytest.raises(SettingsError, match="source is 'guess'"):
        targets(labels, "guess")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tiny(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder, name="tiny")


def test_states_are_those_of_the_layer_whatever_the_batch(tiny: LocalModel):
    texts = ["What is the weather", "", "Please book a table for 12 people", "yes"]
    encoder = StateEncoder(tiny.module, tiny.tokenizer, layer=1, batch=4)
    made = encoder.encode(texts)
    ids = tiny.tokenizer(texts[2], add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        whole = tiny.module(input_ids=torch.tensor([[tiny.tokenizer.bos_token_id, *ids]]), output_hidden_states=True).hidden_states[1]
    hooks = len(tiny.module.model.layers[0]._forward_hooks)  # transformers leaves one to collect states
    assert torch.allclose(made[2], UNIT(whole[0, 1:], dim=-1), atol=1e-5)
    assert len(made[1]) == 0
    alone = [StateEncoder(tiny.module, tiny.tokenizer, layer=1, batch=1).encode([text])[0] for text in texts]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(made, alone, strict=True))
    assert len(tiny.module.model.layers[0]._forward_hooks) == hooks
    with pytest.raises(MissingFileError, match="layers 1 to 2"):
        StateEncoder(tiny.module, tiny.tokenizer, layer=7)


def test_any_encoder_folder_compares_texts(tmp_path: Path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[CLS]", "[UNK]", "red", "green", "blue"]
    backend = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", cls_token="[CLS]", unk_token="[UNK]").save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=6, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, max_position_embeddings=32
    )
    BertModel(config).save_pretrained(tmp_path)
    encoder = StateEncoder.from_folder(tmp_path)
    assert encoder.name == f"{tmp_path.name}/layer 1"
    same, other = encoder.encode(["red green", "red green"]), encoder.encode(["red green", "blue blue blue"])
    assert mean_similarity(same) == pytest.approx(1, abs=1e-5)
    assert mean_similarity(other) < 0.99
    with pytest.raises(MissingFileError, match=r"config\.json is missing"):
        StateEncoder.from_folder(tmp_path / "none")


def test_labels_are_made_once_and_stopped_work_continues(tiny: LocalModel, tmp_path: Path):
    contexts = [ask(f"What is {n}?", references=("one", "one two", "three") if n % 2 else ()) for n in range(6)]
    encoder = StateEncoder(tiny.module, tiny.tokenizer)
    labeler = DiversityLabeler(tiny, encoder, m=3, max_tokens=6)
    made = labeler.run(contexts, tmp_path / "whole")
    assert read_labels(tmp_path / "whole" / "labels.jsonl") == made
    assert all(len(label.replies) == 3 and 0 <= (label.sampled or 0) <= 1 for label in made)
    assert [label.referenced is not None for label in made] == [bool(n % 2) for n in range(6)]

    cut = tmp_path / "cut"
    labeler.run(contexts, cut)
    calls = tiny.usage.calls
    lines = (cut / "replies.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 18
    compared = (cut / "similarities.jsonl").read_bytes().splitlines(keepends=True)
    (cut / "similarities.jsonl").write_bytes(b"".join(compared[:3]) + compared[3][:5])  # killed in the middle of a line
    (cut / "labels.jsonl").unlink()
    assert DiversityLabeler(tiny, encoder, m=3, max_tokens=6).run(contexts, cut) == made
    assert tiny.usage.calls == calls  # no reply was asked twice

    fewer = DiversityLabeler(tiny, encoder, m=2, max_tokens=6).run(contexts, cut)  # in the same folder, and back again
    assert [label.replies for label in fewer] != [label.replies for label in made]
    assert labeler.run(contexts, cut) == made

    only = DiversityLabeler(tiny, encoder, samples=False).run(contexts, tmp_path / "references")
    assert [label.replies for label in only] == [()] * 6
    with pytest.raises(SettingsError, match="are there twice"):
        labeler.run([contexts[0], contexts[0]], tmp_path / "twice")
    for bad in ({"m": 1}, {"temperature": 0.0}):
        with pytest.raises(SettingsError):
            DiversityLabeler(tiny, encoder, **bad)  # type: ignore[arg-type]


def test_a_file_that_is_no_label_is_named(tmp_path: Path):
    row = Label(ask("a"), ("b",), 0.5).to_row()
    write_jsonl(tmp_path / "bad.jsonl", [row, {"prompt": "b"}])
    with pytest.raises(BadRowError, match=r"bad\.jsonl:2: not a label: 'sampled' is missing"):
        read_labels(tmp_path / "bad.jsonl")
    (tmp_path / "bad.jsonl").write_text(json.dumps({**row, "sampled": "much"}) + "\n")
    with pytest.raises(BadRowError, match=r"bad\.jsonl:1: .*numbers or null"):
        read_labels(tmp_path / "bad.jsonl")


def test_measures_have_known_values():
    assert distinct(["a b c", "a b d"]) == pytest.approx(3 / 4)
    assert distinct(["a"]) == 0
    assert self_bleu(["the cat sat on the mat"] * 3) == pytest.approx(1)
    assert self_bleu(["a b c d", "e f g h"]) == 0
    assert repetition("no no no no no no") == pytest.approx(3 / 4)
    assert repetition("one two three four") == 0
    assert consistency(["The capital is Rome.", "the capital is Rome! I know it.", "Paris."]) == pytest.approx(2 / 3)
    assert is_right("It is Au, I think", ["Au"])
    assert not is_right("it is autumn and au pair", ["Au"])
    assert is_right("that makes 12.", ["12", "twelve"])
    assert not is_right("that makes 120", ["12"])
    assert is_right("PARIS", ["Paris"])
    told = measure(ask("Who?", kind="fact", answers=("me",)), ["me", "you"])
    assert told["correct"] == 0.5
    assert set(measure(ask("Hi"), ["a b", "c d"])) == {"repetition", "distinct_2", "self_bleu"}
