"""What is done with the phones of transcribed recordings."""

from dataclasses import dataclass

from kws.config import check_range


@dataclass(frozen=True)
class PhonesConfig:
    """Where a recipe's data has transcripts (``utterances.csv``): how many clips are put together from pieces of it.

    ``pieces`` clips of each phrase and ``near_pieces`` of what is not the phrase have the voices of the
    training split's speakers, fewer where the recordings lack their sounds, half of them up to ``slowest`` times as
    long as they were read: alone, a word is said more slowly than in a sentence (Klatt, "Linguistic uses of segmental
    duration in English", JASA 1976), and with emphasis. ``weight`` is what the phones' loss counts beside the
    keywords' (0: phones are not learned), ``layer`` behind which ReLU of the model they are read off (0: the first),
    ``delay_ms`` how long after a phone. The first ``pretrain_steps`` of the model, and of its teacher, learn phones
    alone.

    Raises:
        ValueError: a value is outside its bounds; the sentence starts with the field's name.
    """

    pieces: int = 0
    near_pieces: int = 0
    # Of the clips put together: the share with the best joins that is kept.
    kept_share: float = 0.8
    slowest: float = 1.6
    weight: float = 0.0
    layer: int = 2
    delay_ms: int = 80
    pretrain_steps: int = 0

    def __post_init__(self) -> None:
        """Check every bound."""
        for name, low, high in (
            ("pieces", 0, 1_000_000),
            ("near_pieces", 0, 1_000_000),
            ("kept_share", 0.05, 1.0),
            ("slowest", 1.0, 3.0),
            ("weight", 0.0, 100.0),
            ("layer", 0, 64),
            ("delay_ms", 0, 1000),
            ("pretrain_steps", 0, 10_000_000),
        ):
            check_range(name, getattr(self, name), low, high)

    @property
    def is_used(self) -> bool:
        """Whether recordings have to be aligned at all."""
        return self.pieces > 0 or self.near_pieces > 0 or self.weight > 0.0
