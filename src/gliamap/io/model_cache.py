"""Networks made ready for an engine, kept in the user's cache folder so that only the first start waits for it.

An entry is a folder, called after what it was made of. It appears whole, by renaming, and says the hash of each of its
files: what does not fit them is made anew. One process at a time looks there; another one that wants the same network
waits and finds it made.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from gliamap.errors import FileError, OutputError
from gliamap.io.atomic import read_json, remove_leftovers, write_json
from gliamap.io.checkpoint import file_sha256
from gliamap.io.lock import alone

logger = logging.getLogger(__name__)

MOST_BYTES = 2 * 10**9
"""What all entries together may take: some dozens of networks. Those that were not used for longest go first."""

_RECORD = "entry.json"


def cache_folder() -> Path:
    """``GLIAMAP_CACHE``; else ``gliamap`` in ``XDG_CACHE_HOME``, which is ``~/.cache`` where it is not set."""
    if named := os.environ.get("GLIAMAP_CACHE"):
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "gliamap"


@contextmanager
def kept_files(made_of: Mapping[str, str], make: Callable[[Path], None]) -> Iterator[Path]:
    """A folder with the files that ``make`` writes into the folder it is given; they are to be read in the block.

    They are those of an earlier time where ``made_of``, which must name all that they depend on, is the same. A damaged
    entry is made anew, with a remark in the log. Where the cache cannot be written, what it holds is used, and other
    files are made for this block alone. Errors of ``make`` are passed on, and leave nothing behind.
    """
    entry = cache_folder() / hashlib.sha256(json.dumps(dict(made_of), sort_keys=True).encode()).hexdigest()[:32]
    with ExitStack() as stack:
        try:
            stack.enter_context(alone(entry.parent, wait=True))
            _keep(entry, made_of, make)
        except (OSError, OutputError) as error:
            if not _whole(entry):
                logger.warning("a network is made ready for this time alone: %s", error)
                entry = Path(stack.enter_context(TemporaryDirectory(prefix="gliamap-")))
                make(entry)
        yield entry


def _keep(entry: Path, made_of: Mapping[str, str], make: Callable[[Path], None]) -> None:
    """Make the entry, unless it is there."""
    folder = entry.parent
    if entry.exists():
        if _whole(entry):
            os.utime(entry / _RECORD)
            return
        logger.warning("%s was damaged and is made anew", entry)
        _remove(entry)
    remove_leftovers(folder)
    with TemporaryDirectory(prefix=".part-", dir=folder) as name:
        part = Path(name) / entry.name
        part.mkdir()
        make(part)
        digests = {path.name: file_sha256(path) for path in sorted(part.iterdir())}
        write_json(part / _RECORD, {"made_of": dict(made_of), "sha256": digests})
        part.rename(entry)
    _bound(folder, entry)


def _whole(entry: Path) -> bool:
    """Every file of the entry has the hash that it had when it was made."""
    try:
        digests = read_json(entry / _RECORD)["sha256"]
        return all(file_sha256(entry / name) == digest for name, digest in digests.items())
    except (FileError, OSError, KeyError, TypeError, AttributeError):
        return False


def _bound(folder: Path, newest: Path) -> None:
    """Remove what was not used for longest until all entries fit; never ``newest``."""
    others = [record.parent for record in folder.glob("*/" + _RECORD) if record.parent != newest]
    room = MOST_BYTES - _bytes(newest)
    for entry in sorted(others, key=lambda entry: (entry / _RECORD).stat().st_mtime, reverse=True):
        room -= _bytes(entry)
        if room < 0:
            _remove(entry)


def _bytes(entry: Path) -> int:
    return sum(path.stat().st_size for path in entry.iterdir())


def _remove(entry: Path) -> None:
    """Remove a folder, or the file that stands in its place."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
