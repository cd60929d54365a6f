"""`luthier serve search`: searches for any client of OpenAI's chat completions."""

from __future__ import annotations

from typing import Any

import click

from luthier.cli.running import own_command
from luthier.search.service_settings import ServeSettings


def _serve(settings: Any) -> None:
    from luthier.search.service import serve

    serve(settings, tell=click.echo)


search = own_command("search", ServeSettings, _serve)
