"""The command line: one thin module a verb. `main` is the entry point; it turns known errors into one line and exit code 2."""

from luthier.cli.main import main

__all__ = ["main"]
