"""The tables of models that come along, for ``tools/tables.py``: from what ``tools/make_model.py`` writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gliamap.comparison.as_markdown import short_commits
from gliamap.scoring.estimate import Estimate, estimate_cell
from gliamap.scoring.text_table import NOT_RUN, NOTHING, TextTable, as_markdown

Result = Mapping[str, Any]
Loaded = Sequence[tuple[str, Any]]

REGIONS = ("WT", "TC", "ET")

MODELS = Path(__file__).resolve().parent / "models"
"""What people write of models: ``NAME.md``, and ``failures.json`` with a sentence for each case that failed."""


def _cell(found: Result | None, digits: int = 3) -> str:
    return NOTHING if found is None else estimate_cell(Estimate(**found), digits)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """Rows that are shorter than the head were not run."""
    filled = (tuple(row) + (NOT_RUN,) * (len(head) - len(row)) for row in rows)
    return as_markdown(TextTable("", tuple(head), tuple(filled), texts=texts))


def _regions(loaded: Loaded) -> list[str]:
    there = {region for _, result in loaded if result for region in result["evaluation"]["summary"]["regions"]}
    return [region for region in REGIONS if region in (there or REGIONS)]


def _apart(make: Callable[[str, Result], str]) -> Callable[[Loaded], str]:
    """A kind that makes a table of each result."""

    def kind(loaded: Loaded) -> str:
        each = (make(name, one) if one else _table([name, "Measured"], [[NOT_RUN]]) for name, one in loaded)
        return "\n".join(each)

    return kind


def models_table(loaded: Loaded) -> str:
    """A row a model: mean Dice over patients of each region, cross-validated, and that on the closed fold."""
    regions = _regions(loaded)
    head = ["Model", *(f"Dice {r}" for r in regions), "Patients", "Cases", *(f"closed fold {r}" for r in regions)]
    rows = []
    for name, result in loaded:
        if result is None:
            rows.append([name.removeprefix("model-")])
            continue
        summary, closed = result["evaluation"]["summary"], result["evaluation"]["closed_fold"]
        own = [_dice(summary, region) for region in regions]
        known = result["evaluation"]["patients_known"]
        counts = [str(summary["patients"]) if known else "not known", str(summary["cases"])]
        then = [_dice(closed["summary"], region) if closed else NOT_RUN for region in regions]
        rows.append([result["run"]["title"], *own, *counts, *then])
    return _table(head, rows)


def _dice(summary: Result, region: str) -> str:
    return _cell(summary["regions"][region]["figures"]["dice"]) if region in summary["regions"] else NOTHING


def _classes(_: str, result: Result) -> str:
    rows = [
        [row["class"], region, str(row["cases"]), _cell(of["dice"]), f"{of['pooled']:.3f}"]
        for row in result["evaluation"]["by_class"]
        for region, of in row["regions"].items()
    ]
    return _table(["Class", "Region", "Cases", "Dice", "pooled Dice"], rows, texts=2)


def _subsets(_: str, result: Result) -> str:
    """A row a subset. A filled circle: the modality is there, an empty one: it is not."""
    found = result["evaluation"]["subsets"]
    if not found:
        return _table(["Modalities", "Dice"], [["all are needed", NOTHING]])
    every = max(found, key=len).split("+")
    regions = list(next(iter(found.values()))["dice"])
    rows = []
    for name, row in found.items():
        signs = ["●" if modality in name.split("+") else "○" for modality in every]
        rule = row["enhancing_rule"] or {}
        enhancing = [_cell(rule.get("dice")), _cell(rule.get("false_positive_ml"), 2)]
        rows.append([*signs, *(_cell(row["dice"][region]) for region in regions), *enhancing])
    titles = [modality.upper().replace("T1C", "T1c") for modality in every]
    return _table([*titles, *(f"Dice {r}" for r in regions), "Dice ET, 1 mL or more", "false ET, mL"], rows)


def _enhancing(_: str, result: Result) -> str:
    rule = result["evaluation"].get("enhancing_rule")
    if not rule:
        return _table(["Enhancing tumour", "Measured"], [["sizes are in pixels", NOTHING]])
    rows = [
        ["Dice where the reference has at least 1 mL", _cell(rule["dice"]), str(rule["dice"]["cases"])],
        [
            "mL marked wrongly where it has less",
            _cell(rule["false_positive_ml"], 2),
            str(rule["false_positive_ml"]["cases"]),
        ],
    ]
    return _table(["Enhancing tumour", "Mean", "Cases"], rows)


def _cases(_: str, result: Result) -> str:
    """A row a case. Several repeats follow each other."""
    cases = result["evaluation"]["cases"]
    regions = [region for region in REGIONS if region in cases[0]["regions"]]
    several = len({case["repeat"] for case in cases}) > 1
    rows = []
    for case in sorted(cases, key=lambda case: (case["repeat"], case["fold"], case["case_id"])):
        place = [*([str(case["repeat"])] if several else []), str(case["fold"])]
        rows.append(
            [
                case["case_id"],
                *place,
                *(f"{case['regions'][r]['dice']:.3f}" for r in regions),
                *(f"{case['regions'][r]['hd95']:.1f}" for r in regions),
            ]
        )
    head = ["Case", *(["Repeat"] if several else []), "Fold"]
    return _table([*head, *(f"Dice {r}" for r in regions), *(f"HD95 {r}" for r in regions)], rows)


def _failures(name: str, result: Result) -> str:
    """The worst cases, with the sentence that ``tools/models/failures.json`` has for each."""
    path = MODELS / "failures.json"
    sentences = json.loads(path.read_text(encoding="utf-8")).get(name.removeprefix("model-"), {})
    summary, rows = result["evaluation"]["summary"], []
    size = "px" if summary["unit"] == "px" else "mL"
    digits = 0 if size == "px" else 1
    for row in result["evaluation"]["worst"]:
        dice = [f"{of['dice']:.2f}" for of in row["regions"].values()]
        sizes = [
            f"{of['reference_volume']:,.{digits}f} / {NOTHING if said is None else f'{said:,.{digits}f}'}"
            for of in row["regions"].values()
            for said in [of["predicted_volume"]]
        ]
        rows.append([f"`{row['case_id']}`", sentences.get(row["case_id"], "not looked at yet"), *dice, *sizes])
    regions = list(summary["regions"])
    head = ["Case", "Why", *(f"Dice {r}" for r in regions), *(f"{r} true / said, {size}" for r in regions)]
    return _table(head, rows, texts=2)


def _clean_up(_: str, result: Result) -> str:
    found = result["evaluation"]["clean_up"]
    unit = "pixels" if result["evaluation"]["summary"]["unit"] == "px" else "mL"
    chosen = [f"{size:g}" for size in found["of_fold"].values()]
    rows = [
        [size, f"{dice:.4f}", str(chosen.count(size)), "yes" if float(size) == found["size"] else "no"]
        for size, dice in found["dice"].items()
    ]
    return _table([f"Smallest part kept, {unit}", "mean Dice", "Folds that chose it", "shipped"], rows)


def _calibration(_: str, result: Result) -> str:
    found = result["evaluation"]["calibration"]
    mode = {"windows": "windows", "one-pass": "one pass"}[found["mode"]]
    before, after = found["likelihood"]
    rows = []
    for lesson in found["lessons"]:
        line, some = lesson["line"], "some" if lesson["found"] else "none"
        cells = [lesson["region"], some, str(lesson["cases"]), str(lesson["patients"])]
        if line is None:
            rows.append([*cells, *(NOTHING,) * 4])
            continue
        apart = f"{line['low']:+.2f} to {line['high']:+.2f}"
        errors = [f"{line['error']:.3f}", f"{lesson['plain_error']:.3f}"]
        rows.append([*cells, *errors, apart, f"{100 * lesson['held']:.0f} %"])
    head = ["Region", "Predicted", "Cases", "Patients", "Mean error", "Saying the mean", "90 % interval", "Held"]
    foot = (
        f"Default: {mode}. Temperature {found['temperature']:.3f}: the mean negative log likelihood of voxels near the "
        f"tumour goes from {before:.4f} to {after:.4f}.\n"
    )
    return f"{_table(head, rows, texts=2)}\n{foot}"


def _closed(_: str, result: Result) -> str:
    """The closed fold: scores as they are, and when it was opened."""
    found = result["evaluation"]["closed_fold"]
    if not found:
        which = "opened for an earlier recipe, not for this one" if result["evaluation"]["opened"] else "not opened"
        return _table(["Closed fold", "Dice"], [[which, NOT_RUN]])
    rows = []
    for region, of in found["summary"]["regions"].items():
        counts = [str(found["summary"][name]) for name in ("patients", "cases")]
        rows.append([region, _cell(of["figures"]["dice"]), f"{of['pooled_dice']:.3f}", *counts])
    opened = result["evaluation"]["opened"]
    foot = f"Opened on {opened['at'][:10]}, commit {short_commits(opened['commit'] or 'none')}.\n"
    return f"{_table(['Region', 'Dice', 'pooled Dice', 'Patients', 'Cases'], rows)}\n{foot}"


def _elsewhere(_: str, result: Result) -> str:
    """What the shipped weights reach in sets whose patients they do not know."""
    found = result["evaluation"]["elsewhere"]
    head = ["Region", "Dice", "Patients", "Cases"]
    if not found:
        return _table(head, [["no such set", NOT_RUN]])
    each = {**found["dice"], "ET, 1 mL or more": (found["enhancing_rule"] or {}).get("dice")}
    rows = [[name, _cell(of), str(of["patients"]), str(of["cases"])] for name, of in each.items() if of]
    shown = ", ".join(found["modalities"])
    return f"{_table(head, rows)}\nAll cases of {', '.join(found['sets'])}; shown {shown} alone.\n"


def _pictures(_: str, result: Result) -> str:
    """The pictures, as a text in ``docs`` shows them."""
    return "".join(
        f"![{what}](pictures/{name})\n\n*{what}.*\n\n" for name, what in result["evaluation"]["pictures"].items()
    )


def _makings(loaded: Loaded) -> str:
    """How each was made: command, commit, seed, steps of a training, minutes of all of them, machine."""
    head = ["Model", "Command", "Commit", "Seed", "Steps", "Minutes, folds", "Minutes, final", "Machine", "Data"]
    head.append("Half precision: lowest Dice with the masks of full")
    rows = []
    for name, result in loaded:
        if result is None:
            rows.append([name.removeprefix("model-")])
            continue
        run = result["run"]
        minutes = [f"{one['wall_seconds'] / 60:.0f}" for one in (run, run["final"])]
        cells = [f"`{run['command']}`", short_commits(run["commit"]), str(run["seed"]), str(run["steps"]), *minutes]
        alike = result["evaluation"]["half_precision"]
        halved = f"{alike['lowest_dice']:.4f} of {alike['cases']} cases"
        rows.append([run["title"], *cells, run["machine"], f"`{run['data_fingerprint']}`", halved])
    return _table(head, rows)


MODEL_KINDS: dict[str, Callable[[Loaded], str]] = {
    "models": models_table,
    "model-making": _makings,
    "model-classes": _apart(_classes),
    "model-subsets": _apart(_subsets),
    "model-enhancing": _apart(_enhancing),
    "model-cases": _apart(_cases),
    "model-failures": _apart(_failures),
    "model-clean-up": _apart(_clean_up),
    "model-calibration": _apart(_calibration),
    "model-closed": _apart(_closed),
    "model-elsewhere": _apart(_elsewhere),
    "model-pictures": _apart(_pictures),
}
