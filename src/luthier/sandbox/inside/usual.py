"""Modules of the standard library that programs usually want: loaded before the first one runs."""

from __future__ import annotations

USUAL = (
    *("abc", "array", "ast", "base64", "bisect", "calendar", "cmath", "collections", "contextlib", "copy", "csv", "dataclasses"),
    *("datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "io", "itertools", "json", "math", "numbers"),
    *("operator", "pprint", "queue", "random", "re", "statistics", "string", "struct", "tempfile", "textwrap", "threading"),
    *("time", "traceback", "typing", "unicodedata", "uuid"),
)
