import os
import subprocess
import sys
from pathlib import Path

import pytest

from kws.system.quiet import quiet_libraries

SCRIPT = """
import os, sys
from kws.system.quiet import quiet_libraries
with quiet_libraries():
    os.write(2, b"library ")
    print("python", end=" ", file=sys.stderr)
os.write(2, b"after")
"""


def test_libraries_are_silenced_and_python_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stderr == "python after"


WITHOUT = """
import os
from kws.system.quiet import quiet_libraries
taken = os.open(os.environ["TAKEN"], os.O_WRONLY | os.O_CREAT)
with quiet_libraries():
    os.write(taken, b"kept")
print(taken)
"""


def test_a_file_that_took_descriptor_2_is_left_alone(tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, WITHOUT]
    environment = {**os.environ, "TAKEN": str(tmp_path / "taken")}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "2\n"
    assert (tmp_path / "taken").read_text() == "kept"


def test_an_error_inside_restores_it_too(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        _fail_quietly()
    os.write(2, b"kept")
    assert capfd.readouterr().err == "kept"


def _fail_quietly() -> None:
    with quiet_libraries():
        os.write(2, b"dropped")
        print(1 // 0)
