"""The voices installed on this machine, and which of them a config selects."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from kws.data.synthesis.config import SynthesisConfig
from kws.data.synthesis.voices import espeak, external
from kws.data.synthesis.voices.voice import Voice
from kws.errors import KwsError

Item = TypeVar("Item")


def find_voices(config: SynthesisConfig) -> list[Voice]:
    """Return every voice that the config selects, espeak-ng's first, in a fixed order.

    Raises:
        KwsError: a backend that is named is not installed, or an accent or variant does not exist.
    """
    backends = config.backends
    voices: list[Voice] = []
    if _selected("espeak", backends):
        voices += _espeak_voices(config)
    english = config.language.lower().startswith("en")
    others: dict[str, Sequence[Voice]] = {
        "flite": external.flite_voices() if english and _selected("flite", backends) else (),
        "festival": external.festival_voices() if english and _selected("festival", backends) else (),
        "piper": _piper_voices(config) if _selected("piper", backends) else (),
        "command": _command_voices(config) if _selected("command", backends) else (),
    }
    for name, available in others.items():
        if name in backends and not available:
            raise KwsError(
                f"backends names {name!r}, but no voice of it for {config.language!r} is installed; {_INSTALL[name]}, "
                "or remove it from backends"
            )
        voices += available
    return voices


_INSTALL = {
    "flite": "apt-get install flite",
    "festival": "apt-get install festival festvox-us-slt-hts",
    "piper": "pip install piper-tts and name voice files in piper_models",
    "command": "set command",
}


def describe_voices(config: SynthesisConfig | None = None) -> list[str]:
    """Return a line for each synthesizer and each language, accent or voice it has on this machine."""
    config = config or SynthesisConfig()
    lines = []
    try:
        variants = espeak.variants()
        lines.append(f"espeak-ng {espeak.version()}: {len(variants)} variants for each accent: {', '.join(variants)}")
        lines += [f"  {accent.language:<16} {accent.name}" for accent in espeak.every_accent()]
    except KwsError as error:
        lines.append(f"espeak-ng: {error}")
    installed: list[external.ExternalVoice] = [*external.flite_voices(), *external.festival_voices()]
    installed += external.piper_voices(config.piper_models) if config.piper_models else []
    installed += _command_voices(config)
    for name in ("flite", "festival", "piper", "command"):
        voices = [voice for voice in installed if voice.name == name]
        lines.append(f"{name}: {len(voices)} voices" if voices else f"{name}: none found ({_INSTALL[name]})")
        lines += [f"  {voice.voice:<16} {voice.language}" for voice in voices]
    return lines


def _selected(name: str, backends: Sequence[str]) -> bool:
    return "auto" in backends or name in backends


def _espeak_voices(config: SynthesisConfig) -> list[Voice]:
    accents = espeak.accents(config.language)
    if config.accents != ("auto",):
        known = {accent.language: accent for accent in accents}
        accents = tuple(_chosen(name, known, "accents") for name in config.accents)
    variants: tuple[str, ...] = ("", *espeak.variants())
    if config.variants != ("auto",):
        names = {name or "default": name for name in variants}
        variants = tuple(_chosen(name, names, "variants") for name in config.variants)
    return [espeak.EspeakVoice(accent.identifier, accent.language, name) for accent in accents for name in variants]


def _chosen(name: str, known: Mapping[str, Item], key: str) -> Item:
    if name not in known:
        raise KwsError(f"{key} names {name!r}, which espeak-ng does not have; it has {', '.join(sorted(known))}")
    return known[name]


def _piper_voices(config: SynthesisConfig) -> list[external.ExternalVoice]:
    base = config.language.lower().split("-")[0]
    return [voice for voice in external.piper_voices(config.piper_models) if voice.language.split("-")[0] == base]


def _command_voices(config: SynthesisConfig) -> list[external.ExternalVoice]:
    if not config.command:
        return []
    return external.command_voices(config.command, config.command_speakers, config.language, config.command_licence)
