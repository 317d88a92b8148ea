"""What the names of labels say: the field's words, labels and regions, and no guess where they say too little."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import make
from gliamap.errors import LabelError
from gliamap.labels import CONVENTIONS, REGION_NAMES, REGION_TISSUES, TISSUE_NAMES, Convention, Region, Tissue
from gliamap.sources.label_names import Values, conventions_from_names, means_tumour, named_values, told_by_names

# As data sets write them.
WRITTEN: list[tuple[str, dict[str, Values], tuple[str, ...]]] = [
    ("MSD Task01", {"background": 0, "edema": 1, "non-enhancing tumor": 2, "enhancing tumour": 3}, ("msd",)),
    ("nnU-Net's docs", {"background": 0, "edema": 1, "non_enhancing_and_necrosis": 2, "enhancing_tumor": 3}, ("msd",)),
    ("nnU-Net Dataset137", {"whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]}, ("msd",)),
    ("MSD by abbreviations", {"ED": 1, "NET": 2, "ET": 3}, ("msd",)),
    ("BraTS 2023 by abbreviations", {"NCR": 1, "ED": 2, "ET": 3}, ("brats2023",)),
    ("BraTS 2023 as regions", {"WT": [1, 2, 3], "TC": [1, 3], "ET": 3}, ("brats2023",)),
    ("BraTS 2023 MEN", {"NETC": 1, "SNFH": 2, "ET": 3}, ("brats2023",)),
    ("BraTS 2024", {"background": 0, "NETC": 1, "SNFH": 2, "ET": 3, "RC": 4}, ("brats2024",)),
    (
        "BraTS 2024 as regions",
        {"whole_tumor": [1, 2, 3], "tumor_core": [1, 3], "enhancing_tumor": [3], "resection_cavity": [4]},
        ("brats2024",),
    ),
    ("BraTS 2024 in words", {
        "non-enhancing tumor core": 1, "surrounding non-enhancing FLAIR hyperintensity": 2, "enhancing tissue": 3,
        "Resection Cavity": 4,
    }, ("brats2024",)),
    ("BraTS 2021", {"NCR/NET": 1, "peritumoral edematous/invaded tissue": 2, "GD-enhancing tumor": 4}, ("brats2021",)),
    ("BraTS-PED", {"ET": 1, "NonEnh": 2, "Cystic": 3, "Edema": 4}, ("brats-ped",)),
    ("BraTS-PED as regions", {"whole tumor": [1, 2, 3, 4], "core": [1, 2, 3], "enhancing": 1}, ("brats-ped",)),
    ("BRATS 2013", {"necrosis": 1, "oedema": 2, "non-enhancing tumor": 3, "enhancing tumor": 4}, ("brats2013",)),
    ("BRATS 2012", {"edema": 1, "tumor core": 2}, ("brats2012",)),
    ("BRATS 2012 as regions", {"whole tumour": [1, 2], "tumour core": 2}, ("brats2012",)),
    ("binary", {"background": 0, "tumor": 1}, ("binary",)),
    ("binary, one in a list", {"background": [0], "Lesion": [1]}, ("binary",)),
    ("binary255", {"glioma": 255}, ("binary255",)),
    ("words put together", {"PeritumoralEdema": 1, "NecroticCore": 2, "EnhancingTumour": 3}, ("msd",)),
    ("regions and labels", {"whole tumor": [1, 2, 3], "edema": 1, "necrosis": 2, "enhancing": 3}, ("msd",)),
    # Where names leave room, all that is possible is said.
    ("a part of the values", {"edema": 1}, ("msd", "brats2012")),
    ("only the whole", {"tumor": [1, 2, 3]}, ("brats2023", "msd")),
]  # fmt: skip

NOT_UNDERSTOOD: list[dict[str, Values]] = [
    {},
    {"background": 0},
    {"kidney": 1, "tumor": 2},
    {"edema": 1, "class 2": 2},
    {"gray matter": 1, "white matter": 2, "CSF": 3},
    {"infiltrating tumor": 1},
    {"tumor edema": 1},  # the edema of a tumour, or both?
    {"non-enhancing lesion": 1},  # edema for some
    {"edema": 0, "enhancing tumor": 1},  # nothing but background can be 0
    {"whole tumor": [1, 2], "tumor core": [2, 3]},  # the core lies outside
    {"": 1},
]

NO_CONVENTION: list[dict[str, Values]] = [
    {"ET": 1, "ED": 2, "NCR": 3},
    {"necrotic_core": 1, "enhancing_tumor": 2, "edema": 3},
    {"whole tumor": 1, "tumor core": 2, "enhancing tumor": 3},  # regions one cannot draw over each other
    {"tumor": 7},
    {"edema": 1, "necrosis": 1, "enhancing tumor": 3},  # one value, two tissues
]


@pytest.mark.parametrize(("labels", "expected"), [w[1:] for w in WRITTEN], ids=[w[0] for w in WRITTEN])
def test_as_data_sets_write_them(labels: dict[str, Values], expected: tuple[str, ...]) -> None:
    assert conventions_from_names(labels) == expected
    assert told_by_names(labels, "dataset.json").conventions == expected


@pytest.mark.parametrize("labels", NOT_UNDERSTOOD, ids=str)
def test_what_is_not_understood_says_nothing(labels: dict[str, Values]) -> None:
    assert conventions_from_names(labels) == ()
    told = told_by_names(labels, "dataset.json")
    assert told.usable and not told.understood and len(told.notes) == 1


@pytest.mark.parametrize("labels", NO_CONVENTION, ids=str)
def test_a_clear_meaning_that_is_no_convention_is_never_guessed(labels: dict[str, Values]) -> None:
    with pytest.raises(LabelError, match="as in no convention"):
        conventions_from_names(labels)
    told = told_by_names(labels, "dataset.json")
    assert told.understood and not told.usable and told.conventions == ()


def test_messages_name_the_mapping() -> None:
    with pytest.raises(LabelError, match=r"Found: 1 ET, 2 ED, 3 NCR\. Expected: brats2021 \(1 necrotic.*renumber"):
        conventions_from_names({"background": 0, "NCR": 3, "ED": 2, "ET": 1})
    assert told_by_names({"NCR": 3, "ED": 2, "ET": 1}, "dseg.tsv").notes == (
        "the masks were passed over, because dseg.tsv numbers labels as no convention does: 1 ET, 2 ED, 3 NCR",
    )
    assert told_by_names({"liver": 1, "lobes": [2, 3]}, "dseg.tsv").notes == (
        "the labels that dseg.tsv names are not understood: 1 liver, 2+3 lobes",
    )
    assert told_by_names({}, "dataset.json").notes == ("dataset.json names no labels",)


@pytest.mark.parametrize("convention", CONVENTIONS.values(), ids=CONVENTIONS.keys())
def test_our_own_names_are_understood(convention: Convention) -> None:
    for names in ({t: TISSUE_NAMES[t] for t in Tissue}, {t: t.name for t in Tissue}):
        labels = {names[tissue]: value for value, tissue in convention.values.items()}
        assert conventions_from_names({"background": 0, **labels}) == (convention.name,)


@pytest.mark.parametrize("name", ["brats2021", "brats2023", "msd", "brats-ped"])
def test_our_own_regions_are_understood(name: str) -> None:
    convention = CONVENTIONS[name]
    regions = {REGION_NAMES[region]: list(convention.region_values(region)) for region in Region}
    assert conventions_from_names(regions) == (name,)


@given(
    st.dictionaries(
        st.sampled_from(["edema", "necrosis", "NET", "enhancing tumor", "cyst", "cavity", "core", "tumor"]),
        st.integers(1, 4) | st.lists(st.integers(1, 4), max_size=4),
        max_size=5,
    )
)
def test_no_convention_contradicts_the_names(labels: dict[str, Values]) -> None:
    allowed = {
        "edema": {Tissue.ED},
        "necrosis": {Tissue.NECROSIS, Tissue.NCR},
        "NET": {Tissue.NET, Tissue.NCR},
        "enhancing tumor": {Tissue.ET},
        "cyst": {Tissue.CC},
        "cavity": {Tissue.RC},
        "core": REGION_TISSUES[Region.TC],
        "tumor": REGION_TISSUES[Region.WT],
    }
    try:
        found = conventions_from_names(labels)
    except LabelError:
        return
    for name in found:
        values = CONVENTIONS[name].values
        for label, named in labels.items():
            for value in [named] if isinstance(named, int) else named:
                assert values[value] in allowed[label]


@given(st.dictionaries(st.text(max_size=30), st.integers(-3, 300) | st.lists(st.integers(-3, 300))))
def test_any_names_give_an_answer(labels: dict[str, Values]) -> None:
    assert isinstance(told_by_names(labels, "x").usable, bool)


def test_the_two_ways_of_dataset_json() -> None:
    assert named_values(make.MSD_DESCRIPTION["labels"])["edema"] == 1
    assert named_values({"0": "background", "1": "edema", "3": "edema"}) == {"background": 0, "edema": [1, 3]}
    assert named_values({"background": 0, "all": [1, "2"], "one": "3"}) == {"background": 0, "all": [1, 2], "one": 3}


@pytest.mark.parametrize(
    "raw",
    [None, [], {}, "edema", {"edema": None}, {"edema": 1.5}, {"edema": [[1]]}, {"edema": True}, {"9" * 5000: "x"}],
    ids=lambda raw: str(raw)[:20],
)
def test_labels_of_another_form_name_nothing(raw: object) -> None:
    assert named_values(raw) == {}


def test_the_whole_tumour() -> None:
    assert all(means_tumour(name) for name in ("tumor", "Lesion", "WT", "brain tumour", "GTV"))
    assert not any(means_tumour(name) for name in ("brain", "tumor core", "ET", "tumor edema", ""))
