"""Artefacts as bytes: tensors and plain values, which a reader trusts only as they were written."""

import io
import zipfile
from typing import Any

import torch

from ncs.errors import TrainingError


def pack(value: dict[str, Any]) -> bytes:
    """An artefact's bytes: torch's own format, a zip whose members carry checksums."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def unpack(content: bytes, path: str) -> dict[str, Any]:
    """What `pack` was given; no code in it is run. Raises TrainingError that names `path` if a bit has changed."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            broken = members.testzip()  # torch.load does not look at the checksums
        if broken:
            raise ValueError(f"the checksum of {broken} differs")
        return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as err:
        raise TrainingError(f"{path} cannot be read ({err}); remove it and train again") from None
