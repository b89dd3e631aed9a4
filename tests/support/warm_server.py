"""Forks for every command that it is told of; the child runs ``python -m kws`` with these arguments, files, folder.

    python warm_server.py SOCKET

The slow libraries are imported here once and for all commands, which is most of what starting one takes. kws is not:
each child imports it, as a new process does.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys

LIBRARIES = ("click", "numpy", "rich.live", "safetensors", "soundfile", "soxr", "torch", "torch._dynamo")
"""The last one is what the first optimizer of a process imports."""


def serve(channel: socket.socket) -> list[str]:
    """Answer requests with the child's number, then its wait status and seconds of processors.

    It returns in the child alone: the arguments.
    """
    while True:
        message, files, _, _ = socket.recv_fds(channel, 1 << 20, 2)
        if not message:
            sys.exit()
        request = json.loads(message)
        child = os.fork()
        if child == 0:
            channel.close()
            for target, file in enumerate((os.open(os.devnull, os.O_RDONLY), *files)):
                os.dup2(file, target)
                os.close(file)
            os.environ.clear()
            os.environ.update(request["environment"])
            os.chdir(request["cwd"])
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return [str(argument) for argument in request["arguments"]]
        for file in files:
            os.close(file)
        channel.sendall(f"{child}\n".encode())
        _, status, used = os.wait4(child, 0)
        with contextlib.suppress(BrokenPipeError):  # nobody waited any longer
            channel.sendall(f"{status} {used.ru_utime + used.ru_stime}\n".encode())


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # else each child takes half a second to look through torch's objects when it ends
    sys.argv[1:] = serve(socket.socket(fileno=int(sys.argv[1])))
    sys.path[0] = os.getcwd()
    runpy.run_module("kws", run_name="__main__", alter_sys=True)
