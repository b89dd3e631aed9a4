"""The layout that is computed from the headers is the compilers' own."""

from pathlib import Path

import numpy as np
import pytest

from firmware_export.simulate import build
from firmware_export.simulate.memory import Arena
from firmware_export.simulate.structs import Structs, runtime_structs
from firmware_export.simulate.targets import TARGETS

STRUCTS = (
    "kws_lfbe_tables_t", "kws_lfbe_t", "kws_copy_t", "kws_conv2d_t", "kws_depthwise_conv2d_t", "kws_pad_t", "kws_add_t",
    "kws_pool2d_t", "kws_op_t", "kws_state_t", "kws_graph_t", "kws_detector_config_t", "kws_detector_t", "kws_model_t",
    "kws_detection_t",
)  # fmt: skip


@pytest.mark.parametrize("target", ["cortex-m0plus", "rv32imc"])
def test_sizes_and_offsets_are_the_compilers(target: str, tmp_path: Path) -> None:
    """The compiler refuses the file where one of them is not."""
    structs, lines = runtime_structs(), ["#include <stddef.h>", '#include "kws.h"']
    for struct in STRUCTS:
        lines.append(f'_Static_assert(sizeof({struct}) == {structs.size(struct)}, "{struct}");')
        lines += [
            f'_Static_assert(offsetof({struct}, {field}) == {structs.offset(struct, field)}, "{struct}.{field}");'
            for field in structs.fields(struct)
        ]
    (tmp_path / "model.c").write_text("\n".join([*lines, "int kws_model;", ""]))
    (tmp_path / "kws_model.h").write_text("")
    assert len(lines) > 100
    assert build.image(TARGETS[target], tmp_path / "model.c").exists()


def test_constants_and_unpacking() -> None:
    structs = runtime_structs()
    assert structs.constants["KWS_OP_COPY"] == 0
    packed = structs.pack("kws_copy_t", {"source": -1, "target": 2, "bytes": 3})
    assert packed == b"\xff\xff\xff\xff\2\0\0\0\3\0\0\0"
    assert structs.unpack("kws_copy_t", packed) == {"source": -1, "target": 2, "bytes": 3}


def test_arrays_lie_before_the_struct_that_points_to_them() -> None:
    structs = Structs(("typedef struct { int8_t kind; const int16_t *values; size_t count; } row_t; /* { } */",))
    memory = Arena(0x1000)
    address = memory.put_struct(structs, "row_t", {"kind": 7, "values": np.array([1, -2], np.int16), "count": 2})
    assert address == 0x1008
    assert memory.content == b"\1\0\xfe\xff\0\0\0\0" + b"\7\0\0\0\0\x10\0\0\2\0\0\0\0\0\0\0"
