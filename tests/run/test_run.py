"""A run folder keeps what is finished, computes again what depends on a change, and never loses a run to another one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from luthier.errors import EngineError, LuthierError, SettingsError
from luthier.progress import Progress, quiet
from luthier.records.locks import FileLock
from luthier.report.page import Page
from luthier.run import Run, RunRecord
from luthier.settings import option


@dataclass(frozen=True)
class Settings:
    size: int = 1
    colour: str = "red"
    seed: int = 0


class Replacing:
    """A caller that moves other runs aside."""

    command, replace = "luthier test --replace", True

    def __init__(self) -> None:
        self.said: list[str] = []

    def step(self, title: str, total: int | None = None) -> None: ...

    def advance(self, amount: int = 1) -> None: ...

    def update(self, done: int, total: int, note: str = "") -> None: ...

    def say(self, text: str) -> None:
        self.said.append(text)


def work(folder: Path, name: str, calls: list[str]) -> dict[str, str]:
    calls.append(name)
    (folder / f"{name}.txt").write_text(name)
    return {"made": name}


def go(out: Path, calls: list[str], settings: Settings = Settings(), progress: Progress = quiet, reads: Any = ()) -> Run:
    """Three steps in a row, the second of which alone uses `size`, and one aside that uses nothing and reads nothing."""
    with Run(out, "test", settings, reads=reads, progress=progress, draw=lambda run: Page("Test")) as run:
        run.step("one", lambda: work(out, "one", calls), uses=("seed",), files=["one.txt"])
        run.step("two", lambda: work(out, "two", calls), uses=("size",), files=["two.txt"], after=["one"])
        run.step("three", lambda: work(out, "three", calls), uses=(), files=["three.txt"], after=["two"])
        run.step("aside", lambda: work(out, "aside", calls), uses=(), reads=(), files=["aside.txt"])
    return run


def test_nothing_is_computed_twice_and_a_lost_file_is_made_again(tmp_path: Path) -> None:
    calls: list[str] = []
    go(tmp_path, calls)
    run = go(tmp_path, calls)
    assert calls == ["one", "two", "three", "aside"]
    assert all(run.was_kept(name) for name in ("one", "two", "three", "aside"))
    (tmp_path / "one.txt").unlink()
    go(tmp_path, calls)
    assert calls[4:] == ["one"]


@pytest.mark.parametrize("harm", ["lost", "cut", "grown", "a folder"])
def test_a_step_whose_folder_has_lost_something_is_made_again(harm: str, tmp_path: Path) -> None:
    weights = tmp_path / "adapter" / "deep" / "weights.safetensors"
    made: list[bool] = []

    def train() -> dict[str, int]:
        made.append(weights.exists())
        weights.parent.mkdir(parents=True, exist_ok=True)
        if weights.is_dir():
            weights.rmdir()
        weights.write_bytes(b"x" * 1000)
        (tmp_path / "adapter" / "README.md").write_text("of the library")
        return {}

    def go_on() -> None:
        with Run(tmp_path, "test", Settings()) as run:
            run.step("train", train, files=["adapter"])

    go_on()
    (tmp_path / "adapter" / "README.md").write_text("of a person")
    (tmp_path / "adapter" / "notes.txt").write_text("of a person")
    go_on()
    assert len(made) == 1
    assert (tmp_path / "adapter" / "README.md").read_text() == "of a person"
    if harm in ("lost", "a folder"):
        weights.unlink()
    else:
        weights.write_bytes(b"x" * (100 if harm == "cut" else 1001))
    if harm == "a folder":
        weights.mkdir()
    go_on()
    assert (len(made), weights.stat().st_size) == (2, 1000)


def test_a_damaged_step_of_the_run_that_is_replaced_is_not_taken_over(tmp_path: Path) -> None:
    calls: list[str] = []
    out = tmp_path / "run"
    go(out, calls)
    (out / "one.txt").write_text("o")
    go(out, calls, Settings(size=2), Replacing())
    assert calls[4:] == ["one", "two", "three"]


def test_checkpoints_may_go_once_a_run_is_done_and_a_record_without_sizes_is_taken(tmp_path: Path) -> None:
    def train() -> dict[str, int]:
        (tmp_path / "checkpoints" / "checkpoint-1").mkdir(parents=True)
        (tmp_path / "checkpoints" / "checkpoint-1" / "state.json").write_text("{}")
        return {}

    for change in ("none", "checkpoints", "sizes"):
        if change == "checkpoints":
            (tmp_path / "checkpoints" / "checkpoint-1" / "state.json").unlink()
        elif change == "sizes":
            record = json.loads((tmp_path / "run.json").read_text())
            del record["steps"]["train"]["sizes"]
            (tmp_path / "run.json").write_text(json.dumps(record))
        with Run(tmp_path, "test", Settings()) as run:
            run.step("train", train, files=["checkpoints"])


def test_a_run_of_other_settings_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    calls: list[str] = []
    go(tmp_path, calls)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        SettingsError, match=r"holds a run of other data or settings \(size was 1, is 2\); choose another --out, or --replace"
    ):
        go(tmp_path, calls, Settings(size=2))
    with pytest.raises(SettingsError, match="name test, not other"), Run(tmp_path, "other", Settings()):
        pass
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_replace_moves_the_old_run_aside_and_computes_what_depends_on_the_change(tmp_path: Path) -> None:
    calls: list[str] = []
    out, caller = tmp_path / "run", Replacing()
    go(out, calls)
    go(out, calls, Settings(size=2), caller)
    assert calls[4:] == ["two", "three"]
    assert json.loads((tmp_path / "run.1" / "run.json").read_text())["settings"]["size"] == 1
    assert (tmp_path / "run.1" / "two.txt").is_file()
    assert (out / "one.txt").read_text() == "one"
    assert "is in" in caller.said[0]
    go(out, calls, Settings(size=3), Replacing())
    assert calls[6:] == ["two", "three"]
    assert (tmp_path / "run.2").is_dir()
    go(out, calls, Settings(size=3))
    assert len(calls) == 8


@pytest.mark.parametrize("what", ["file", "adapter", "template"])
def test_a_changed_byte_of_what_is_read_computes_again_what_reads_it(what: str, tmp_path: Path) -> None:
    read = tmp_path / "read"
    (read / "deep").mkdir(parents=True)
    places = {"file": read / "rows.jsonl", "adapter": read / "adapter_model.safetensors", "template": read / "deep" / "chat_template.jinja"}
    for path in places.values():
        path.write_bytes(b"x" * 100)
    calls: list[str] = []
    out = tmp_path / "run"
    go(out, calls, reads=[read])
    go(out, calls, reads=[read])
    assert len(calls) == 4
    places[what].write_bytes(b"x" * 99 + b"y")
    with pytest.raises(SettingsError, match="has changed"):
        go(out, calls, reads=[read])
    run = go(out, calls, progress=Replacing(), reads=[read])
    assert calls[4:] == ["one", "two", "three"]
    assert run.was_kept("aside")


def test_a_stopped_step_finds_its_own_files(tmp_path: Path) -> None:
    seen: list[bool] = []

    def half() -> dict[str, int]:
        seen.append((tmp_path / "part.txt").exists())
        (tmp_path / "part.txt").write_text("half")
        raise KeyboardInterrupt

    def whole() -> dict[str, int]:
        seen.append((tmp_path / "part.txt").exists())
        return {}

    with pytest.raises(KeyboardInterrupt), Run(tmp_path, "test", Settings()) as run:
        run.step("step", half, files=["part.txt"])
    assert RunRecord.read(tmp_path).status == "stopped"
    with Run(tmp_path, "test", Settings()) as run:
        run.step("step", whole, files=["part.txt"])
    assert seen == [False, True]
    assert RunRecord.read(tmp_path).status == "done"


def test_a_run_that_failed_before_anything_was_done_is_begun_anew(tmp_path: Path) -> None:
    def fail() -> dict[str, int]:
        (tmp_path / "part.txt").write_text("half")
        raise SettingsError("too much")

    with pytest.raises(SettingsError, match="too much"), Run(tmp_path, "test", Settings(size=9)) as run:
        run.step("step", fail, files=["part.txt"])
    with Run(tmp_path, "test", Settings(size=1)) as run:
        run.step("step", lambda: {"left": (tmp_path / "part.txt").exists()}, files=["part.txt"])
    assert run.results("step") == {"left": False}


@pytest.mark.parametrize(
    ("files", "left", "kept"),
    [
        (["metrics.jsonl", "checkpoints", "adapter"], "checkpoints/checkpoint-7/trainer_state.json", True),
        (["stage"], "stage/checkpoints/checkpoint-1/trainer_state.json", True),
        (["answers.jsonl"], "answers.jsonl", True),
        (["metrics.jsonl", "checkpoints", "adapter"], "checkpoints/started.json", False),
        (["metrics.jsonl", "checkpoints", "adapter"], "metrics.jsonl", False),
    ],
)
def test_what_a_failed_run_can_go_on_from_is_not_lost_to_another(files: list[str], left: str, kept: bool, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def fail() -> dict[str, int]:
        (out / left).parent.mkdir(parents=True, exist_ok=True)
        (out / left).write_text("{}\n")
        raise LuthierError("no power")

    with pytest.raises(LuthierError, match="no power"), Run(out, "test", Settings()) as run:
        run.step("step", fail, files=files)
    assert RunRecord.read(out).status == "failed"
    if kept:
        with pytest.raises(SettingsError, match="size was 1, is 2"), Run(out, "test", Settings(size=2)):
            pass
        assert (out / left).is_file()
    with Run(out, "test", Settings(size=2), progress=Replacing()) as run:
        assert run.step("step", lambda: {"left": (out / left).exists()}, files=files) == {"left": False}
    assert (tmp_path / "run.1" / left).is_file() == kept


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_named_and_the_record_stays_readable(number: float, tmp_path: Path) -> None:
    with (
        pytest.raises(EngineError, match=rf"the step 'step' came to no finite number, measured\.1\.loss is {number}"),
        Run(tmp_path, "test", Settings()) as run,
    ):
        run.step("step", lambda: {"measured": [{"loss": 1.5}, {"loss": number}]})
    assert RunRecord.read(tmp_path).status == "failed"
    with (
        pytest.raises(EngineError, match=r"the run came to no finite number, share is"),
        Run(tmp_path / "noted", "test", Settings()) as run,
    ):
        run.note(share=number)
    assert "share" not in RunRecord.read(tmp_path / "noted").record


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Run(tmp_path, "test", Settings()) as run:
        run.step("step", lambda: {"x": 1 // 0})
    record = RunRecord.read(tmp_path)
    assert (record.status, record.record["problem"]) == ("failed", "integer division or modulo by zero")


def test_a_killed_run_is_told_from_one_that_goes_on(tmp_path: Path) -> None:
    script = (
        "import sys, signal\nfrom pathlib import Path\nfrom dataclasses import dataclass\nfrom luthier.run import Run\n"
        "@dataclass\nclass S:\n    seed: int = 0\n"
        "with Run(Path(sys.argv[1]), 'test', S()) as run:\n"
        "    run.step('step', lambda: (print('at work', flush=True), signal.pause()))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        assert RunRecord.read(tmp_path).status == "running"
        process.send_signal(signal.SIGKILL)
    assert RunRecord.read(tmp_path).status == "stopped"


def test_two_processes_cannot_share_a_folder(tmp_path: Path) -> None:
    with Run(tmp_path, "test", Settings()), pytest.raises(LuthierError, match="another run is using it"), Run(tmp_path, "test", Settings()):
        pass
    with Run(tmp_path, "test", Settings()):
        pass


def test_a_second_stop_before_a_finished_step_comes_up_does_not_lose_it(tmp_path: Path) -> None:
    def stop(after: int) -> None:
        with Run(tmp_path, "test", Settings()) as run:
            for number in range(after):
                run.step(f"{number}", lambda number=number: {"n": number})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop(2)
    with pytest.raises(KeyboardInterrupt):
        stop(0)
    with Run(tmp_path, "test", Settings()) as run:
        for number in range(2):
            run.step(f"{number}", lambda: pytest.fail("a finished step was lost"))


@pytest.mark.parametrize("name", [".lock", "run.json", "report.html", "one.txt"])
def test_a_link_in_the_folder_is_not_written_through(name: str, tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "run"
    victim.write_text("precious")
    out.mkdir()
    (out / name).symlink_to(victim)
    with pytest.raises(SettingsError, match="symbolic link"):
        go(out, [])
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["report.html", "two.txt"])
def test_files_of_somebody_else_are_not_written_over(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(SettingsError, match=r"not a run's|is not of this run"):
        go(tmp_path, [])
    assert (tmp_path / name).read_text() == "mine"


def test_what_a_kill_left_of_a_write_is_swept(tmp_path: Path) -> None:
    go(tmp_path, [])
    for name in (".run.json.part", ".report.html.part", ".two.txt.part"):
        (tmp_path / name).write_text("half")
    go(tmp_path, [])
    assert not list(tmp_path.glob(".*.part"))


def test_drafts_of_others_stay(tmp_path: Path) -> None:
    for name in (".keep.part", ".run.json.part"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "two.txt").write_text("mine")
    with pytest.raises(SettingsError, match="not of this run"):
        go(tmp_path, [])
    (tmp_path / "two.txt").unlink()
    for _ in range(2):
        go(tmp_path, [])
    assert (tmp_path / ".keep.part").read_text() == "mine"


@pytest.mark.parametrize(
    "text", ["{}", '{"my": "experiment log"}', '{"name": "mine", "steps": {}}', '{"luthier": 1, "name": "test", "status": "done"}']
)
def test_a_folder_whose_run_json_is_of_something_else_is_left_as_it_is(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    (tmp_path / ".run.json.part").write_text("mine")
    with pytest.raises(SettingsError, match=r"run\.json: not a run record of Luthier; move the folder away or choose another with --out"):
        go(tmp_path, [], progress=Replacing())
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"run.json": text, ".run.json.part": "mine"}


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1) | st.sampled_from(["[]", "5", '{"steps": 5}', '{"steps": {"a": 1}}', "{"]))
def test_a_foreign_run_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(text.encode(errors="replace"))
    with pytest.raises(SettingsError, match=r"run\.json"), Run(tmp_path, "test", Settings()):
        pass
    assert (tmp_path / "run.json").read_bytes() == text.encode(errors="replace")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="choose another with --out"), Run(tmp_path / "file" / "run", "test", Settings()):
        pass


def test_run_json_says_what_it_ran_on(tmp_path: Path) -> None:
    record = go(tmp_path, []).record
    assert record == json.loads((tmp_path / "run.json").read_text())
    assert record["versions"]["torch"]
    assert record["device"]["cores"] >= 1
    assert record["peak_memory_mib"] > 10
    assert (record["name"], record["status"], record["seed"]) == ("test", "done", 0)


def test_a_page_that_fails_leaves_the_run_done_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def draw(run: RunRecord) -> Page:
        raise ValueError("no ink")

    with Run(tmp_path, "test", Settings(), draw=draw):
        pass
    assert RunRecord.read(tmp_path).status == "done"
    assert RunRecord.read(tmp_path).record["page_problem"] == "ValueError: no ink"
    assert "no ink" in caplog.text


def test_ranks_above_the_first_work_and_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with Run(tmp_path / "out", "test", Settings()) as run:
        assert run.step("step", lambda: {"n": 1}) == {"n": 1}
    assert not (tmp_path / "out").exists()


def test_no_step_is_spared_where_several_processes_work_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    go(tmp_path, calls)
    monkeypatch.setenv("WORLD_SIZE", "2")
    go(tmp_path, calls)
    assert len(calls) == 8


def test_parts_are_runs_of_their_own_and_taken_over_too(tmp_path: Path) -> None:
    calls: list[str] = []

    def part(settings: Settings, out: Path, progress: Progress = quiet) -> Run:
        return go(out, calls, settings, progress)

    def flow(settings: Settings, progress: Progress = quiet) -> Run:
        with Run(tmp_path / "flow", "flow", settings, progress=progress) as run:
            made = run.part("first", part, Settings(size=settings.size))
            assert made.results("two") == {"made": "two"}
        return run

    flow(Settings())
    flow(Settings())
    assert len(calls) == 4
    run = flow(Settings(size=2), Replacing())
    assert calls[4:] == ["two", "three"]
    assert run.below("first").status == "done"  # type: ignore[union-attr]
    assert (tmp_path / "flow.1" / "first" / "two.txt").is_file()


def test_a_lock_file_is_neither_emptied_nor_followed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("kept")
    with FileLock(path, "a thing"), pytest.raises(LuthierError, match="a thing: another run"), FileLock(path, "a thing"):
        pass
    assert path.read_text() == "kept"
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(SettingsError, match="symbolic link"), FileLock(tmp_path / "link", "a thing"):
        pass


def test_a_run_is_not_moved_aside_with_what_the_next_one_reads(tmp_path: Path) -> None:
    out = tmp_path / "run"
    go(out, [])
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(SettingsError, match=r"one\.txt: is read and lies in the run that would be moved aside"):
        go(out, [], Settings(size=2), Replacing(), reads=[out / "one.txt"])
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert not (tmp_path / "run.1").exists()


def test_a_setting_that_changes_no_result_may_change(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Worked(Settings):
        workers: int = option(0, "Processes.", aside=True)

    calls: list[str] = []
    first = go(tmp_path / "run", calls, Worked(workers=1))
    again = go(tmp_path / "run", calls, Worked(workers=2))
    assert calls == ["one", "two", "three", "aside"]
    assert (first.record["settings"]["workers"], again.record["settings"]["workers"]) == (1, 2)
    with pytest.raises(SettingsError, match="size was 1, is 2"):
        go(tmp_path / "run", calls, Worked(size=2, workers=2))


def test_secrets_of_urls_are_in_no_record(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Asked:
        endpoint: str = "http://user:HUSH@host/v1?api_key=HUSH"

    with Run(tmp_path / "run", "some run", Asked()) as made:
        made.step("one", dict)
    text = (tmp_path / "run" / "run.json").read_text()
    assert "HUSH" not in text
    assert json.loads(text)["settings"] == {"endpoint": "http://…@host/v1?api_key=…"}


def test_a_file_is_the_same_by_each_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chats.jsonl").write_text("{}\n")
    (tmp_path / "base").mkdir()
    calls: list[str] = []
    for colour in ("chats.jsonl", "./chats.jsonl", ".//chats.jsonl"):
        go(tmp_path / "run", calls, Settings(colour=colour), reads=[colour])
    assert calls.count("one") == 1
    with pytest.raises(SettingsError, match=r"colour was .chats\.jsonl., is .base."):
        go(tmp_path / "run", calls, Settings(colour="./base/"), reads=["chats.jsonl"])


def test_a_file_that_a_run_makes_is_named_as_before_it_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    calls: list[str] = []
    go(tmp_path / "run", calls, Settings(colour="./bad.jsonl"))
    (tmp_path / "bad.jsonl").write_text("{}\n")
    go(tmp_path / "run", calls, Settings(colour="./bad.jsonl"))
    assert calls.count("one") == 1


@pytest.mark.parametrize(("moment", "times"), [(-1.0, 4), (float("inf"), 0)])
def test_memory_is_given_back_after_steps_that_took_a_moment(
    moment: float, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[bool] = []
    monkeypatch.setattr("luthier.run.folder.MOMENT", moment)
    monkeypatch.setattr("luthier.run.folder.give_memory_back", lambda: given.append(True))
    go(tmp_path, [])
    assert len(given) == times
