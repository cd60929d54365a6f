"""One self-contained HTML page from a run folder: what was done, what it changed, and what still fails."""

from luthier.report.tools_page import write_report

__all__ = ["write_report"]
