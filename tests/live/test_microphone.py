import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.audio import Resampler
from kws.errors import KwsError
from kws.live import microphone
from kws.live.microphone import Block, Microphone, list_devices, mix_down


def noise(*shape: int) -> NDArray[np.int16]:
    return np.random.default_rng(3).integers(-32768, 32768, shape).astype(np.int16)


def hear(opened: Microphone, samples: int) -> NDArray[np.int16]:
    """Return at least this many samples from the microphone."""
    heard: list[NDArray[np.int16]] = []
    for block in opened.blocks():
        heard.append(block.samples)
        if sum(map(len, heard)) >= samples:
            break
    return np.concatenate(heard)


def test_16_khz_is_taken_as_it_is(driver: Any) -> None:
    sound = noise(3200)
    driver.play(sound)
    with Microphone() as opened:
        assert (opened.rate_hz, opened.channels, opened.name) == (16000, 1, "Built-in Microphone")
        np.testing.assert_array_equal(hear(opened, 3200), sound)
        assert opened.overflow_s == 0.0
    # PortAudio's own block size loses samples on ALSA's pulse device.
    assert driver.opened[0]["blocksize"] == 320


def test_another_rate_is_resampled(driver: Any) -> None:
    driver.refuse = lambda rate_hz, channels: ("Invalid sample rate", -9997) if rate_hz == 16000 else None
    sound = noise(9600)
    driver.play(sound, 960)
    expected = Resampler(48000).push(sound)
    with Microphone() as opened:
        assert opened.rate_hz == 48000
        np.testing.assert_array_equal(hear(opened, len(expected)), expected)


def test_stereo_is_mixed_down(driver: Any) -> None:
    driver.devices[0]["max_input_channels"] = 2
    sound = noise(640, 2)
    driver.play(sound)
    with Microphone() as opened:
        np.testing.assert_array_equal(hear(opened, 640), mix_down(sound))
    assert driver.opened[0]["channels"] == 2


@pytest.mark.parametrize(("most", "works", "expected"), [(32, 2, 2), (32, 1, 1), (6, 6, 6)])
def test_channel_counts_are_tried_until_one_works(driver: Any, most: int, works: int, expected: int) -> None:
    driver.devices[0]["max_input_channels"] = most
    driver.refuse = lambda rate_hz, channels: None if channels == works else ("Invalid number of channels", -9998)
    with Microphone() as opened:
        assert opened.channels == expected


def test_what_comes_while_the_detector_is_behind_is_dropped_and_counted(driver: Any) -> None:
    driver.synchronous = True
    driver.play(noise(16000 * 6))
    with Microphone() as opened:
        assert len(hear(opened, 16000 * 5)) == 16000 * 5
        assert opened.overflow_s == pytest.approx(1.0)


def test_what_portaudio_reports_as_lost_is_counted(driver: Any) -> None:
    driver.lossy = True
    driver.play(noise(3200))
    with Microphone() as opened:
        hear(opened, 3200)
        assert opened.overflow_s == pytest.approx(0.2)


def test_capture_time_takes_the_drivers_delay_off(driver: Any) -> None:
    driver.adc_lag_s = 0.32
    driver.play(noise(320))
    with Microphone() as opened:
        block: Block = next(opened.blocks())
    # The block's first sample is 0.32 s old when it arrives, its last 0.3 s.
    assert time.monotonic() - block.captured_at_s == pytest.approx(0.3, abs=0.1)
    assert block.end_s == 0.02


def test_stop_ends_the_blocks(driver: Any) -> None:
    driver.play(noise(320))
    with Microphone() as opened:
        threading.Timer(0.2, opened.stop).start()
        assert len(list(opened.blocks())) == 1


def test_a_device_whose_stream_ends_is_gone(driver: Any) -> None:
    driver.play(noise(640))
    driver.ends = True
    with Microphone() as opened, pytest.raises(KwsError, match="Built-in Microphone stopped giving sound"):
        hear(opened, 10_000)


def test_a_device_that_falls_silent_is_gone_after_a_while(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microphone, "GONE_AFTER_S", 0.3)
    driver.play(noise(640))
    start_s = time.monotonic()
    with Microphone() as opened, pytest.raises(KwsError, match="plugged in"):
        hear(opened, 10_000)
    assert 0.3 <= time.monotonic() - start_s < 1.5


def test_a_slow_detector_is_not_taken_for_a_silent_device(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microphone, "GONE_AFTER_S", 0.1)
    driver.synchronous = True
    driver.play(noise(640))
    with Microphone() as opened:
        blocks = opened.blocks()
        next(blocks)
        time.sleep(0.3)
        assert len(next(blocks).samples) == 320


def test_a_driver_that_hangs_does_not_hold_us(driver: Any) -> None:
    driver.hangs = True
    opened = Microphone()
    start_s = time.monotonic()
    opened.close()
    assert time.monotonic() - start_s < 2.0


