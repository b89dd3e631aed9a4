"""Detections from the microphone, one by one: ``kws.listen`` (docs/python.md)."""

from collections.abc import Iterator

from kws.detector.config import Detection
from kws.detector.front_door import Detector, Model, Thresholds
from kws.live.microphone import Microphone


def listen(
    model: Model,
    *,
    device: str | int | None = None,
    thresholds: Thresholds = None,
    engine: str = "auto",
    channel: int | None = None,
) -> Iterator[Detection]:
    """Return an iterator over the detections in the microphone's sound; it waits for the next one and does not end.

    The device is open from the first ``next`` until the iterator is closed or deleted. A detection comes at once,
    before its ``peak`` is known::

        for detection in kws.listen("computer.kws"):
            print(detection.phrase)

    Args:
        model: path of a ``.kws`` file.
        device: name (or part of it) or number of the input device; None: the system's default.
        thresholds: as ``Detector`` takes them.
        engine: as ``Detector`` takes it.
        channel: the one of the device's to listen to, counted from 1; 0 or None: the mean of all.

    Raises:
        KwsError: as ``Detector``; while iterating: there is no such device, or it is busy or disappears.
    """
    return _detections(Detector(model, thresholds=thresholds, engine=engine), device, channel)


def _detections(detector: Detector, device: str | int | None, channel: int | None) -> Iterator[Detection]:
    with Microphone(device, channel) as microphone:
        for block in microphone.blocks():
            yield from detector.push(block.samples)
