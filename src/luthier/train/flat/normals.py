"""Standard normal draws that depend on (seed, step, layer) alone, and leave every global random state as it was."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 1 << 17  # values a generator draws: a CPU draws with one thread a generator, so large layers are drawn side by side
TABLE_SPARE = 1 << 20  # positions a slice of the table can start at


class Normals(Protocol):
    """Where the draws come from."""

    def take(self, name: str, step: int, out: Tensor) -> Tensor:
        """Draws of a layer and a step, shaped and placed like `out`, which may be filled and returned. Not to be written to."""
        ...


class Generated:
    """Fresh draws for every layer and step."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self._threads: ThreadPoolExecutor | None = None

    def take(self, name: str, step: int, out: Tensor) -> Tensor:
        flat, key = out.view(-1), f"{self.seed}/{step}/{name}"
        if out.device.type != "cpu" or flat.numel() <= CHUNK:
            self._fill(flat, f"{key}/0")
            return out
        list(self._pool().map(self._fill, flat.split(CHUNK), (f"{key}/{at}" for at in range(flat.numel()))))
        return out

    def _pool(self) -> ThreadPoolExecutor:
        import torch

        if self._threads is None:
            self._threads = ThreadPoolExecutor(torch.get_num_threads())
        return self._threads

    @staticmethod
    def _fill(out: Tensor, key: str) -> None:
        import torch

        out.normal_(generator=torch.Generator(out.device).manual_seed(_number(key)))


class Table:
    """Slices of one table of draws: several times cheaper to take than to draw. Layers and steps share its entries, at other offsets."""

    def __init__(self, seed: str, largest: int) -> None:
        self.seed, self.size = seed, largest + TABLE_SPARE
        self._tables: dict[str, Tensor] = {}

    def take(self, name: str, step: int, out: Tensor) -> Tensor:
        import torch

        place = str(out.device)
        if place not in self._tables:
            fresh = torch.empty(self.size, device=out.device, dtype=out.dtype)
            self._tables[place] = Generated(self.seed).take("table", 0, fresh)
        start = _number(f"{self.seed}/{step}/{name}") % TABLE_SPARE
        return self._tables[place][start : start + out.numel()].view(out.shape)


def _number(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
