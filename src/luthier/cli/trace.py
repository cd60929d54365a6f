"""`luthier trace serve`: a tracer for a tutoring system, over HTTP."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("tracer", type=click.Path(path_type=str))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/trace-service"),
    show_default=True,
    help="Where learners and added items are kept.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Others than this machine can ask only if you say so here, and with a key."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes a free one.")
@click.option("--device", default="auto", show_default=True, help="Of the text encoder, which reads new items: cpu, cuda, cuda:N or mps.")
def serve(tracer: str, out: Path, host: str, port: int, device: str) -> None:
    """Serve TRACER over HTTP to a tutoring system: answers in; predictions, mastery and next items out, as JSON.

    Learners' names are kept as salted hashes, and DELETE /learners/NAME forgets one. A key in LUTHIER_API_KEY is asked of every client
    (`Authorization: Bearer KEY`); a HOST that other machines reach needs one. GET /openapi.json describes it all.
    """
    from luthier.trace.learners import open_tracer
    from luthier.trace.service import serve as serve_tracer
    from luthier.trace.settings import WithTracer

    serve_tracer(open_tracer(WithTracer(tracer), device), out, host, port, tell=click.echo)
