"""gzip by isal, several times faster than Python's own."""

from __future__ import annotations

import zlib
from typing import Any, cast

from isal import igzip, isal_zlib

GZIP: Any = igzip.IGzipFile  # isal says little of its types
GZIP_MAGIC = b"\x1f\x8b"

UNPACKING_ERRORS = (EOFError, OverflowError, zlib.error, cast("type[Exception]", isal_zlib.error), igzip.BadGzipFile)
"""What a damaged file raises while it is unpacked, the second where its header is too long. The last is an ``OSError``:
catch these first."""
