"""The bundle as an Arduino library: its name and what the library manager shows."""

import re
import unicodedata

from kws import __version__
from kws.detector.model_file import KwsModel

_MAX_NAME = 63  # by the library specification


def library_properties(model: KwsModel) -> str:
    """Return library.properties (Arduino library specification 1.5): ``src`` is compiled, ``kws.h`` included."""
    title = " ".join(model.detector.title.split())
    fields = {
        "name": library_name(model.detector.title),
        "version": __version__,
        "author": "kws",
        "maintainer": "kws",
        "sentence": f"A wake-word detector for {title}.",
        "paragraph": f"C99, integers only, no malloc. Recipe {model.recipe_hash}.",
        "category": "Signal Input/Output",
        "url": "",
        "architectures": "*",
        "includes": "kws.h,kws_model.h",
    }
    return "".join(f"{name}={value}\n" for name, value in fields.items())


def library_name(title: str) -> str:
    """Return a name that the library manager takes: ASCII letters and digits, joined by underscores.

    >>> library_name("hey Märvin!"), library_name("你好")
    ('kws_hey_Marvin', 'kws')
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return "_".join(["kws", *re.findall("[A-Za-z0-9]+", plain)])[:_MAX_NAME]
