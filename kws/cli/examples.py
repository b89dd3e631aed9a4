"""Commands that draw training examples: to train on elsewhere, to listen to."""

from pathlib import Path

import click

from kws.cli.options import DATA, FILE, PHRASES, PROCESSES, SEED
from kws.errors import KwsError

MANIFESTS = click.option(
    "--manifest",
    "manifests",
    type=FILE,
    multiple=True,
    help="manifest.csv of clips, or its directory, beside the recipe's own data; may be repeated.",
)


@click.command()
@click.argument("recipe", type=FILE)
@PHRASES
@DATA
@MANIFESTS
@click.option("--out", type=FILE, required=True, help="Directory for the shards and shards.json.")
@click.option("--examples", type=click.IntRange(1), required=True, help="How many examples to draw.")
@click.option(
    "--shards", "count", type=click.IntRange(1, 1_000_000), required=True, help="Among how many files to share them."
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
    """Draw RECIPE's training examples once and write their features as tar shards, as webdataset reads them.

    Run it again to resume. To train from them: train.shards = "DIR/*.tar" in the recipe.
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
            f"{recipe}: shards hold neither phones nor pieces; set phones.pieces, near_pieces and weight to 0 for them"
        )
    paths = [path / "manifest.csv" if path.is_dir() else path for path in manifests]
    pool = pool_of(loaded, read_data(loaded, paths), "train")
    drawn = DrawnBatches(pool, loaded.frontend, loaded.examples, loaded.augment, (loaded.seed, TRAIN))
    click.echo(write_shards(drawn, loaded.wake_phrases, out, examples, count, processes))


@click.command()
@click.argument("directory", type=FILE, metavar="PREVIEW_DIR")
@click.option("--recipe", type=FILE, required=True, help="TOML recipe whose examples to draw.")
@PHRASES
@DATA
@MANIFESTS
@click.option("--count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many examples.")
@click.option("--split", type=click.Choice(["train", "dev", "test"]), default="train", show_default=True)
@click.option("--seed", type=SEED, help="The same seed, the same examples.  [default: the recipe's]")
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
    """Write examples as training draws them to PREVIEW_DIR: to listen to, a picture of each, and what was drawn.

    What training synthesizes and puts together from recorded speech is not made here: name it by --manifest, once
    `kws train` has it in the directory of its model (synthesis/, training/pieces_*/).
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
