"""Readers that turn API descriptions into tools: cloud wheels, OpenAPI files, Python functions, MCP listings, data sets. Nothing is executed."""

from luthier.synthesize.tools.importers.botocore import ServiceModel, import_botocore, is_service_model
from luthier.synthesize.tools.importers.google import DiscoveryDocument, import_google, is_discovery
from luthier.synthesize.tools.importers.mcp import holds_tools, import_mcp, listed_tools
from luthier.synthesize.tools.importers.mcp_server import server_tools
from luthier.synthesize.tools.importers.openapi import import_openapi, openapi_tools
from luthier.synthesize.tools.importers.python import import_python
from luthier.synthesize.tools.importers.rows import holds_rows, row_tools
from luthier.synthesize.tools.importers.wording import snake_case

__all__ = [
    "DiscoveryDocument",
    "ServiceModel",
    "holds_rows",
    "holds_tools",
    "import_botocore",
    "import_google",
    "import_mcp",
    "import_openapi",
    "import_python",
    "is_discovery",
    "is_service_model",
    "listed_tools",
    "openapi_tools",
    "row_tools",
    "server_tools",
    "snake_case",
]
