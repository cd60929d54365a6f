"""Writing a run folder: `run.json`, the artefacts of each step, and the rule by which a stopped run continues.

A step is recognised by its key: the hash of its name, the settings it uses, the hashes of what is read, and the keys of the steps it
builds on. A finished step with the same key and its files in place is kept; one that was cut off finds its own files and continues. A
folder that holds a run of other data or settings is refused, or moved aside where the caller says so; steps that are the same in both
are taken over then.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from luthier import __version__
from luthier.errors import BadRowError, DiskError, EngineError, LuthierError, SettingsError
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.records.account import current
from luthier.records.files import atomic_write, disk_error, draft_name
from luthier.records.fingerprints import fingerprint
from luthier.records.locks import FileLock
from luthier.run.machine import device, give_memory_back, models_noted, peak_memory_mib, versions
from luthier.run.record import CHECKPOINTS, LOCK, RECORD, REPORT, RunRecord
from luthier.settings import SPOKEN, recorded
from luthier.texts.secrets import without_secrets

if TYPE_CHECKING:
    from luthier.report.page import Page

Read = str | Path | tuple[str, str | Path]
OTHER = "choose another --out, or --replace"
LONGEST_PATH = 4096  # characters
CARD = "README.md"
MOMENT = 0.25  # seconds: what a shorter step holds is little, and to look for it takes as long
WRITTEN = {"luthier": str, "name": str, "status": str, "steps": dict}  # in every run record


class Run(RunRecord):
    """One run on disk, for the one process that writes it; use it as a context manager.

    name: the command's words. settings: a data class, as JSON in the record; its field `seed` is the run's. reads: files, model and
    adapter folders, also as (name, path); all of them are hashed here, before anything is written. hashes: of what is read and is no file.
    draw: makes the page of a run.

    Of several processes (`RANK` above 0) the first keeps the record; the others work and write nothing.
    Raises MissingFileError for what cannot be read. Entering it raises SettingsError where the folder holds a run of other data or
    settings or cannot be written, and LuthierError where another process holds it.
    """

    def __init__(
        self,
        out: Path,
        name: str,
        settings: Any,
        *,
        reads: Iterable[Read] = (),
        hashes: Mapping[str, str] | None = None,
        progress: Progress = quiet,
        draw: Callable[[RunRecord], Page] | None = None,
    ) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.alone = int(os.environ.get("WORLD_SIZE", "1")) <= 1
        self.progress = progress if self.rank == 0 else quiet
        self._draw = draw
        self._lock: FileLock | None = None
        self._spared: set[str] = set()
        self._kept = self._origin = RunRecord(Path(out), {})
        named = {str(_by_one_name(place)): path for place, path in map(_named, reads)}
        self._read = [Path(path).resolve() for path in named.values()]
        inputs = {place: fingerprint(path) for place, path in named.items()} | dict(hashes or {})
        told = _by_one_name(json.loads(without_secrets(json.dumps(recorded(settings), default=str))))
        self._later = {one.name for one in fields(settings) if SPOKEN in one.metadata and one.metadata[SPOKEN].later}
        self._noted = len(models_noted())  # models that were loaded before are of this run where it reads them
        self._aside = {one.name for one in fields(settings) if SPOKEN in one.metadata and one.metadata[SPOKEN].aside}
        record: JSON = {
            "luthier": __version__,
            "name": name,
            "command": without_secrets(progress.command),
            "folder": str(out),
            "status": "running",
            "settings": told,
            "seed": told.get("seed", 0),
            "started": _now(),
            "versions": versions(),
            "device": device().to_row(),
            "inputs": inputs,
            "steps": {},
        }
        super().__init__(Path(out), record)

    def __enter__(self) -> Run:
        if self.rank:
            return self
        try:
            self._open()
            self._kept = self._own()
            if self._kept.is_worth_keeping and (difference := self._difference()):
                if not self.progress.replace:
                    raise SettingsError(f"{self.path}: holds a run of other data or settings ({difference}); {OTHER}")
                self._move_aside()
            elif replaced := self._kept.record.get("replaced"):
                self.record["replaced"] = replaced
            self._origin = self._replaced()
            self._sweep()
        except OSError as problem:
            self._close()
            raise SettingsError(f"{self.path}: cannot be a run folder ({problem.strerror}); choose another with --out") from problem
        except BaseException:
            self._close()
            raise
        self.save()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        if self.rank:
            return
        try:
            if problem is None:
                self._finish()
            else:
                stopped = not isinstance(problem, Exception)  # a signal or an exit
                why = " ".join(str(problem).split()) or type(problem).__name__
                self.record |= {"status": "stopped"} if stopped else {"status": "failed", "problem": why}
                with suppress(DiskError, BadRowError):
                    self.save()
        finally:
            self._close()

    def step(
        self,
        name: str,
        work: Callable[[], JSON],
        *,
        uses: Sequence[str] | None = None,
        reads: Sequence[str] | None = None,
        files: Sequence[str] = (),
        after: Sequence[str] = (),
        more: JSON | None = None,
    ) -> JSON:
        """The step's results: kept where its key and files are as before, else made by `work()`.

        uses: the settings it depends on, None for all; reads: names of the inputs it depends on, None for all; after: the steps whose
        results it reads; more: what else shapes it. files: paths under the folder that belong to the step; they are cleared when the
        step begins with a new key. Where several processes work on it, none may be spared, so nothing is kept then.
        """
        if self.rank:
            return work()
        key = self._key(name, uses, reads, after, more)
        before = self._kept.steps.get(name, {})
        if self.alone and before.get("key") == key and self._is_whole(self._kept, before, files):
            return self._keep(name, before)
        origin = self._origin.steps.get(name, {})
        if self.alone and not before and origin.get("key") == key and self._is_whole(self._origin, origin, files):
            self._take_over(files)
            return self._keep(name, origin)
        spent = before.get("seconds", 0.0) if before.get("key") == key else 0.0
        self._clear(files, before, key)
        self.record["steps"][name] = {"key": key, "seconds": spent, "files": list(files)}
        self.save()
        start = time.perf_counter()
        results: JSON = self._plain(work(), f"the step {name!r}")
        if time.perf_counter() - start > MOMENT:
            give_memory_back()
        self.record["steps"][name] |= {"seconds": round(spent + time.perf_counter() - start, 2), "results": results}
        self.record["steps"][name]["sizes"] = self._sizes(files)
        self.save()
        return results

    def part(self, name: str, run: Callable[[Any, Path, Progress], Run], settings: Any) -> Run:
        """Another run in the folder `name` below this one, as a step of this one."""
        made = run(settings, self.path / name, self.progress)
        if not self.rank:
            keys = [step["key"] for step in made.steps.values()]
            seconds = round(sum(step.get("seconds", 0.0) for step in made.steps.values()), 2)
            self.record["steps"][name] = {"key": _digest(keys), "seconds": seconds, "files": [name], "results": {"run": made.name}}
            self.record["peak_memory_mib"] = max(self.record.get("peak_memory_mib", 0.0), made.record.get("peak_memory_mib", 0.0))
            self.save()
        return made

    def note(self, **fields: Any) -> None:
        """Keep something beside the steps."""
        self.record |= self._plain(fields, "the run")
        if not self.rank:
            self.save()

    def was_kept(self, name: str) -> bool:
        """Whether the step's results come from an earlier invocation."""
        return name in self._spared

    def save(self) -> None:
        """Write run.json. Steps of an earlier invocation that have not come up yet stay in it, so a second kill loses nothing."""
        if models := self._models():
            self.record["models"] = models
        waiting = {name: step for name, step in self._kept.steps.items() if name not in self.steps}
        with atomic_write(self.path / RECORD) as stream:
            json.dump({**self.record, "steps": {**self.steps, **waiting}}, stream, indent=1, ensure_ascii=False, allow_nan=False)
            stream.write("\n")

    def _plain(self, results: Any, of: str) -> Any:
        """As JSON gives it back. Raises EngineError for a number that is not finite, which run.json could not be read with."""
        for place, number in _numbers(results):
            if not math.isfinite(number):
                raise EngineError(
                    f"{self.path}: {of} came to no finite number, {place} is {number}; look for a damaged model or data, or gentler settings"
                )
        return json.loads(json.dumps(results))

    def _models(self) -> list[JSON]:
        """What the models of this run computed on, and in which form; also those of earlier invocations."""
        found: list[JSON] = [*self._kept.record.get("models", [])]
        places = (self.path.resolve(), *self._read)
        for number, (folder, told) in enumerate(models_noted()):
            of_this = number >= self._noted or any(folder.is_relative_to(place) for place in places)
            if of_this and told not in found:
                found.append(told)
        return found

    # --- opening and closing -----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        for name in (RECORD, REPORT):
            if (self.path / name).is_symlink():
                raise SettingsError(f"{self.path / name}: is a symbolic link; a run folder holds files of its own, choose another --out")
        if not (self.path / RECORD).exists() and (self.path / REPORT).exists():
            raise SettingsError(f"{self.path}: holds a {REPORT} that is not a run's; choose another --out")
        self._own()  # a record of something else is refused before even a lock stands beside it
        self._lock = FileLock(self.path / LOCK, str(self.path))
        self._lock.__enter__()

    def _close(self) -> None:
        if self._lock is not None:
            self._lock.__exit__(None, None, None)
            self._lock = None

    def _own(self) -> RunRecord:
        if not (self.path / RECORD).is_file():
            return RunRecord(self.path, {})
        try:
            found = RunRecord.read(self.path)
            if not all(isinstance(found.record.get(field), kind) for field, kind in WRITTEN.items()):
                raise BadRowError("not a run record of Luthier", self.path / RECORD)
        except LuthierError as problem:
            raise SettingsError(f"{problem}; move the folder away or choose another with --out") from problem
        return found

    def _sweep(self) -> None:
        """Remove what a kill left of writing the record, the page and the files of steps; drafts of others in the folder stay."""
        files = {file for step in self._kept.steps.values() for file in step.get("files", ())}
        for file in {RECORD, REPORT, *files} if self._kept.record else ():
            draft = self.path / Path(file).with_name(draft_name(Path(file).name))
            if draft.is_file():
                draft.unlink()

    def _difference(self) -> str:
        """The first thing in which the run in the folder is another one; empty where it is this one."""
        old, new = self._kept.record, self.record
        for name in ("name", "luthier"):
            if old.get(name) != new[name]:
                return f"{name} {old.get(name)}, not {new[name]}"
        for part in ("settings", "inputs"):
            before, now = (
                {str(_by_one_name(name)): value for name, value in _by_one_name(side).items()} for side in (old.get(part) or {}, new[part])
            )
            for name in sorted({*before, *now} - self._aside):
                if before.get(name) != now.get(name):
                    return (
                        f"{name} was {_short(before.get(name))}, is {_short(now.get(name))}"
                        if part == "settings"
                        else f"{name} has changed"
                    )
        return ""

    def _move_aside(self) -> None:
        for path in self._read:
            if path.is_relative_to(self.path.resolve()):
                raise SettingsError(f"{path}: is read and lies in the run that would be moved aside; choose another --out")
        number = next(n for n in range(1, 10**6) if not self.path.with_name(f"{self.path.name}.{n}").exists())
        aside = self.path.with_name(f"{self.path.name}.{number}")
        self.path.rename(aside)
        self._close()
        self._open()
        self.record["replaced"] = aside.name
        self._kept = RunRecord(self.path, {})
        self.progress.say(f"the run that was in {self.path} is in {aside} now")

    def _replaced(self) -> RunRecord:
        """The run that this one took the place of: named in its own record or, for a part, in that of the flow."""
        above = self.path.parent / RECORD
        places = [self.path.with_name(str(self.record["replaced"]))] if "replaced" in self.record else []
        if not places and above.is_file():
            with suppress(LuthierError):
                flow = RunRecord.read(self.path.parent).record
                places = [self.path.parent.with_name(str(flow["replaced"])) / self.path.name] if "replaced" in flow else []
        with suppress(LuthierError):
            return next((RunRecord.read(place) for place in places), RunRecord(self.path, {}))
        return RunRecord(self.path, {})

    def _finish(self) -> None:
        kept = [known.record.get("peak_memory_mib", 0.0) for known in (self._kept, self._origin) if known.steps]
        peak = max(peak_memory_mib(), self.record.get("peak_memory_mib", 0.0), *kept)
        self.record |= {"status": "done", "finished": _now(), "peak_memory_mib": peak}
        if (account := current()) is not None and account.entries:
            self.record["read"] = account.to_row()
        self._kept.record["steps"] = {}  # what has not come up is not of this run
        self.save()
        if self._draw is None:
            return
        from luthier.report.page import write_page

        try:
            write_page(self._draw(self), self)
        except Exception as problem:  # the run is done whatever becomes of its page
            logging.getLogger("luthier").warning("%s: the page could not be drawn (%s)", self.path, problem, exc_info=True)
            self.note(page_problem=f"{type(problem).__name__}: {problem}")

    # --- steps -------------------------------------------------------------------------------------------------------------------

    def _key(self, name: str, uses: Sequence[str] | None, reads: Sequence[str] | None, after: Sequence[str], more: JSON | None) -> str:
        settings, inputs = self.record["settings"], self.record["inputs"]
        wanted = set(settings) - self._aside if uses is None else set(uses) - (self._later - set(settings))
        used = {each: settings[each] for each in wanted}
        read = inputs if reads is None else {each: inputs[each] for each in reads}
        return _digest([name, used, read, [self.steps[step]["key"] for step in after], more or {}, __version__])

    @staticmethod
    def _is_whole(known: RunRecord, step: JSON, files: Sequence[str]) -> bool:
        """Whether a step has ended and its files are there, those inside its folders too, each as long as it was written; more may lie beside them.

        Records of earlier versions tell no sizes.
        """
        return (
            "results" in step
            and all((known.path / file).exists() for file in files)
            and all(_size(known.path / file) == size for file, size in step.get("sizes", {}).items())
        )

    def _sizes(self, files: Sequence[str]) -> dict[str, int]:
        """Of each file of a step, also below its folders, by its name in the run. Checkpoints only lead to what is made: who has that may remove them;
        and a card (README.md) is for people to write on."""
        found: dict[str, int] = {}
        for place in (self.path / file for file in files):
            for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
                name = path.relative_to(self.path)
                if (
                    CHECKPOINTS not in name.parts
                    and not path.name.startswith(".")
                    and path.name != CARD
                    and (size := _size(path)) is not None
                ):
                    found[str(name)] = size
        return found

    def _keep(self, name: str, step: JSON) -> JSON:
        self.record["steps"][name] = step
        self._spared.add(name)
        self.save()
        results: JSON = step["results"]
        return results

    def _take_over(self, files: Sequence[str]) -> None:
        """Copy a step's files from the run that this one takes the place of."""
        for file in files:
            source, target = self._origin.path / file, self.path / file
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copytree(source, target, dirs_exist_ok=True) if source.is_dir() else shutil.copy2(source, target)
            except OSError as problem:
                raise disk_error(problem, target) from problem

    def _clear(self, files: Sequence[str], before: JSON, key: str) -> None:
        """Make room for a step that begins anew. Raises SettingsError for files that no step of this run has made."""
        for file in files:
            path = self.path / file
            if path.is_symlink():
                raise SettingsError(f"{path}: is a symbolic link; a run folder holds files of its own, choose another --out")
            if path.exists() and not before:
                raise SettingsError(f"{path}: is there already and is not of this run; choose another --out")
            if before and before.get("key") != key and path.exists():
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _by_one_name(value: Any) -> Any:
    """Settings in which a file that is there is named in one way: `./chats.jsonl` and `models/base/` are `chats.jsonl` and `models/base`."""
    if isinstance(value, dict):
        return {name: _by_one_name(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_by_one_name(each) for each in value]
    if isinstance(value, str) and os.sep in value and len(value) < LONGEST_PATH and "\0" not in value and os.path.exists(value):  # noqa: PTH110 - of names that are too long it says no
        return str(Path(value))
    return value


def _numbers(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """The numbers with a point in what becomes JSON, by their places: `measured.0.loss`."""
    if isinstance(value, float):
        yield place, value
    elif isinstance(value, Mapping | list | tuple):
        for name, each in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _numbers(each, f"{place}.{name}" if place else str(name))


def _size(path: Path) -> int | None:
    """Of a file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _named(read: Read) -> tuple[str, str | Path]:
    return read if isinstance(read, tuple) else (str(read), read)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode(errors="surrogatepass")).hexdigest()[:16]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
