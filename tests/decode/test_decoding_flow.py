"""Dynamic decoding on the command line: label, fit, compare, export, generate, chat; killed, continued and misused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from chat_server import ChatServer
from command import luthier
from interruption import kill_after
from luthier.cli.main import cli
from luthier.decode import comparison_page, label_page
from luthier.decode import page as fit_page
from luthier.decode.comparison_page import spread
from luthier.decode.page import draw
from luthier.records import read_rows, write_jsonl
from run_folders import drawn, run_folder


def label_words(model: Path, out: Path) -> list[str]:
    return [
        "decode",
        "label",
        "--model",
        str(model),
        "--chat",
        "14",
        "--facts",
        "14",
        "--m",
        "2",
        "--max-tokens",
        "5",
        "--out",
        str(out),
        "--quiet",
    ]


@pytest.fixture(scope="module")
def labels(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labels")
    said = luthier(*label_words(tiny_model_folder, out)).stdout
    assert "28 contexts (14 chat, 14 facts)" in said
    assert "sampled diversity: chat" in said
    page = (out / "report.html").read_text()
    luthier("report", str(out))
    assert (out / "report.html").read_text() == page
    assert "most diverse" in page
    assert not re.search(r"src=|href=\"http|@import|url\(", page)
    return out / "labels.jsonl"


@pytest.fixture(scope="module")
def head(labels: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("heads") / "one"
    words = ["decode", "fit", str(labels), "--model", str(tiny_model_folder), "--folds", "4", "--along", "2", "--out", str(out), "--quiet"]
    said = luthier(*words).stdout
    assert "28 contexts, labels blend" in said
    assert re.search(r"auc +head [\d.]+ \(", said)
    files = {path.name: path.read_bytes() for path in out.glob("*.safetensors")}
    assert luthier(*words).stdout == said  # kept
    luthier(*words, "--seed", "0")
    assert {path.name: path.read_bytes() for path in out.glob("*.safetensors")} == files
    page = (out / "report.html").read_text()
    assert luthier("report", str(out)).stdout.strip() == str(out / "report.html")
    assert (out / "report.html").read_text() == page
    assert page.count("M") > 28
    assert "within facts" in page
    assert not re.search(r"src=|href=\"http|@import|url\(", page)
    return out


def test_killed_labelling_continues_to_the_same_labels(labels: Path, tiny_model_folder: Path, tmp_path: Path):
    words = [
        "decode",
        "label",
        "--model",
        str(tiny_model_folder),
        "--chat",
        "60",
        "--facts",
        "60",
        "--m",
        "4",
        "--max-tokens",
        "8",
        "--quiet",
    ]
    luthier(*words, "--out", str(tmp_path / "whole"))
    kill_after([*words, "--out", str(tmp_path / "cut")], tmp_path / "cut" / "replies.jsonl", count=64)
    cut = (tmp_path / "cut" / "replies.jsonl").read_bytes()
    luthier(*words, "--out", str(tmp_path / "cut"))
    assert (tmp_path / "cut" / "replies.jsonl").read_bytes().startswith(cut[: cut.rfind(b"\n") + 1])
    texts = [[row["replies"] for _, row in read_rows(tmp_path / name / "labels.jsonl")] for name in ("whole", "cut")]
    assert [len(row) for row in texts[1]] == [4] * 120
    assert texts[0][:16] == texts[1][:16]  # what was drawn before the kill


def test_compare_tries_every_way_and_writes_a_page(head: Path, labels: Path, tiny_model_folder: Path, tmp_path: Path):
    words = [
        "decode",
        "compare",
        str(head),
        "--labels",
        str(labels),
        "--model",
        str(tiny_model_folder),
        "--m",
        "2",
        "--max-tokens",
        "3",
        "--limit",
        "8",
        "--extra",
        "4",
        "--sampler",
        "top_k=5",
        "--out",
        str(tmp_path),
        "--quiet",
    ]
    said = luthier(*words).stdout
    results = json.loads((tmp_path / "run.json").read_text())["steps"]["compare"]["results"]
    assert {arm["source"] for arm in results["arms"]} == {"head", "fixed", "entropy", "oracle", "dynatemp", "edt", "portable"}
    assert {arm["mapping"] for arm in results["extra"]} == {"linear", "exponential", "logit", "inverse_sigmoid"}
    assert all(arm["temperature"]["expected"] == pytest.approx(0.8, abs=1e-3) for arm in results["arms"] + results["extra"])
    assert len(results["comparisons"]) >= len(results["arms"]) - 1
    assert said.count(" less ") == len(results["comparisons"])
    page = (tmp_path / "report.html").read_text()
    for shown in ("dynatemp, token", "The same heat", "coolest", "distinct-2", "likeness"):
        assert shown in page
    assert not re.search(r"src=|href=\"http|@import|url\(", page)
    luthier("report", str(tmp_path))
    assert (tmp_path / "report.html").read_text() == page
    before = (tmp_path / "replies.jsonl").read_bytes()
    record = json.loads((tmp_path / "run.json").read_text())
    del record["steps"]["compare"]["results"]  # as a kill leaves it
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert luthier(*words).stdout == said
    assert (tmp_path / "replies.jsonl").read_bytes() == before  # nothing was drawn again


def test_pages_escape_what_people_and_models_say(tmp_path: Path):
    cell = {name: {"value": 0.5, "low": None, "high": None} for name in ("head", "entropy", "lead")}
    results = {
        "contexts": 2,
        "model": {"name": "<m>"},
        "source": "task",
        "mean_absolute_error": 0.1,
        "portable": None,
        "agreement": {"target/chat": cell, "auc": {"head": cell["head"], "entropy": {"value": None, "low": None, "high": None}}},
    }
    rows = [
        {"text": "<script>alert(1)</script>", "kind": "chat", "score": 0.9, "target": 1.0, "sampled": None},
        {"text": "a & b", "kind": "fact", "score": 0.1, "target": 0.0, "sampled": 0.2},
    ]
    page = drawn(run_folder(tmp_path, "decode fit", {"fit": results}, rows={"scores.jsonl": rows}), draw)
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "a &amp; b" in page
    assert "&lt;m&gt;" in page
    spent = [
        {"text": "a", "kind": "chat", "temperature": 1.0, "reply": "b"},
        {"text": "c", "kind": "fact", "temperature": 0.5, "reply": "d"},
    ]
    assert str(spread(spent)).count("<path") == 2


@pytest.mark.parametrize("page", [label_page, fit_page, comparison_page])
def test_a_run_that_goes_on_has_the_shell_of_its_page(page: ModuleType, tmp_path: Path):
    run = run_folder(tmp_path, "decode", {}, status="running")
    assert "stopped" in drawn(run, page.draw)  # nobody holds the folder


def test_export_writes_what_the_processor_of_vllm_reads(head: Path, tmp_path: Path):
    from luthier.decode.portable import PortableHead

    assert luthier("decode", "export", str(head), str(tmp_path / "portable.json")).stdout.strip() == str(tmp_path / "portable.json")
    portable = PortableHead.load(tmp_path / "portable.json")
    assert portable.facts["imitates"]["fingerprint"]
    assert portable.facts["entropy_table"]


def test_generate_with_and_without_a_head_here_and_at_a_server(head: Path, tiny_model_folder: Path, tmp_path: Path):
    base = ["generate", "What is the weather?", "Hi", "--model", str(tiny_model_folder), "--max-tokens", "4", "--json"]
    rows = json.loads(luthier(*base, "--dynamic", str(head)).stdout)
    assert [row["prompt"] for row in rows] == ["What is the weather?", "Hi"]
    fixed = json.loads(luthier(*base, "--temperature", "0.6").stdout)
    assert [row["temperature"] for row in fixed] == pytest.approx([0.6, 0.6])
    write_jsonl(tmp_path / "asked.jsonl", [{"prompt": "Book a table"}])
    words = [
        *base[:-1],
        "--dynamic",
        str(head),
        "--file",
        str(tmp_path / "asked.jsonl"),
        "--level",
        "0.5",
        "--out",
        str(tmp_path / "out.jsonl"),
    ]
    assert "3 replies" in luthier(*words).stdout
    assert len(list(read_rows(tmp_path / "out.jsonl"))) == 3
    with ChatServer() as server:
        served = json.loads(luthier(*base, "--dynamic", str(head), "--endpoint", server.url).stdout)
        assert [one["temperature"] for one in served] == pytest.approx([one["temperature"] for one in rows], abs=1e-4)
        assert sorted(one["temperature"] for one in server.requests) == pytest.approx(sorted(one["temperature"] for one in served))
    assert served[1]["text"] == "echo Hi"


def test_without_a_head_any_server_and_engine_replies_at_the_fixed_temperature():
    with ChatServer() as server:
        words = ["generate", "Hi", "Ho", "--model", "anything", "--endpoint", server.url, "--temperature", "0.4", "--sampler", "top_k=7"]
        rows = json.loads(luthier(*words, "--json", "--quiet").stdout)
    assert rows == [{"prompt": text, "text": f"echo {text}", "temperature": 0.4} for text in ("Hi", "Ho")]  # no model is opened here
    assert {one["temperature"] for one in server.requests} == {0.4}


@pytest.mark.weights
def test_llamacpp_generates_from_the_command_line():
    pytest.importorskip("xllamacpp", reason="the extra luthier[llamacpp] is not installed")
    words = ["generate", "Name three rivers.", "--engine", "llamacpp", "--max-tokens", "6", "--sampler", "top_k=1", "--json", "--quiet"]
    (row,) = json.loads(luthier(*words).stdout)
    assert row["text"].strip()
    assert json.loads(luthier(*words).stdout) == [row]


def test_chat_shows_the_temperature_of_each_reply_and_token(head: Path, tiny_model_folder: Path):
    words = ["decode", "chat", str(head), "--model", str(tiny_model_folder), "--max-tokens", "4", "--level", "token", "--tokens"]
    done = CliRunner().invoke(cli, words, input="Hi\nWhat is the weather?\n\n")
    assert done.exit_code == 0, done.output
    replies = [line for line in done.output.splitlines() if "[T " in line]
    assert len(replies) == 2
    assert all(re.search(r"\[T \d\.\d\d\]", line) for line in replies)
    assert re.search(r"\(\d\.\d\d\)", done.output)


def test_a_changed_byte_is_noticed_and_what_does_not_depend_on_it_is_kept(labels: Path, tiny_model_folder: Path, tmp_path: Path):
    """Another encoder: no reply is drawn again. One letter of the labels: the head is another one."""
    encoder, out = tmp_path / "encoder", tmp_path / "labels"
    shutil.copytree(tiny_model_folder, encoder)
    shutil.copytree(labels.parent, out)
    words = label_words(tiny_model_folder, out)
    refused = luthier(*words, "--encoder", str(encoder), ok=False)
    assert "holds a run of other data or settings (encoder was null" in refused.stderr
    luthier(*words, "--encoder", str(encoder), "--replace")
    record = json.loads((out / "run.json").read_text())["steps"]
    before = json.loads((tmp_path / "labels.1" / "run.json").read_text())["steps"]
    assert record["replies"] == before["replies"]
    assert record["labels"]["key"] != before["labels"]["key"]
    copy, head = tmp_path / "copy.jsonl", tmp_path / "head"
    copy.write_bytes(labels.read_bytes())
    fit = [
        "decode",
        "fit",
        str(copy),
        "--source",
        "samples",
        "--model",
        str(tiny_model_folder),
        "--folds",
        "4",
        "--along",
        "2",
        "--out",
        str(head),
        "--quiet",
    ]
    luthier(*fit)
    first = (head / "head.safetensors").read_bytes()
    copy.write_bytes(copy.read_bytes().replace(b'"sampled":0.', b'"sampled":0.9', 1).replace(b'"sampled": 0.', b'"sampled": 0.9', 1))
    assert "copy.jsonl has changed" in luthier(*fit, ok=False).stderr
    assert (head / "head.safetensors").read_bytes() == first
    luthier(*fit, "--replace")
    assert (head / "head.safetensors").read_bytes() != first


def test_human_replies_alone_are_labelled_without_asking_the_model(tiny_model_folder: Path, tmp_path: Path):
    data, out = tmp_path / "refs.jsonl", tmp_path / "labels"
    rows = [{"prompt": "Hi", "references": ["Hello", "Good day", "What?"]}, {"prompt": "Bye", "references": ["Bye", "Bye"]}]
    write_jsonl(data, rows)
    said = luthier("decode", "label", str(data), "--no-samples", "--model", str(tiny_model_folder), "--out", str(out), "--quiet").stdout
    assert "referenced diversity: chat" in said
    assert "sampled" not in said
    assert not (out / "replies.jsonl").exists()
    assert "Good day" in (out / "report.html").read_text()


@pytest.mark.parametrize("name", ["notes.txt", "notes.jsonl"])
def test_replies_are_not_written_over_what_is_there_unless_told(name: str, tiny_model_folder: Path, tmp_path: Path):
    notes = tmp_path / name
    notes.write_text('{"my": "notes"}\n')
    words = ["generate", "Hi", "--model", str(tiny_model_folder), "--max-tokens", "2", "--out", str(notes)]
    assert f"{notes}: is there already; choose another --out, or --replace" in luthier(*words, ok=False).stderr
    assert notes.read_text() == '{"my": "notes"}\n'
    luthier(*words, "--replace")
    assert json.loads(notes.read_text())["prompt"] == "Hi"


def test_an_output_that_is_read_is_refused(head: Path, tmp_path: Path):
    asked = tmp_path / "asked.jsonl"
    write_jsonl(asked, [{"prompt": "Book a table"}])
    before = asked.read_bytes()
    assert "is read and would be written over" in luthier("generate", "--file", str(asked), "--out", str(asked), ok=False).stderr
    portable = head / "portable.json"
    assert "is read and would be written over" in luthier("decode", "export", str(head), str(portable), ok=False).stderr
    assert asked.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["decode", "label", "{bad}", "--out", "{out}"], "bad.jsonl:2: not a context"),
        (["decode", "label", "--endpoint", "http://127.0.0.1:9/v1", "--out", "{out}"], "name an --encoder"),
        (["decode", "fit", "missing.jsonl", "--out", "{out}"], "missing.jsonl does not exist"),
        (["decode", "fit", "{labels}", "--folds", "2", "--model", "{model}", "--out", "{out}"], "--folds is 2; give a whole number from 3"),
        (["decode", "fit", "{labels}", "--source", "references", "--model", "{model}", "--out", "{out}"], "has no several references"),
        (["decode", "compare", "{out}", "--labels", "{labels}", "--model", "{model}", "--out", "{out}"], "no head here"),
        (["decode", "export", "{out}", "{out}/x.json"], "no such file"),
        (["generate", "--model", "{model}"], "nothing to reply to"),
        (["generate", "Hi", "--engine", "llamacpp", "--sampler", "min_p"], "--engine llamacpp is asked with top_p or top_k"),
        (["generate", "Hi", "--engine", "openvino", "--dynamic", "{out}"], "which --engine openvino does not show"),
        (["generate", "Hi", "--model", "{model}", "--sampler", "beam"], "sampler 'beam' is unknown"),
        (["generate", "Hi", "--model", "{model}", "--dynamic", "{head}", "--level", "word"], "level is 'word'"),
        (
            ["generate", "Hi", "--model", "{model}", "--dynamic", "{head}", "--temperature", "0"],
            "--temperature is 0.0; give a number above 0",
        ),
        (["generate", "Hi", "--model", "{model}", "--temperature", "nan"], "--temperature is nan"),
        (["generate", "Hi", "--model", "{model}", "--sampler", "top_p=nan"], "give a share above 0 and up to 1"),
        (["generate", "Hi", "--model", "{model}", "--sampler", "top_k=0.5"], "give a whole number of tokens from 1"),
        (["generate", "Hi", "--model", "{model}", "--level", "x"], "level is 'x'"),
        (["generate", "Hi", "--model", "{model}", "--seed", "-1"], "--seed is -1"),
        (["decode", "label", "--temperature", "nan", "--model", "{model}", "--out", "{out}"], "--temperature is nan"),
        (["decode", "label", "--engine", "openvino", "--model", "{model}", "--out", "{out}"], "engine"),
        (["decode", "compare", "{head}", "--labels", "{labels}", "--sampler", "min_p=2", "--out", "{out}"], "give a share above 0"),
        (["generate", "Hi", "--model", "{other}", "--dynamic", "{head}"], "and this is another"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    head: Path, labels: Path, tiny_model_folder: Path, tmp_path: Path, words: list[str], message: str
):
    write_jsonl(tmp_path / "bad.jsonl", [{"prompt": "p"}, {"text": "c"}])
    if "{other}" in words:
        other_model(tiny_model_folder, tmp_path / "other")
    places = {
        "bad": tmp_path / "bad.jsonl",
        "out": tmp_path / "run",
        "labels": labels,
        "model": tiny_model_folder,
        "head": head,
        "other": tmp_path / "other",
    }
    done = luthier(*[word.format(**places) for word in words], ok=False)
    assert done.code == 2
    assert message in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def other_model(folder: Path, target: Path) -> None:
    """The tiny model with other weights."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.norm.weight.mul_(1.5)
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(folder).save_pretrained(target)
