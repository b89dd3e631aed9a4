"""`kws evaluate`: one model in full, or several pooled over phrases and compared."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws.cli.options import ENGINE, FILE, JSON, SEED, THRESHOLD, Finite

if TYPE_CHECKING:
    from kws.detector.model_file import KwsModel
    from kws.detector.thresholds import Thresholds
    from kws.evaluate.scoring import Options


@click.command()
@click.argument("models", type=FILE, nargs=-1, required=True, metavar="MODEL...")
@click.option("--manifest", type=FILE, required=True, help="manifest.csv of labelled recordings, or its directory.")
@click.option(
    "--split",
    "splits",
    multiple=True,
    default=("test",),
    show_default=True,
    help="train, dev or test; may be repeated.",
)
@click.option(
    "--noise-snr-db", type=Finite(-100, 100), help="Mix in the split's noise recordings at this signal-to-noise ratio."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the noise and of the bootstrap.")
@click.option("--plot", type=FILE, help="Write the DET curve to this file (.png, .svg or .pdf).")
@click.option(
    "--phrase", "phrases", multiple=True, help="Evaluate this phrase alone, of a model for several; may be repeated."
)
@click.option("--pool", is_flag=True, help="Pool all phrases of all MODELs: clean, and with --noise-snr-db and --room.")
@click.option("--room", is_flag=True, help="With --pool or --against: also in the split's rooms (label rir).")
@click.option(
    "--against",
    type=FILE,
    multiple=True,
    help="Compare with this model for the same phrases (a .kws, or the .json of an ESPHome model): how many fewer "
    "words MODEL... misses; may be repeated.",
)
@JSON
@ENGINE
@THRESHOLD
def evaluate(
    models: tuple[Path, ...],
    manifest: Path,
    splits: tuple[str, ...],
    noise_snr_db: float | None,
    seed: int,
    plot: Path | None,
    phrases: tuple[str, ...],
    pool: bool,
    room: bool,
    against: tuple[Path, ...],
    as_json: bool,
    engine: str,
    thresholds: "Thresholds | None",
) -> None:
    """Measure misses, false accepts and latency on recordings.

    The recordings are joined into streams. FRR and false accepts per hour come with 95 % intervals.

    \b
    kws evaluate A.kws --manifest DIR                          one model: every label, speaker, false accept
    kws evaluate A.kws B.kws --manifest DIR --pool             all phrases of both as one figure
    kws evaluate A.kws --manifest DIR --against OTHER.kws      fewer misses at equal false accepts
    """
    from kws.evaluate.scoring import Options
    from kws.evaluate.show.plot import check_format
    from kws.streams.conditions import Conditions

    if plot is not None:
        check_format(plot)
    path = manifest / "manifest.csv" if manifest.is_dir() else manifest
    options = Options(Conditions(splits, noise_snr_db, room, seed, engine), thresholds, phrases)
    if against:
        _compare(models, against, path, options, plot, as_json)
    elif pool:
        _pool(models, path, options, plot, as_json)
    elif room or len(models) > 1:
        what = "--room needs" if room else "several models need"
        raise click.UsageError(f"{what} --pool, or --against OTHER.kws to compare")
    else:
        _one(models[0], path, options, plot, as_json)


def _one(model: Path, manifest: Path, options: "Options", plot: Path | None, as_json: bool) -> None:
    from kws.detector.model_file import load
    from kws.evaluate.report import evaluate as run
    from kws.evaluate.show import table
    from kws.evaluate.show.plot import plot_det

    result = run(load(model), manifest, options)
    if plot is not None:
        plot_det([result], plot)
    click.echo(json.dumps(result.to_data()) if as_json else table.text(result))


def _pool(models: tuple[Path, ...], manifest: Path, options: "Options", plot: Path | None, as_json: bool) -> None:
    from kws.evaluate import pooled
    from kws.evaluate.show import pooled_table
    from kws.evaluate.show.plot import plot_pooled

    result = pooled.evaluate(_loaded(models, models), manifest, options)
    if plot is not None:
        plot_pooled([result], plot)
    click.echo(json.dumps(result.to_data()) if as_json else pooled_table.text(result))


def _compare(
    models: tuple[Path, ...],
    against: tuple[Path, ...],
    manifest: Path,
    options: "Options",
    plot: Path | None,
    as_json: bool,
) -> None:
    from kws.evaluate import compare, micro_wake_word, pooled
    from kws.evaluate.show import pooled_table
    from kws.evaluate.show.plot import plot_pooled

    both = (*models, *against)
    published = [path for path in against if path.suffix == ".json"]
    ours = pooled.subjects_of(_loaded(models, both), options)
    others = [micro_wake_word.subject(path, str(path)) for path in published]
    if len(published) < len(against):
        own = tuple(path for path in against if path not in published)
        others += pooled.subjects_of(_loaded(own, both), options)
    result = compare.evaluate_subjects(ours, others, manifest, options)
    if plot is not None:
        plot_pooled([result.models, result.against], plot)
    click.echo(json.dumps(result.to_data()) if as_json else pooled_table.comparison(result))


def _loaded(paths: tuple[Path, ...], among: tuple[Path, ...]) -> "list[tuple[str, KwsModel]]":
    """Return the models by their files' names, or by their paths where two ``among`` all have one name."""
    from kws.detector.model_file import load

    short = len({path.stem for path in among}) == len(set(among))
    return [(path.stem if short else str(path), load(path)) for path in paths]
