"""Commands that make a detector: ``kws quickstart``, ``kws synth``, ``kws train``."""

import dataclasses
import os
from pathlib import Path
from typing import Literal

import click

from kws.cli.options import DATA, FILE, JSON, LANGUAGE, PHRASES, PROCESSES, SEED, print_json


@click.command()
@click.argument("phrase", required=False)
@click.option("--out", type=FILE, help="Directory for everything that is made.  [default: out/PHRASE]")
@click.option(
    "--real",
    type=FILE,
    envvar="KWS_REAL_RECORDINGS",
    show_envvar=True,
    help="Directory with a manifest.csv of real recordings to evaluate on.",
)
@click.option(
    "--recipe", type=FILE, help="TOML recipe to use instead of the defaults; PHRASE, if given, replaces its own."
)
@DATA
@LANGUAGE
@click.option("--seed", type=SEED, help="The same seed, the same model.  [default: the recipe's, or 0]")
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
    """From the text of PHRASE (default: computer) to a verified detector: synthesize, train, export, evaluate."""
    from kws.workflow.quickstart import Options, run

    summary = run(Options(phrase=phrase, out=out, real=real, recipe=recipe, language=language, seed=seed, data=data))
    if as_json:
        print_json(summary.to_data())
    else:
        click.echo(summary.text())


@click.command()
@click.argument("phrase", required=False)
@click.option("--out", type=FILE, help="Directory for the clips and their manifest.csv.")
@click.option("--recipe", type=FILE, help="TOML recipe whose phrase, seed and [synthesis] settings to use.")
@LANGUAGE
@click.option("--seed", type=SEED, help="The same seed, the same clips.  [default: the recipe's, or 0]")
@click.option("--list-voices", is_flag=True, help="List the voices found on this machine and stop.")
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
    """Speak PHRASE and its near misses in many voices; write clips and a manifest."""
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
        raise click.UsageError("give a phrase to speak, for example: kws synth 'hey marvin' --out clips")
    if out is None:
        raise click.UsageError("give --out DIRECTORY for the clips")
    click.echo(synthesize(config, phrases, out, seed or 0, processes))


@click.command()
@click.argument("recipe", type=FILE)
@click.option("--out", type=FILE, help="Directory for checkpoints and the model.  [default: out/PHRASE]")
@PHRASES
@DATA
@click.option("--seed", type=SEED, help="The same seed, the same model.  [default: the recipe's]")
@click.option("--weight-bits", type=click.Choice(["8", "4"]), help="Quantize to so many bits.  [default: the recipe's]")
def train(
    recipe: Path,
    out: Path | None,
    phrases: tuple[str, ...],
    data: tuple[Path, ...],
    seed: int | None,
    weight_bits: str | None,
) -> None:
    """Train the detector that RECIPE (a TOML file) describes; resumes where it stopped.

    Several processes or GPUs: torchrun --nproc-per-node N -m kws train RECIPE
    """
    from kws.recipe.overrides import Overrides
    from kws.workflow.train import train_recipe

    bits: Literal[8, 4] | None = None if weight_bits is None else 4 if weight_bits == "4" else 8
    trained = train_recipe(Overrides(phrases, data, seed, weight_bits=bits).load(recipe), out)
    if os.environ.get("RANK", "0") == "0":  # torchrun starts several of this, and one tells
        click.echo(trained.path)
