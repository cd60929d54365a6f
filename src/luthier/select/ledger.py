"""The ledger of the entropy law (arXiv 2407.06645): one line for each version of a data set that a model was trained on.

A version is a data set, measured once before training, and what the first epoch on it cost. Only versions of one group compare: same
base model, recipe, loss mask, sequence length and tokenizer. What follows from the lines is said in `luthier.select.entropy_law`.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.records import JSON, Journal
from luthier.records.lines import parse_row
from luthier.records.numbers import finite_number

SAMPLE = 256  # texts kept of a data set, to count tokens a byte
MODULUS = 1 << 256


class DataFacts(NamedTuple):
    """What of a data set is known before training. size: bytes; fingerprint: of the texts in any order; ratio: compression by window."""

    rows: int
    size: int
    fingerprint: str
    ratio: dict[str, float]
    sample: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Version:
    """One run on one version of a data set.

    tokens: input tokens of the first epoch as the trainer counted them. loss, loss_epoch: mean training loss in nats a token over the
    window (steps `window[0]` + 1 to `window[1]`) and over the whole first epoch. metric: the final score, higher is better; None until
    it is known. setup: what `group` is the hash of.
    """

    name: str
    group: str
    fingerprint: str
    rows: int
    ratio: dict[str, float]
    loss: float
    seed: int = 0
    loss_epoch: float | None = None
    bits_per_byte: float | None = None
    tokens: int | None = None
    window: tuple[int, int] | None = None
    metric: float | None = None
    setup: JSON = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises BadRowError, without a place, for a value that the rules could not work with."""
        for name in ("name", "group", "fingerprint"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise BadRowError(f"{name} is {getattr(self, name)!r}; a text was expected")
        for name, least in (("rows", 0), ("seed", None), ("tokens", 0)):
            value = getattr(self, name)
            if value is None and name == "tokens":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
                raise BadRowError(f"{name} is {value!r}; a whole number was expected")
        if not isinstance(self.ratio, dict) or "32K" not in self.ratio:
            raise BadRowError("ratio has no window 32K; luthier.select.profile.ratio_profile gives the ratios")
        for window, value in self.ratio.items():
            if not _finite(value) or value <= 0:
                raise BadRowError(f"ratio {window} is {value!r}; a number above 0 was expected")
        if not _finite(self.loss):
            raise BadRowError(f"loss is {self.loss!r}; a number of nats a token was expected")
        for name in ("loss_epoch", "bits_per_byte", "metric"):
            value = getattr(self, name)
            if value is not None and not _finite(value):
                raise BadRowError(f"{name} is {value!r}; a number or null was expected")

    @property
    def index(self) -> float | None:
        """Long-range index R_all / R_32K: above its usual value, rows repeat further apart than 32 KiB. None without R_all."""
        return self.ratio["all"] / self.ratio["32K"] if "all" in self.ratio else None

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Two lines with one key are one run; the later line stands."""
        return self.group, self.name, self.fingerprint, self.seed


def measure_data(texts: Iterable[str | bytes]) -> DataFacts:
    """Rows, bytes, fingerprint and compression ratios of the texts, in one pass that holds none but the one in hand.

    Raises SettingsError where there is no text.
    """
    from luthier.select.profile import ratio_profile

    rows, size, total = 0, 0, 0
    kept: list[bytes] = []
    draw = random.Random(0)

    def passing() -> Iterator[bytes]:
        nonlocal rows, size, total
        for text in texts:
            data = text.encode("utf-8", "replace") if isinstance(text, str) else text
            if len(kept) < SAMPLE:
                kept.append(data)
            elif (place := draw.randrange(rows + 1)) < SAMPLE:
                kept[place] = data
            rows, size = rows + 1, size + len(data)
            total = (total + int.from_bytes(hashlib.sha256(data).digest())) % MODULUS
            yield data

    ratio = ratio_profile(passing())
    if size == 0:
        raise SettingsError("the data has no text; give the texts, or the file, that the model is trained on")
    return DataFacts(rows, size, f"{total:064x}"[:16], ratio, tuple(kept))


def group_of(setup: Mapping[str, Any]) -> str:
    """Name of the group of runs with this setup: 12 hex digits of its hash, the same for any order of the settings."""
    return hashlib.sha256(json.dumps(setup, sort_keys=True, default=str).encode()).hexdigest()[:12]


def read_ledger(path: str | Path) -> list[Version]:
    """The versions in the order in which their runs first appeared; a later line of the same run stands in for the earlier.

    A last line that a killed process left half written is passed over. Raises MissingFileError; BadRowError with file and line.
    """
    found: dict[tuple[str, str, str, int], Version] = {}
    for version in _lines(Path(path)):
        found[version.key] = version
    return list(found.values())


def add_version(path: str | Path, version: Version) -> None:
    """Append a version; the file and its folder are made where they are missing. Raises BadRowError, DiskError."""
    target = Path(path)
    if target.is_file():
        list(_lines(target))  # a damaged ledger is refused before anything is added to it
        _end_last_line(target)
    with Journal(target) as journal:
        journal.append(_to_row(version))


def add_metric(path: str | Path, name: str, metric: float, *, seed: int | None = None) -> list[Version]:
    """Note the final score (higher is better) of a version, of all its seeds or of one; returns the versions as they now stand.

    Where the name was used again for changed data, the score is of the newest. Raises SettingsError where the ledger has no such version, or has it in several groups.
    """
    versions = read_ledger(path)
    chosen = [each for each in versions if each.name == name and seed in (None, each.seed)]
    if not chosen:
        known = ", ".join(dict.fromkeys(each.name for each in versions)) or "none"
        raise SettingsError(f"{path} has no version {name!r}{'' if seed is None else f' of seed {seed}'}; it has {known}")
    if len({each.group for each in chosen}) > 1:
        raise SettingsError(f"{path} has version {name!r} in several groups; give each run a name of its own")
    noted = [replace(each, metric=float(metric)) for each in chosen if each.fingerprint == chosen[-1].fingerprint]
    for each in noted:
        add_version(path, each)
    return noted


def _lines(path: Path) -> Iterator[Version]:
    try:
        lines = path.open("rb")
    except OSError as error:
        raise MissingFileError(f"{path}: cannot be read ({error.strerror}); give the ledger of an EntropyLawCallback") from None
    with lines:
        for number, line in enumerate(lines, 1):
            try:
                row = parse_row(line)
            except BadRowError as error:
                if not line.endswith(b"\n"):
                    return
                raise error.at(path, number) from None
            try:
                yield _from_row(row)
            except BadRowError as error:
                raise error.at(path, number) from None


def _end_last_line(path: Path) -> None:
    """A whole last line that an editor left without its end gets one: the journal would take it for half a line and cut it off."""
    with path.open("rb+") as file:
        last = file.read().rsplit(b"\n", 1)[-1]
        try:
            parse_row(last)
        except BadRowError:
            return
        file.write(b"\n")


def _to_row(version: Version) -> JSON:
    return {name: value for name, value in asdict(version).items() if value is not None}


def _from_row(row: JSON) -> Version:
    known = {each.name for each in fields(Version)}
    missing = [name for name in ("name", "group", "fingerprint", "rows", "ratio", "loss") if name not in row]
    if missing:
        raise BadRowError(f"no {missing[0]}; a line of a ledger has name, group, fingerprint, rows, ratio and loss")
    values = {name: value for name, value in row.items() if name in known}  # a later release may write more
    window = values.get("window")
    if window is not None:
        if not isinstance(window, list) or len(window) != 2 or not all(isinstance(step, int) for step in window):
            raise BadRowError(f"window is {window!r}; two steps were expected")
        values["window"] = (window[0], window[1])
    if not isinstance(values.get("setup", {}), dict):
        raise BadRowError("setup is not an object of fields")
    return Version(**values)


def _finite(value: Any) -> bool:
    return finite_number(value) is not None
