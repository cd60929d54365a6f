"""Problems from where people have them: HumanEval, MBPP, APPS, a folder of `problem.md` and tests, the doctests of a module.

Each comes with the tests that a search may run and those that score it, apart from each other.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.records import JSON
from luthier.records.account import note
from luthier.records.files import evenly, read_rows
from luthier.records.problems import PUBLIC, humaneval_file, to_problem
from luthier.sandbox import InputOutput
from luthier.search.doctests import examples, names_bound
from luthier.search.problem import Held, Posed, Test, held
from luthier.texts.programs import lines_of, parsed

HUMANEVAL = "humaneval"
LAYOUTS = "give rows of HumanEval, MBPP or APPS, a folder with problem.md and tests, or a module with doctests"


def read_all(paths: Sequence[str], public: str | None = None, limit: int | None = None) -> list[Held]:
    """The problems of files and folders; `humaneval` is the data set. public: a file of public tests by task; limit: of each, evenly.

    Raises SettingsError where there is none, where one comes twice, or where none has public tests; MissingFileError, BadRowError.
    """
    tests = _public_tests(public) if public else {}
    found: list[Held] = []
    for path in paths:
        found += evenly([_with_public(each, tests) for each in read(path, tests)], limit)
    if not found:
        raise SettingsError(f"{', '.join(paths)}: no problems with public tests there; a search runs them (--public FILE brings them)")
    names: set[str] = set()
    for one in found:
        if one.task in names:
            raise SettingsError(f"{', '.join(paths)}: task {one.task!r} comes twice")
        names.add(one.task)
    return found


def read(path: str, public: dict[str, tuple[str, ...]] | None = None) -> Iterator[Held]:
    """The problems of one file, folder or module; those without public tests are left out. public: tests by task, which decide first."""
    file, _, name = path.partition("::")
    place = humaneval_file() if path == HUMANEVAL else Path(file)
    if place.is_dir():
        yield from _folder(place)
    elif not place.is_file():
        raise MissingFileError(f"{path}: no such file or folder; {LAYOUTS}")
    elif place.suffix == ".py":
        yield from _module(place, name)
    else:
        for number, row in read_rows(place):
            try:
                made = _row(row, f"{path}:{number}", public or {})
            except BadRowError as problem:
                raise problem.at(path, number) from None
            except SettingsError as problem:
                raise SettingsError(f"{path}:{number}: {problem}") from None
            if made is not None:
                yield made


def _with_public(one: Held, tests: dict[str, tuple[str, ...]]) -> Held:
    return replace(one, posed=replace(one.posed, public=tests[one.task])) if one.task in tests else one


def _public_tests(path: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for number, row in read_rows(Path(path)):
        tests = next((row[name] for name in PUBLIC if row.get(name)), None)
        if "task_id" not in row or not isinstance(tests, list):
            raise BadRowError(f"has no task_id and list of tests; they are in {', '.join(PUBLIC)}", path, number)
        found[str(row["task_id"])] = tuple(str(test) for test in tests)
    return found


def _row(row: JSON, place: str, public: dict[str, tuple[str, ...]]) -> Held | None:
    if "entry_point" in row:
        problem = to_problem(row, place)
        tests = public.get(problem.task) or problem.public or tuple(examples(problem.prompt, problem.entry_point))
        return held(problem, tests) if tests else None
    if isinstance(row.get("test_list"), list):
        return _mbpp(row)
    if "question" in row and "input_output" in row:
        starter = str(row.get("starter_code") or "")
        if not row["input_output"]:
            note("left out", "problem without tests", *_placed(place))
            return None
        return _apps(str(row.get("problem_id", row.get("id", place))), str(row["question"]), row["input_output"], starter)
    raise BadRowError(f"is no problem that is known here; {LAYOUTS}")


def _mbpp(row: JSON) -> Held:
    """MBPP (arXiv 2108.07732): the first assertion is public, as its prompts show it; all of them score."""
    setup = "\n".join([*(row.get("test_imports") or ()), row.get("test_setup_code") or ""]).strip()
    tests = tuple(f"{setup}\n{test}".strip() for test in (*row["test_list"], *(row.get("challenge_test_list") or ())) if str(test).strip())
    asserted = [str(test) for test in row["test_list"]]
    own = names_bound(parsed(setup))  # of the tests themselves, as a function that compares numbers
    entry = next((name for test in asserted if (name := called(test, own))), "")
    entry = entry or next((name for test in asserted if (name := called(test, builtin=True))), "")  # task 126 is to write `sum`
    text = row.get("text") or row.get("prompt")
    if not tests or not entry or not isinstance(text, str):
        raise BadRowError("is no problem of MBPP: it needs text, and in test_list assertions that call a function")
    return Held(Posed(f"MBPP/{row.get('task_id')}", text, entry, tests[:1]), tests)


def called(test: str, own: Set[str] = frozenset(), *, builtin: bool = False) -> str:
    """The function that an assertion is about: the first call in it that is no builtin. own: names of the tests themselves; builtin: or is one."""
    import builtins

    tree = parsed(test)
    for node in ast.walk(tree) if tree else ():
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if name and name not in own and (builtin or not hasattr(builtins, name)):
            return name
    return ""


def _apps(task: str, question: str, told: Any, starter: str = "") -> Held | None:
    """APPS (arXiv 2105.09938): the first half of its inputs and outputs is public, the rest scores; one test cannot be split.

    starter: code that an answer begins with; where it is a class, its method is called.
    """
    try:
        pairs = json.loads(told) if isinstance(told, str) else told
        inputs, outputs, entry = pairs["inputs"], pairs["outputs"], pairs.get("fn_name") or ""
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadRowError("input_output holds no lists of inputs and outputs") from None
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise BadRowError("input_output holds no lists of inputs and outputs of one length")
    if not entry:
        tail = ""
        tests: list[Test] = [InputOutput(_lines(given), _lines(expected)) for given, expected in zip(inputs, outputs, strict=True)]
    else:
        of_class = re.search(r"^class (\w+)", starter, re.MULTILINE)
        tail = f"def {entry}(*given):\n    return {of_class[1]}().{entry}(*given)\n" if of_class else ""
        lists = any(
            isinstance(one, list) and len(one) != 1 for one in outputs
        )  # else each is in a list of its own, as most of APPS has them
        wanted = [one[0] if isinstance(one, list) and not lists else one for one in outputs]
        tests = [f"assert {entry}({', '.join(map(repr, given))}) == {one!r}" for given, one in zip(inputs, wanted, strict=True)]
    if starter.strip():
        question = f"{question.rstrip()}\n\nThe answer begins with:\n\n```python\n{starter.strip()}\n```"
    half = (len(tests) + 1) // 2
    return Held(Posed(task, question, entry, tuple(tests[:half]), tail=tail), tuple(tests[half:])) if len(tests) > 1 else None


def _placed(place: str) -> tuple[str, int]:
    """File and line."""
    file, _, line = place.rpartition(":")
    return file, int(line)


def _lines(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _folder(folder: Path) -> Iterator[Held]:
    """A problem, or a folder of such folders."""
    if (folder / "problem.md").is_file():
        yield _own(folder)
    elif (folder / "question.txt").is_file():
        starter = _text(folder / "starter_code.py") if (folder / "starter_code.py").is_file() else ""
        if not (folder / "input_output.json").is_file():
            note("left out", "problem without tests", folder)
            return
        made = _apps(folder.name, _text(folder / "question.txt"), _text(folder / "input_output.json"), starter)
        if made is not None:
            yield made
    else:
        inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        if not inner:
            raise MissingFileError(f"{folder}: no problem there; {LAYOUTS}")
        for path in inner:
            yield from _folder(path)


def _own(folder: Path) -> Held:
    """problem.md, and tests.py with assertions or functions of pytest, or tests/NAME.in and NAME.out; private.py and private/ score."""
    public, private = _tests(folder, "tests"), _tests(folder, "private")
    if not public:
        raise SettingsError(f"{folder}: has problem.md and no tests; put assertions in tests.py, or tests/NAME.in and tests/NAME.out")
    own = frozenset(name for test in public if isinstance(test, str) for name in names_bound(parsed(test)))
    entry = next((name for test in public if isinstance(test, str) and (name := called(test, own))), "")
    if not entry and isinstance(public[0], str):
        raise SettingsError(f"{folder / 'tests.py'}: its assertions call no function; the search cannot know what to write")
    if any(isinstance(test, str) and _keeps_object(test, entry) for test in (*public, *private)):
        raise SettingsError(
            f"{folder / 'tests.py'}: uses objects that {entry} makes, and only plain values pass between a program and its judge; test functions that return such"
        )
    return Held(Posed(folder.name, _text(folder / "problem.md"), entry, public), private)


def _tests(folder: Path, name: str) -> tuple[Test, ...]:
    """Each assertion behind the statements before it, each function of pytest behind those outside functions."""
    code = folder / f"{name}.py"
    if not code.is_file():
        pairs = [(path, path.with_suffix(".out")) for path in sorted((folder / name).glob("*.in"))]
        return tuple(InputOutput(_text(given), _text(expected)) for given, expected in pairs)
    tree = parsed(_text(code))
    if tree is None:
        raise SettingsError(f"{code}: is no Python")
    lead: list[str] = []
    found: list[tuple[int, str]] = []
    functions: list[ast.FunctionDef] = []
    for node in tree.body:
        if isinstance(node, ast.Assert):
            found.append((len(lead), ast.unparse(node)))
        elif not _imports_answer(node):
            lead.append(ast.unparse(node))
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                functions.append(node)
    if found:  # beside assertions, functions that these call or that assert nothing serve them
        asserted_by = " ".join(text for _, text in found)
        functions = [node for node in functions if f"{node.name}(" not in asserted_by and _asserts(node)]
    if (odd := next((node for node in functions if node.args.args or node.decorator_list), None)) is not None:
        raise SettingsError(f"{code}:{odd.lineno}: {odd.name} takes arguments or is decorated; give functions that stand alone")
    asserted = ["\n".join([*lead[:before], text]) for before, text in found]
    return tuple(asserted + ["\n".join([*lead, f"{node.name}()"]) for node in functions])


def _asserts(node: ast.FunctionDef) -> bool:
    """Whether a function is a test that stands alone."""
    return not node.args.args and not node.decorator_list and any(isinstance(one, ast.Assert) for one in ast.walk(node))


def _keeps_object(test: str, entry: str) -> bool:
    """Whether a test asks for attributes of what the entry point gives."""
    tree = parsed(test)
    nodes = list(ast.walk(tree)) if tree else []
    made = {
        one.id
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _is_name(node.value.func, entry)
        for one in node.targets
        if isinstance(one, ast.Name)
    }
    owners = [node.value for node in nodes if isinstance(node, ast.Attribute)]
    # a list or a text has methods too; a class is told by its capital letter
    return entry[:1].isupper() and any(
        (isinstance(one, ast.Name) and one.id in made) or (isinstance(one, ast.Call) and _is_name(one.func, entry)) for one in owners
    )


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _imports_answer(node: ast.stmt) -> bool:
    """Whether a statement imports what is to be written: from a module that is neither Python's nor installed. Programs are there without it."""
    if not isinstance(node, ast.ImportFrom) or not node.module:
        return isinstance(node, ast.ImportFrom)  # from . import
    top = node.module.partition(".")[0]
    return node.level > 0 or top == "__main__" or (top not in sys.stdlib_module_names and find_spec(top) is None)


def _module(path: Path, name: str) -> Iterator[Held]:
    """The functions of a module whose docstrings have examples: to be written anew, with the rest of the module before them."""
    text = _text(path)
    tree = parsed(text)
    if tree is None:
        raise SettingsError(f"{path}: is no Python")
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and name in ("", node.name)]
    made = [(node, tuple(examples(ast.get_docstring(node) or "", node.name))) for node in found]
    if not any(tests for _, tests in made):
        where = f"function {name} with examples" if name else "function with examples"
        raise SettingsError(f"{path}: no {where} (>>> lines in its docstring) to search a program for")
    lines = lines_of(text)
    for node, tests in made:
        if tests:
            body = node.body[1].lineno - 1 if len(node.body) > 1 else (node.end_lineno or len(lines))
            before = "".join(lines[: node.lineno - 1])
            yield Held(Posed(f"{path.name}::{node.name}", before + "".join(lines[node.lineno - 1 : body]), node.name, tests, before))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as problem:
        raise MissingFileError(f"{path}: cannot be read ({getattr(problem, 'strerror', None) or problem})") from None
