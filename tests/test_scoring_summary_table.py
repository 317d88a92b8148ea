"""A cohort's scores and comparisons as tables and Markdown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gliamap.metrics.lesions import LesionKind
from gliamap.metrics.overlap import Counts
from gliamap.scoring.evaluation import LISTED, Evaluation
from gliamap.scoring.evaluation_markdown import markdown_of
from gliamap.scoring.paired import compare_paired
from gliamap.scoring.paired_table import MAIN, changed_table, paired_tables, paired_words
from gliamap.scoring.protocols import LEGACY, PROTOCOLS
from gliamap.scoring.strata import strata_of
from gliamap.scoring.summary import ScoredCase, Summary, summarise
from gliamap.scoring.summary_table import further_tables, strata_table, summary_tables, words_of
from scores import case, lesion, region
from test_scoring_text_table import printed


def lesion_wise(dice: float, name: str = "a") -> ScoredCase:
    """A found lesion, a missed one, two false positives; three regions."""
    kinds = (LesionKind.FOUND, LesionKind.MISSED, *[LesionKind.FALSE_POSITIVE] * 2)
    of = {"lesion_dice": dice, "lesion_hd95": 188.5, "lesion_recall": 0.5, "lesion_precision": 1 / 3}
    score = region(dice, hd95=374.0, volume_difference=-12.34, lesions=tuple(map(lesion, kinds)), **of)
    return case(name, WT=score, TC=score, ET=score)


@pytest.fixture
def summary() -> Summary:
    return summarise([lesion_wise(0.25, "a"), lesion_wise(0.75, "b")])


def test_the_main_table_by_eye() -> None:
    cases = [case("a", WT=region(0.5, hd95=4.25, volume_difference=-1.5)), case("b", missing=True, WT=0.0)]
    (table,) = summary_tables(summarise(cases))
    assert table.title == "2 patients, 2 cases"
    assert table.head == ("Region", "Dice", "HD95, mm", "Surface Dice", "Volume diff., mL")
    assert table.rows == (
        ("WT", "0.250 [0.000, 0.500]", "2.1 [0.0, 4.2]", "0.000 [0.000, 0.000]", "-0.8 [-1.5, +0.0]"),
    )


def test_a_mean_of_some_cases_says_of_how_many() -> None:
    """In the main table, in strata, in a comparison; a table without such a mean says nothing of it."""
    sizes = [region(0.5, volume_difference=None if n < 2 else 1.0, reference_volume=float(n)) for n in range(6)]
    cases = [case(f"{n}", WT=one) for n, one in enumerate(sizes)]
    (main,) = summary_tables(summarise(cases))
    assert main.title == "6 patients, 6 cases; (n of N): the n of N cases that have a value"
    assert main.rows[0][1::3] == ("0.500 [0.500, 0.500]", "+1.0 [+1.0, +1.0] (4 of 6)")
    strata = strata_table(strata_of([*cases[1:], case("7", WT=sizes[5])]), "mm")
    assert strata.title.startswith("Strata; (n of N)")
    assert [row[-1] for row in strata.rows] == ["+1.0 (1 of 2)", "+1.0 [+1.0, +1.0]", "+1.0 [+1.0, +1.0]"]
    assert ";" not in next(table.title for table in further_tables(summarise(cases)))
    recall = [case("a", WT=region(lesion_recall=1.0)), case("b", WT=region(lesion_recall=None))]
    (*_, table) = paired_tables(compare_paired(recall, recall))
    assert table.title.startswith("Lesion recall: ours against the other; (n of N)")
    assert table.rows[0][3] == "+0.000 (1 of 2)"


def test_the_words_tell_what_weakens_the_figures() -> None:
    def said(count: int, *, missing: bool = False) -> str:
        return " ".join(words_of(summarise([case(f"{n}", missing=missing, WT=1.0) for n in range(count)])))

    assert "WT: whole tumour" in said(9) and "too narrow" not in said(6) + said(1)
    assert "fewer than 6 patients the intervals are too narrow" in said(5)
    missing = said(5, missing=True)
    assert "5 cases without a prediction, at the worst of every figure that has one. Predicted volumes, v" in missing
    assert "lesions" not in missing and "Calibration" not in said(9)


def test_the_words_tell_what_is_of_some_cases_only(summary: Summary) -> None:
    assert "are missed: that lowers pooled recall" in words_of(replace(summary, missing=1))[-1]
    some = [case(f"{n}", WT=region(brier=0.1 if n < 2 else None, reference_volume=float(n))) for n in range(8)]
    said = words_of(summarise(some))
    assert "Calibration is that of 2 of 8 cases: the others have no value." in said
    assert "With fewer than 6 patients, as behind some figures, the intervals are too narrow." in said
    sized = [case(f"{n}", WT=region(reference_volume=float(n))) for n in range(12)]
    assert not any("too narrow" in line for line in words_of(summarise(sized)))
    few = "With fewer than 6 patients, as behind some strata, the intervals are too narrow."
    assert few in words_of(summarise(sized), strata_of(sized))


def test_pooled_shares_of_no_lesion_have_no_value() -> None:
    (pooled,) = (
        table
        for table in further_tables(summarise([case("a", WT=region(lesion_dice=1.0))]))
        if table.title == "Lesions of all cases"
    )
    assert pooled.rows == (("WT", "0", "0", "0", "-", "-", "1.000"),)


def test_lesions_have_tables_of_their_own(summary: Summary) -> None:
    _, table = summary_tables(summary)
    assert table.head[1:] == ("Lesion Dice", "Lesion HD95, mm", "Lesion recall", "Lesion precision")
    assert table.rows[0][1] == "0.500 [0.250, 0.750]"
    (pooled,) = (table for table in further_tables(summary) if table.title == "Lesions of all cases")
    assert pooled.rows[0] == ("WT", "2", "2", "4", "0.500", "0.333", "0.400")


def test_what_a_terminal_shows_fits_80_columns(summary: Summary) -> None:
    ours, others = ([lesion_wise(dice, f"BraTS-GLI-{n:05d}-000") for n in range(7)] for dice in (0.9, 0.1))
    paired = compare_paired(ours, others)
    for table in (*summary_tables(summary), *paired_tables(paired, MAIN), changed_table(paired)):
        lines = printed(table, 80)
        text = "\n".join(lines)
        assert max(map(len, lines)) <= 80 and "…" not in text
        pieces = [piece for cell in (*table.head, *table.rows[-1]) for piece in cell.replace(" [", "\n[").split("\n")]
        assert not [piece for piece in pieces if piece not in text]  # nothing is torn or cut


def test_further_tables_show_what_there_is() -> None:
    def titles(*cases: ScoredCase) -> list[str]:
        return [table.title for table in further_tables(summarise(cases))]

    always = ["Overlap", "With the background", "Surfaces", "Surfaces, voxel by voxel", "Volumes"]
    always += ["Dice, averaged in other ways"]
    assert titles(case("a", WT=1.0)) == always
    assert titles(case("a", WT=region(brier=0.01, lesion_fp=1.0), ET=1.0)) == [
        *always[:5],
        *("Lesions, mean of a case", "Calibration", always[5], "Enhancing tumour"),
    ]


def test_means_differ_by_how_they_are_taken() -> None:
    full, empty = region(1.0, counts=Counts(0, 0, 0, 9)), region(0.5, counts=Counts(1, 2, 0, 6))
    tables = further_tables(summarise([case("a/1", WT=full), case("a/2", WT=full), case("b", WT=empty)]))
    rows = {table.title: table.rows for table in tables}["Dice, averaged in other ways"]
    assert rows == (("WT", "0.750 [0.500, 1.000]", "0.750", "0.833", "0.500", "0.500"),)


def test_strata_have_a_row_each_and_region() -> None:
    cases = [case(f"{n}", WT=region(reference_volume=float(n)), TC=1.0) for n in range(6)]
    table = strata_table(strata_of(cases), "mm")
    assert [row[:4] for row in table.rows][:3] == [
        ("tumour volume", "up to 1.00 mL", "2", "WT"),
        ("tumour volume", "up to 1.00 mL", "2", "TC"),
        ("tumour volume", "1.00 to 3.00 mL", "2", "WT"),
    ]


def test_a_comparison_by_eye() -> None:
    ours = [case(f"p{n}", WT=0.6 + n / 100) for n in range(12)]
    paired = compare_paired([*ours, case("more", WT=0.5)], [case(f"p{n}", WT=0.5) for n in range(12)])
    surely, *_, hd95 = [*paired_tables(paired), *paired_tables(paired, ["hd95"])]
    assert surely.title == "Dice: ours against the other"
    assert surely.rows[0][:3] == ("WT", "0.655", "0.500") and surely.rows[0][4:] == ("<0.001", "<0.001", "12", "0", "0")
    assert surely.rows[0][3].startswith("+0.155 [+0.1")
    assert hd95.rows == (("WT", "0.0", "0.0", "+0.0 [+0.0, +0.0]", "-", "-", "0", "0", "12"),)
    assert changed_table(paired).rows[0] == ("p11", "WT", "0.710", "0.500", "+0.210")
    assert "12 patients, 12 cases in both" in paired_words(paired)[0] and "1 case left out" in paired_words(paired)[-1]


def test_markdown_holds_every_part() -> None:
    ours, others = ([lesion_wise(dice, f"p{n}") for n in range(7)] for dice in (0.9, 0.1))
    found = Evaluation(
        tuple(ours),
        summarise(ours),
        missing=("p3",),
        surplus=("q*",),
        prediction_conventions=("brats2021",),
        reference_conventions=("brats2023-gli",),
        notes=("a remark",),
        protocol=PROTOCOLS["brats2023-gli"],
        predictions="out",
        references="data",
        strata=strata_of([case(f"{n}", WT=region(reference_volume=float(n))) for n in range(6)]),
        paired=compare_paired(ours, others),
        other="theirs",
    )
    text = markdown_of(found)
    heads = [line for line in text.splitlines() if line.startswith("#")]
    assert heads == [
        *("# Scores of out", "## Against theirs", "## All other figures", "## Missing, scored worst"),
        *("## Without a reference", "## Notes"),
    ]
    for part in ("labels brats2021. References: data, labels brats2023-gli.", "**Lesion by lesion**", "**Strata**"):
        assert part in text
    many = markdown_of(replace(found, missing=tuple(f"c{n}" for n in range(LISTED + 2))))
    assert f"- c{LISTED - 1}\n" in many and f"- c{LISTED}\n" not in many and "- and 2 more, named in scores" in many
    plain = Evaluation(tuple(ours), summarise(ours), (), (), ("brats2021",), ("brats2021",))
    assert f"Protocol: {LEGACY.name}" in markdown_of(plain) and "## Notes" not in markdown_of(plain)
