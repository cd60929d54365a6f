"""`luthier probe`: what training did to a model's minimum, and what a chain of thought does to its answer."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("adapters", nargs=-1, required=True, metavar="ADAPTER... DATA")
@click.option("--model", default="bundled", show_default=True, help="'bundled', or a transformers folder.")
@click.option("--before/--no-before", default=True, show_default=True, help="Also measure the model before training.")
@click.option("--sigma", "sigmas", type=float, multiple=True, default=(0.02, 0.05, 0.1), show_default=True, help="Strengths of the noise.")
@click.option(
    "--draws", type=click.IntRange(min=1), default=4, show_default=True, help="Noises of each strength; all models get the same ones."
)
@click.option(
    "--rows", type=click.IntRange(min=0), default=64, show_default=True, help="Rows of DATA that are read, evenly spaced; 0 for all."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--page", type=click.Path(path_type=Path), help="Draw it here, as HTML.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--quiet", is_flag=True, help="No progress.")
def sharpness(
    adapters: tuple[str, ...],
    model: str,
    before: bool,
    sigmas: tuple[float, ...],
    draws: int,
    rows: int,
    seed: int,
    page: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """How much the loss on DATA rises when noise is put on the merged weights of each ADAPTER: small where the minimum is flat."""
    from luthier.cli.progress import Watch
    from luthier.recipes.fine_tune import probe_sharpness, write_sharpness_page

    *folders, data = adapters
    if not folders:
        raise click.UsageError("give at least one adapter folder and, last, the data")
    with Watch(quiet) as watch:
        measured = probe_sharpness(
            [*([None] if before else []), *folders],
            [data],
            model=model,
            sigmas=sorted(sigmas),
            draws=draws,
            rows=rows,
            seed=seed,
            progress=watch,
        )
    if page is not None:
        write_sharpness_page(measured, page, data)
    if as_json:
        click.echo(json.dumps(measured, indent=1))
        return
    for one in measured:
        errors = ["" if rise["error"] is None else f" ± {rise['error']:.4f}" for rise in one["rises"]]
        rises = "   ".join(f"sigma {rise['sigma']:g}: {rise['rise']:+.4f}{error}" for rise, error in zip(one["rises"], errors, strict=True))
        click.echo(f"{one['adapter'] or 'before training'}: loss {one['loss']:.4f}   {rises}")
