"""A run: one folder with what was asked, what was read, what each step measured. Benches write it, pages read it."""

from luthier.run.folder import Run
from luthier.run.record import RunRecord

__all__ = ["Run", "RunRecord"]
