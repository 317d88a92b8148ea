"""Any folder, by a pattern of file names: ``{case}_{modality}.nii.gz``."""

from __future__ import annotations

from pathlib import Path

from gliamap.case import DataSet


def scan_pattern(root: Path, pattern: str) -> DataSet:
    """The cases in ``root`` whose files are named by ``pattern``."""
    raise NotImplementedError
