"""`luthier`: finds the verb's module when it is called for, and speaks plainly when something is wrong.

Nothing here may import torch, transformers or numpy: `luthier --help` has to answer at once.
"""

from __future__ import annotations

import errno
import importlib
import logging
import os
import sys
import warnings
from typing import Any

import click

from luthier import __version__
from luthier.errors import LuthierError

VERBS = {
    "run": ("luthier.cli.run", "Run a whole flow: data, selection, training, evaluation, report."),
    "models": ("luthier.cli.models", "List, pull and show models."),
    "synthesize": ("luthier.cli.synthesize", "Make training data."),
    "select": ("luthier.cli.select", "Choose the rows of a pool that teach most; how redundant a pool is."),
    "train": ("luthier.cli.train", "Fine-tune a model, plainly, towards flat minima, on preference pairs, or to infuse facts."),
    "decode": ("luthier.cli.decode", "Learn a temperature that knows when variety is wanted."),
    "generate": ("luthier.cli.generate", "Reply to prompts, at temperatures a head chooses."),
    "probe": ("luthier.cli.probe", "Look into a model: chains of thought, step by step; how sharp its minimum is."),
    "evaluate": ("luthier.cli.evaluate", "Score a model: function calling, multiple choice, code retrieval, knowledge fusion."),
    "trace": ("luthier.cli.trace", "Follow learners, pupils or models: what they know, what comes next."),
    "report": ("luthier.cli.report", "Write report.html for a run folder."),
}
STOPPED = 130
M_ARENA_MAX = -8  # mallopt(3)


class Verbs(click.Group):
    """Loads a verb's module on first use."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(VERBS[name][0]).command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="luthier")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Post-training for open language models, with the evidence."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 bad input, 130 stopped by the user."""
    _prepare_environment()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        cli.main(args=words, prog_name="luthier", standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as problem:
        _fail(problem.format_message(), problem.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("stopped; the same command continues where it was", STOPPED)
    except LuthierError as problem:
        _fail(_one_line(problem), 2, debug="--debug" in words)
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        where = f": {problem.filename}" if problem.filename else ""
        _fail(
            f"{problem.strerror}{where}; make room or choose another folder, then run the same command again", 2, debug="--debug" in words
        )
    sys.exit(0)


def _prepare_environment() -> None:
    """Idle threads must not spin on a busy machine (they cost 3x there, and win 15 % on a quiet one); nothing waits for a hub."""
    if os.getloadavg()[0] > 0.75 * (os.cpu_count() or 1):
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.simplefilter("ignore", FutureWarning)  # deprecations between libraries are not the user's to mend
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it speaks of faster kernels whenever PEFT imports it
    _share_one_arena()


def _share_one_arena() -> None:
    """Keep glibc to one heap: backward runs in a thread of its own, and what one heap frees another cannot use."""
    import ctypes

    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_ARENA_MAX, 1)


def _fail(text: str, code: int, *, debug: bool = False) -> Any:
    if debug:
        raise  # noqa: PLE0704  # called from an except block
    click.echo(f"luthier: {text}", err=True)
    sys.exit(code)


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())
