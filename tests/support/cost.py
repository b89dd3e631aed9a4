"""What the tests cost, in seconds of processors: `make quick` and `make test` promise how long they take at most.

The promise is in minutes on two idle cores. Seconds of processors, of a test and of the processes it waited for, say
nearly the same on a busy machine; a yardstick takes out how fast its cores are.
"""

import os
import time
from collections import defaultdict
from collections.abc import Generator, Mapping

import pytest

from tests.support.warm import WarmKws

QUICK_S, WHOLE_S = 2 * 90.0, 2 * 360.0
FAILS_ABOVE = 1.5
"""A run fails that costs so many times what is promised; below that it is told: cores that are shared cost more."""
COST, COLLECTION = "processor_s", "imports and collection"
LEFT_OUT_OF_QUICK = ("train", "emulator", "slow")
YARDSTICK_S = 0.055
"""What ``yardstick_s`` gave on the machine that the promise was measured on."""


def processor_s() -> float:
    """Seconds of processors that this process and its ended children have used."""
    return sum(os.times()[:4]) + WarmKws.spent_s


def yardstick_s() -> float:
    """The least of some times that a fixed piece of Python takes here."""

    def one() -> float:
        start = time.process_time()
        sum(number * number % 7 for number in range(1_000_000))
        return time.process_time() - start

    return min(one() for _ in range(5))


class Costs:
    """A plugin: each test's report carries its cost; who collects the reports adds up and holds it against the promise.

    A run without xdist collects its own reports.
    """

    def __init__(self, collects: bool) -> None:
        self.collects, self.by_test = collects, defaultdict[str, float](float)
        self.quick = {COLLECTION}
        self.before: float | None = None
        self.broken = ""
        """What the run says of a promise that is not kept."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note what was used since the last report of this process: that the test took, or what it set up."""
        report = yield
        now = processor_s()
        first = self.before is None  # what was used before it, by imports above all, is not its own
        report.user_properties.append((COLLECTION if first else COST, now - (self.before or 0.0)))
        self.before = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a report up."""
        for name, value in report.user_properties:
            if name in (COST, COLLECTION):
                self.by_test[report.nodeid if name == COST else COLLECTION] += float(str(value))
        if not any(marker in report.keywords for marker in LEFT_OUT_OF_QUICK):
            self.quick.add(report.nodeid)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Let the run fail that costs more than was promised."""
        if self.collects:
            speed = YARDSTICK_S / yardstick_s()
            self.broken = broken_promise(self.by_test, self.quick, speed)
            fails = bool(broken_promise(self.by_test, self.quick, speed / FAILS_ABOVE))
            if fails and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return (yield)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell the sums, and which tests a broken promise may be kept with."""
        whole, quick = sum(self.by_test.values()), sum(self.by_test[name] for name in self.quick)
        terminalreporter.write_line(f"{whole:.0f} s of processors, {quick:.0f} s of them in `make quick`")
        if self.broken:
            terminalreporter.write_line(self.broken, red=True)


def broken_promise(by_test: Mapping[str, float], quick: set[str], speed: float) -> str:
    """Say which promise the costs break on a machine of this relative speed; nothing where they keep both."""
    for name, names, most in (("make quick", quick, QUICK_S), ("make test", set(by_test), WHOLE_S)):
        cost = speed * sum(by_test[test] for test in names)
        if cost > most:
            worst = sorted(names, key=lambda test: -by_test[test])[:10]
            table = "".join(f"\n{speed * by_test[test]:7.1f} s  {test}" for test in worst)
            return (
                f"`{name}` may take {most:.0f} s of processors and takes {cost:.0f}: find what is computed twice"
                f"{', or mark as slow' * (names is quick)}. Its most expensive tests:{table}"
            )
    return ""
