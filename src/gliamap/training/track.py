"""The run's log: one CSV, a row every few steps, Dice columns filled where it was validated."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from gliamap.io.atomic import atomic_path


class CsvLog:
    """Appends rows to ``path`` and flushes each, so that a killed run keeps its log.

    ``keep_until``: rows of later steps are dropped first (they will be run again after a resume); 0 starts anew.
    """

    def __init__(self, path: Path, regions: Sequence[str], *, keep_until: int) -> None:
        self._path = path
        self.columns = ["step", "seconds", "loss", "learning_rate", *(f"dice_{r}" for r in regions)]
        rows = []
        if keep_until and path.is_file():
            with path.open(newline="") as stream:
                rows = [row for row in csv.DictReader(stream) if _is_whole(row) and int(row["step"]) <= keep_until]
        with atomic_path(path) as part, part.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, self.columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)

    def add(self, values: Mapping[str, float]) -> None:
        """Append one row; columns not in ``values`` stay empty."""
        row = {key: value if isinstance(value, int) else f"{value:.6g}" for key, value in values.items()}
        with self._path.open("a", newline="") as stream:
            csv.DictWriter(stream, self.columns).writerow(row)


def _is_whole(row: Mapping[str, str | None]) -> bool:
    """The row was written to its end: a run that was killed may have left a part of one."""
    return None not in row.values() and (row.get("step") or "").isdecimal()
