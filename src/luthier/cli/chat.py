"""`luthier decode chat`: a talk in a terminal."""

from __future__ import annotations

import click

from luthier.cli.running import own_command
from luthier.decode.settings import ChatSettings


def _talk(settings: ChatSettings) -> None:
    from luthier.decode.replies import Speaker

    speaker = Speaker(settings)
    while line := click.prompt("you", default="", show_default=False, err=True).strip():
        click.echo(speaker.told(speaker.say(line)))


command = own_command("chat", ChatSettings, _talk)
