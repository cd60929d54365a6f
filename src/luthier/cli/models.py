"""`luthier models list|pull|show`."""

from __future__ import annotations

import json

import click


@click.group()
def command() -> None:
    """List, pull and show models."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def list_models(as_json: bool) -> None:
    """The models Luthier can fetch by itself."""
    from luthier.models import bundled

    row = {"name": bundled.NAME, "license": bundled.LICENSE, "pulled": bundled.is_pulled(), "folder": str(bundled.bundled_folder())}
    if as_json:
        click.echo(json.dumps([row], indent=1))
    else:
        click.echo(f"{row['name']}  {row['license']}  {'in ' + str(row['folder']) if row['pulled'] else 'not pulled yet'}")


@command.command()
@click.argument("name", default="smollm2-135m")
def pull(name: str) -> None:
    """Fetch a model, check its hashes, convert it once."""
    from luthier.models import bundled

    _known(name)
    if not bundled.is_pulled():
        click.echo("Fetching and converting (about half a minute) …", err=True)
    click.echo(str(bundled.pull()))


@command.command()
@click.argument("name", default="smollm2-135m")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def show(name: str, as_json: bool) -> None:
    """What a pulled model is: size, context, where it came from."""
    from luthier.errors import MissingFileError
    from luthier.models import bundled

    _known(name)
    if not bundled.is_pulled():
        raise MissingFileError(f"{name} is not pulled yet; run: luthier models pull")
    folder = bundled.bundled_folder()
    facts = json.loads((folder / bundled.MARK).read_text()) | {"folder": str(folder)}
    config = json.loads((folder / "config.json").read_text())
    facts |= {key: config[key] for key in ("model_type", "num_hidden_layers", "hidden_size", "vocab_size", "max_position_embeddings")}
    facts["megabytes"] = round(sum(file.stat().st_size for file in folder.iterdir()) / 1e6, 1)
    click.echo(json.dumps(facts, indent=1) if as_json else "\n".join(f"{key:24} {value}" for key, value in facts.items()))


def _known(name: str) -> None:
    from luthier.errors import SettingsError
    from luthier.models import bundled

    if name != bundled.NAME:
        raise SettingsError(f"unknown model {name!r}; known: {bundled.NAME} (other models are used by their folder)")
