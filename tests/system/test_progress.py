"""What a log file gets of a progress bar, and that a terminal's bar takes the same calls."""

import pytest

from kws.system import progress


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_log_file_gets_a_line_per_tenth_with_the_time_that_is_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.bar("Training", 40) as advance:
        for step in range(40):
            clock.now_s += 3.0
            advance(note=f"loss {step}")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "Training: 10 %, 1:48 left loss 3"
    assert lines[-1] == "Training: 100 % loss 39"


def test_what_is_quick_has_no_time_left_to_tell(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar("Reading", 2) as advance:
        clock.now_s += 0.5
        advance()
        clock.now_s += 0.5
        advance()
    assert capsys.readouterr().err == "Reading: 50 %\nReading: 100 %\n"


def test_steps_of_an_earlier_run_do_not_count_for_the_pace(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar("Training", 100) as advance:
        advance(60, note="resumed at step 60", before=True)
        for _ in range(10):
            clock.now_s += 60.0
            advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["Training: 60 % resumed at step 60", "Training: 70 %, 30:00 left"]


def test_a_terminal_s_bar_takes_the_same_calls(capsys: pytest.CaptureFixture[str]) -> None:
    for advance in progress._live("Training", 4):
        advance(2, note="resumed at step 2", before=True)
        advance(note="loss 1")
        advance(note="loss 0")
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert "loss 0" in shown
