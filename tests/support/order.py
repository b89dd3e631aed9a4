"""What takes long begins first, so that no core waits for the other at the end of a run."""

import pytest

from tests.support.cost import LEFT_OUT_OF_QUICK


def long_files_first(items: list[pytest.Item]) -> None:
    """Sort the tests, each file's staying together: ``--dist loadfile`` gives them out in this order."""
    long = {item.path for item in items if any(item.get_closest_marker(marker) for marker in LEFT_OUT_OF_QUICK)}
    items.sort(key=lambda item: item.path not in long)
