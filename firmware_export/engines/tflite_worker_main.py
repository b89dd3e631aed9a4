"""A program for a Python with tflite-runtime: runs a .tflite step by step, from standard input to standard output.

It needs only numpy and tflite-runtime and runs on Python 3.8, so it imports nothing of kws. Standard input: a line of
JSON {"bytes", "initial", "reset"}, the model, then commands: 8 bytes with the number of steps to take (0: start a new
stream), followed by the steps' int8 features. ``initial`` fills the states' inputs, which come after the features; each
step's outputs after the logits are their next values. ``reset`` is the signature that starts a new stream, if the model
has it. Standard output: a line of JSON {"input", "output"} (shapes), then the int8 logits of every command.
"""

import importlib
import json
import struct
import sys
from typing import Any

import numpy as np


def main() -> None:
    """Serve until standard input ends."""
    package = importlib.import_module("tflite_runtime.interpreter")
    head = json.loads(sys.stdin.buffer.readline())
    content = sys.stdin.buffer.read(head["bytes"])

    def started() -> Any:
        interpreter = package.Interpreter(
            model_content=content, num_threads=1, experimental_op_resolver_type=package.OpResolverType.BUILTIN_REF
        )
        interpreter.allocate_tensors()
        inputs = interpreter.get_input_details()
        # B905 here and below: tflite-runtime may run in an older Python, and zip has no strict before 3.10.
        states = [np.full(d["shape"], value, np.int8) for d, value in zip(inputs[1:], head["initial"])]  # noqa: B905
        return interpreter, inputs, interpreter.get_output_details(), states

    interpreter, inputs, outputs, states = started()
    shapes = {"input": inputs[0]["shape"].tolist(), "output": outputs[0]["shape"].tolist()}
    reply(json.dumps(shapes).encode() + b"\n")
    while True:
        command = sys.stdin.buffer.read(8)
        if len(command) < 8:
            return
        (steps,) = struct.unpack("<Q", command)
        if steps == 0:
            if head["reset"] in interpreter.get_signature_list():
                interpreter.get_signature_runner(head["reset"])()
            else:
                interpreter, inputs, outputs, states = started()
            continue
        size = int(np.prod(shapes["input"]))
        features = np.frombuffer(sys.stdin.buffer.read(steps * size), np.int8).reshape(steps, *shapes["input"])
        logits = []
        for step in features:
            for detail, value in zip(inputs, [step, *states]):  # noqa: B905
                interpreter.set_tensor(detail["index"], value)
            interpreter.invoke()
            first, *states = (interpreter.get_tensor(detail["index"]) for detail in outputs)
            logits.append(first.tobytes())
        reply(b"".join(logits))


def reply(content: bytes) -> None:
    """Write and flush."""
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
