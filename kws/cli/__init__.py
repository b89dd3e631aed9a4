"""The command line: parse, call the library, print. Every failure of the user's input ends with status 2."""

import dataclasses
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, Literal, Never

import click

from kws import __version__
from kws.cli.corpus import corpus
from kws.cli.evaluate import evaluate
from kws.cli.examples import augment, shards
from kws.cli.options import DATA, ENGINE, FILE, JSON, JSON_LINES, LANGUAGE, PHRASES, PROCESSES, SEED, THRESHOLD, Finite
from kws.cli.profile import profile
from kws.cli.verify import verify
from kws.errors import KwsError

EXTRAS = {
    "torch": "train",
    "matplotlib": "train",
    "espeakng_loader": "synth",
    "ai_edge_litert": "export",
    "tflite_micro": "export",
    "flatbuffers": "export",
    "onnx": "export",
    "onnxruntime": "export",
    "elftools": "simulate",
    "unicorn": "simulate",
    "ziglang": "simulate",
    "pymicro_features": "esphome",
    "pymicro_wakeword": "esphome",
}


def main() -> None:
    """Run ``kws``; turn what users can cause into one sentence on standard error and status 2."""
    _print_anything()
    try:
        command(standalone_mode=False)
    except KwsError as error:
        _fail(str(error))
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in EXTRAS:
            raise
        _fail(f"this command needs {package}, which is not installed; run: pip install 'kws[{EXTRAS[package]}]'")
    except OSError as error:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "the output"
        _fail(f"{name}: cannot be used ({error.strerror}); check the path, its permissions and free space")


def _print_anything() -> None:
    """Let a terminal or file that cannot hold a sign (a name that is no UTF-8, Cyrillic in Latin-1) get its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a service may have none
            stream.reconfigure(errors="backslashreplace")


def _complain(sentence: str) -> None:
    print("kws: " + sentence, file=sys.stderr)


def _fail(sentence: str) -> Never:
    _complain(sentence)
    sys.exit(2)


def _print_json(data: Any) -> None:
    print(json.dumps(data), flush=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="kws")
def command() -> None:
    """Say a phrase, get a wake-word detector that is the same numbers everywhere.

    Start with:  kws quickstart "hey marvin"
    """


command.add_command(augment)
command.add_command(corpus)
command.add_command(evaluate)
command.add_command(profile)
command.add_command(shards)
command.add_command(verify)


@command.command()
@click.argument("phrase", required=False)
@click.option("--out", type=FILE, help="Directory for everything that is made.  [default: out/PHRASE]")
@click.option("--real", type=FILE, help="Directory with a manifest.csv of real recordings to evaluate on.")
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
        _print_json(summary.to_data())
    else:
        click.echo(summary.text())


@command.command()
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


@command.command()
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
    from kws.workflow.quickstart import train_recipe

    bits: Literal[8, 4] | None = None if weight_bits is None else 4 if weight_bits == "4" else 8
    path = train_recipe(Overrides(phrases, data, seed, weight_bits=bits).load(recipe), out)
    if os.environ.get("RANK", "0") == "0":  # torchrun starts several of this, and one tells
        click.echo(path)


@command.command()
@click.argument("model", type=FILE)
@click.argument("files", type=FILE, nargs=-1, required=True)
@JSON_LINES
@ENGINE
@THRESHOLD
def detect(model: Path, files: tuple[Path, ...], as_json: bool, engine: str, threshold: float | None) -> None:
    """Find the wake word in FILES: WAV, FLAC, OGG, Opus or MP3, any rate, any number of channels."""
    from kws.detector.files import detect_blocks, json_line, nothing_line, text_line
    from kws.detector.model_file import load

    loaded, good = load(model), True
    for file in files:
        found, highest = 0, (0.0,) * len(loaded.detector.phrases)
        try:
            for partial in detect_blocks(loaded, file, engine, threshold):
                found += len(partial.detections)
                highest = tuple(map(max, highest, partial.highest_scores))
                for detection in partial.detections:
                    print((json_line if as_json else text_line)(file, detection, loaded, threshold), flush=True)
        except KwsError as error:  # the other files are still of use
            _complain(str(error))
            good = False
        else:
            if not found and not as_json:
                print(nothing_line(file, highest, loaded, threshold), file=sys.stderr)
    if not good:
        sys.exit(2)


@command.command()
@click.argument("model", type=FILE, required=False)
@click.option("--device", help="Name (or part of it) or number of the input device.  [default: the system's]")
@click.option("--list-devices", is_flag=True, help="List the microphones and stop.")
@click.option("--seconds", type=Finite(0, 1e9, min_open=True), help="Stop by itself after this time.")
@JSON_LINES
@ENGINE
@THRESHOLD
def listen(
    model: Path | None,
    device: str | None,
    list_devices: bool,
    seconds: float | None,
    as_json: bool,
    engine: str,
    threshold: float | None,
) -> None:
    """Listen to the microphone; show the level and every detection."""
    from kws.detector.model_file import load
    from kws.live.listen import listen as run
    from kws.live.microphone import list_devices as devices

    if list_devices:
        found = devices()
        click.echo("\n".join(found) if found else "this machine has no input device", err=not found)
        return
    if model is None:
        raise click.UsageError("give the model to listen with, for example: kws listen out/computer/computer.kws")
    run(load(model), device=device, as_json=as_json, engine=engine, threshold=threshold, seconds=seconds)


@command.command()
@click.argument("model", type=FILE)
@click.option(
    "--to",
    "target",
    type=click.Choice(["tflite", "onnx", "c", "esphome", "all"]),
    default="all",
    show_default=True,
    help="What to write; c is a directory of C99 that tests itself, esphome a model for micro_wake_word.",
)
@click.option("--out", type=FILE, help="Directory for what is written.  [default: beside the model]")
@click.option(
    "--verify-seconds",
    type=Finite(1, 3600),
    default=60.0,
    show_default=True,
    help="Audio that every engine must agree on, frame by frame.",
)
@click.option("--author", default="kws", show_default=True, help="For ESPHome's manifest.")
@click.option("--website", default="", help="For ESPHome's manifest.")
@JSON
def export(
    model: Path, target: str, out: Path | None, verify_seconds: float, author: str, website: str, as_json: bool
) -> None:
    """Write what a device runs, and prove it equal to the graph on every engine there is."""
    from firmware_export.esphome.pair import About
    from firmware_export.write import export as run
    from kws.detector.model_file import load

    try:
        about = About(author, website)
    except ValueError as error:
        raise click.UsageError(f"--{error}") from error
    report = run(load(model), model.stem, target, out or model.parent, verify_seconds, about)
    if as_json:
        _print_json(report.to_data())
    else:
        click.echo(report.text())


@command.command()
@click.argument("model", type=FILE)
@JSON
def info(model: Path, as_json: bool) -> None:
    """Say what MODEL.kws is: phrase, size, work, operating points, what it learned from."""
    from kws.cli.info import describe, text
    from kws.detector.model_file import load

    data = describe(load(model))
    if as_json:
        _print_json(data)
    else:
        click.echo(text(data))


@command.command()
@JSON
def models(as_json: bool) -> None:
    """List the model families with their parameters, work, receptive field, latency and state."""
    from kws.models.table import describe, text

    rows = describe()
    if as_json:
        _print_json(rows)
    else:
        click.echo(text(rows))
