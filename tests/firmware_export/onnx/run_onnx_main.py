"""A program for an interpreter with another ONNX Runtime, as docs/runtimes.md has it: every .onnx of a folder is run.

NAME.onnx takes the steps of NAME.npy, and its logits, int8 [steps, outputs], go to NAME_logits.npy. Standard output has
the runtime's version, then a line "NAME: reason" for each file that it refuses. It needs numpy and onnxruntime alone.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy
import onnxruntime

TYPES = {"tensor(int8)": "int8", "tensor(uint8)": "uint8", "tensor(int16)": "int16"}


def run(session: Any, steps: Any) -> Any:
    """Return the logits of a stream."""
    entries = json.loads(session.get_modelmeta().custom_metadata_map["kws.states"])
    given = {value.name: value for value in session.get_inputs()}
    state = {
        e["input"]: numpy.full(given[e["input"]].shape, e["initial"], TYPES[given[e["input"]].type]) for e in entries
    }
    source = session.get_inputs()[0]
    logits = []
    for step in steps.reshape(-1, *source.shape):
        first, *following = session.run(None, {source.name: step, **state})
        state = dict(zip((e["input"] for e in entries), following))  # noqa: B905, as it is in docs/runtimes.md
        logits.append(first[0])
    return numpy.array(logits)


def main(folder: Path) -> None:
    """Run what is there."""
    print(onnxruntime.__version__)
    for path in sorted(folder.glob("*.onnx")):
        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no class in common
            print(f"{path.stem}: {str(error).splitlines()[0]}")
            continue
        numpy.save(folder / f"{path.stem}_logits.npy", run(session, numpy.load(path.with_suffix(".npy"))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
