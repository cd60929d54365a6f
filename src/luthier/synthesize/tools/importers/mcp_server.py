"""The tools of a live MCP server, over stdio or Streamable HTTP, by the package `mcp` (`luthier[mcp]`).

The server is what the user names, a command or an address; it is asked for its list of tools and nothing else. What it says is read as a saved list is.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luthier.errors import SettingsError, ToolSpecError
from luthier.records import Tool
from luthier.synthesize.tools.importers.mcp import listed_tools

SECONDS = 60.0  # until a server has listed its tools
MOST_PAGES = 200


def server_tools(server: str) -> Iterator[Tool]:
    """The tools of a server: `https://host/mcp`, or a command such as `python server.py`, in its order.

    Raises SettingsError where the package is missing, and ToolSpecError where the server does not answer or has no tool that can be read.
    """
    try:
        import mcp  # noqa: F401  (asked for before anything is started)
    except ImportError:
        raise SettingsError("a live MCP server needs the package mcp: pip install 'luthier[mcp]'") from None
    try:
        document = asyncio.run(asyncio.wait_for(_listing(server), SECONDS))
    except TimeoutError:
        raise ToolSpecError(f"mcp:{server}: no list of tools within {SECONDS:g} s; is it an MCP server?") from None
    except Exception as problem:  # whatever the package or the server's own code raises
        raise ToolSpecError(f"mcp:{server}: {_told(problem)}; is it an MCP server?") from None
    return listed_tools(document, Path(server))


async def _listing(server: str) -> dict[str, Any]:
    """All pages of `tools/list`, as an answer of the protocol has them."""
    from mcp import Client, StdioServerParameters

    at: Any = server
    if not server.startswith(("http://", "https://")):
        command, *words = shlex.split(server)
        at = StdioServerParameters(command=command, args=words)
    tools: list[Any] = []
    async with Client(at) as client:
        cursor = None
        for _ in range(MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools += [tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in page.tools]
            cursor = page.next_cursor
            if not cursor:
                break
        info = client.server_info
        return {"serverInfo": {"name": info.name if info else server}, "tools": tools, **({"nextCursor": cursor} if cursor else {})}


def _told(problem: BaseException) -> str:
    """The first cause, of a group of them too, in one line."""
    while isinstance(problem, BaseExceptionGroup) and problem.exceptions:
        problem = problem.exceptions[0]
    return " ".join(str(problem).split()) or type(problem).__name__
