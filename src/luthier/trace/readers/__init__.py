"""Readers of learners' answers: the long table, and what tutoring systems and other tracers write."""

from luthier.trace.readers.reading import FORMATS, read_answers, write_long_table

__all__ = ["FORMATS", "read_answers", "write_long_table"]
