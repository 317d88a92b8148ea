"""How a training divides the cases of its store."""

from __future__ import annotations

from gliamap.errors import ConfigError
from gliamap.io.store import StoreInfo
from gliamap.sources.layout import summarise
from gliamap.sources.splits import Split, divided_patients, make_split, read_split
from gliamap.sources.strata import sizes_in_store
from gliamap.workflows.training.train_settings import TrainOptions


def divide_cases(info: StoreInfo, options: TrainOptions) -> Split:
    """The split asked for. A file's split is held to the closed folds, too."""
    identities = [entry.identity for entry in info.cases]
    drawn = make_split(
        identities,
        options.split.model_copy(update={"patients_known": info.patients_known}),
        sizes_in_store(info),
    )
    if options.split_file is None:
        return drawn
    if options.split.test_fold is not None:
        raise ConfigError("--split and --test-fold both say what to test on", remedy="leave one of them out")
    split = read_split(options.split_file)
    used = {*split.train, *split.val}
    unknown = used - {entry.case_id for entry in info.cases}
    if unknown:
        raise ConfigError(
            f"the split {options.split_file} names cases that the store does not have",
            found=", ".join(sorted(unknown)[:5]),
            remedy="make the split from this store, or prepare the missing cases",
        )
    closed = used & drawn.left_out.keys()
    if closed:
        raise ConfigError(
            f"the split {options.split_file} trains or validates on closed cases",
            found="; ".join(f"{case_id}: {drawn.left_out[case_id]}" for case_id in sorted(closed)[:5]),
            remedy="take these cases out of the file, or leave out --closed-fold",
        )
    torn = divided_patients(split, identities)
    if torn and not options.leaky:
        raise ConfigError(
            f"the split {options.split_file} has the same patients in more than one part",
            found=f"{len(torn)} patients: " + summarise(f"{name} ({', '.join(parts)})" for name, parts in torn.items()),
            expected="each patient in one part",
            remedy="make it by patient with gliamap split, or say --leaky: its scores do not hold for new patients",
        )
    return split
