"""What ``gliamap segment`` left of a case, as far as the web app shows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gliamap.errors import FileError
from gliamap.io.atomic import read_json

KINDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "mask": ((".nii.gz", "application/gzip"), (".png", "image/png")),
    "numbers": ((".json", "application/json"),),
    "report": (("_report.html", "text/html; charset=utf-8"),),
    "picture": (("_mosaic.png", "image/png"),),
}
"""The files that can be fetched: how their names may go on after the case's, with their media type."""

_MANIFEST = "segment.json"
_SHOWN_WARNINGS = 50


def read_result(out: Path, name: str) -> dict[str, Any] | None:
    """What the interface says of the outputs in ``out``; ``None`` where they are not whole."""
    try:
        manifest, summary = read_json(out / _MANIFEST), read_json(out / f"{name}.json")
        if not manifest["finished"]:
            return None
        return {
            "regions": {str(region): float(size) for region, size in summary["regions"].items()},
            "unit": str(summary["unit"]),
            "seconds": float(summary["seconds"]),
            "warnings": [{"code": one["code"], "text": one["text"]} for one in summary["warnings"][:_SHOWN_WARNINGS]],
            "files": [kind for kind in KINDS if find_output(out, name, kind)],
        }
    except (FileError, KeyError, TypeError, ValueError, AttributeError):
        return None


def find_output(out: Path, name: str, kind: str) -> tuple[Path, str] | None:
    """The file of that kind and its media type; ``None`` where it is not there."""
    for suffix, media_type in KINDS[kind]:
        path = out / (name + suffix)
        if path.is_file() and not path.is_symlink():
            return path, media_type
    return None
