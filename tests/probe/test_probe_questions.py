"""What a probe is put to, out of files that others wrote."""

from __future__ import annotations

from pathlib import Path

from luthier.probe.questions import read_questions
from luthier.probe.settings import ProbeSettings
from luthier.records import Account, write_jsonl

DOC = {"question": "Which is red?", "choices": ["Mars", "Venus"], "answer": 0}


def sample(number: int, by: str, *chains: str) -> dict[str, object]:
    """As lm-evaluation-harness logs it."""
    doc = {**DOC, "question": f"Which is red, {number}?"}
    return {"doc_id": number, "doc": doc, "target": "A", "resps": [list(chains)], "filtered_resps": ["A"], "filter": by}


def test_a_chain_is_told_once_whatever_filters_read_it(tmp_path: Path) -> None:
    rows = [sample(number, by, f"Rust, {number}. (A)") for by in ("strict-match", "flexible-extract") for number in range(3)]
    write_jsonl(tmp_path / "samples.jsonl", rows)
    with Account() as account:
        found = read_questions(ProbeSettings(stored=(str(tmp_path / "samples.jsonl"),)))
    assert [one.chains for one in found] == [[f"Rust, {number}. (A)"] for number in range(3)]
    assert [entry.rows for entry in account.of("understood") if "another filter" in entry.reason] == [3]


def test_chains_of_one_filter_are_all_told(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "samples.jsonl", [sample(0, "none", "Rust. (A)"), sample(0, "none", "Dust. (A)")])
    (found,) = read_questions(ProbeSettings(stored=(str(tmp_path / "samples.jsonl"),)))
    assert found.chains == ["Rust. (A)", "Dust. (A)"]
