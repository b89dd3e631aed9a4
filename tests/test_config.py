"""Configs are loaded strictly: every refusal names the file, the key's path and the remedy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kws import config
from kws.errors import KwsError


@dataclass(frozen=True)
class Inner:
    snr_db_min: float = -5.0
    kind: Literal["white", "pink"] = "white"

    def __post_init__(self) -> None:
        if self.snr_db_min > 60:
            raise ValueError("snr_db_min must be at most 60")


@dataclass(frozen=True)
class Outer:
    phrase: str
    seed: int = 0
    clean: bool = False
    inner: Inner = field(default_factory=Inner)
    names: tuple[str, ...] = ()
    path: str | None = None
    weights: dict[str, float] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({}, "r.toml: key 'phrase' is missing; add it"),
        ({"phrase": 3}, "r.toml: key 'phrase' is 3, an integer; it must be a string"),
        ({"phrase": "a", "sed": 1}, "r.toml: unknown key 'sed'; did you mean 'seed'?"),
        ({"phrase": "a", "seed": True}, "r.toml: key 'seed' is True, a boolean; it must be an integer"),
        ({"phrase": "a", "seed": 1.5}, "r.toml: key 'seed' is 1.5, a number; it must be an integer"),
        ({"phrase": "a", "clean": 1}, "r.toml: key 'clean' is 1, an integer; it must be a boolean"),
        ({"phrase": "a", "inner": {"snr": 1}}, "r.toml: unknown key 'inner.snr'; did you mean 'inner.snr_db_min'?"),
        ({"phrase": "a", "inner": {"snr_db_min": 99}}, "r.toml: inner.snr_db_min must be at most 60"),
        (
            {"phrase": "a", "inner": {"kind": "red"}},
            "r.toml: key 'inner.kind' is 'red'; it must be one of 'white', 'pink'",
        ),
        ({"phrase": "a", "inner": 4}, "r.toml: key 'inner' is 4, an integer; it must be a table"),
        ({"phrase": "a", "names": "b"}, "r.toml: key 'names' is 'b', a string; it must be a list"),
        ({"phrase": "a", "names": ["b", 2]}, "r.toml: key 'names[1]' is 2, an integer; it must be a string"),
        ({"phrase": "a", "weights": {"b": "c"}}, "r.toml: key 'weights.b' is 'c', a string; it must be a number"),
        (
            {"phrase": "a", "zzzzzz": 1},
            "r.toml: unknown key 'zzzzzz'; known keys: phrase, seed, clean, inner, names, path, weights",
        ),
    ],
)
def test_refusals_say_what_to_do(data: dict[str, Any], sentence: str) -> None:
    with pytest.raises(KwsError) as caught:
        config.load(Outer, data, "r.toml")
    assert str(caught.value) == sentence


@given(
    st.builds(
        Outer,
        phrase=st.text(),
        seed=st.integers(),
        clean=st.booleans(),
        inner=st.builds(Inner, snr_db_min=st.floats(-100, 60), kind=st.sampled_from(["white", "pink"])),
        names=st.lists(st.text()).map(tuple),
        path=st.none() | st.text(),
        weights=st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
    )
)
def test_data_of_a_config_loads_back_to_the_same_config_and_hash(outer: Outer) -> None:
    again = config.load(Outer, config.to_data(outer), "data")
    assert again == outer
    assert config.config_hash(again) == config.config_hash(outer)


@given(st.integers(), st.integers())
def test_the_hash_follows_every_value(left: int, right: int) -> None:
    same = config.config_hash(Outer("a", seed=left)) == config.config_hash(Outer("a", seed=right))
    assert same == (left == right)


def test_toml_errors_name_the_file(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    with pytest.raises(KwsError, match=r"missing\.toml: cannot be read \(No such file or directory\)"):
        config.load_toml(Outer, missing)
    broken = tmp_path / "broken.toml"
    broken.write_text("phrase = \n")
    with pytest.raises(KwsError, match=r"broken\.toml: is not valid TOML \(.*line 1"):
        config.load_toml(Outer, broken)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00phrase")
    with pytest.raises(KwsError, match=r"binary\.toml: is not a text file"):
        config.load_toml(Outer, binary)


def test_toml_loads(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('phrase = "hey"\nseed = 4\n[inner]\nsnr_db_min = 3\n')
    assert config.load_toml(Outer, path) == Outer("hey", seed=4, inner=Inner(3.0))


@dataclass(frozen=True)
class Grown:
    size: int = 3
    kind: str = field(default="plain", metadata=config.ADDED_LATER)

    @classmethod
    def presets(cls) -> "dict[str, Grown]":
        return {"large": cls(9, "special")}


@dataclass(frozen=True)
class Holder:
    grown: Grown = field(default_factory=Grown)
    several: tuple[Grown, ...] = ()


def test_what_was_added_later_is_no_part_of_the_data_at_its_default() -> None:
    """Nor of the hash, by which files and checkpoints from before are known."""
    assert config.to_data(Holder(several=(Grown(),))) == {"grown": {"size": 3}, "several": [{"size": 3}]}
    assert config.to_data(Grown(kind="other")) == {"size": 3, "kind": "other"}
    assert config.config_hash(Grown()) != config.config_hash(Grown(kind="other"))
    assert config.load(Holder, config.to_data(Holder(Grown(kind="other")))) == Holder(Grown(kind="other"))


def test_a_name_stands_for_a_preset() -> None:
    assert config.load(Holder, {"grown": "large"}).grown == Grown(9, "special")
    assert config.load(Holder, {"several": ["large", {"size": 1}]}).several == (Grown(9, "special"), Grown(1))
    with pytest.raises(KwsError, match=r"r\.toml: key 'grown' is 'huge'; it must be one of 'large'"):
        config.load(Holder, {"grown": "huge"}, "r.toml")
