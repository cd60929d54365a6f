"""How redundant a set of rows is, at several window sizes: repeats far apart show only in a long one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

WINDOWS = {"32K": 15, "1M": 20, "all": 27}  # log2 of the bytes that the compressor looks back


def ratio_profile(texts: Iterable[str | bytes], windows: Sequence[str] = tuple(WINDOWS)) -> dict[str, float]:
    """Bytes of the texts joined by newlines / compressed bytes, by window: "32K" is DEFLATE at level 9 (the R of the entropy law),
    the others are Zstandard at level 19 ("all" looks back 128 MiB). 0 without text.
    """
    import zlib

    import zstandard

    packers: dict[str, Any] = {}
    for name in windows:
        if name == "32K":
            packers[name] = zlib.compressobj(9)
        else:
            settings = zstandard.ZstdCompressionParameters.from_level(19, window_log=WINDOWS[name], enable_ldm=True)
            packers[name] = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    raw, packed, joint = 0, dict.fromkeys(windows, 0), b""
    for text in texts:
        data = joint + (text.encode("utf-8", "replace") if isinstance(text, str) else text)
        raw, joint = raw + len(data), b"\n"
        for name, packer in packers.items():
            packed[name] += len(packer.compress(data))
    return {name: raw / (packed[name] + len(packer.flush())) for name, packer in packers.items()}


def ratio_by_group(texts: Sequence[bytes], groups: Sequence[str]) -> dict[str, dict[str, float]]:
    """The profile of each group's rows alone, largest group first."""
    members: dict[str, list[bytes]] = defaultdict(list)
    for text, group in zip(texts, groups, strict=True):
        members[group].append(text)
    return {group: ratio_profile(rows) for group, rows in sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))}
