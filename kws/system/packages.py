"""Packages of extras such as ``kws[export]``, imported when first used, so that the writers import without them."""

import importlib
from typing import Any

from kws.errors import KwsError


class NotInstalledError(KwsError):
    """A package of an extra is missing or does not load on this machine."""


def need(module: str, package: str, extra: str = "export") -> Any:
    """Return the imported ``module`` of the distribution ``package``, which ``kws[extra]`` installs.

    Raises:
        NotInstalledError: the package is not installed here; the sentence says how to get it.

    >>> need("no_such_module", "no-such-package")
    Traceback (most recent call last):
    kws.system.packages.NotInstalledError: no-such-package is not installed here; pip install "kws[export]"
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotInstalledError(f'{package} is not installed here; pip install "kws[{extra}]"') from error
