"""A lock between processes that might work in one folder."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"


@contextmanager
def alone(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Be the only process in such a block for ``folder``, which is made; false where another is and ``wait`` is not.

    The system lets go when the process ends, however it ends, and processes that it started do not hold on: the empty
    file ``.lock`` that stays means nothing. A file system without locks is taken as it is, because a lock only guards
    against a slip here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            free = True
        except OSError as error:
            free = error.errno not in (errno.EACCES, errno.EAGAIN)
        yield free