@pytest.mark.parametrize(
    "refusal", [("Error opening InputStream: Device unavailable", -9985), ("Device or resource busy", -9999)]
)
def test_a_busy_device(driver: Any, refusal: tuple[str, int]) -> None:
    driver.refuse = lambda rate_hz, channels: refusal
    with pytest.raises(KwsError, match="Built-in Microphone is busy; close the program"):
        Microphone()


def test_a_device_that_refuses_every_format(driver: Any) -> None:
    driver.refuse = lambda rate_hz, channels: ("Invalid sample rate", -9997)
    with pytest.raises(KwsError, match=r"cannot be opened \(Invalid sample rate\)"):
        Microphone()


def test_a_device_that_opens_but_does_not_start(driver: Any) -> None:
    driver.start_error = ("Unanticipated host error", -9999)
    with pytest.raises(KwsError, match=r"cannot be opened \(Unanticipated host error\)"):
        Microphone().__enter__()


def test_no_input_device(driver: Any) -> None:
    driver.devices[0]["max_input_channels"] = 0
    with pytest.raises(KwsError, match="no input device; connect one"):
        Microphone()
    assert list_devices() == []


def test_devices_are_found_by_number_name_or_part(driver: Any) -> None:
    other = {**driver.devices[0], "name": "USB Headset"}
    driver.devices += [
        other,
        {**other, "name": "USB Headset (2)"},
        {**other, "name": "Speaker", "max_input_channels": 0},
    ]
    found = [Microphone(wanted).name for wanted in (None, 1, "2", "usb headset", "built", "(2), alsa")]
    built_in, headset, second = "Built-in Microphone", "USB Headset", "USB Headset (2)"
    assert found == [built_in, headset, second, headset, built_in, second]
    assert [option["device"] for option in driver.opened] == [0, 1, 2, 1, 0, 2]


def test_names_that_fit_none_or_several_devices(driver: Any) -> None:
    driver.devices.append({**driver.devices[0], "name": "Microphone Array"})
    with pytest.raises(KwsError, match="no input device is called 'phone line'"):
        Microphone("phone line")
    with pytest.raises(KwsError, match="no input device is called '7'"):
        Microphone(7)
    with pytest.raises(KwsError, match="'microphone' matches the devices 0, 1; give one of these numbers"):
        Microphone("microphone")


def test_the_list_marks_the_default(driver: Any) -> None:
    driver.devices.append({**driver.devices[0], "name": "Headset", "max_input_channels": 2})
    assert list_devices() == [
        "*  0  Built-in Microphone, ALSA  (1 channels, 48000 Hz)",
        "   1  Headset, ALSA  (2 channels, 48000 Hz)",
    ]


def test_portaudio_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(KwsError, match="apt install libportaudio2"):
        Microphone()


def test_a_sound_system_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "class PortAudioError(Exception): pass\nraise PortAudioError('Unanticipated host error', -9999)\n"
    (tmp_path / "sounddevice.py").write_text(broken)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(KwsError, match=r"does not start \(Unanticipated host error\)"):
        list_devices()


@pytest.mark.parametrize("channel", [1, 6])
def test_one_channel_is_heard_alone(driver: Any, channel: int) -> None:
    driver.devices[0]["max_input_channels"] = 6
    sound = noise(640, channel)
    driver.play(sound)
    with Microphone(channel=channel) as opened:
        np.testing.assert_array_equal(hear(opened, 640), sound[:, channel - 1])
    assert driver.opened[0]["channels"] == channel


def test_a_device_that_opens_with_all_its_channels_only_gives_the_chosen_one(driver: Any) -> None:
    driver.devices[0]["max_input_channels"] = 6
    driver.refuse = lambda rate_hz, channels: None if channels == 6 else ("Invalid number of channels", -9998)
    sound = noise(640, 6)
    driver.play(sound)
    with Microphone(channel=2) as opened:
        np.testing.assert_array_equal(hear(opened, 640), sound[:, 1])


def test_more_than_two_channels_that_are_mixed_are_told_once(
    driver: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kws.system.notice._printed", set())
    driver.devices[0]["max_input_channels"] = 6
    driver.refuse = lambda rate_hz, channels: None if channels == 6 else ("Invalid number of channels", -9998)
    driver.play(noise(640, 6))
    for channel, count in ((0, 0), (None, 1), (None, 0)):
        with Microphone(channel=channel) as opened:
            hear(opened, 640)
        assert capsys.readouterr().err.count("its 6 channels are mixed to one") == count


def test_a_channel_that_the_device_does_not_have(driver: Any) -> None:
    with pytest.raises(KwsError, match="Built-in Microphone has one channel, so there is no channel 2; give"):
        Microphone(channel=2)
