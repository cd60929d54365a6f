"""Every strategy behind one interface: a generator that is given a search, yields what it wants, and leaves what it found in it."""

from __future__ import annotations

from collections.abc import Callable

from luthier.search.drawing import best_of_n, single, tot
from luthier.search.later import ab_mcts, s_star
from luthier.search.repairs import lats, ldb, reflexion
from luthier.search.settings import Strategy
from luthier.search.steps import Search
from luthier.search.thoughts import thought_search
from luthier.search.wants import Steps

STRATEGIES: dict[Strategy, Callable[[Search], Steps[None]]] = {
    "rethink": thought_search,
    "thought-mcts": thought_search,
    "tot": tot,
    "lats": lats,
    "rap": thought_search,
    "reflexion": reflexion,
    "ldb": ldb,
    "best-of-n": best_of_n,
    "single": single,
    "ab-mcts": ab_mcts,
    "s-star": s_star,
}
