"""Checkpoints: written beside, then renamed; refused by another recipe. Resuming gives the weights of no break."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from kws.errors import KwsError
from kws.system.files import replace_file

VERSION = 1


def save(state: dict[str, Any], recipe_hash: str, path: Path) -> None:
    """Write tensors and plain data to ``path``; on any failure the old checkpoint stays.

    Raises:
        KwsError: the folder cannot be written to or the disk is full.
    """
    buffer = io.BytesIO()
    torch.save({"version": VERSION, "recipe_hash": recipe_hash, "state": state}, buffer)
    replace_file(path, buffer.getvalue())


def load(path: Path, recipe_hash: str) -> dict[str, Any] | None:
    """Return what was saved for this recipe; None where there is no checkpoint.

    Raises:
        KwsError: the file is damaged, not a checkpoint, of another version, or of another recipe.
    """
    if not path.exists():
        return None
    remedy = "move it away to train anew"
    try:
        content = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise KwsError(f"{path}: is not a checkpoint or is damaged; {remedy}") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise KwsError(f"{path}: is not a checkpoint of this version; {remedy}")
    if content["recipe_hash"] != recipe_hash:
        raise KwsError(f"{path}: belongs to another recipe or other clips ({content['recipe_hash']}); {remedy}")
    state: dict[str, Any] = content["state"]
    return state
