"""How many seconds of audio a second of one thread turns into log mel energies, ours and the peers', side by side.

    python benchmarks/frontend.py            # a table
    python benchmarks/frontend.py --json

Everyone gets the same 16 kHz noise, 40 bands, 25 ms windows and 10 ms hops (pymicro-features has its own fixed
settings), in the form it likes best (int16 or float32), in the same run. The best of several rounds counts, the rounds
of all taking turns, so that a busy moment of the machine hits everyone. What is not installed is left out and named.
"""

import importlib.util
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from kws import runtime
from kws.frontend import Frontend, FrontendConfig, compute
from kws.frontend.framing import count_frames

CONFIG = FrontendConfig()
RATE_HZ = CONFIG.sample_rate_hz
BASELINE = "librosa"

Samples = NDArray[np.int16]
Job = Callable[[], int]
"""Does the whole signal once and returns how many frames it made."""


@dataclass(frozen=True)
class Peer:
    """One implementation: the package it needs, and what makes its job from the samples."""

    name: str
    package: str
    prepare: Callable[[Samples, int], Job]


def kws_streaming(samples: Samples, chunk: int) -> Job:
    """Return a job that pushes chunks into a stream of the compiled frontend."""

    def job() -> int:
        frontend = Frontend(CONFIG, "native")
        return sum(len(frontend.push(samples[at : at + chunk])) for at in range(0, len(samples), chunk))

    return job


def kws_batch(samples: Samples, chunk: int) -> Job:
    """Return a job that computes the whole signal with the compiled frontend."""
    return lambda: len(compute(samples, CONFIG, "native"))


def kws_numpy(samples: Samples, chunk: int) -> Job:
    """Return a job that computes the whole signal with the numpy specification."""
    return lambda: len(compute(samples, CONFIG, "numpy"))


def librosa_batch(samples: Samples, chunk: int) -> Job:
    """Return librosa's mel spectrogram and log2, float32."""
    import librosa

    signal = samples.astype(np.float32)
    settings: dict[str, Any] = {
        "sr": RATE_HZ,
        "n_fft": CONFIG.fft_size,
        "win_length": CONFIG.window_samples,
        "hop_length": CONFIG.hop_samples,
        "n_mels": CONFIG.bands,
        "fmin": CONFIG.low_hz,
        "fmax": CONFIG.high_hz,
        "htk": True,
        "norm": None,
        "center": False,
    }
    return lambda: np.log2(np.maximum(librosa.feature.melspectrogram(y=signal, **settings), 1)).shape[1]


