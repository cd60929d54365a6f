"""The one way pages are rendered: templates of this package, everything escaped, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.records.files import atomic_write

if TYPE_CHECKING:
    from jinja2 import Environment


def page_environment() -> Environment:
    """Jinja's environment for the templates here; a name that a template does not know is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("luthier.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def write_page(template: str, path: Path, **values: Any) -> None:
    """Render a template with these values into one HTML file. Raises DiskError."""
    page = page_environment().get_template(template).render(**values)
    with atomic_write(path) as stream:
        stream.write(page)
