"""`python -m luthier` and the script `luthier`; launchers start the module: `torchrun -m luthier train sft …`."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn


def _end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, b"luthier: stopped\n")
    os._exit(128 + number)


def main() -> NoReturn:
    """Run the command line. Until it is loaded, a signal ends the process with one line: there is nothing to save yet."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end_at_once)
    from luthier.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
