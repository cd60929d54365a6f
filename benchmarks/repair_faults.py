"""Seeded faults in the functions of eight packages of the index that bring their own tests: what `benchmarks/repair.py` has mended.

A fault is one small change of one function: a comparison, an operator, a constant, a condition, arguments, a missing `return` or `else`. It counts where
the suite passed before and some of its tests fail with it. Source archives are fetched by pip, pinned by version and hash, and unpacked into a
temporary folder; a fault is kept as a place and a kind, never as text of the package. As a script it makes them and says what they are.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from harness import RESULTS, benchmark
from luthier.errors import FetchError
from luthier.packages import file_sha256
from luthier.search.worktree import Worktree

LONGEST, SHORTEST = 40, 3  # lines of a function with a fault: a model of 0.5B writes the whole of it anew
MOST_FAILING = 0.2  # of the suite's tests: more is no fault but a wreck
SUITE_SECONDS = 60.0


@dataclass(frozen=True)
class Sdist:
    """One exact source archive: project, version, SHA-256 of its file, and the folder in it that holds the package."""

    project: str
    version: str
    sha256: str
    source: str


PACKAGES = (
    Sdist("boltons", "26.2.0", "d39cfd15c1a1c3bd4d705c82252fa9edb8e4f5e8cc039f8e39afac7b1b47e92c", "boltons"),
    Sdist("cachetools", "8.0.2", "30ac523adfc118b51d2b2e7bad8a0ddb31370dfe2700c7f10ca224f36ccf81e0", "src/cachetools"),
    Sdist("inflection", "0.5.1", "1a29730d366e996aaacffb2f1f1cb9593dc38e2ddd30c91250c6dde09ea9b417", "inflection"),
    Sdist("sqlparse", "0.6.1", "ca722573f848ff2d30e40ea30f53a104b7dea7635ea9285891263eb2c58fb6e7", "sqlparse"),
    Sdist("tabulate", "0.8.10", "6c57f3f3dd7ac2782770155f3adb2db0b1a269637e42f27599925e64b114f519", "tabulate.py"),
    Sdist("toolz", "1.0.0", "2c86e3d9a04798ac556793bced838816296a2f085017664e4995cb40a1047a02", "toolz"),
    Sdist("unidiff", "1.0.1", "d9425bc516390c54743a1045b2c1c97f02d245a913a241dd499f958adb2df998", "unidiff"),
    Sdist("webcolors", "25.10.0", "62abae86504f66d0f6364c2a8520de4a0c47b80c03fc3a5f1815fedbef7c19bf", "src/webcolors"),
)


@dataclass(frozen=True)
class Change:
    """A change of a text. first, last: offsets of what is replaced, in characters; function: the name and first line of the one around it."""

    kind: str
    first: int
    last: int
    new: str
    function: str
    line: int


@dataclass(frozen=True)
class Fault:
    """A fault that some tests of the suite notice. place: which of the file's changes, in their order; test: one of those that fail.

    failing: how many do, of `tests` that passed before.
    """

    package: str
    file: str
    place: int
    kind: str
    function: str
    line: int
    test: str
    failing: int
    tests: int

    @property
    def name(self) -> str:
        return f"{self.package}-{Path(self.file).stem}-{self.place}"


def fetch(one: Sdist, folder: Path) -> Path:
    """The archive in `folder`, downloaded by pip where it is not there. Raises FetchError where pip gives none with this hash."""
    folder.mkdir(parents=True, exist_ok=True)
    for found in folder.glob("*.tar.gz"):
        if file_sha256(found) == one.sha256:
            return found
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        wanted = Path(scratch, "requirement.txt")
        wanted.write_text(f"{one.project}=={one.version} --hash=sha256:{one.sha256}\n")
        words = ["--quiet", "--no-deps", "--no-binary", one.project, "--require-hashes", "--dest", scratch, "--requirement", str(wanted)]
        done = subprocess.run([sys.executable, "-m", "pip", "download", *words], capture_output=True, text=True, check=False)
        files = list(Path(scratch).glob("*.tar.gz"))
        if done.returncode or len(files) != 1:
            raise FetchError(f"pip could not download the source of {one.project} {one.version}: {done.stderr.strip()[-300:]}")
        return files[0].rename(folder / files[0].name)


@contextmanager
def unpacked(one: Sdist, folder: Path) -> Iterator[Path]:
    """A temporary folder with the package's files."""
    with tempfile.TemporaryDirectory(prefix="luthier-sdist-") as scratch, tarfile.open(fetch(one, folder)) as archive:
        archive.extractall(scratch, filter="data")
        yield next(path for path in Path(scratch).iterdir() if path.is_dir())


