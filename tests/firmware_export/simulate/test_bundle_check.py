"""A written C99 bundle, its own sources, on every emulated processor."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_export import verify
from firmware_export.c import bundle
from firmware_export.simulate import bundle_check
from firmware_export.simulate.targets import TARGETS
from kws.detector.model_file import KwsModel
from kws.graph.cost import cost

pytestmark = pytest.mark.emulator


@pytest.fixture
def written(model: KwsModel, tmp_path: Path) -> Path:
    bundle.write_c(model, tmp_path / "kws_c")
    return tmp_path / "kws_c"


def noise(model: KwsModel, steps: int) -> NDArray[np.int8]:
    shape = (steps * model.graph.stride, model.frontend.bands)
    return np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)


def test_a_bundle_equals_the_graph_on_every_processor(
    written: Path, model: KwsModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as many steps as were asked for, which the report says."""
    monkeypatch.setattr(bundle_check, "MACS", 40 * cost(model.graph).macs_per_step)
    features = noise(model, 99)
    report = verify.verify(model.graph, features, bundle_check.candidates(written, model.graph))
    assert [(result.name, result.status, result.steps) for result in report.results[1:]] == [
        (f"C on {name}", "equal", 40) for name in TARGETS
    ]
    assert report.steps == 99
    assert f"0 of {40 * 4:,}" in report.table()


def test_a_bundle_that_differs_is_refused(written: Path, model: KwsModel) -> None:
    source = written / "src" / "model.c"
    head, mark, rest = source.read_text().partition("_bias[")
    values, end, tail = rest.partition("};")
    lines = values.split("\n")
    lines[1] = lines[1].replace(lines[1].split(",")[0].strip(), "123456", 1)
    source.write_text(head + mark + "\n".join(lines) + end + tail)
    with pytest.raises(verify.VerifyError, match=r"^C on cortex-m0plus: at step 0 logit"):
        verify.verify(model.graph, noise(model, 99), bundle_check.candidates(written, model.graph))


def test_without_the_packages_it_is_said(written: Path, model: KwsModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "unicorn", None)
    features = noise(model, 50)
    report = verify.verify(model.graph, features, bundle_check.candidates(written, model.graph))
    assert len(report.not_installed) == len(TARGETS)
    assert 'C on cortex-m4: unicorn is not installed here; pip install "kws[simulate]"' in report.table()
    assert all(result.steps == 0 for result in report.results[1:])
