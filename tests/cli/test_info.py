"""`kws info`: several phrases, each with its threshold and what it is heard by; the ledger of what was learned from."""

from dataclasses import replace

from kws.data.synthesis.voices import espeak
from kws.detector.decision import OperatingPoint
from kws.detector.model_file import KwsModel, Source
from kws.workflow.info import describe, text


def test_every_phrase_is_told_with_its_threshold_and_labels(two_tone_model: KwsModel) -> None:
    points = tuple(OperatingPoint(20_000, 0.5, 0.1, "dev", phrase) for phrase in ("beep", "high chirp"))
    data = describe(replace(two_tone_model, operating_points=points))
    assert data["phrases"] == ["beep", "high chirp"]
    assert data["detector"]["keywords"] == [[1], [2]]
    said = text(data)
    assert "'beep', threshold 0.700, labels beep" in said
    assert "'high chirp', threshold 0.600, labels high_chirp" in said
    assert "everything else: filler" in said
    rows = [line.split() for line in said.splitlines() if line.rstrip().endswith("dev")]
    assert [row[0] for row in rows] == ["beep", "high"]
    assert all("0.610" in row for row in rows)


def test_the_ledger_says_what_commercial_use_is(two_tone_model: KwsModel) -> None:
    ledger = (
        Source("ESC-50", "CC-BY-NC-3.0", 2000, 2.7778),
        Source("LibriSpeech [clean]", "CC-BY-4.0", 1234, 5.5),
        Source("espeak-ng", espeak.LICENCE, 12000, 6.1),
    )
    data = describe(replace(two_tone_model, licences=ledger))
    assert data["licences"][1] == {
        "name": "LibriSpeech [clean]",
        "licence": "CC-BY-4.0",
        "clips": 1234,
        "hours": 5.5,
        "commercial_use": "yes (attribution)",
    }
    assert data["commercial_use"] == {
        "clear": False,
        "because": ["CC-BY-NC-3.0 (non-commercial)"],
        "duties": ["attribution"],
        "text": "commercial use: not clear because of CC-BY-NC-3.0 (non-commercial)",
    }
    lines = text(data).splitlines()
    assert lines[-1] == data["commercial_use"]["text"]
    row = next(line for line in lines if "LibriSpeech" in line)
    assert all(cell in row for cell in ("LibriSpeech [clean]", "CC-BY-4.0", "1,234", "5.50", "yes (attribution)"))
    assert "no (non-commercial)" in next(line for line in lines if "ESC-50" in line)


def test_without_a_ledger_nothing_is_clear(two_tone_model: KwsModel) -> None:
    data = describe(replace(two_tone_model, licences=()))
    assert not data["commercial_use"]["clear"]
    assert "commercial use: not clear because of an empty ledger" in text(data)
    clear = describe(replace(two_tone_model, licences=(Source("mine", "own recordings", 1, 0.1),)))
    assert text(clear).splitlines()[-1] == "commercial use: clear"


def test_another_frontend_is_told(micro_tone_model: KwsModel, two_tone_model: KwsModel) -> None:
    assert "ESPHome's, 40 bands 125-7500 Hz, window 30 ms, hop 10 ms" in text(describe(micro_tone_model))
    assert "ESPHome" not in text(describe(two_tone_model))
