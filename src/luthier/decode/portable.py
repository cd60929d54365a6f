"""A head that needs logits only: five statistics of the step's distribution, a small network that imitates the diversity head, JSON.

For engines that show no states: vLLM's logits processors, or anything that can read a table. What it loses is measured when it is fitted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.decode.features import STATISTICS, Features, logit_statistics
from luthier.decode.head import DiversityHead, statistics_of
from luthier.decode.mappings import Statistics
from luthier.decode.network import TENSORS, Network, fit_network
from luthier.errors import MissingFileError, SettingsError
from luthier.records import JSON, atomic_write

if TYPE_CHECKING:
    import torch

HIDDEN = 16
BINS = 20
FORMAT = "luthier-portable-head/1"


@dataclass
class PortableHead:
    """Scores from logit statistics. statistics: as those of a head; facts: whom it imitates, and how well."""

    network: Network
    statistics: Statistics
    facts: JSON = field(default_factory=dict)
    reads_states = False

    def scores(self, states: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor:
        """(rows, vocabulary) -> (rows,), in (0, 1)."""
        return self.of_statistics(logit_statistics(logits))

    def of_statistics(self, statistics: torch.Tensor) -> torch.Tensor:
        """(rows, 5), see `features.logit_statistics` -> (rows,)."""
        if self.network.w1.device != statistics.device:
            self.network = self.network.to(statistics.device)
        return self.network(statistics)

    @classmethod
    def imitate(cls, head: DiversityHead, features: Features, *, seed: int = 0) -> PortableHead:
        """Fit to the head's scores at every position that was read; a fifth of the contexts is held out to stop and to measure."""
        import torch

        from luthier.statistics.ranks import spearman

        wanted = head.scores(features.states)
        weights = torch.ones(len(wanted))
        held = features.context % 5 == 4
        network, steps = fit_network(features.statistics, wanted, weights, hidden=HIDDEN, seed=seed, held=held, decay=1e-3, rate=5e-3)
        made = network(features.statistics)
        facts = {
            "imitates": head.model._asdict(),
            "steps": steps,
            "held_out_positions": int(held.sum()),
            "held_out_spearman": spearman(made[held].numpy(), wanted[held].numpy()),
        }
        return cls(network, statistics_of(made[features.first]), facts)

    def save(self, path: Path | str) -> None:
        """One JSON file: statistics by name, weights, scale of the scores, and a table from entropy alone. Raises DiskError."""
        told = {
            "format": FORMAT,
            "inputs": list(STATISTICS),
            "network": {name: one.tolist() for name, one in self.network.tensors().items()},
            "statistics": self.statistics._asdict(),
            "facts": self.facts,
        }
        with atomic_write(path) as stream:
            json.dump(told, stream, indent=1, ensure_ascii=False)
            stream.write("\n")

    @classmethod
    def load(cls, path: Path | str) -> PortableHead:
        """What `save` wrote. Raises MissingFileError, SettingsError."""
        import torch

        if not Path(path).is_file():
            raise MissingFileError(f"{path}: no such file; `luthier decode fit` writes one beside its head")
        try:
            told = json.loads(Path(path).read_text(encoding="utf-8"))
            if told["format"] != FORMAT or told["inputs"] != list(STATISTICS):
                raise SettingsError(f"{path}: a portable head of another format; export it again")
            network = Network(*(torch.tensor(told["network"][name], dtype=torch.float32) for name in TENSORS))
            fits = network.w1.shape == (len(network.b1), len(STATISTICS)) and network.w2.shape == network.b1.shape
            head = cls(network, Statistics(**told["statistics"]), told["facts"])
        except (ValueError, KeyError, TypeError) as problem:
            raise SettingsError(f"{path}: not a portable head ({problem}); export it again") from problem
        if not fits:
            raise SettingsError(f"{path}: the weights of the portable head do not fit together; export it again")
        return head


def entropy_table(head: DiversityHead, features: Features, bins: int = BINS) -> list[JSON]:
    """Mean score of the head by normalised entropy, for engines that know nothing else: bins of equally many positions, rising."""
    order = features.statistics[:, 0].argsort()
    scores = head.scores(features.states)
    parts = [part for part in order.chunk(bins) if len(part)]
    return [
        {"entropy_to": float(features.statistics[part, 0].max()), "score": float(scores[part].mean()), "positions": len(part)}
        for part in parts
    ]
