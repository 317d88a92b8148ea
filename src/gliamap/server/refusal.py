"""What the web app answers where it does not do what it was asked."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from starlette.responses import JSONResponse

from gliamap.errors import GliamapError

_log = logging.getLogger(__name__)

STATUS: Mapping[str, int] = MappingProxyType(
    {
        **{"bad-request": 400, "signed-out": 401, "wrong-password": 403, "forbidden": 403, "not-found": 404},
        **{"slow": 408, "not-now": 409, "too-large": 413, "refused": 422, "too-often": 429, "failed": 500, "full": 503},
    }
)
"""The codes of errors with their HTTP status."""


class Refused(GliamapError):
    """A request that is not fulfilled; ``code`` is one of :data:`STATUS`, ``wait`` the seconds after which to retry."""

    def __init__(
        self,
        code: str,
        what: str,
        *,
        found: str | None = None,
        expected: str | None = None,
        remedy: str | None = None,
        wait: int | None = None,
    ) -> None:
        super().__init__(what, found=found, expected=expected, remedy=remedy)
        self.code = code
        self.wait = wait


class Answer(JSONResponse):
    """JSON in ASCII: file names may hold what UTF-8 cannot. Never kept by the browser."""

    def render(self, content: Any) -> bytes:
        """The content as bytes; NaN and infinity are not JSON: ``ValueError``."""
        return json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def error_json(code: str, error: GliamapError) -> dict[str, Any]:
    """An error as the interface tells it."""
    return {
        "code": code,
        "what": error.what,
        "found": error.found,
        "expected": error.expected,
        "remedy": error.remedy,
    }


def answer_to(error: GliamapError) -> Answer:
    """The answer to a request that ended in ``error``: what a file or a setting is at fault for is 422."""
    code = error.code if isinstance(error, Refused) else "refused"
    headers = {"Retry-After": str(error.wait)} if isinstance(error, Refused) and error.wait is not None else None
    return Answer({"error": error_json(code, error)}, STATUS[code], headers)


def log_unforeseen(error: Exception) -> None:
    """Say where it happened, and not what it says: that may name a file, and so a patient."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = ", ".join(f"{frame.name} in line {frame.lineno}" for frame in last)
    _log.error("a request ended in an unforeseen %s (%s)", type(error).__name__, place)
