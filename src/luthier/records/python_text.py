"""Values as Python and NumPy print them into the cells of tables: `[{'role': 'user'}]`, arrays without commas, `np.int64(3)`, `nan`.

Nothing is evaluated: the text is parsed, the few calls that a printed value holds are taken off, and what is left must be a literal.
"""

from __future__ import annotations

import ast
import re

# A text in quotes as a whole, or an object that another follows without a comma, as in an array.
_BETWEEN = re.compile(r"'(?:[^'\\]|\\.)*+'?+|\"(?:[^\"\\]|\\.)*+\"?+|\}(?=\s++\{)", re.DOTALL)
_SCALARS = ("int", "uint", "float", "str_", "bool")  # of NumPy, with their bits: `np.float64(1.5)`


def literal(text: str) -> object:
    """The value that a text writes. Raises ValueError, TypeError, SyntaxError, MemoryError or RecursionError where it writes none."""
    stated = text.strip()
    try:
        return ast.literal_eval(stated)
    except (ValueError, SyntaxError):
        array = stated.startswith("[")
        joined = _BETWEEN.sub(lambda found: "}," if found[0] == "}" else found[0], stated) if array else stated
        return ast.literal_eval(_Printed().visit(ast.parse(joined, mode="eval")))


class _Printed(ast.NodeTransformer):
    """Puts what a call prints in the call's place; any other call stays, and is no literal."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        given = node.args[0] if len(node.args) == 1 else None
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "array" and isinstance(given, ast.List) and all(keyword.arg == "dtype" for keyword in node.keywords):
            return self.generic_visit(given)
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id in ("np", "numpy"):
            scalar = node.func.attr.rstrip("0123456789") in _SCALARS
            return given if scalar and isinstance(given, ast.Constant | ast.UnaryOp) and not node.keywords else node
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        known = isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy") and node.attr in ("True_", "False_")
        return ast.Constant(node.attr == "True_") if known else node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(None) if node.id == "nan" else node
