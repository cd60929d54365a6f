"""`luthier`: builds the command that was named, and speaks plainly when something is wrong.

Nothing here may import torch, transformers or numpy: `luthier --help` has to answer at once.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import warnings
from typing import Any, NoReturn

import click

from luthier import __version__
from luthier.cli.commands import COMMANDS, GROUPS, RunCommand
from luthier.cli.running import click_command
from luthier.errors import LuthierError

STOPPED, TERMINATED = 130, 143
OFFLINE = "--offline"
COMPLETE = "_LUTHIER_COMPLETE"  # what a shell asks through, by click's custom
M_ARENA_MAX = -8  # mallopt(3)
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)


class Terminated(KeyboardInterrupt):
    """SIGTERM: the run is told to stop by something else than its user."""


class Words(click.Group):
    """The commands of the table whose words begin alike; each is built when it is called for."""

    def __init__(self, prefix: str = "", **settings: Any) -> None:
        super().__init__(**settings)
        self.prefix = prefix

    def list_commands(self, context: click.Context) -> list[str]:
        start = f"{self.prefix} " if self.prefix else ""
        names = dict.fromkeys(words.removeprefix(start).split()[0] for words in (*COMMANDS, *GROUPS) if words.startswith(start))
        return [*(name for name in GROUPS if name in names), *(name for name in names if name not in GROUPS)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        words = f"{self.prefix} {name}".strip()
        if words in COMMANDS:
            return click_command(words, COMMANDS[words])
        if words in GROUPS or any(known.startswith(f"{words} ") for known in COMMANDS):
            kind = DefaultFlow if words == "run" else Words
            return kind(words, name=name, help=GROUPS.get(words))
        return None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        if self.prefix:
            return super().format_commands(context, formatter)
        rows = [(name, GROUPS.get(name) or _purpose(self, context, name)) for name in self.list_commands(context)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        return None


class DefaultFlow(Words):
    """`luthier run` alone is the flow `tools`."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        flows = self.list_commands(context)
        return super().parse_args(context, args if args and args[0] in (*flows, "-h", "--help") else ["tools", *args])


def _purpose(group: Words, context: click.Context, name: str) -> str:
    command = group.get_command(context, name)
    return "" if command is None else command.get_short_help_str(limit=100)


@click.group(cls=Words, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="luthier")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(OFFLINE, is_flag=True, help="Ask no hub: what is named there is read from its cache. May stand behind any command.")
def cli(debug: bool, offline: bool) -> None:
    """Post-training for open language models, with the evidence."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 2 bad input, 130 stopped by the user, 143 by another process."""
    if instruction := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(cli, {}, "luthier", COMPLETE, instruction))
    words = sys.argv[1:] if arguments is None else arguments
    try:
        words = _prepare(words)
        with cli.make_context("luthier", list(words)) as context:  # click's own `main` takes every interrupt for one of the user's
            cli.invoke(context)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as problem:
        click.echo(problem.format_message(), err=True)
        sys.exit(problem.exit_code)
    except (KeyboardInterrupt, click.Abort) as problem:
        _forget_the_interrupt()
        told = "stopped; the same command continues where it was" if _continues(words) else "stopped"
        _fail(told, TERMINATED if isinstance(problem, Terminated) else STOPPED)
    except BrokenPipeError:
        sys.exit(1)  # nobody reads any more
    except Exception as problem:
        if "--debug" in words:
            raise
        code = problem.exit_code if isinstance(problem, click.ClickException) else 2
        _fail(_told(problem), code)
    sys.exit(0)


def _continues(words: list[str]) -> bool:
    plain = [word for word in words if not word.startswith("-")]
    named = [COMMANDS.get(" ".join(plain[:count])) for count in (1, 2, 3)]
    return plain[:1] == ["run"] or any(isinstance(command, RunCommand) for command in named)


def _forget_the_interrupt() -> None:
    """CPython remembers an interrupt that has left an `exec` of text, as dataclasses have one, and then ends `python -m luthier` by that signal and
    not with the status it is given. Evaluating anything makes it forget."""
    eval("0")  # noqa: S307


def _told(problem: Exception) -> str:
    """Any exception as one line: ours and click's as they are, what the system says with the file, the rest as it is called."""
    if isinstance(problem, click.ClickException):
        return problem.format_message()
    line = " ".join(str(problem).split())
    if isinstance(problem, LuthierError):
        return line
    if isinstance(problem, OSError):
        where = f"{problem.filename}: " if problem.filename else ""
        mend = "; make room or choose another folder, then run the same command again" if problem.errno in DISK else ""
        return f"{where}{problem.strerror or line}{mend}"
    if isinstance(problem, MemoryError):
        return "out of memory; give it less at once, or a larger machine"
    return f"{type(problem).__name__}: {line[:500] or 'no more is known'}; --debug shows where"


def _prepare(words: list[str]) -> list[str]:
    """Signals end a run in order; idle threads must not spin on a busy machine (they cost 3x there, and win 15 % on a quiet one);
    libraries keep their own progress to themselves. Gives the words without --offline, which may stand anywhere."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _terminate)
    if os.getloadavg()[0] > 0.75 * (os.cpu_count() or 1):
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if OFFLINE in words:
        os.environ["HF_HUB_OFFLINE"] = "1"
    bars = ("HF_DATASETS_DISABLE_PROGRESS_BARS", "TQDM_DISABLE")
    for name in bars if sys.stderr.isatty() and "--quiet" not in words else ("HF_HUB_DISABLE_PROGRESS_BARS", *bars):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.simplefilter("ignore", FutureWarning)  # deprecations between libraries are not the user's to mend
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it speaks of faster kernels whenever PEFT imports it
    if "--quiet" in words:
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
    _share_one_arena()
    return [word for word in words if word != OFFLINE]


def _terminate(number: int, frame: Any) -> NoReturn:
    raise Terminated


def _share_one_arena() -> None:
    """Keep glibc to one heap: backward runs in a thread of its own, and what one heap frees another cannot use."""
    import ctypes

    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_ARENA_MAX, 1)


def _fail(text: str, code: int) -> NoReturn:
    click.echo(f"luthier: {text}", err=True)
    sys.exit(code)
