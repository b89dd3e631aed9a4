"""Do something at every detection: ``python examples/microphone.py computer.kws``. Control-C ends it."""

import sys

import kws


def main(model: str) -> None:
    """Wait for the phrase, again and again."""
    for detection in kws.listen(model):
        print(f"{detection.phrase}! Yes?", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