def changes(text: str) -> list[Change]:
    """Every small change of every function of fitting length, in the order of the text."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: list[Change] = []
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, ast.FunctionDef) and SHORTEST <= (function.end_lineno or 0) - function.lineno + 1 <= LONGEST:
            points = _Points(text, starts, function)
            for statement in function.body:
                points.visit(statement)
            found += points.found
    return sorted(set(found), key=lambda one: (one.first, one.last, one.kind, one.new, one.line))


COMPARISONS = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "in": "not in",
    "not in": "in",
    "is": "is not",
    "is not": "is",
}
OPERATORS = {"+": "-", "-": "+", "*": "+", "//": "*", "/": "*", "%": "//", "**": "*", "<<": ">>", ">>": "<<", "&": "|", "|": "&"}


class _Points(ast.NodeVisitor):
    """The places in a function where a fault can be put. Columns of `ast` are bytes, so a line that is not ASCII has none."""

    def __init__(self, text: str, starts: list[int], function: ast.FunctionDef) -> None:
        self.text, self.starts, self.function = text, starts, function
        self.found: list[Change] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """A function inside is one of its own."""

    def visit_Compare(self, node: ast.Compare) -> None:
        for left, right in zip((node.left, *node.comparators), node.comparators, strict=False):
            self._between("comparison", left, right, COMPARISONS)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if not isinstance(node.left, (ast.JoinedStr, ast.Constant)) or not isinstance(getattr(node.left, "value", 0), str):
            self._between("operator", node.left, node.right, OPERATORS)  # % after a text is no arithmetic
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between("and/or", left, right, {"and": "or", "or": "and"})
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        self._negated(node.test)
        if node.orelse and not (len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If)):
            first, last = self._end(node.body[-1]), self._end(node.orelse[-1])
            self._put("missing else", first, last, "")
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._negated(node.test)
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            self._put("missing return", self._start(node), self._start(node.value), "")
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if len(node.args) > 1 and not any(isinstance(one, ast.Starred) for one in node.args[:2]):
            one, other = node.args[:2]
            first, last = self._span(one), self._span(other)
            swapped = self.text[slice(*last)] + self.text[first[1] : last[0]] + self.text[slice(*first)]
            if self.text[slice(*first)] != self.text[slice(*last)]:
                self._put("swapped arguments", first[0], last[1], swapped)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._put("constant", *self._span(node), str(not node.value))
        elif isinstance(node.value, int):
            self._put("off by one", *self._span(node), str(node.value + 1))
            self._put("off by one", *self._span(node), str(node.value - 1))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Places inside an f-string are told apart only since Python 3.12."""

    def _negated(self, test: ast.expr) -> None:
        inner = test.operand if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) else None
        new = self.text[slice(*self._span(inner))] if inner is not None else f"not ({self.text[slice(*self._span(test))]})"
        self._put("negated condition", *self._span(test), new)

    def _between(self, kind: str, left: ast.expr, right: ast.expr, pairs: dict[str, str]) -> None:
        first, last = self._end(left), self._start(right)
        gap = self.text[first:last]
        words = "|".join(re.escape(one).replace(r"\ ", " ") for one in sorted(pairs, key=len, reverse=True))
        at = re.search(rf"(?<![\w<>=!*/])(?:{words})(?![\w<>=*/])", gap)
        if at is not None and "#" not in gap:
            self._put(kind, first + at.start(), first + at.end(), pairs[at[0]])

    def _put(self, kind: str, first: int, last: int, new: str) -> None:
        begin, end = self.starts[self.function.lineno - 1], self.starts[self.function.end_lineno or 0]
        before, after = self.text[begin:end], self.text[begin:first] + new + self.text[last:end]
        if before.isascii() and _parses(f"if True:\n{after}" if after[0].isspace() else after):
            self.found.append(Change(kind, first, last, new, self.function.name, self.function.lineno))

    def _start(self, node: ast.AST) -> int:
        return self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]

    def _end(self, node: ast.AST) -> int:
        return self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def _span(self, node: ast.AST) -> tuple[int, int]:
        return self._start(node), self._end(node)


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def applied(text: str, one: Change) -> str:
    return text[: one.first] + one.new + text[one.last :]


