"""The house as a whole: no import circles, a face that loads nothing, results that are named classes."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

import luthier
from scheduling import WHOLE

SOURCE = Path(luthier.__file__).parent
UNTYPED = ("dict", "JSON", "Any")
MOST_UNTYPED = 0.06


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = grimp.build_graph("luthier", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) - {"luthier"} for module in graph.modules - {"luthier"}}
    while leaves := {module for module, found in imports.items() if not found & imports.keys()}:
        imports = {module: found for module, found in imports.items() if module not in leaves}
    while roots := set(imports) - {found for each in imports.values() for found in each}:
        imports = {module: found for module, found in imports.items() if module not in roots}
    assert sorted(imports) == []


def public_functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        scopes = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_"))]
        for scope in scopes:
            for node in scope.body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                    yield f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}", node


def test_what_leaves_a_function_is_a_named_class() -> None:
    """Tables of rows and `to_row`, the edge of run.json, apart."""
    functions = [(place, node) for place, node in public_functions() if node.name != "to_row" and node.returns is not None]
    loose = [place for place, node in functions if ast.unparse(node.returns).split("[")[0].split(" |")[0] in UNTYPED]  # type: ignore[arg-type]
    assert len(loose) <= MOST_UNTYPED * len(functions), f"{len(loose)} of {len(functions)}: {loose}"


def test_everything_public_says_what_it_returns() -> None:
    assert [place for place, node in public_functions() if node.returns is None] == []


@pytest.mark.parametrize("name", luthier.__all__)
def test_every_front_door_opens(name: str) -> None:
    assert name in dir(luthier)
    assert name in (luthier.__doc__ or "")
    assert callable(getattr(luthier, name))


def test_the_face_loads_nothing() -> None:
    code = "import sys, luthier\nprint([name for name in ('torch', 'numpy', 'click', 'transformers') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'tune'"):
        luthier.tune  # noqa: B018
    assert (SOURCE / "py.typed").is_file()


def test_files_that_run_as_a_whole_are_there() -> None:
    assert [name for name in WHOLE if not (Path(__file__).parent / name).is_file()] == []
