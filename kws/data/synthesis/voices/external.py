"""Synthesizers that run as programs of their own, where they are installed: flite, festival, piper, the user's command.

They give no word times: one word takes the whole loud part of the sound, several share it by their
numbers of phonemes (letters, where espeak-ng does not speak the language).
"""

import json
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws.audio import read_audio
from kws.data.manifest import Word
from kws.data.phrases import split_words
from kws.data.synthesis.voices import espeak
from kws.data.synthesis.voices.timing import frame_energies, loud_span, proportional
from kws.data.synthesis.voices.voice import SAMPLE_RATE_HZ, Style, Utterance, punctuated
from kws.errors import KwsError

TIMEOUT_S = 120.0
NORMAL_RATE_WPM = 175.0


@dataclass(frozen=True)
class ExternalVoice:
    """A speaker of a program; ``arguments`` hold {output} and {text} or {text_file} (it is on standard input, too).

    {stretch} stands for the duration relative to normal speed (1.2 is slower), {speaker} for ``voice``.
    """

    name: str
    voice: str
    language: str
    licence: str
    arguments: tuple[str, ...]

    @property
    def speaker(self) -> str:
        """Program and voice."""
        return f"{self.name}:{self.voice}"

    @property
    def source(self) -> str:
        """What the manifest names as source."""
        return self.name

    @property
    def speaks_phonemes(self) -> bool:
        """No: these programs read text."""
        return False

    def say(self, text: str, style: Style) -> Utterance:
        """Say ``text``; of the style, the rate counts where the program takes it, and the punctuation.

        Raises:
            KwsError: the program fails, takes too long, or writes no sound.
        """
        with tempfile.TemporaryDirectory(prefix="kws-voice-") as folder:
            output = Path(folder) / "speech.wav"
            self._run(punctuated(text, style.emphasis), style, Path(folder), output)
            if not output.is_file():
                raise KwsError(f"{self.speaker}: wrote no sound file for {text!r}; check its options")
            samples = read_audio(output)
        if not np.any(samples):
            raise KwsError(f"{self.speaker}: gave no sound for {text!r}; check its options")
        return Utterance(samples, _words(text, self.language, samples))

    def _run(self, text: str, style: Style, folder: Path, output: Path) -> None:
        text_file = folder / "text.txt"
        text_file.write_text(text + "\n", encoding="utf-8")
        values = {
            "{text}": text,
            "{text_file}": str(text_file),
            "{output}": str(output),
            "{speaker}": self.voice,
            "{stretch}": f"{NORMAL_RATE_WPM / style.rate_wpm:.3f}",
        }
        command = [_filled(argument, values) for argument in self.arguments]
        try:
            done = subprocess.run(
                command, input=text + "\n", capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise KwsError(
                f"{self.speaker}: {command[0]} took more than {TIMEOUT_S:g} s for {text!r}; check its options"
            ) from error
        except OSError as error:
            raise KwsError(f"{self.speaker}: {command[0]} cannot be started ({error.strerror}); install it") from error
        if done.returncode != 0:
            message = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise KwsError(f"{self.speaker}: {command[0]} failed with status {done.returncode} ({message})")


def flite_voices() -> list[ExternalVoice]:
    """Return flite's voices, where flite is installed (English)."""
    program = shutil.which("flite")
    if program is None:
        return []
    names = _output((program, "-lv")).partition(":")[2].split()
    licence = "synthetic speech, no terms of its own (engine and voices flite: BSD-like)"
    options = ("-t", "{text}", "--setf", "duration_stretch={stretch}")
    return [
        # awb_time knows the time of day only; kal is kal16 at 8 kHz.
        ExternalVoice("flite", name, "en", licence, (program, "-voice", name, *options, "-o", "{output}"))
        for name in names
        if not name.endswith("_time") and not (name == "kal" and "kal16" in names)
    ]


def festival_voices() -> list[ExternalVoice]:
    """Return festival's voices, where festival and its text2wave are installed (English names only)."""
    program, writer = shutil.which("festival"), shutil.which("text2wave")
    if program is None or writer is None:
        return []
    names = _output((program, "--batch", "(print (voice.list))")).replace("(", " ").replace(")", " ").split()
    licence = "synthetic speech (engine festival: BSD-like; see the voice's own licence)"
    return [
        ExternalVoice(
            "festival",
            name,
            "en",
            licence,
            (
                *(writer, "-o", "{output}", "-eval", f"(voice_{name})"),
                *("-eval", "(Parameter.set 'Duration_Stretch {stretch})", "{text_file}"),
            ),
        )
        for name in names
        if name != "nil"
    ]


def piper_voices(models: Sequence[str]) -> list[ExternalVoice]:
    """Return the speakers of piper voice files (MODEL.onnx with MODEL.onnx.json beside), where piper is installed.

    Raises:
        KwsError: a voice file or its JSON is missing or unreadable, or files are named and piper is not installed.
    """
    program = shutil.which("piper")
    if program is None:
        if models:
            raise KwsError(
                "piper_models names voices, but piper is not found; pip install piper-tts, or remove piper_models"
            )
        return []
    return [voice for model in models for voice in _piper_speakers(program, Path(model))]


def command_voices(
    template: str, speakers: Sequence[str], language: str, licence: str = "unknown"
) -> list[ExternalVoice]:
    """Return the voices of the user's own command: a line with {text}, {output} and, for several, {speaker}.

    Raises:
        KwsError: the program is not found or the line cannot be split into arguments.

    >>> command_voices("python3 say.py {text} {output}", ["me"], "en")[0].speaker
    'command:me'
    """
    try:
        arguments = tuple(shlex.split(template))
    except ValueError as error:
        raise KwsError(f"command {template!r} is not a valid command line ({error}); check its quotes") from error
    if not arguments or shutil.which(arguments[0]) is None:
        raise KwsError(f"command {template!r}: no such program; give its path")
    return [ExternalVoice("command", speaker, language, licence, arguments) for speaker in speakers]


def _piper_speakers(program: str, model: Path) -> list[ExternalVoice]:
    settings = model.with_name(model.name + ".json")
    if not model.is_file():
        raise KwsError(f"{model}: piper voice not found; piper_models must name .onnx files")
    try:
        data = json.loads(settings.read_bytes())
        count = int(data.get("num_speakers", 1))
        language = str(data["espeak"]["voice"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KwsError(f"{settings}: is not a piper voice's description; download it beside its model") from error
    licence = f"synthetic speech (engine piper; terms of the voice {model.stem}: see its model card)"
    base = (program, "--model", str(model), "--output_file", "{output}", "--length_scale", "{stretch}")
    if count <= 1:
        return [ExternalVoice("piper", model.stem, language, licence, base)]
    return [
        ExternalVoice("piper", f"{model.stem}#{index}", language, licence, (*base, "--speaker", str(index)))
        for index in range(count)
    ]


def _filled(argument: str, values: dict[str, str]) -> str:
    """Put the values in, in one pass: a text that itself holds "{output}" stays as it is."""
    return re.sub("|".join(map(re.escape, values)), lambda match: values[match.group()], argument)


def _output(command: Sequence[str]) -> str:
    """Return what a program prints, or "" when it fails: then it has no voices for us."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _words(text: str, language: str, samples: NDArray[np.int16]) -> tuple[Word, ...]:
    words = split_words(text)
    duration_s = len(samples) / SAMPLE_RATE_HZ
    energies = frame_energies(samples.astype(np.float32), SAMPLE_RATE_HZ)
    begin_s, end_s = loud_span(energies, 0.0, duration_s) or (0.0, duration_s)
    return proportional(words, [_phoneme_count(word, language) for word in words], begin_s, end_s)


@lru_cache(maxsize=4096)
def _phoneme_count(word: str, language: str) -> int:
    try:
        phonemes = espeak.phonemes([word], espeak.accents(language)[0].identifier)[0]
    except KwsError:
        return max(1, len(word))
    return max(1, sum(len(part) for part in phonemes))
