"""What a checkpoint says of itself (``model.json``), read without torch."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from gliamap.config import ModelSpec
from gliamap.errors import FileError
from gliamap.io.atomic import read_json


def read_spec(folder: Path) -> ModelSpec:
    """Read and check ``model.json``."""
    path = folder / "model.json"
    if not path.is_file():
        raise FileError(
            f"{folder} is not a model",
            expected="model.json and the weights that it names in it",
            remedy="name a run folder of gliamap train, or its best/ or last/",
        )
    try:
        return ModelSpec.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FileError(
            f"{path} does not describe a model of this version",
            found=f"{where}: {first['msg']}" if where else first["msg"],
            remedy="use the gliamap version that wrote it",
        ) from error
