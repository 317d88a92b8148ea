"""Progress for programs: a JSON object a line on standard output.

``{"event": "progress", "stage": "read" | "network" | "write" | "end", "share": 0.42, "case": 1, "cases": 1,
"seconds_left": 12.3 | null}``, then ``{"event": "done", "cases": 1, "failed": {…}}`` or
``{"event": "error", "what": "…", "found": "…" | null, "expected": "…" | null, "remedy": "…" | null}``.
``case`` counts from 1. Cases are numbered, not named, until something is wrong with them: names often tell who it is.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gliamap.errors import GliamapError

_NETWORK_SHARE = 0.9  # of all; the rest is for writing the last case
_TELLING = 0.05  # of the work done: before that, nothing can be said of the rest


@contextmanager
def progress_lines() -> Iterator[Callable[[float, int, str], None]]:
    """The callback of a workflow, ``(done, total, note)``, as lines; an error of the block is one, too."""
    began: float | None = None
    _write("progress", {"stage": "read", "share": 0.0, "case": 1, "cases": None, "seconds_left": None})

    def tell(done: float, total: int, note: str) -> None:
        nonlocal began
        now = time.monotonic()
        began = now if began is None else began
        part = done / total if total else 1.0
        stage = "end" if not note else "write" if done >= total else "network"
        share = 1.0 if stage == "end" else _NETWORK_SHARE * part
        left = (now - began) * (1 - share) / share if share >= _TELLING else None
        told = {"stage": stage, "share": round(share, 4), "case": min(int(done) + 1, total), "cases": total}
        _write("progress", told | {"seconds_left": None if left is None else round(left, 1)})

    try:
        yield tell
    except GliamapError as error:
        _write("error", {name: getattr(error, name) for name in ("what", "found", "expected", "remedy")})
        raise


def write_done(cases: Collection[object], failed: Mapping[str, str]) -> None:
    """The last line."""
    _write("done", {"cases": len(cases), "failed": dict(failed)})


def _write(event: str, content: Mapping[str, Any]) -> None:
    """One line, at once."""
    sys.stdout.write(json.dumps({"event": event} | dict(content), allow_nan=False) + "\n")
    sys.stdout.flush()
