"""How a command of the table runs: parse, open the watcher, call, print. Every command goes this way."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from luthier.cli.commands import Own, Question, RunCommand, load
from luthier.cli.options import given, parameters
from luthier.records.account import FATES, LOST, Account
from luthier.report.wording import THIN
from luthier.settings import configured

QUIET = click.Option(["--quiet"], is_flag=True, help="No progress.")
REPLACE = click.Option(["--replace"], is_flag=True, help="Write over what is there already.")
JSON = click.Option(["--json", "as_json"], is_flag=True, help="For machines.")


def click_command(words: str, command: RunCommand | Question | Own) -> click.Command:
    """The click command of a row of the table."""
    if isinstance(command, Own):
        made: click.Command = load(command.command)
        return made
    settings = load(command.settings)
    params = parameters(settings)
    if isinstance(command, RunCommand):
        params += [
            click.Option(["--out"], type=click.Path(path_type=Path), default=Path(command.out), show_default=True, help="Run folder."),
            click.Option(["--replace"], is_flag=True, help="Move a run of other data or settings aside, as FOLDER.1."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print run.json on standard output."),
            QUIET,
        ]
    else:
        params += [*([REPLACE] if isinstance(command, Question) and command.writes else []), JSON, QUIET]

    def call() -> None:
        context = click.get_current_context()
        chosen = configured(settings, context.params["config"], context.params["changes"], given(context, settings))
        if isinstance(command, RunCommand):
            _run(command, chosen, context.params)
        else:
            _answer(command, chosen, context.params)

    return click.Command(words.rpartition(" ")[2], callback=lambda **_: call(), params=params, help=_help(settings))


def own_command(name: str, settings: Any, work: Callable[[Any], None]) -> click.Command:
    """A command that talks or serves: its options are those of its settings, as in the table, and `work` speaks for itself."""

    def call() -> None:
        context = click.get_current_context()
        work(configured(settings, context.params["config"], context.params["changes"], given(context, settings)))

    return click.Command(name, callback=lambda **_: call(), params=parameters(settings), help=_help(settings))


def _help(settings: Any) -> str:
    first, *others = (settings.__doc__ or "").split("\n\n")
    return "\n\n".join([" ".join(first.split()), *others]).strip()


def _run(command: RunCommand, settings: Any, params: dict[str, Any]) -> None:
    from luthier.cli.progress import Watch

    with Account() as account, Watch(params["quiet"], shlex.join(["luthier", *sys.argv[1:]]), params["replace"]) as watch:
        run = load(command.run)(settings, params["out"], watch)
    _account(account, params["quiet"])
    if int(os.environ.get("RANK", "0")):
        return  # the first of several processes speaks
    page = importlib.import_module(command.page)
    if params["as_json"]:
        click.echo(json.dumps(run.record, indent=1, ensure_ascii=False))
    else:
        _say(page.lines(run))
    if code := getattr(page, "code", lambda run: 0)(run):
        raise click.exceptions.Exit(code)


def _answer(command: Question, settings: Any, params: dict[str, Any]) -> None:
    from luthier.cli.progress import Watch

    words, replace = shlex.join(["luthier", *sys.argv[1:]]), params.get("replace", False)
    with Account() as account, Watch(params["quiet"] or params["as_json"], words, replace) as watch:
        told = load(command.answer)(settings, watch)
    _account(account, params["quiet"] or params["as_json"])
    if params["as_json"]:
        click.echo(json.dumps(told.value, indent=1, ensure_ascii=False))
    else:
        _say(told.lines)
    if told.code:
        raise click.exceptions.Exit(told.code)


def _account(account: Account, quiet: bool) -> None:
    """What became of the rows that were read, once."""
    fates = LOST if quiet else FATES  # what is lost is said even to those who want no progress
    for line in account.lines(fates) if not int(os.environ.get("RANK", "0")) else ():
        click.echo(line, err=True)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line.replace(THIN, " "))
