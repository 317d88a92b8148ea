"""The cards of the models that come along: hand-written parts from ``tools/models/NAME.md``, tables from results."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from gliamap.models.shipped import SHIPPED
from model_tables import MODELS

_MARKER = re.compile(r"^<!-- (?:table: .*|end) -->\n", re.MULTILINE)

Fill = Callable[[str], str]
"""Makes the marked tables of a text."""


def card_text(name: str, fill: Fill) -> str:
    """The text of the card of a model, without markers."""
    return _MARKER.sub("", fill((MODELS / f"{name}.md").read_text(encoding="utf-8")))


def cards(fill: Fill) -> dict[Path, str]:
    """What the card of each shipped model should hold."""
    names = [path.stem for path in sorted(MODELS.glob("*.md")) if (SHIPPED / path.stem / "model.json").is_file()]
    return {SHIPPED / name / "CARD.md": card_text(name, fill) for name in names}
