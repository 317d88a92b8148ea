"""Where a report may be written: a file of its own, never over a scan or a mask."""

from __future__ import annotations

from pathlib import Path

from gliamap.errors import OutputError

HTML, PDF = ".html", ".pdf"
"""How the names of pages and of sheets of paper end."""


def check_output(path: Path, suffix: str, *, overwrite: bool) -> None:
    """``OutputError`` where ``path`` does not end in ``suffix``, is a folder, or is there (unless ``overwrite``).

    A mask named by mistake is no page, and so is safe from ``overwrite`` too.
    """
    if path.suffix.lower() != suffix:
        raise OutputError(
            f"{path} cannot be written",
            expected=f"a name that ends in {suffix}",
            remedy="choose another name",
        )
    if path.is_dir():
        raise OutputError(f"{path} is a folder", expected="a file", remedy="choose another name")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} is there already", remedy="choose another name, or replace it with --overwrite")