def torch_batch(samples: Samples, chunk: int) -> Job:
    """Return torch.stft, power, mel as a matrix product and log2, float32."""
    import torch

    torch.set_num_threads(1)
    signal = torch.from_numpy(samples.astype(np.float32))
    window = torch.hann_window(CONFIG.window_samples)
    corners = np.array(CONFIG.band_edges_hz)[:, None]
    bins_hz = np.arange(CONFIG.fft_size // 2 + 1) * RATE_HZ / CONFIG.fft_size
    slopes = (bins_hz - corners) / np.diff(corners, axis=0, append=RATE_HZ)
    mel = torch.from_numpy(np.clip(np.minimum(slopes[:-2], 1 - slopes[1:-1]), 0, None).astype(np.float32))

    def job() -> int:
        spectrum = torch.stft(
            signal,
            CONFIG.fft_size,
            CONFIG.hop_samples,
            CONFIG.window_samples,
            window,
            center=False,
            return_complex=True,
        )
        return torch.log2(torch.clamp(mel @ spectrum.abs().square(), min=1.0)).shape[1]

    return job


def pymicro_features_streaming(samples: Samples, chunk: int) -> Job:
    """Return TFLite Micro's frontend, which takes 10 ms of int16 at a time."""
    from pymicro_features import MicroFrontend

    pieces = [samples[at : at + 160].tobytes() for at in range(0, len(samples), 160)]

    def job() -> int:
        frontend = MicroFrontend()
        return sum(bool(frontend.process_samples(piece).features) for piece in pieces)

    return job


def kaldi_native_fbank_streaming(samples: Samples, chunk: int) -> Job:
    """Return Kaldi's online filter bank, fed with chunks of float32, every frame fetched."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = "hann"
    options.mel_opts.num_bins = CONFIG.bands
    options.mel_opts.low_freq, options.mel_opts.high_freq = CONFIG.low_hz, CONFIG.high_hz
    signal = samples.astype(np.float32)

    def job() -> int:
        bank = kaldi_native_fbank.OnlineFbank(options)
        done = 0
        for at in range(0, len(signal), chunk):
            bank.accept_waveform(RATE_HZ, signal[at : at + chunk])
            while done < bank.num_frames_ready:
                bank.get_frame(done)
                done += 1
        return done

    return job


PEERS = (
    Peer("kws native, streaming", "kws._runtime", kws_streaming),
    Peer("kws native, batch", "kws._runtime", kws_batch),
    Peer("kws numpy, batch", "numpy", kws_numpy),
    Peer(BASELINE, "librosa", librosa_batch),
    Peer("torch.stft", "torch", torch_batch),
    Peer("pymicro-features", "pymicro_features", pymicro_features_streaming),
    Peer("kaldi-native-fbank", "kaldi_native_fbank", kaldi_native_fbank_streaming),
)


def present(peer: Peer) -> bool:
    """Return whether what the peer needs is installed (and our compiled code is not turned off)."""
    if peer.package == "kws._runtime":
        return runtime.available()
    return importlib.util.find_spec(peer.package) is not None


def measure(samples: Samples, chunk: int, rounds: int) -> dict[str, float]:
    """Return each present peer's best speed in seconds of audio per second."""
    jobs = {peer.name: peer.prepare(samples, chunk) for peer in PEERS if present(peer)}
    expected = count_frames(len(samples), CONFIG)
    best_s = dict.fromkeys(jobs, float("inf"))
    for name, job in jobs.items():  # warm up, and see that each did its work
        frames = job()
        if abs(frames - expected) > 3:
            raise RuntimeError(f"{name} made {frames} frames, not about {expected}")
    for _ in range(rounds):
        for name, job in jobs.items():
            start_s = time.perf_counter()
            job()
            best_s[name] = min(best_s[name], time.perf_counter() - start_s)
    return {name: len(samples) / RATE_HZ / seconds for name, seconds in best_s.items()}


def show(speeds: dict[str, float], chunk_ms: int) -> None:
    """Print the table."""
    print(f"seconds of audio per second, one thread; streaming in chunks of {chunk_ms} ms")
    baseline = speeds.get(BASELINE)
    for name, speed in speeds.items():
        ratio = f"{speed / baseline:8.2f} x {BASELINE}" if baseline else ""
        print(f"{name:<24}{speed:>10,.0f}{ratio}")
    missing = [peer.name for peer in PEERS if not present(peer)]
    if missing:
        print("not installed: " + ", ".join(missing))


@click.command()
@click.option("--seconds", default=60, show_default=True, help="Length of the signal.")
@click.option("--chunk-ms", default=100, show_default=True, help="What a push of a streaming frontend holds.")
@click.option("--rounds", default=5, show_default=True, help="The best of so many counts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(seconds: int, chunk_ms: int, rounds: int, as_json: bool) -> None:
    """Measure the frontend beside its peers, on one thread."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    samples = (np.random.default_rng(1).standard_normal(seconds * RATE_HZ) * 3000).clip(-32768, 32767).astype(np.int16)
    with threadpool_limits(limits=1):
        speeds = measure(samples, chunk_ms * RATE_HZ // 1000, rounds)
    if as_json:
        print(json.dumps({"seconds_of_audio_per_second": speeds, "chunk_ms": chunk_ms, "seconds": seconds}))
    else:
        show(speeds, chunk_ms)


if __name__ == "__main__":
    main()
