"""The learners of a service on disk: after any order of calls, kills and full disks the answers that were given, once each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import BadRowError, DiskError, MissingFileError, SettingsError
from luthier.records import Journal
from luthier.trace.answers import Item
from luthier.trace.service import Roster
from luthier.trace.service import roster as roster_module
from luthier.trace.tracer import Tracer
from trace_service_tracer import CONCEPTS, ITEMS, WordEmbedder, small_tracer

WORKER = Path(__file__).parent.parent / "trace_service_tracer.py"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    return small_tracer(folder / "vectors").save(folder / "tracer")


@pytest.fixture
def tracer(saved: Path) -> Tracer:
    return Tracer.load(saved, embedder=WordEmbedder())


@pytest.fixture(scope="module")
def held(saved: Path) -> Tracer:
    return Tracer.load(saved)


def test_an_id_counts_once_also_after_a_restart(tracer: Tracer, saved: Path, tmp_path: Path) -> None:
    with Roster(tracer, tmp_path) as roster:
        assert roster.answer("a", "q1", 1.0, "x") == (1, False)
        assert roster.answer("a", "q1", 1.0, "x") == (1, True)
        assert roster.answer("b", "q1", 1.0, "x") == (1, False)
        with pytest.raises(SettingsError, match="another answer"):
            roster.answer("a", "q1", 0.0, "x")
    for _ in range(2):
        with Roster(Tracer.load(saved), tmp_path) as again:
            assert again.answer("a", "q1", 1.0, "x") == (1, True)


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["answer", "forget", "compact", "open"]),
            st.sampled_from("abc"),
            st.sampled_from(ITEMS),
            st.sampled_from([0.0, 0.3, 1.0]),
        ),
        max_size=25,
    )
)
def test_any_order_of_calls_leaves_the_states_of_the_histories(
    held: Tracer, tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("steps")
    histories: dict[str, list[tuple[str, float]]] = {}
    roster = Roster(held, folder)
    for kind, name, item, correct in steps:
        if kind == "answer":
            roster.answer(name, item, correct)
            histories.setdefault(name, []).append((item, correct))
        elif kind == "forget":
            assert roster.forget(name) == (len(histories.pop(name)) if name in histories else None)
        elif kind == "compact":
            roster.compact()
        else:
            roster.close()
            roster = Roster(held, folder)
    roster.close()
    with Roster(held, folder) as again:
        assert len(again) == len(histories)
        for name, history in histories.items():
            assert again.history(name) == history
            assert again.state(name).to_row() == held.replay(history).to_row()


def test_a_kill_between_the_two_writes_of_a_compaction_counts_nothing_twice(tracer: Tracer, saved: Path, tmp_path: Path) -> None:
    with Roster(tracer, tmp_path) as roster:
        roster.answer("a", "q1", 1.0)
        roster.answer("b", "q2", 1.0)
        journal = (tmp_path / roster_module.ANSWERS).read_bytes()
        roster.compact()
    (tmp_path / roster_module.ANSWERS).write_bytes(journal)
    with Roster(Tracer.load(saved), tmp_path) as again:
        assert (again.answers, again.history("a")) == (2, [("q1", 1.0)])
        again.answer("a", "q3", 0.0)
    with Roster(Tracer.load(saved), tmp_path) as again:
        assert again.history("a") == [("q1", 1.0), ("q3", 0.0)]


def test_a_full_disk_loses_and_doubles_nothing(tracer: Tracer, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise DiskError("no space left on device")

    monkeypatch.setattr(roster_module, "COMPACT_AFTER", 4)
    with Roster(tracer, tmp_path) as roster:
        roster.answer("a", "q1", 1.0)
        roster.answer("b", "q5", 1.0)
        with monkeypatch.context() as disk:
            disk.setattr(Journal, "extend", full)
            with pytest.raises(DiskError):
                roster.answer("a", "q2", 1.0)
            with pytest.raises(DiskError):
                roster.add_items([Item("new", "", (CONCEPTS[0],))])
        assert roster.history("a") == [("q1", 1.0)]
        roster.answer("a", "new", 0.0)
        with monkeypatch.context() as disk:
            disk.setattr(roster_module, "write_jsonl", full)
            roster.answer("a", "q2", 1.0)
            with pytest.raises(DiskError):
                roster.forget("b")
            assert roster.answers_of("b") is None
        assert "q5" in (tmp_path / roster_module.ANSWERS).read_text()
        assert roster.forget("b") == 1
        assert "q5" not in "".join(path.read_text() for path in tmp_path.iterdir())
        assert roster.forget("b") is None
    with Roster(Tracer.load(saved, embedder=WordEmbedder()), tmp_path) as again:
        assert again.history("a") == [("q1", 1.0), ("new", 0.0), ("q2", 1.0)]


def test_who_was_to_be_forgotten_before_a_kill_is_gone_after_it(held: Tracer, tmp_path: Path) -> None:
    with Roster(held, tmp_path) as roster:
        roster.answer("a", "q1", 1.0)
        roster.answer("b", "q5", 1.0)
        rows = (tmp_path / roster_module.ANSWERS).read_text()
        row = json.loads(rows.splitlines()[1])
    (tmp_path / roster_module.LEARNERS).unlink()
    (tmp_path / roster_module.ANSWERS).write_text(rows + json.dumps({"seq": 3, "forget": row["learner"]}) + "\n")
    with Roster(held, tmp_path) as again:
        assert (len(again), again.answers_of("b")) == (1, None)
        assert "q5" not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_another_tracer_replays_the_answers(tracer: Tracer, tmp_path: Path) -> None:
    with Roster(tracer, tmp_path / "learners") as roster:
        roster.answer("a", "q1", 1.0)
    other = small_tracer(tmp_path / "vectors", seed=1)
    with Roster(other, tmp_path / "learners") as again:
        assert again.state("a").to_row() == other.replay([("q1", 1.0)]).to_row()


def test_many_answers_move_to_the_learners_file(held: Tracer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster_module, "COMPACT_AFTER", 10)
    with Roster(held, tmp_path) as roster:
        for turn in range(95):
            roster.answer(f"l{turn % 7}", ITEMS[turn % 24], 1.0)
            lines = (tmp_path / roster_module.ANSWERS).read_text().count("\n")
            assert lines < max(10, roster.answers // 4)


def test_damaged_and_taken_folders_are_named(held: Tracer, tmp_path: Path) -> None:
    with Roster(held, tmp_path) as roster:
        roster.answer("a", "q1", 1.0)
        with pytest.raises(SettingsError, match="in use by another process"):
            Roster(held, tmp_path)
    learners = tmp_path / roster_module.LEARNERS
    whole = learners.read_text()
    learners.write_text(whole.replace('"q1"', '"q77"'))
    with pytest.raises(BadRowError, match=r"learners\.jsonl:2: the item 'q77' is not known"):
        Roster(held, tmp_path)
    learners.write_text(whole.replace('"items"', '"things"'))
    with pytest.raises(BadRowError, match=r"learners\.jsonl:2: not a row of a service"):
        Roster(held, tmp_path)
    learners.write_text(whole)
    (tmp_path / roster_module.SALT).write_text("salt\n")
    with pytest.raises(BadRowError, match="64 hexadecimal"):
        Roster(held, tmp_path)
    (tmp_path / roster_module.SALT).unlink()
    with pytest.raises(MissingFileError, match="put it back"):
        Roster(held, tmp_path)
