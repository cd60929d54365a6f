"""What `luthier view` is told."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from luthier.errors import SettingsError
from luthier.settings import argument, check, option


@dataclass(frozen=True)
class ViewSettings:
    """Show all runs below FOLDER in a browser: listed, filtered, two side by side, row by row; a run that goes on is shown as it goes.

    Only this machine can ask, and no page asks anything of another.
    """

    folder: str = argument("Folder of run folders.", default="runs")
    host: str = option("127.0.0.1", "An address of this machine's own.")
    port: int = option(8767, "0 takes a free one.", least=0, most=65535)

    def __post_init__(self) -> None:
        check(self)
        try:
            own = self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            own = False
        if not own:
            raise SettingsError(f"--host {self.host}: runs are shown on this machine alone; take 127.0.0.1, or reach it by `ssh -L`")
