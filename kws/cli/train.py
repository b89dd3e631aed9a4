"""Commands that make a detector: ``kws quickstart``, ``kws synth``, ``kws train``."""

import dataclasses
import os
from pathlib import Path
from typing import Literal

import click

from kws.cli.options import DATA, FILE, JSON, LANGUAGE, PHRASES, PROCESSES, SEED, print_json


@click.command()
@click.argument("phrase", required=False)
@click.option("--out", type=FILE, help="Directory for all results.  [default: out/PHRASE]")
@click.option(
    "--real",
    type=FILE,
    envvar="KWS_REAL_RECORDINGS",
    show_envvar=True,
    help="Directory with a manifest.csv of real recordings to evaluate on.",
)
@click.option(
    "--recipe", type=FILE, help="TOML recipe to use instead of the defaults; PHRASE, if given, replaces the recipe's."
)
@DATA
@LANGUAGE
@click.option("--seed", type=SEED, help="The same seed gives the same model.  [default: the recipe's, or 0]")
@JSON
def quickstart(
    phrase: str | None,
    out: Path | None,
    real: Path | None,
    recipe: Path | None,
    data: tuple[Path, ...],
    language: str | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Make a verified detector from the text of PHRASE.

    Synthesizes speech, trains, exports, verifies and evaluates. PHRASE is "computer" if it is left out.
    """
    from kws.workflow.quickstart import Options, run

    summary = run(Options(phrase=phrase, out=out, real=real, recipe=recipe, language=language, seed=seed, data=data))
    if as_json:
        print_json(summary.to_data())
    else:
        click.echo(summary.text())


@click.command()
@click.argument("phrase", required=False)
@click.option("--out", type=FILE, help="Directory for the clips and their manifest.csv.")
@click.option("--recipe", type=FILE, help="TOML recipe to take the phrase, the seed and [synthesis] from.")
@LANGUAGE
@click.option("--seed", type=SEED, help="The same seed gives the same clips.  [default: the recipe's, or 0]")
@click.option("--list-voices", is_flag=True, help="List the voices on this machine and stop.")
@PROCESSES
def synth(
    phrase: str | None,
    out: Path | None,
    recipe: Path | None,
    language: str | None,
    seed: int | None,
    list_voices: bool,
    processes: int | None,
) -> None:
    """Synthesize PHRASE and near misses in many voices.

    Writes the clips and their manifest to the directory --out.
    """
    from kws.data.synthesis.config import SynthesisConfig
    from kws.data.synthesis.corpus import synthesize
    from kws.data.synthesis.voices.find import describe_voices

    if list_voices:
        for line in describe_voices():
            click.echo(line)
        return
    config = SynthesisConfig()
    phrases: tuple[str, ...] = (phrase,) if phrase else ()
    if recipe is not None:
        from kws.recipe import load_recipe

        loaded = load_recipe(recipe)
        config, phrases = loaded.synthesis, phrases or loaded.wake_phrases
        seed = loaded.seed if seed is None else seed
    if language is not None:
        config = dataclasses.replace(config, language=language)
    if not phrases:
        raise click.UsageError("give a phrase to synthesize, for example: kws synth 'hey marvin' --out clips")
    if out is None:
        raise click.UsageError("give --out DIRECTORY for the clips")
    click.echo(synthesize(config, phrases, out, seed or 0, processes))


@click.command()
@click.argument("recipe", type=FILE)
@click.option("--out", type=FILE, help="Directory for checkpoints and the model.  [default: out/PHRASE]")
@PHRASES
@DATA
@click.option("--seed", type=SEED, help="The same seed gives the same model.  [default: the recipe's]")
@click.option(
    "--weight-bits", type=click.Choice(["8", "4"]), help="Bits of the quantized weights.  [default: the recipe's]"
)
def train(
    recipe: Path,
    out: Path | None,
    phrases: tuple[str, ...],
    data: tuple[Path, ...],
    seed: int | None,
    weight_bits: str | None,
) -> None:
    """Train the detector that a TOML RECIPE describes.

    Run it again to resume. With several processes or GPUs: torchrun --nproc-per-node N -m kws train RECIPE
    """
    from kws.recipe.overrides import Overrides
    from kws.workflow.train import train_recipe

    bits: Literal[8, 4] | None = None if weight_bits is None else 4 if weight_bits == "4" else 8
    trained = train_recipe(Overrides(phrases, data, seed, weight_bits=bits).load(recipe), out)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes, one prints
        click.echo(trained.path)
