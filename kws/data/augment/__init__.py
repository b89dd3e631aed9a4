"""Augmentation of waveforms and features: draw parameters, then apply them. What is drawn is plain data.

The order is that of the world: a voice is changed clip by clip (``voice``); the scene is coloured by mouth and room,
noise joins it, a microphone, a recorder and a codec take it down (``draw``, ``apply``); features are masked
(``mask_features``). The same drawn values and the same sound give the same samples.
"""

from kws.data.augment.apply import apply
from kws.data.augment.backgrounds import Backgrounds
from kws.data.augment.config import AugmentConfig
from kws.data.augment.draw import Augmentation, draw
from kws.data.augment.features import mask_features
from kws.data.augment.level import active_power
from kws.data.augment.voice import VoiceChange, change_voice, draw_voice

__all__ = [
    "AugmentConfig",
    "Augmentation",
    "Backgrounds",
    "VoiceChange",
    "active_power",
    "apply",
    "change_voice",
    "draw",
    "draw_voice",
    "mask_features",
]
