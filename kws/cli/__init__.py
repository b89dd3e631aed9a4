"""The command line: parse, call the library, print. Every failure of the user's input ends with status 2."""

import io
import os
import sys
from typing import Never

import click

from kws import __version__
from kws.cli.corpus import corpus
from kws.cli.evaluate import evaluate
from kws.cli.examples import augment, shards
from kws.cli.export import export
from kws.cli.info import info, models
from kws.cli.listen import detect, listen
from kws.cli.options import complain
from kws.cli.profile import profile
from kws.cli.train import quickstart, synth, train
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
    """Run ``kws``; a fault in the user's input becomes one sentence on standard error and status 2."""
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
        _fail(
            f"{name}: cannot be read or written ({error.strerror}); check the path, its permissions and the free space"
        )


def _print_anything() -> None:
    """Print the escape code of a character that the output cannot encode (Cyrillic in Latin-1, names not in UTF-8)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a service may have none
            stream.reconfigure(errors="backslashreplace")


def _fail(sentence: str) -> Never:
    complain(sentence)
    sys.exit(2)


class _InOrder(click.Group):
    """Lists the commands in the order in which they are used, not by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="kws")
def command() -> None:
    """Turn a phrase into a wake-word detector that gives the same numbers everywhere.

    Start with:  kws quickstart "hey marvin"
    """


for one in (
    quickstart,
    synth,
    train,
    corpus,
    models,
    augment,
    shards,
    evaluate,
    detect,
    listen,
    export,
    profile,
    verify,
    info,
):
    command.add_command(one)
