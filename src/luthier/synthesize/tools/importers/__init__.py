"""Readers that turn API descriptions into tools: cloud wheels, OpenAPI files, Python functions, MCP listings. Nothing is executed."""

from luthier.synthesize.tools.importers.botocore import import_botocore
from luthier.synthesize.tools.importers.google import import_google
from luthier.synthesize.tools.importers.mcp import holds_tools, import_mcp, listed_tools
from luthier.synthesize.tools.importers.openapi import import_openapi, openapi_tools
from luthier.synthesize.tools.importers.python import import_python

__all__ = [
    "holds_tools",
    "import_botocore",
    "import_google",
    "import_mcp",
    "import_openapi",
    "import_python",
    "listed_tools",
    "openapi_tools",
]
