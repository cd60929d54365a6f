"""What the commands of `luthier sandbox` answer."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from luthier.errors import MissingFileError, SandboxError, SandboxUnavailable, SettingsError
from luthier.progress import Progress, quiet
from luthier.records.files import read_rows, refuse_taken, write_jsonl
from luthier.records.problems import note_fields
from luthier.report.wording import Told
from luthier.sandbox.attack import LIMITS, Held, attacks, run_attacks
from luthier.sandbox.box import Backend, Sandbox
from luthier.sandbox.doctor import machine
from luthier.sandbox.outcome import Check, InputOutput, Judgement, Task
from luthier.sandbox.rewards import TESTS, make_test, task_of
from luthier.sandbox.settings import AttackSettings, BoxSettings, DoctorSettings, JudgeSettings, LimitSettings, ScriptSettings
from luthier.sandbox.verdicts import harmless
from luthier.texts.programs import parsed

SHOWN_IDLE = 3  # rows whose tests cannot judge, by their names
FIELDS = frozenset(("program", "completion", "prompt", "entry_point", *TESTS))


def doctor(settings: DoctorSettings, progress: Progress = quiet) -> Told:
    """Each check and what was seen, then whether each other backend starts. Raises SandboxUnavailable where a check did not hold."""
    with _opened(settings) as box:
        report = box.doctor()
    if not report.sound:
        failed = "; ".join(f"{check.name}: {check.seen}" for check in report.checks if not check.held)
        raise SandboxUnavailable(f"{failed} [{machine()}]{_others(settings.backend)}")
    checks = [*report.checks, *_starts(settings.backend)]
    return Told([f"{check.name}: {check.seen}" for check in checks], [asdict(check) for check in checks])


def script(settings: ScriptSettings, progress: Progress = quiet) -> Told:
    """What the program printed, and what it came to where it did not end well."""
    program, stdin = _read(settings.file), _read(settings.stdin) if settings.stdin else ""
    files = {Path(name).name: _bytes(name) for name in settings.files}
    if len(files) < len(settings.files):
        raise SettingsError(f"--with: two of {', '.join(settings.files)} have the same name")
    with _opened(settings) as box:
        output = box.run(program, stdin, files)
    lines = [harmless(line) for line in (*output.stdout.splitlines(), *output.stderr.splitlines())]
    passed = output.outcome.passed
    return Told(lines if passed else [*lines, str(output.outcome)], asdict(output), code=0 if passed else 1)


def judge(settings: JudgeSettings, progress: Progress = quiet) -> Told:
    """The verdict on each program. Raises SettingsError for tests that cannot judge, by the places of their rows and with no verdict written, SandboxError
    where the sandbox fails twice."""
    placed = _tasks(settings)
    if settings.out:
        refuse_taken(settings.out, filter(None, [settings.programs, settings.tests]), replace=progress.replace)
    progress.step("Judging programs", len(placed))
    verdicts: list[Judgement] = []
    idle: list[str] = []
    with _opened(settings) as box:
        while (done := len(verdicts) + len(idle)) < len(placed):
            try:
                for verdict in box.judge_many(task for _, task in placed[done:]):
                    verdicts.append(verdict)
                    progress.advance()
            except (
                SettingsError
            ) as problem:  # a test that passed and never called the program: the others are tried, so that all are named at once
                idle.append(f"{placed[len(verdicts) + len(idle)][0]}: {problem}")
    if idle:
        more = f", and {len(idle) - SHOWN_IDLE} more like them" if len(idle) > SHOWN_IDLE else ""
        raise SettingsError(f"{'; '.join(idle[:SHOWN_IDLE])}{more}; mend or leave out what cannot judge")
    if settings.out:
        write_jsonl(settings.out, (verdict.to_row() for verdict in verdicts))
    failed = Path(settings.programs).suffix == ".py" and not all(verdict.passed for verdict in verdicts)
    return Told(_verdict_lines(verdicts), [verdict.to_row() for verdict in verdicts], code=1 if failed else 0)


def attack(settings: AttackSettings, progress: Progress = quiet) -> Told:
    """How many attacks of each aim were held. Raises SandboxError that names those that were not."""
    suite = [one for one in attacks() if not settings.aims or one.aim in settings.aims]
    progress.step("Attacking", len(suite))
    results: list[Held] = []
    with _opened(settings) as box:
        for result in run_attacks(box, suite):
            results.append(result)
            progress.advance()
    if failed := [result for result in results if not result.held]:
        told = "; ".join(f"{result.attack.name}: {result.outcome}" for result in failed)
        raise SandboxError(f"{len(failed)} of {len(suite)} attacks were not held: {told}")
    count = Counter(result.attack.aim for result in results)
    rows = [{"aim": one.attack.aim, "name": one.attack.name, "outcome": one.outcome.kind, "held": one.held} for one in results]
    if settings.backend == "monty":
        lacking = Counter(result.attack.aim for result in results if result.outcome.kind == "unsupported")
        lines = [f"{aim}: 0 of {number} pass that must not; monty lacks what {lacking[aim]} need" for aim, number in count.items()]
        return Told(lines, rows)
    return Told([f"{aim}: {number} of {number} as they must be" for aim, number in count.items()], rows)


def _starts(chosen: Backend) -> list[Check]:
    """Whether each backend beside the chosen one is installed and judges a program right."""
    same = {"auto": "bwrap-zygote"}.get(chosen, chosen)
    checks = []
    for backend in (name for name in get_args(Backend) if name not in ("auto", same)):
        with Sandbox(backend, workers=1, limits=LIMITS) as box:
            try:
                passed = box.judge("def f(x):\n    return x * x\n", "assert f(3) == 9", entry_point="f").passed
                checks.append(Check(f"backend {backend}", passed, "starts" if passed else "starts, and judges an honest program wrong"))
            except SandboxError as problem:
                checks.append(Check(f"backend {backend}", False, str(problem)))
    return checks


def _others(chosen: Backend) -> str:
    """The backends that do start here, for one who is told that the chosen one does not; none is taken unasked."""
    found = [check.name.removeprefix("backend ") for check in _starts(chosen) if check.held]
    return f"; what does start here: --backend {' or '.join(found)}" if found else ""


def _opened(settings: BoxSettings) -> Sandbox:
    limits = settings.limits if isinstance(settings, LimitSettings) else LIMITS
    return Sandbox(settings.backend, workers=settings.workers, limits=limits, modules=settings.modules)


def _tasks(settings: JudgeSettings) -> list[tuple[str, Task]]:
    """The tasks, each with the place of its tests."""
    if settings.tests:
        try:
            tests = tuple(_without_import(test, Path(settings.programs).stem) for test in _tests(settings.tests))
            task = Task(_read(settings.programs), tests, settings.entry_point, settings.judge)
            _refuse_idle(task)
        except SettingsError as problem:
            raise SettingsError(f"{settings.tests}: {problem}") from None
        return [(settings.tests, task)]
    tasks = []
    for number, row in read_rows(settings.programs):
        place = f"{settings.programs}:{number}"
        tasks.append((place, _row_task(place, row, settings)))
        note_fields("program", row, FIELDS, settings.programs, number)
    if not tasks:
        raise SettingsError(f"{settings.programs}: no programs there")
    return tasks


def _row_task(place: str, row: dict[str, Any], settings: JudgeSettings) -> Task:
    entry, tests = row.get("entry_point") or settings.entry_point, next((row[name] for name in TESTS if row.get(name)), None)
    try:
        if "program" in row:
            task = Task(
                str(row["program"]).removeprefix("\ufeff"), tests if isinstance(tests, str) else tuple(map(make_test, tests or ())), entry
            )
        elif "completion" in row:
            task = task_of(row["completion"], tests, entry, row.get("prompt") or "")
        else:
            raise SettingsError("has neither program nor completion")
        _refuse_idle(task)
    except SettingsError as problem:
        raise SettingsError(f"{place}: {problem}") from None
    return Task(task.program, task.tests, task.entry_point, settings.judge)


def _without_import(test: str | InputOutput, module: str) -> str | InputOutput:
    """Tests without `from MODULE import …` of the program that they judge, whose names are there without it. Raises SettingsError for
    imports of it in another form."""
    tree = parsed(test) if isinstance(test, str) and module not in sys.stdlib_module_names else None
    lines = test.splitlines(keepends=True) if isinstance(test, str) else []
    for node in reversed(tree.body) if tree is not None else ():
        whole = isinstance(node, ast.Import) and any(alias.name == module for alias in node.names)
        if whole or (isinstance(node, ast.ImportFrom) and node.module == module and any(alias.asname for alias in node.names)):
            raise SettingsError(
                f"line {node.lineno}: `{ast.unparse(node)}`; the names of the program are there as they are, so import none of it"
            )
        if isinstance(node, ast.ImportFrom) and node.module == module and not node.level:
            lines[node.lineno - 1 : node.end_lineno] = ["\n"]
    return test if tree is None else "".join(lines)


def _refuse_idle(task: Task) -> None:
    """Raises SettingsError for tests that cannot judge, as far as their text tells: what a test does call is only seen when it runs."""
    for number, test in enumerate(task.listed, 1):
        if not isinstance(test, str):
            continue
        tree = parsed(test)
        if tree is None:
            raise SettingsError(f"test {number} is not Python")
        if not any(isinstance(node, ast.Call) or getattr(node, "decorator_list", ()) for node in ast.walk(tree)):
            raise SettingsError(f"test {number} never calls the program, so it cannot judge it")


def _tests(path: str) -> tuple[str | InputOutput, ...]:
    if path.endswith(".py"):
        return (_read(path),)
    return tuple(make_test(row.get("test", row)) for _, row in read_rows(path))


def _verdict_lines(verdicts: list[Judgement]) -> list[str]:
    if len(verdicts) == 1:
        each = [f"test {number}: {test.outcome}" for number, test in enumerate(verdicts[0].tests, 1)]
        return [*each, str(verdicts[0].outcome)]
    kinds = Counter(verdict.outcome.kind for verdict in verdicts)
    passed = sum(verdict.passed for verdict in verdicts)
    return [f"{passed} of {len(verdicts)} programs pass", *(f"{kind}: {count}" for kind, count in kinds.most_common())]


def _read(path: str) -> str:
    try:
        return _bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MissingFileError(f"{path}: is not UTF-8 text") from None


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as problem:
        raise MissingFileError(f"{path}: cannot be read ({getattr(problem, 'strerror', None) or problem})") from None
