"""A live MCP server's tools, imported over stdio; what is no server, and where a live one is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from command import luthier
from luthier.errors import ToolSpecError
from luthier.synthesize.tools.importers import server_tools
from luthier.synthesize.tools.pool import ToolPool

pytest.importorskip("mcp", reason="the package mcp is not installed")

SERVER = '''
from mcp.server.mcpserver import MCPServer

server = MCPServer("desk")


@server.tool()
def lend_book(title: str, days: int = 14) -> str:
    """Lend a book to a reader."""
    return "ok"


@server.tool()
def find_reader(email: str) -> dict[str, str]:
    """Find a reader by e-mail."""
    return {}


server.run()
'''


@pytest.fixture
def server(tmp_path: Path) -> str:
    (tmp_path / "desk.py").write_text(SERVER)
    return f"{sys.executable} {tmp_path / 'desk.py'}"


def test_a_servers_tools_are_kept_in_a_pool(server: str, tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    assert "2 tools" in luthier("tools", "import", f"mcp:{server}", "--out", pool).stdout
    tools = list(ToolPool.read(pool))
    assert [tool.name for tool in tools] == ["lend_book", "find_reader"]
    assert tools[0].parameters["required"] == ["title"]
    assert tools[0].source == "MCP: desk"


def test_what_is_no_server_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ToolSpecError, match="is it an MCP server"):
        list(server_tools("no-such-command-anywhere"))
    with pytest.raises(ToolSpecError, match="is it an MCP server"):
        list(server_tools(f"{sys.executable} -c pass"))


def test_runs_take_a_kept_pool_rather_than_a_live_server(server: str, tmp_path: Path) -> None:
    said = luthier("synthesize", "tools", "--api", f"mcp:{server}", "--out", tmp_path / "run", ok=False).stderr
    assert "luthier tools import" in said
