"""`luthier models list|pull|show`."""

from __future__ import annotations

import json

import click

DEFAULT = "smollm2-135m"


@click.group()
def command() -> None:
    """List, pull and show models."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def list_models(as_json: bool) -> None:
    """The models Luthier can fetch by itself."""
    from luthier.models.known import KNOWN, is_pulled

    rows = [
        {
            "name": model.name,
            "origin": model.origin,
            "weights": model.weights,
            "license": model.license,
            "pulled": is_pulled(model),
            "folder": str(model.folder),
        }
        for model in KNOWN.values()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        where = f"in {row['folder']}" if row["pulled"] else "not pulled yet"
        click.echo(f"{row['name']:20} {row['origin']:36} {row['license']}, {row['weights']}; {where}")


@command.command()
@click.argument("name", default=DEFAULT)
@click.option("--quiet", is_flag=True, help="Say nothing but the folder.")
def pull(name: str, quiet: bool) -> None:
    """Fetch a model, check its hashes, convert it once."""
    from luthier.cli.progress import Watch
    from luthier.models import known

    model = known.known(name)
    if not quiet and not known.is_pulled(model):
        click.echo(f"Fetching {model.origin} ({model.weights}, {model.license}) and converting it (about a minute) …", err=True)
    with Watch(quiet) as watch:
        folder = known.pull(name, watch)
    click.echo(str(folder))


@command.command()
@click.argument("name", default=DEFAULT)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def show(name: str, as_json: bool) -> None:
    """What a pulled model is: size, context, where it came from."""
    from luthier.errors import MissingFileError
    from luthier.models import known

    model = known.known(name)
    if not known.is_pulled(model):
        raise MissingFileError(f"{name} is not pulled yet; run: luthier models pull {model.name}")
    facts = json.loads((model.folder / known.MARK).read_text()) | {"folder": str(model.folder)}
    if model.file.is_file():
        facts["gguf"] = str(model.file)
    config = json.loads((model.folder / "config.json").read_text())
    facts |= {key: config[key] for key in ("model_type", "num_hidden_layers", "hidden_size", "vocab_size", "max_position_embeddings")}
    facts["megabytes"] = round(sum(file.stat().st_size for file in model.folder.iterdir()) / 1e6, 1)
    click.echo(json.dumps(facts, indent=1) if as_json else "\n".join(f"{key:24} {value}" for key, value in facts.items()))
