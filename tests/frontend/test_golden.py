"""The numbers of today, kept: a change of the arithmetic breaks every model that was trained with it.

``lfbe.npz`` holds speech-like sound at two levels, full-scale noise and an impulse after silence, with their
features of the default config.
"""

from pathlib import Path

import numpy as np
import pytest

from kws.frontend import compute
from kws.runtime import available

GOLDEN = Path(__file__).parents[1] / "golden" / "lfbe.npz"
NATIVE = pytest.param("native", marks=pytest.mark.skipif(not available(), reason="not compiled"))


@pytest.mark.parametrize("implementation", ["numpy", NATIVE])
def test_features_are_the_kept_ones(implementation: str) -> None:
    with np.load(GOLDEN) as kept:
        samples, expected = kept["samples"], kept["lfbe"]
    features = compute(samples, implementation="numpy" if implementation == "numpy" else "native")
    assert features.dtype == np.int16
    assert np.array_equal(features, expected)
