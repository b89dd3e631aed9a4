"""Train, dev and test for a corpus that has no splits of its own: by the hash of a name, so it is always the same."""

import hashlib
from collections.abc import Iterable

SHARE = 0.15
"""Of the names that go to dev, and of those that go to test."""


def by_name(names: Iterable[str]) -> dict[str, str]:
    """Return the split of each name.

    A name's hash decides, so that further names move few others. From three names on, each split has one at least and
    neither dev nor test has more than a third; two names are train and dev, one is train.

    >>> sorted(by_name(["ann", "bob", "carl"]).values()), by_name(["ann"])
    (['dev', 'test', 'train'], {'ann': 'train'})
    """
    ordered = sorted(set(names), key=_fraction)
    if len(ordered) < 3:
        return dict(zip(ordered, ("train", "dev"), strict=False))
    most = len(ordered) // 3
    test = min(max(sum(_fraction(name) < SHARE for name in ordered), 1), most)
    dev = min(max(sum(_fraction(name) >= 1.0 - SHARE for name in ordered), 1), most)
    train = len(ordered) - test - dev
    return dict(zip(ordered, ["test"] * test + ["train"] * train + ["dev"] * dev, strict=True))


def _fraction(name: str) -> float:
    """Return a number in 0..1 that a name always has."""
    return int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:6], "big") / 2.0**48