def put_in(root: Path, fault: Fault) -> None:
    """Write the fault into an unpacked package. Raises ValueError where the file is not the one it was made in."""
    path = root / fault.file
    text = path.read_text(encoding="utf-8")
    one = changes(text)[fault.place]
    if (one.kind, one.function, one.line) != (fault.kind, fault.function, fault.line):
        raise ValueError(f"{fault.name}: is not the change that was kept")
    path.write_text(applied(text, one), encoding="utf-8")


def sources(root: Path, one: Sdist) -> list[Path]:
    """The modules of the package itself."""
    inside = root / one.source
    found = [inside] if inside.is_file() else sorted(inside.rglob("*.py"))
    return [path for path in found if "test" not in path.name and not {"test", "tests"} & set(path.relative_to(root).parts)]


def make(one: Sdist, wanted: int, seed: int, folder: Path) -> list[Fault]:
    """`wanted` faults of a package, no two in the same function and their kinds as even as they come. Raises ValueError where its suite fails."""
    draw, made, used = Random(f"{seed} {one.project}"), list[Fault](), set[tuple[str, int]]()
    with unpacked(one, folder) as root, Worktree(root) as tree:
        suite = tree.test([], changes={}, seconds=SUITE_SECONDS)
        if suite.failed or not suite.passed:
            raise ValueError(f"{one.project} {one.version}: its suite does not pass ({sorted(suite.failed)[:3]} {suite.said[-200:]})")
        texts = {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in sources(root, one)}
        points = [(file, place, each) for file, text in texts.items() for place, each in enumerate(changes(text))]
        draw.shuffle(points)
        kinds = Counter[str]()
        while points and len(made) < wanted:
            file, place, each = points.pop(min(range(len(points)), key=lambda at: kinds[points[at][2].kind]))
            if (file, each.line) in used:
                continue
            kinds[each.kind] += 1
            ran = tree.test([], changes={file: applied(texts[file], each)}, seconds=SUITE_SECONDS)
            failing = sorted(ran.failed & suite.passed)
            if not failing or len(suite.passed - ran.passed) > MOST_FAILING * len(suite.passed):
                continue
            used.add((file, each.line))
            test = draw.choice(failing)
            made.append(Fault(one.project, file, place, each.kind, each.function, each.line, test, len(failing), len(suite.passed)))
            print(f"{one.project}: {made[-1].name} {each.kind} in {each.function}, {len(failing)} tests fail", flush=True)
    return made


def faults(count: int, seed: int, folder: Path, packages: Sequence[Sdist] = PACKAGES) -> list[Fault]:
    """`count` faults, spread over packages, from the file in `folder` where they were made before."""
    found: list[Fault] = []
    for at, one in enumerate(packages):
        wanted = count // len(packages) + (at < count % len(packages))
        path = folder / f"faults-{seed}-{wanted}-{one.project}-{one.version}.json"
        if wanted and not path.is_file():
            rows = [asdict(each) for each in make(one, wanted, seed, folder)]
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        found += [Fault(**row) for row in json.loads(path.read_text(encoding="utf-8"))] if wanted else []
    return found


def measure(quick: bool, **options: str) -> dict[str, Any]:
    began = time.monotonic()
    made = faults(8 if quick else int(options["faults"]), int(options["seed"]), Path(options["folder"]))
    return {
        "faults": [asdict(one) for one in made],
        "kinds": dict(Counter(one.kind for one in made)),
        "packages": dict(Counter(one.package for one in made)),
        "seconds": time.monotonic() - began,
    }


def line(figures: dict[str, Any]) -> str:
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(figures["kinds"].items()))
    return f"{len(figures['faults'])} faults in {len(figures['packages'])} packages: {kinds}; {figures['seconds']:.0f} s"


if __name__ == "__main__":
    benchmark("repair_faults", measure, line, __doc__, faults="60", seed="1", folder=str(RESULTS / "repair"))
