"""Values from the command line that replace a recipe's, so that one recipe serves every phrase and corpus."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from kws.errors import KwsError
from kws.recipe import DataConfig, Recipe, load_recipe


@dataclass(frozen=True)
class Overrides:
    """Values that replace the recipe's own; what is not given stays.

    Attributes:
        phrases: what to detect.
        manifests: files, or folders with a manifest.csv, for the recipe's ``[[data]]``. They take the settings of the
            entries that they replace: those of a single entry apply to all; several entries need one each, in order.
        seed: of all that is random.
        language: of the synthesizers.
        weight_bits: of the quantized model, 8 or 4.

    >>> Overrides(phrases=("hey marvin",), seed=3).apply(Recipe("computer")).wake_phrases
    ('hey marvin',)
    """

    phrases: tuple[str, ...] = ()
    manifests: tuple[Path, ...] = ()
    seed: int | None = None
    language: str | None = None
    weight_bits: Literal[8, 4] | None = None

    def load(self, path: Path) -> Recipe:
        """Read a recipe and apply the values to it.

        Raises:
            KwsError: the file is not a recipe, or the values do not fit it.
        """
        return self.apply(load_recipe(path), str(path))

    def apply(self, recipe: Recipe, where: str = "recipe") -> Recipe:
        """Return the changed recipe; ``where`` names it in errors.

        Raises:
            KwsError: the values do not fit the recipe.
        """
        values: dict[str, Any] = {"data": self._data(recipe.data, where)}
        if self.phrases:
            one = len(self.phrases) == 1
            values |= {"phrase": self.phrases[0], "phrases": ()} if one else {"phrase": "", "phrases": self.phrases}
        if self.seed is not None:
            values["seed"] = self.seed
        if self.weight_bits is not None:
            values["quantize"] = replace(recipe.quantize, weight_bits=self.weight_bits)
        try:
            if self.language is not None:
                values["synthesis"] = replace(recipe.synthesis, language=self.language)
            return replace(recipe, **values)
        except ValueError as error:
            raise KwsError(f"{where}: {error}") from error

    def _data(self, entries: tuple[DataConfig, ...], where: str) -> tuple[DataConfig, ...]:
        if not self.manifests:
            return entries
        paths = [str(path / "manifest.csv" if path.is_dir() else path) for path in self.manifests]
        if len(entries) < 2:
            entries = (entries or (DataConfig(""),)) * len(paths)
        if len(entries) != len(paths):
            raise KwsError(
                f"{where}: has {len(entries)} [[data]] entries, but the number of manifests given is {len(paths)}; "
                "give one for each entry, in the same order"
            )
        return tuple(replace(entry, manifest=path) for entry, path in zip(entries, paths, strict=True))
