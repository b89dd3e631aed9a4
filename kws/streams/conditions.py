"""Under what circumstances detectors are measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Condition:
    """One split: clean; with its own noise at a ratio; in its own rooms. Thresholds are compared within one condition.

    ``seed`` is that of the noise under every stream, of what noise and which room a clip gets, and of the bootstrap.
    """

    split: str
    noise_snr_db: float | None = None
    room: bool = False
    seed: int = 0

    @property
    def name(self) -> str:
        """For tables.

        >>> Condition("test", 10.0).name, Condition("test", room=True).name, Condition("dev").name
        ('noise 10 dB', 'room', 'clean')
        """
        noise = "" if self.noise_snr_db is None else f"noise {self.noise_snr_db:g} dB"
        return ", ".join(part for part in ("room" if self.room else "", noise) if part) or "clean"


@dataclass(frozen=True)
class Conditions:
    """All that a detector's figures depend on beside itself and the clips.

    Attributes:
        splits: of "train", "dev", "test".
        noise_snr_db: mix the split's own noise recordings in at this ratio.
        room: convolve the clips with the split's own room responses.
        seed: see ``Condition``.
        engine: "auto", "c" or "graph"; the numbers are the same.
    """

    splits: tuple[str, ...] = ("test",)
    noise_snr_db: float | None = None
    room: bool = False
    seed: int = 0
    engine: str = "auto"

    def whole(self) -> tuple[Condition, ...]:
        """Return one condition for each split, with all that is asked for at once."""
        return tuple(Condition(split, self.noise_snr_db, self.room, self.seed) for split in self.splits)

    def rows(self) -> tuple[Condition, ...]:
        """Return the rows of a table: each split clean, then with noise and in a room where these are asked for.

        >>> [one.name for one in Conditions(("test",), 10.0, True).rows()]
        ['clean', 'noise 10 dB', 'room']
        """
        asked = []
        for split in self.splits:
            asked.append(Condition(split, seed=self.seed))
            if self.noise_snr_db is not None:
                asked.append(Condition(split, self.noise_snr_db, seed=self.seed))
            if self.room:
                asked.append(Condition(split, room=True, seed=self.seed))
        return tuple(asked)
