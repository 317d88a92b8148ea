"""The run's log: one CSV, a row every few steps, Dice columns filled where it was validated."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from gliamap.errors import OutputError
from gliamap.io.atomic import atomic_path

LOG_EVERY = 10
"""Steps from one row to the next; a validation adds one, too."""

STAGES = ("load", "forward", "backward", "update", "validate", "save")
"""What the seconds of a step are spent on, in this order; see ``StepReport``."""


class CsvLog:
    """Appends rows to ``path`` and flushes each, so that a killed run keeps its log.

    Columns: ``step``, ``seconds`` since the start, ``loss``, ``learning_rate``, ``gradient_norm`` of the row's step;
    ``seconds_STAGE`` for each of ``STAGES``, summed since the row before; ``dice_REGION`` for each of ``regions``.

    ``keep_until``: rows of later steps are dropped first (they will be run again after a resume), as is a row cut
    short by a crash; 0 starts anew. Rows of a log with other columns keep those that are still known.
    ``OutputError`` where the file cannot be written, as on a full disk.
    """

    def __init__(self, path: Path, regions: Sequence[str], *, keep_until: int) -> None:
        self._path = path
        self.columns = ["step", "seconds", "loss", "learning_rate", "gradient_norm"]
        self.columns += [*(f"seconds_{stage}" for stage in STAGES), *(f"dice_{region}" for region in regions)]
        rows = []
        if keep_until and path.is_file():
            rows = [row for row in csv.DictReader(_lines(path)) if _is_whole(row) and int(row["step"]) <= keep_until]
        with atomic_path(path) as part, part.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, self.columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)

    def add(self, values: Mapping[str, float]) -> None:
        """Append one row; columns not in ``values`` stay empty."""
        row = {key: value if isinstance(value, int) else f"{value:.6g}" for key, value in values.items()}
        try:
            with self._path.open("a", newline="") as stream:
                csv.DictWriter(stream, self.columns).writerow(row)
        except OSError as error:
            raise OutputError(
                f"{self._path} cannot be written",
                found=error.strerror or str(error),
                remedy="check the free space, then go on with --resume",
            ) from error


def _lines(path: Path) -> list[str]:
    """The lines that were written to their end: what is left of a last one may look whole, but for a digit."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _is_whole(row: Mapping[str, str | None]) -> bool:
    """The row has all its cells and is no leftover of an earlier crash."""
    return None not in row.values() and (row.get("step") or "").isdecimal()
