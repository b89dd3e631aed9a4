"""kws: say a phrase, get a wake-word detector that is the same numbers everywhere.

Three lines from a model to detections (docs/python.md has the rest)::

    detector = kws.Detector("computer.kws")
    for detection in detector.push(samples):  # int16, 16 kHz, one channel, as many as there are
        print(detection.phrase, detection.time_s)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kws.detector.config import Detection
    from kws.detector.front_door import Detector, detect_file
    from kws.errors import KwsError
    from kws.live.detections import listen

__all__ = ["Detection", "Detector", "KwsError", "__version__", "detect_file", "listen"]

__version__ = "0.1.0"

# Imported when they are first used: `import kws` alone brings no numpy, and none of it torch.
_HOMES = {
    "Detection": "kws.detector.config",
    "Detector": "kws.detector.front_door",
    "KwsError": "kws.errors",
    "detect_file": "kws.detector.front_door",
    "listen": "kws.live.detections",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kws' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return list(__all__)
