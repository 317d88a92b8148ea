"""Which label convention the masks of a data set have: the one place where it is decided, and why it was.

In this order: what the user says, the layout, the values in the masks, the anatomy of a few cases. Where doubt remains,
nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from gliamap.case import CaseFiles, DataSet
from gliamap.checks.meaning import Evidence, settle, tell_convention
from gliamap.errors import GliamapError, LabelError
from gliamap.io.cases import read_case, read_mask_file
from gliamap.io.images import is_image
from gliamap.labels import CONVENTIONS, Convention, get_convention, resolve_convention, values_in

ALONE = 5
"""From so many masks on that hold 1 and nothing else, 1 is plain tumour: elsewhere some case shows another value."""

_SLICES = 20  # that are looked at in place of one volume
_LISTED = 64  # values kept of a mask; no convention has more than four
_BINARY = CONVENTIONS["binary"]
_Item = TypeVar("_Item")


class How(StrEnum):
    """What told the convention."""

    CHOSEN = "chosen"
    LAYOUT = "layout"
    VALUES = "values"
    ANATOMY = "anatomy"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True)
class Group:
    """The labelled cases of which the layout allows the same conventions (``allowed``), and what was found of them.

    ``candidates`` is one convention where it is told, several or none where it is not; ``why`` says it to the user.
    ``values`` are all that the masks hold which were read, background excluded.
    """

    allowed: tuple[str, ...]
    how: How
    why: str
    candidates: tuple[Convention, ...]
    values: tuple[int, ...] = ()

    @property
    def convention(self) -> Convention | None:
        """The convention, where it is told."""
        return None if self.how == How.UNKNOWN else self.candidates[0]


@dataclass(frozen=True)
class Settled:
    """The conventions of a data set: one group where its layout speaks of all cases alike, none without masks."""

    root: Path
    groups: tuple[Group, ...]

    @property
    def convention(self) -> Convention | None:
        """The one convention of all cases; ``None`` where it is not told, differs between cases, or none has a mask."""
        found = {group.convention.name if group.convention else None: group.convention for group in self.groups}
        return next(iter(found.values())) if len(found) == 1 else None

    @property
    def told(self) -> bool:
        """Every case has its convention."""
        return all(group.convention is not None for group in self.groups)

    @property
    def why(self) -> str:
        """What told the convention, or why it cannot be told, in words."""
        if len(self.groups) == 1:
            return self.groups[0].why
        named = ((group.convention.name if group.convention else "not told", group.why) for group in self.groups)
        return "; ".join(f"{name}: {why}" for name, why in named) or "no case has a mask"

    @property
    def candidates(self) -> tuple[Convention, ...]:
        """All conventions that any of the cases may have."""
        return tuple({found.name: found for group in self.groups for found in group.candidates}.values())

    def narrow(self, data: DataSet) -> DataSet:
        """``data`` with the conventions of each case narrowed to its own, wherever it is told."""
        told = {group.allowed: (group.convention.name,) for group in self.groups if group.convention}
        cases = (replace(case, conventions=told.get(case.conventions, case.conventions)) for case in data.cases)
        return replace(data, cases=tuple(cases))

    def apply(self, data: DataSet) -> DataSet:
        """:meth:`narrow`, or ``LabelError`` where a convention is not told."""
        for group in self.groups:
            if group.convention is None:
                raise _doubt(self.root, group)
        return self.narrow(data)


def settle_convention(
    data: DataSet,
    chosen: str | None = None,
    *,
    sample: int = 3,
    masks: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Settled:
    """The label convention of the masks in ``data``; ``chosen`` wins over all that the data set says.

    Where a layout allows several, the masks of all its cases are read, or ``masks`` of them, evenly spread. A mask
    that cannot be read, or fits none, is no reason to doubt the others: it fails by itself where it is used. The
    anatomy is that of ``sample`` cases. ``progress`` is called with the masks read, those to read, and a case id.
    ``LabelError`` where there is no convention ``chosen``; doubt is no error here, see :meth:`Settled.apply`.
    """
    if chosen is not None:
        get_convention(chosen)
    labelled: dict[tuple[str, ...], list[CaseFiles]] = {}
    for case in data.cases:
        if case.labels is not None:
            labelled.setdefault(case.conventions, []).append(case)
    groups = []
    for allowed, cases in labelled.items():
        if chosen is not None:
            groups.append(Group(allowed, How.CHOSEN, "as asked for", (get_convention(chosen),)))
        elif len(allowed) == 1:
            groups.append(Group(allowed, How.LAYOUT, "the layout says so", (get_convention(allowed[0]),)))
        else:
            read = _read_values(evenly(cases, masks) if masks else cases, progress)
            groups.append(_by_reading(read, allowed, sample))
    return Settled(data.root, tuple(groups))


def evenly(items: Sequence[_Item], count: int) -> list[_Item]:
    """At most ``count`` of the items, evenly spread, in their order."""
    if len(items) <= count:
        return list(items)
    return [items[int((number + 0.5) * len(items) / count)] for number in range(count)]


def _by_reading(read: Sequence[tuple[CaseFiles, tuple[int, ...]]], allowed: tuple[str, ...], sample: int) -> Group:
    """What masks tell of which the layout allows several conventions, or says nothing."""
    candidates = [get_convention(name) for name in allowed or CONVENTIONS]
    found, values = _by_values(candidates, [present for _, present in read])
    fitting = [(case, present) for case, present in read if _fits(present, found)]
    told = f"the values {_named(values)} of {_masks(len(fitting))}"
    if len(found) == 1:
        return Group(allowed, How.VALUES, f"{told} say so" if values else "the masks are empty", found, values)
    if not found:
        why = f"the values {_named(values)} of {_masks(len(read))} fit none" if read else "no mask could be read"
        return Group(allowed, How.UNKNOWN, why, tuple(candidates), values)
    if values == (1,) and _BINARY in found and len([present for _, present in fitting if present]) >= ALONE:
        return Group(allowed, How.VALUES, f"{_masks(len(fitting))} hold 1 and nothing else", (_BINARY,), values)
    anatomy, why = _by_anatomy(fitting, found, sample)
    if anatomy is not None:
        return Group(allowed, How.ANATOMY, f"the anatomy says so: {why}", (anatomy,), values)
    names = " and ".join(convention.name for convention in found)
    return Group(allowed, How.UNKNOWN, f"{told} fit {names}, and the anatomy does not decide: {why}", found, values)


def _read_values(
    cases: Sequence[CaseFiles], progress: Callable[[int, int, str], None] | None
) -> list[tuple[CaseFiles, tuple[int, ...]]]:
    """The cases whose mask can be read, and its values."""
    read = []
    for number, case in enumerate(cases):
        assert case.labels is not None
        if progress:
            progress(number, len(cases), case.case_id)
        try:
            read.append((case, values_in(read_mask_file(case.labels)[0])[:_LISTED]))
        except GliamapError:
            continue
    return read


def _by_values(
    candidates: Sequence[Convention], masks: Sequence[tuple[int, ...]]
) -> tuple[tuple[Convention, ...], tuple[int, ...]]:
    """The candidates that fit the most masks, one for each meaning; and the values of the masks that they fit."""
    fitted = {c.name: sum(_fits(present, [c]) for present in masks) for c in candidates}
    most = max(fitted.values())
    best = [c for c in candidates if fitted[c.name] == most and most > 0]
    present = tuple(sorted({value for mask in masks if _fits(mask, best) or not best for value in mask}))
    meanings: dict[tuple[int | None, ...], Convention] = {}
    for convention in best:
        meanings.setdefault(tuple(convention.values.get(value) for value in present), convention)
    return tuple(meanings.values()), present


def _fits(present: Sequence[int], conventions: Sequence[Convention]) -> bool:
    return any(all(value in convention.values for value in present) for convention in conventions)


def _by_anatomy(
    masks: Sequence[tuple[CaseFiles, tuple[int, ...]]], candidates: Sequence[Convention], sample: int
) -> tuple[Convention | None, str]:
    """What a few cases say that show all values between them; those that cannot be read say nothing."""
    first = masks[0][0].labels
    count = sample * (_SLICES if first is not None and is_image(first) else 1)
    return settle([_evidence(case, candidates) for case in _telling(masks, count)], candidates)


def _telling(masks: Sequence[tuple[CaseFiles, tuple[int, ...]]], count: int) -> list[CaseFiles]:
    """Cases that show all values of the set between them, then others with as many values as there are in one."""
    chosen: list[CaseFiles] = []
    unseen = {value for _, present in masks for value in present}
    while unseen and len(chosen) < count:
        case, present = max(masks, key=lambda mask: len(unseen & set(mask[1])))
        chosen.append(case)
        unseen -= set(present)
    most = max(len(present) for _, present in masks)
    rest = [case for case, present in masks if len(present) == most and case not in chosen]
    return chosen + evenly(rest, count - len(chosen))


def _evidence(files: CaseFiles, candidates: Sequence[Convention]) -> Evidence | None:
    assert files.labels is not None
    try:
        case = read_case(files, with_labels=False)
        values, grid = read_mask_file(files.labels)
    except GliamapError:
        return None
    return tell_convention(case.image, case.modalities, values, candidates) if grid.same_as(case.grid) else None


def _doubt(root: Path, group: Group) -> LabelError:
    try:
        resolve_convention(group.values, group.candidates)
    except LabelError as error:
        return LabelError(f"{root}: {error.what}", found=error.found, expected=error.expected, remedy=error.remedy)
    return LabelError(
        f"{root}: the label convention of the masks is not told", found=group.why, remedy="name it with --labels"
    )


def _named(values: Sequence[int]) -> str:
    return ", ".join(str(value) for value in values[:8]) + (" ..." if len(values) > 8 else "")


def _masks(count: int) -> str:
    return f"{count} mask{'' if count == 1 else 's'}"
