"""Print when a recording contains the phrase: ``python examples/file.py computer.kws talk.flac``."""

import sys

import kws


def main(model: str, recording: str) -> None:
    """Print the time of every detection."""
    for detection in kws.detect_file(model, recording):
        print(f"{detection.time_s:.2f} s: {detection.phrase} (score {detection.score:.2f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
