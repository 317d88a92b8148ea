"""Files that appear whole or not at all: written beside their target and renamed."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gliamap.errors import FileError, OutputError
from gliamap.io.archive import open_binary

_LEFT = (".part-*", ".tmp??????")
"""Names of temporary files: those of this module, and those that safetensors makes beside the file it was given."""

_KEPT = 24  # characters of a target's name in its temporary one: a long name has no room for more


@contextmanager
def atomic_path(target: Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary path beside ``target``, renamed over it when the block ends well and removed when it does not.

    The temporary name starts with ``.part-`` and ends as the target does, because writers choose their format by
    suffix. Missing parent folders are made. The block is for writing only: an ``OSError`` in it becomes
    an ``OutputError``. Where ``durable``, the content is on the disk before the name is: a power failure leaves the
    old file or the new one, never an empty one.
    """
    part = target.with_name(f".part-{os.getpid()}-{secrets.token_hex(4)}-{target.name[-_KEPT:]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if durable:
            _flush(part)
        part.replace(target)
        if durable:
            _flush(target.parent)
    except OSError as error:
        raise _not_writable(target, error) from error
    finally:
        _remove(part)


def _flush(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed left in ``folder`` itself. For folders that nobody else writes to."""
    for pattern in _LEFT:
        for part in folder.glob(pattern):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                _remove(part)


@contextmanager
def atomic_files(folder: Path) -> Iterator[Path]:
    """A temporary folder inside ``folder``, whose files are moved up together when the block ends well.

    For files that belong together: where one cannot be made, none appears. JSON files, which tell of the others, come
    last. Files in folders keep them. ``folder`` is made where it is missing. The temporary folder is removed in any
    case; its name starts with ``.part-``. ``OutputError`` where ``folder`` cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".part-", dir=folder) as name:
            yield Path(name)
            made = (path for path in Path(name).rglob("*") if path.is_file())
            for path in sorted(made, key=lambda path: (path.suffix == ".json", path)):
                target = folder / path.relative_to(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
    except OSError as error:
        raise _not_writable(folder, error) from error


def _not_writable(target: Path, error: OSError) -> OutputError:
    final = Path(*(part for part in target.parts if not part.startswith(".part-")))
    return OutputError(
        f"{final} cannot be written",
        found=error.strerror or str(error),
        remedy="check the folder's permissions and the free space, or choose another output",
    )


def _remove(part: Path) -> None:
    # The folder itself may be what could not be made: then there is nothing to remove.
    if part.is_file():
        part.unlink()


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write ``text`` as UTF-8, atomically; for ``durable`` see :func:`atomic_path`.

    What UTF-8 cannot hold, as in file names of other encodings, is written as ``\\udcff``: JSON reads it back.
    """
    with atomic_path(path, durable=durable) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, data: Any, *, durable: bool = False) -> None:
    """Write ``data`` as indented JSON, atomically; for ``durable`` see :func:`atomic_path`.

    NaN and infinity are not JSON: ``ValueError``, use ``None``.
    """
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n", durable=durable)


def read_json(path: Path) -> Any:
    """The content of a JSON file, which may lie in an archive; ``FileError`` where it is missing or damaged."""
    try:
        with open_binary(path) as stream:
            return json.loads(stream.read().decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist", expected="a JSON file", remedy="check the path") from error
    except OSError as error:
        raise FileError(f"{path} cannot be read", found=error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise FileError(
            f"{path} is not valid JSON", found=str(error), remedy="restore the file, or make it again"
        ) from error
