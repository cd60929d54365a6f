"""`luthier serve`: a model, or searches with it, for any client of OpenAI's chat completions."""

from __future__ import annotations

import click

from luthier.cli.running import own_command
from luthier.models.chat_service import ChatServeSettings
from luthier.search.service_settings import ServeSettings


def _serve_chat(settings: ChatServeSettings) -> None:
    from luthier.models.chat_service import serve_chat

    serve_chat(settings, tell=click.echo)


def _serve_search(settings: ServeSettings) -> None:
    from luthier.search.service import serve_search

    serve_search(settings, tell=click.echo)


chat = own_command("chat", ChatServeSettings, _serve_chat)
search = own_command("search", ServeSettings, _serve_search)
