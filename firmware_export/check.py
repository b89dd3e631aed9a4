"""`kws verify`: is an exported file undamaged, was it made from this `.kws`, and does it give the same numbers?"""

import tempfile
from functools import partial
from pathlib import Path

from firmware_export import exported_file, verify
from firmware_export.c import engine as bundle_engine
from firmware_export.c.marker import check_whole
from firmware_export.exported_file import ExportedFile
from firmware_export.write import probe
from kws.detector.model_file import KwsModel, digest
from kws.errors import KwsError


def check(model: KwsModel, path: Path, seconds: float) -> verify.Report:
    """Run a .tflite, .onnx or bundle of ``kws export`` against the graph of ``model`` over ``seconds`` of audio.

    Raises:
        KwsError: the file is damaged, was not written by kws export, or belongs to another model.
        VerifyError: an engine's numbers differ from the graph's, or no engine for the file is installed.
    """
    if path.is_dir():
        return _check_bundle(model, path, seconds)
    file = exported_file.read(path)
    if file.metadata.get(exported_file.MODEL_KEY) != digest(model):
        raise KwsError(f"{path}: was exported from another .kws file; export it again from this one")
    if file.form == "head":
        from firmware_export.esphome.graph import derive
        from firmware_export.esphome.verify import verify_pair

        return verify_pair(model, derive(model), path, seconds)
    return _verified(model, path, _candidates(file, path), seconds)


def _candidates(file: ExportedFile, path: Path) -> tuple[verify.Candidate, ...]:
    model = partial(Path, path)
    if file.kind == "tflite":
        return verify.tflite_candidates(model, bool(file.states))
    audio = exported_file.HOP_KEY in file.metadata
    return verify.onnx_candidates(model, ", QDQ" if file.form == "qdq" else ", audio" if audio else "")


def _check_bundle(model: KwsModel, path: Path, seconds: float) -> verify.Report:
    check_whole(path, digest(model))
    with tempfile.TemporaryDirectory() as work:
        build = partial(bundle_engine.build_host_engine, path, Path(work))
        return _verified(model, path, (verify.Candidate(bundle_engine.BundleEngine.name, build),), seconds)


def _verified(model: KwsModel, path: Path, candidates: tuple[verify.Candidate, ...], seconds: float) -> verify.Report:
    samples, features = probe(model, seconds)
    report = verify.verify(model.graph, features, candidates, samples)
    if len(report.not_installed) == len(candidates):
        raise verify.VerifyError(f'{path}: no runtime for this file is installed here; pip install "kws[export]"')
    return report
