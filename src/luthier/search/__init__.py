"""Programs found by spending calls: trees of thoughts repaired by what execution says (RethinkMCTS, arXiv 2409.09584), and ten others.

solved = solve(problem, open_model("qwen2.5-coder-0.5b"), Sandbox(), SearchSettings(budget="16 calls"))
solved.program, solved.candidates, solved.tree, solved.spent
"""

from luthier.models.budget import Budget
from luthier.search.problem import Posed
from luthier.search.settings import SearchSettings
from luthier.search.solving import Solved, solve, solve_all

__all__ = ["Budget", "Posed", "SearchSettings", "Solved", "solve", "solve_all"]
