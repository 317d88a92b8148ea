"""The tables of a comparison: what was not run says so, nothing is ranked, words say what was equal."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from comparisons import FIGSHARE, MSD, arm, comparison, four, not_run, on_other
from gliamap.comparison.as_csv import comparison_rows, run_rows
from gliamap.comparison.as_markdown import markdown_of
from gliamap.comparison.nouns import Budget, CaseFigures, ComparedData, RunResult
from gliamap.comparison.tables import elsewhere_tables, lacking_of, matrix_table, tables_of, words_of
from gliamap.labels import Region
from gliamap.scoring.estimate import Estimate
from test_scoring_text_table import printed

NETWORKS = ("unet", "residual-unet", "residual-encoder-unet", "unet++", "attention-unet", "dynunet", "segresnet",
            "swin-unet", "swin-unetr", "unetr", "mednext", "deeplabv3", "fcn", "lraspp")  # fmt: skip


def test_dice_by_eye() -> None:
    dice, others, costs = tables_of(four())
    assert dice.title == "msd-t1gd-2d: Dice"
    assert dice.rows == (
        ("WT", "unet", "0.600 [0.570, 0.630]", "-", "baseline"),
        ("WT", "dynunet", "0.630 [0.600, 0.660]", "+0.030 [+0.010, +0.050]", "higher"),
        ("WT", "attention-unet", "0.610 [0.580, 0.640]", "+0.010 [-0.010, +0.030]", "not told apart"),
        ("WT", "lraspp", "0.550 [0.520, 0.580]", "-0.050 [-0.080, -0.020]", "lower"),
        ("WT", "swin-unet", "not run", "not run", "not run"),
    )
    assert others.rows[0][:3] == ("WT", "unet", "40.0 [36.0, 44.0]")
    assert others.rows[0][-1] == "+20.0 [-5.0, +45.0]"
    assert costs.rows[1] == ("dynunet", "2 of 2", "2,000", "15.0", "5.65 M", "5.0", "0.40", "1,234")
    assert costs.rows[4] == ("swin-unet", "0 of 2", *["not run"] * 6)


def test_rows_keep_their_order_in_every_region() -> None:
    dice = tables_of(four(tuple(Region)))[0]
    names = ["unet", "dynunet", "attention-unet", "lraspp", "swin-unet"]
    assert [row[:2] for row in dice.rows] == [(region, name) for region in ("WT", "TC", "ET") for name in names]


def test_seeds_are_shown_where_there_are_several() -> None:
    arms = (arm("a", each_seed=(0.5, 0.7)), arm("b", 0.7, (0.1, 0.05, 0.2)), not_run("c"))
    seeds = tables_of(comparison(*arms))[1]
    assert seeds.head == ("Region", "Arm", "Seed 0", "Seed 1")
    assert seeds.rows == (
        ("WT", "a", "0.500", "0.700"),
        ("WT", "b", "0.700", "not run"),
        ("WT", "c", "not run", "not run"),
    )


def test_nothing_run_yet_is_a_table_all_the_same() -> None:
    for table in tables_of(comparison(not_run("a"), not_run("b"))):
        assert [row[-1] for row in table.rows] == ["not run"] * 2


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget("minutes", 15), "Equal time: each training has 15 minutes"),
        (Budget("steps", 2000), "Equal steps: each training takes 2000 steps"),
        (None, "neither time nor steps are equal"),
    ],
)
def test_the_words_say_what_was_equal(budget: Budget | None, words: str) -> None:
    assert words in words_of(comparison(arm("a"), budget=budget))[0]


def test_the_words_say_what_is_not_known() -> None:
    text = " ".join(words_of(comparison(arm("a", data=FIGSHARE.name), data=(FIGSHARE,))))
    assert "as far as patients are known" in text and "405 cases of unknown patients in folds 0, 1." in text
    assert "intervals are too narrow" in text and "One seed" in text and "WT: whole tumour" in text
    known = " ".join(words_of(comparison(arm("a", each_seed=(0.5, 0.6)))))
    assert (
        "chose a checkpoint. " in known
        and "One seed" not in known
        and "405 cases of 45 patients in folds 0, 1." in known
    )
    assert "too high" not in known
    assert "These scores are too high" in words_of(comparison(arm("a"), split="record"))[1]


def test_the_words_name_arms_that_were_tested_on_fewer_cases() -> None:
    few = arm("b", 0.5, (-0.1, -0.2, 0.1))
    less = replace(few.figures[Region.WT]["dice"], cases=200, patients=22)
    few = replace(few, figures={Region.WT: {**few.figures[Region.WT], "dice": less}})
    assert "of 45 patients in folds 0, 1, b on 200 of these." in words_of(comparison(arm("a"), few))[2]
    assert "nothing is tested yet" in words_of(comparison(not_run("a")))[2]


def test_many_differences_are_warned_of() -> None:
    def said(count: int) -> bool:
        others = [arm(f"b{n}", 0.6, (0.0, -0.1, 0.1)) for n in range(count)]
        return any("by chance" in line for line in words_of(comparison(arm("a"), *others)))

    assert not said(4) and said(5)


def test_few_patients_are_warned_of() -> None:
    def said(patients: int) -> bool:
        other = arm("b", 0.6, (0.0, -0.1, 0.1))
        gain = {Region.WT: replace(other.gain[Region.WT], patients=patients)}
        lines = words_of(comparison(arm("a"), replace(other, gain=gain)))
        return any("fewer than 6 patients the intervals are too narrow" in line for line in lines)

    assert said(5) and not said(6)


def test_all_networks_and_regions_fit_100_columns() -> None:
    arms = [arm("msd-t1gd, unet, dice-ce", regions=tuple(Region), each_seed=(0.5, 0.6, 0.7))]
    arms += [
        arm(f"msd-t1gd, {name}, dice-ce", 0.5, (-0.1, -0.111, -0.09), regions=tuple(Region)) for name in NETWORKS[1:]
    ]
    elsewhere = tuple(
        on_other(MSD.name, name, 0.5, arm=arms[0].arm) for name in (FIGSHARE.name, "btp-t1c", "brats-t1c")
    )
    for table in tables_of(comparison(*arms, elsewhere=elsewhere)):
        lines = printed(table)
        assert max(map(len, lines)) <= 100
        assert not any("…" in line for line in lines)


def test_the_matrix_by_eye() -> None:
    arms = (arm("unet", 0.6), arm("unet", 0.5, data=FIGSHARE.name))
    elsewhere = (
        on_other(MSD.name, FIGSHARE.name, 0.3),
        on_other(MSD.name, "btp-t1c", None, lacking="no such modality"),
        on_other(FIGSHARE.name, MSD.name, 0.2),
    )
    found = comparison(*arms, data=(MSD, FIGSHARE), elsewhere=elsewhere)
    matrix, how = elsewhere_tables(found)
    assert matrix.head == ("Arm", "Trained on", "msd-t1gd-2d (brains)", "figshare-t1c (heads)", "btp-t1c (brains)")
    assert matrix.rows == (
        ("unet", "msd-t1gd-2d (brains)", "0.600 [0.570, 0.630]", "0.300 [0.270, 0.330]", "not run"),
        ("unet", "figshare-t1c (heads)", "0.200 [0.170, 0.230]", "0.500 [0.470, 0.530]", "not run"),
    )
    assert how.rows == (
        ("unet", "msd-t1gd-2d to figshare-t1c", "brains to heads", "t1c from t1gd", "1.10", "30", "300", "4"),
        ("unet", "msd-t1gd-2d to btp-t1c", "brains to brains", "t1c from t1gd", *["not run"] * 4),
        ("unet", "figshare-t1c to msd-t1gd-2d", "heads to brains", "t1c from t1gd", "1.10", "30", "300", "4"),
    )
    alike = comparison(*arms, elsewhere=(on_other(MSD.name, "brats-t1c", 0.3),))
    assert elsewhere_tables(alike)[-1].head[4] == "Head size"
    assert elsewhere_tables(alike)[-1].rows[0][4] == "1.96 (resampled)"
    unknown = replace(elsewhere[1], tested_foreground="unknown")
    assert matrix_table(comparison(*arms, elsewhere=(unknown,)), Region.WT).head[-1] == "btp-t1c (unknown)"
    assert {row[2] for row in matrix_table(found, Region.ET).rows} == {"-"}  # run, but not for that region
    assert lacking_of(found) == {"unet, trained on msd-t1gd-2d, tested on btp-t1c": "no such modality"}


def test_what_is_lacking_is_named_with_its_reason() -> None:
    assert lacking_of(four()) == {"swin-unet on msd-t1gd-2d, seed 0, fold 0": "out of memory"}
    both = not_run("a", {"seed 0, fold 0": "no memory", "seed 0, fold 1": "no memory"})
    assert lacking_of(comparison(both)) == {"a on msd-t1gd-2d": "no memory"}
    three = replace(both, runs_wanted=3)
    assert lacking_of(comparison(three)) == {"a on msd-t1gd-2d, seed 0, fold 0 and seed 0, fold 1": "no memory"}


def test_the_csv_has_a_row_an_arm_data_set_and_region() -> None:
    rows = list(csv.DictReader(io.StringIO(comparison_rows(four((Region.WT, Region.ET))))))
    assert [(row["arm"], row["region"]) for row in rows[:3]] == [("unet", "WT"), ("unet", "ET"), ("dynunet", "WT")]
    assert (rows[2]["dice_mean"], rows[2]["gain_low"], rows[2]["verdict"]) == ("0.63", "0.01", "higher")
    assert (rows[2]["folds"], rows[2]["patients"], rows[2]["seconds_per_case"]) == ("0 1", "45", "0.4")
    assert (rows[0]["gain_mean"], rows[0]["dice_each_seed"]) == ("", "0.6")
    assert (rows[-1]["arm"], rows[-1]["verdict"], rows[-1]["dice_mean"], rows[-1]["steps"]) == (
        "swin-unet", "not run", "", "",
    )  # fmt: skip


def test_the_cases_of_every_run_are_rows() -> None:
    of = {Region.WT: {"dice": 0.5, "hd95": 2.0, "surface_dice": None, "volume_difference": -3.0}}
    run = RunResult("unet", MSD.name, 1, 0, None, (CaseFigures("case", "patient", of),))
    (row,) = csv.DictReader(io.StringIO(run_rows([run, replace(run, cases=())])))
    assert (row["arm"], row["seed"], row["case_id"], row["dice"]) == ("unet", "1", "case", "0.5")
    assert row["tested_on"] == MSD.name
    (row,) = csv.DictReader(io.StringIO(run_rows([replace(run, tested_on="brats21")])))
    assert (row["data"], row["tested_on"]) == (MSD.name, "brats21")


def test_other_data_sets_have_rows_and_differences_of_their_own() -> None:
    gain = Estimate(0.02, 0.01, 0.03, 0.02, 0.02, 30, 30)
    strong = replace(
        on_other(MSD.name, "brats21", 0.5, arm="strong"), gain={Region.WT: gain}, verdict={Region.WT: "higher"}
    )
    found = comparison(arm("unet"), elsewhere=(on_other(MSD.name, "brats21", 0.48), strong))
    _, gains, _ = elsewhere_tables(found)
    assert gains.rows == (("WT", "strong", "msd-t1gd-2d to brats21", "+0.020 [+0.010, +0.030]", "higher"),)
    last = list(csv.DictReader(io.StringIO(comparison_rows(found))))[-1]
    assert (last["arm"], last["data"], last["tested_on"], last["gain_mean"], last["steps"]) == (
        "strong", MSD.name, "brats21", "0.02", "",
    )  # fmt: skip


def test_markdown_holds_all_of_it() -> None:
    text = markdown_of(replace(four(), notes=("a remark",)))
    for words in (
        "# Comparison with unet",
        "- Equal time",
        "**msd-t1gd-2d: Dice**",
        "| WT | swin-unet | not run | not run | not run |",
        "## Not run\n\n- swin-unet on msd-t1gd-2d, seed 0, fold 0: out of memory",
        "- a remark",
        "Commit `0123456789` on a machine.",
    ):
        assert words in text
    assert "On other data sets" not in text


def test_volumes_have_their_units() -> None:
    mm = ComparedData(MSD.name, "folds", "mm", True, "")
    others = tables_of(comparison(arm("a"), data=(mm,)))[1]
    assert others.head[2] == "HD95, mm" and others.head[-1] == "Volume error, mL"
