"""kws_lfbe_check takes the tables of every size of FFT, and refuses numbers out of range and bins in other places."""

from typing import Any

import numpy as np
import pytest

from kws import runtime
from kws.frontend.config import FrontendConfig
from kws.frontend.tables import build

pytestmark = pytest.mark.skipif(not runtime.available(), reason=runtime.reason() or "built")

CONFIGS = (
    FrontendConfig(window_ms=16, hop_ms=8, fft_size=256, bands=10),
    FrontendConfig(),
    FrontendConfig(fft_size=1024),
)


class Checked:
    """The tables of a config as C's struct, open to be changed."""

    def __init__(self, config: FrontendConfig) -> None:
        self.ffi, self.lib = runtime.load()
        self.struct = self.ffi.new("kws_lfbe_tables_t *")
        self.arrays = {name: np.array(array) for name, array in build(config).arrays()}
        for name, value in build(config).scalars():
            setattr(self.struct, name, value)
        for name, array in self.arrays.items():
            setattr(self.struct, name, self.ffi.from_buffer(f"{array.dtype}_t[]", array))

    def taken(self) -> bool:
        return bool(self.lib.kws_lfbe_check(self.struct))

    def taken_with(self, field: str, value: Any) -> bool:
        kept = getattr(self.struct, field)
        setattr(self.struct, field, value)
        taken = self.taken()
        setattr(self.struct, field, kept)
        return taken


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: str(config.fft_size))
def test_tables_with_one_number_out_of_range_are_refused(config: FrontendConfig) -> None:
    checked = Checked(config)
    assert checked.taken()
    size = config.fft_size
    wrong = [("window_samples", value) for value in (0, 1, size + 2, 65535)]
    wrong += [("hop_samples", value) for value in (0, checked.struct.window_samples + 1, 65535)]
    wrong += [("fft_size", value) for value in (0, 128, size + 1, 2048, 65535)]
    wrong += [("bands", value) for value in (0, size // 2 + 1, 65535)]
    wrong += [("energy_bits", value) for value in (65, 65535)]
    wrong += [(name, checked.ffi.NULL) for name in checked.arrays]
    assert [case for case in wrong if checked.taken_with(*case)] == []
    assert checked.taken()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: str(config.fft_size))
def test_a_bin_in_another_place_is_refused(config: FrontendConfig) -> None:
    """Two bins at one place, and every bin but in the other order: neither leaves the tables, both are wrong."""
    checked = Checked(config)
    order = checked.arrays["order"]
    right = order.copy()
    order[3] = order[5]
    assert not checked.taken()
    order[:] = right[::-1]
    assert not checked.taken()
    order[:] = right
    edges = checked.arrays["mel_edges"]
    edges[[3, -1]] = edges[[-1, 3]]
    assert not checked.taken()
