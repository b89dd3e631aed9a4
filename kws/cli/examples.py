"""Commands that draw training examples: ``kws shards`` to train on, ``kws augment`` to listen to."""

from pathlib import Path

import click

from kws.cli.options import DATA, FILE, PHRASES, PROCESSES, SEED
from kws.errors import KwsError

MANIFESTS = click.option(
    "--manifest",
    "manifests",
    type=FILE,
    multiple=True,
    help="manifest.csv of more clips, or its directory, besides the recipe's data; may be repeated.",
)


@click.command()
@click.argument("recipe", type=FILE)
@PHRASES
@DATA
@MANIFESTS
@click.option("--out", type=FILE, required=True, help="Directory for the shards and shards.json.")
@click.option("--examples", type=click.IntRange(1), required=True, help="How many examples to draw.")
@click.option(
    "--shards", "count", type=click.IntRange(1, 1_000_000), required=True, help="How many files to write them to."
)
@PROCESSES
def shards(
    recipe: Path,
    phrases: tuple[str, ...],
    data: tuple[Path, ...],
    manifests: tuple[Path, ...],
    out: Path,
    examples: int,
    count: int,
    processes: int | None,
) -> None:
    """Write RECIPE's training examples as tar shards.

    The shards hold features, in the layout that webdataset reads. Run it again to resume. To train on them, set
    train.shards = "DIR/*.tar" in the recipe.
    """
    from kws.data.examples.batches import DrawnBatches
    from kws.data.shards.write import write_shards
    from kws.recipe.overrides import Overrides
    from kws.train.clips import pool_of
    from kws.train.recipe_data import read_data
    from kws.train.run import TRAIN

    loaded = Overrides(phrases, data).load(recipe)
    if loaded.phones.is_used:
        raise KwsError(
            f"{recipe}: shards cannot hold phones or pieces; set pieces, near_pieces and weight of [phones] to 0"
        )
    paths = [path / "manifest.csv" if path.is_dir() else path for path in manifests]
    pool = pool_of(loaded, read_data(loaded, paths), "train")
    drawn = DrawnBatches(pool, loaded.frontend, loaded.examples, loaded.augment, (loaded.seed, TRAIN))
    click.echo(write_shards(drawn, loaded.wake_phrases, out, examples, count, processes))


@click.command()
@click.argument("directory", type=FILE, metavar="PREVIEW_DIR")
@click.option("--recipe", type=FILE, required=True, help="TOML recipe to draw examples from.")
@PHRASES
@DATA
@MANIFESTS
@click.option("--count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many examples.")
@click.option("--split", type=click.Choice(["train", "dev", "test"]), default="train", show_default=True)
@click.option("--seed", type=SEED, help="The same seed gives the same examples.  [default: the recipe's]")
def augment(
    directory: Path,
    recipe: Path,
    phrases: tuple[str, ...],
    data: tuple[Path, ...],
    manifests: tuple[Path, ...],
    count: int,
    split: str,
    seed: int | None,
) -> None:
    """Write a few training examples to listen to.

    PREVIEW_DIR gets the sound of each example as training draws it, a picture of it, and the values that were drawn.
    Nothing is synthesized or cut into pieces here: once `kws train` has made such clips in the directory of its model,
    give their manifests by --manifest (synthesis/, training/pieces_*/).
    """
    from kws.data.examples.preview import Drawing, preview
    from kws.recipe.overrides import Overrides
    from kws.train.clips import pool_of
    from kws.train.recipe_data import read_data

    loaded = Overrides(phrases, data).load(recipe)
    paths = [path / "manifest.csv" if path.is_dir() else path for path in manifests]
    pool = pool_of(loaded, read_data(loaded, paths), split)
    chosen = loaded.seed if seed is None else seed
    click.echo(preview(Drawing(pool, loaded.frontend, loaded.examples, loaded.augment, chosen), directory, count))
