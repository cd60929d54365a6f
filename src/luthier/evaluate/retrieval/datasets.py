"""CoIR's ten data sets by name: where they lie, the sizes that tell whether they are whole, and the paper's scores (arXiv 2407.02883).

Sizes are those of the data as published, which differ from the paper's statistics in places (the test part of CodeTransOcean-Contest has 221
queries). The headline score is the mean over ten data sets; those of six languages are averaged over these first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from luthier.errors import MissingFileError, SettingsError

OWNER = "CoIR-Retrieval"


class Size(NamedTuple):
    """Test queries, documents, and distinct documents where they are known."""

    queries: int
    documents: int
    distinct: int | None = None


LANGUAGES = ("go", "java", "javascript", "php", "python", "ruby")
_CSN = {
    "python": (14_918, 280_310, 280_652),
    "java": (10_955, 180_866, 181_061),
    "php": (14_014, 267_725, 268_237),
    "go": (8_122, 182_440, 182_735),
    "javascript": (3_291, 64_854, 65_201),
    "ruby": (1_261, 27_570, 27_588),
}
SIZES: dict[str, Size] = {
    "apps": Size(3_765, 8_765, 8_754),
    "cosqa": Size(500, 20_604, 6_267),
    "synthetic-text2sql": Size(5_851, 105_851, 99_603),
    **{f"CodeSearchNet-{language}": Size(_CSN[language][0], _CSN[language][1]) for language in LANGUAGES},
    **{f"CodeSearchNet-ccr-{language}": Size(_CSN[language][0], _CSN[language][2]) for language in LANGUAGES},
    "codetrans-dl": Size(180, 816, 266),
    "codetrans-contest": Size(221, 1_008, 1_008),
    "stackoverflow-qa": Size(1_994, 19_931, 19_931),
    "codefeedback-st": Size(31_306, 156_526, 143_943),
    "codefeedback-mt": Size(13_277, 66_383, 66_378),
}
DATASETS: dict[str, tuple[str, ...]] = {
    "apps": ("apps",),
    "cosqa": ("cosqa",),
    "synthetic-text2sql": ("synthetic-text2sql",),
    "CodeSearchNet": tuple(f"CodeSearchNet-{language}" for language in LANGUAGES),
    "CodeSearchNet-ccr": tuple(f"CodeSearchNet-ccr-{language}" for language in LANGUAGES),
    "codetrans-contest": ("codetrans-contest",),
    "codetrans-dl": ("codetrans-dl",),
    "stackoverflow-qa": ("stackoverflow-qa",),
    "codefeedback-st": ("codefeedback-st",),
    "codefeedback-mt": ("codefeedback-mt",),
}

# Instructions for models that follow them, one a data set; the paper's own runs had none.
INSTRUCTIONS: dict[str, str] = {
    "apps": "Find the program that solves this contest problem",
    "cosqa": "Find the function that answers this web query",
    "synthetic-text2sql": "Find the SQL statement that answers this question",
    "CodeSearchNet": "Find the docstring that describes this function",
    "CodeSearchNet-ccr": "Find the code that goes on from this piece",
    "codetrans-contest": "Find the C++ program that does what this Python program does",
    "codetrans-dl": "Find code that does the same",
    "stackoverflow-qa": "Find the answer to this question",
    "codefeedback-st": "Find the answer to this request",
    "codefeedback-mt": "Find the answer that goes on from this conversation",
}

# NDCG@10 in percent, in the order of DATASETS, and the average as printed (table 3 of the paper).
PUBLISHED: dict[str, tuple[tuple[float, ...], float]] = {
    "BM25": ((0.95, 13.96, 16.92, 26.75, 34.69, 50.13, 8.69, 56.80, 54.32, 34.73), 29.79),
    "Contriever": ((5.14, 14.21, 45.46, 34.72, 35.74, 44.16, 24.21, 66.05, 55.11, 39.23), 36.40),
    "GTE-base": ((3.24, 30.24, 46.19, 43.35, 35.50, 33.81, 28.80, 62.71, 55.19, 28.48), 36.75),
    "UniXcoder": ((1.36, 25.14, 50.45, 60.20, 58.36, 41.82, 31.03, 44.67, 36.02, 24.21), 37.33),
    "BGE-M3": ((7.37, 22.73, 48.76, 43.23, 47.55, 47.86, 31.16, 61.04, 49.94, 33.46), 39.31),
    "BGE-base": ((4.05, 32.76, 45.59, 69.60, 45.56, 38.50, 21.71, 73.55, 64.99, 31.42), 42.77),
    "OpenAI-Ada-002": ((8.70, 28.88, 58.32, 74.21, 69.13, 53.34, 26.04, 72.40, 47.12, 17.74), 45.59),
    "E5-base": ((11.52, 32.59, 52.31, 67.99, 56.87, 62.50, 21.87, 86.86, 74.52, 41.99), 50.90),
    "E5-Mistral": ((21.33, 31.27, 65.98, 54.25, 65.27, 82.55, 33.24, 91.54, 72.71, 33.65), 55.18),
    "Voyage-Code-002": ((26.52, 29.79, 69.26, 81.79, 73.45, 72.77, 27.28, 87.68, 65.35, 28.74), 56.26),
}


def proper_name(name: str) -> str:
    """The key of SIZES that a name means; letter case does not matter. Raises SettingsError."""
    known = {each.lower(): each for each in SIZES}
    if name.lower() not in known:
        raise SettingsError(f"unknown CoIR data set {name!r}; known: {', '.join(SIZES)}")
    return known[name.lower()]


def folders(name: str, source: Path | None) -> list[Path]:
    """Layout A keeps a data set in two folders (texts, judgements), layout B in one, which may hold several languages.

    source: folder that holds them; else the hub's cache, or the hub where HF_HUB_OFFLINE is not set. Raises MissingFileError.
    """
    base = name.rpartition("-")[0] if language_of(name) else name
    pairs = [f"{name}-queries-corpus", f"{name}-qrels"]
    if source is not None:
        if all((source / each).is_dir() for each in pairs):
            return [source / each for each in pairs]
        found = next((source / each for each in (name, base) if (source / each).is_dir()), None)
        if found is None:
            raise MissingFileError(f"{source}: no folder {name} (nor {' and '.join(pairs)}) there")
        return [found]
    try:
        return [_snapshot(base)]
    except MissingFileError as problem:
        try:
            return [_snapshot(each) for each in pairs]
        except MissingFileError:
            raise problem from None


def language_of(name: str) -> str | None:
    """The language of a data set that layout B keeps in one repository."""
    base, _, language = name.rpartition("-")
    return language if language in LANGUAGES and base in DATASETS else None


def belongs(path: Path, language: str | None) -> bool:
    """Whether a table is of this language; a repository of one language alone names none."""
    named = [part.split("-")[0] for part in path.parts if part.split("-")[0] in LANGUAGES]
    return language is None or not named or named[-1] == language


def check_size(name: str, queries: int, documents: int) -> None:
    """Raises SettingsError where the test part has not the published size."""
    size = SIZES[name]
    for what, there, expected in (("test queries", queries, size.queries), ("documents", documents, size.documents)):
        if there != expected:
            raise SettingsError(
                f"coir:{name} has {there:,} {what} where the published data has {expected:,}; the scores would not compare (load the folder by its path instead)"
            )


def macro_mean(scores: Mapping[str, float]) -> float:
    """CoIR's headline: data sets of several languages are averaged over these, then all ten. Raises SettingsError where one is missing."""
    missing = [part for parts in DATASETS.values() for part in parts if part not in scores]
    if missing:
        raise SettingsError(f"the mean of CoIR needs all data sets; missing: {', '.join(missing[:4])}{' …' if len(missing) > 4 else ''}")
    means = [sum(scores[part] for part in parts) / len(parts) for parts in DATASETS.values()]
    return sum(means) / len(means)


def instruction(name: str) -> str:
    """The instruction of a data set or of one of its languages."""
    return INSTRUCTIONS[next(key for key, parts in DATASETS.items() if name in parts)]


def _snapshot(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    offline = os.environ.get("HF_HUB_OFFLINE", "") in ("1", "true", "TRUE", "yes", "ON")
    try:
        return Path(snapshot_download(f"{OWNER}/{repository}", repo_type="dataset", local_files_only=offline))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as problem:
        told = "is not in the hub's cache and the hub may not be asked (HF_HUB_OFFLINE)" if offline else "cannot be had from the hub"
        raise MissingFileError(
            f"{OWNER}/{repository} {told}; name a folder that holds the data set with --source, or set HF_HUB_OFFLINE=0"
        ) from problem
