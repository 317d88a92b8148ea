"""Write every table of results in README and docs from the committed JSON files of ``docs/results``.

A table stands between ``<!-- table: KIND NAME ... -->`` and ``<!-- end -->``; KIND is a key of ``KINDS``, each NAME a
file ``docs/results/NAME.json``. Where the file is not there, its cells say 'not run'. ``--check`` writes nothing and
ends with 1 where a text differs from its JSON.

A result is ``{"run": {...}, "evaluation": {...}}``: ``run`` holds ``title``, ``command``, ``commit``, ``seed``,
``steps``, ``wall_seconds``, ``machine``, ``data_fingerprint`` and ``split_fingerprint``; ``evaluation`` is the
``scores.json`` that ``gliamap evaluate`` writes. A bench result is what ``bench/run.py`` prints, one of detection what
``bench/detection.py`` or ``bench/told.py`` prints, which is one of alarms, too, one of modalities what
``bench/modalities.py`` writes, one of processes what ``bench/processes.py`` prints, one of arms what
``bench/study.py`` writes, a grid what ``bench/training.py`` prints.
``inference`` and ``faithfulness`` take what the files of these names in ``bench/`` write, ``nnunet`` what
``bench/nnunet_slices.py`` writes, ``compare`` and ``matrix`` the ``comparison.json`` of ``gliamap compare``,
``networks`` what ``gliamap networks --json`` prints, ``models`` and
kinds that begin with ``model-`` what ``tools/make_model.py`` writes. The cards of models are written, too, from
``tools/models``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from comparison_tables import compare_table, matrix_table, networks_tables
from gliamap.comparison.as_markdown import short_commits
from gliamap.scoring.estimate import Estimate, estimate_cell
from gliamap.scoring.text_table import NOT_RUN, NOTHING, TextTable, as_markdown
from inference_tables import faithfulness_table, inference_table
from metrics_table import metrics_table
from model_card import cards
from model_tables import MODEL_KINDS
from nnunet_table import nnunet_table
from warnings_table import alarms_table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"

REGIONS = ("WT", "TC", "ET")

Result = dict[str, Any]
Loaded = Sequence[tuple[str, Result | None]]
"""Pairs of a result's name and its content, ``None`` where it was not run."""

MARKED = re.compile(r"(<!-- table: (?P<what>[^>]*?) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are aligned to the right."""
    return as_markdown(TextTable("", tuple(head), tuple(map(tuple, rows))))


def cell_of(found: Result, digits: int) -> str:
    """``mean [low, high]`` of an estimate as JSON holds it, or '-' where no case had the figure."""
    return estimate_cell(Estimate(**found), digits)


def by_run(head: Sequence[str], loaded: Loaded, cells: Callable[[Result], list[str]]) -> str:
    """One row a run: its title, then its cells; 'not run' in every cell of a run that has no file."""
    rows = []
    for name, result in loaded:
        title = name if result is None else result["run"].get("title", name)
        rows.append(
            [title, *([NOT_RUN] * (len(head) - 1) if result is None else cells(result["evaluation"]["summary"]))]
        )
    return markdown(head, rows)


def units(loaded: Loaded) -> tuple[str, str]:
    """The unit of distances and that of volumes, which all runs of one table share."""
    found = {result["evaluation"]["summary"]["unit"] for _, result in loaded if result is not None} or {"mm"}
    if len(found) > 1:
        raise ValueError("runs in millimetres and runs in pixels do not go into one table")
    return ("px", "px") if found == {"px"} else ("mm", "mL")


def results_table(loaded: Loaded) -> str:
    """Dice and HD95 of each region: mean over patients and its 95 % bootstrap interval."""
    present = {r for _, result in loaded if result is not None for r in result["evaluation"]["summary"]["regions"]}
    regions = [r for r in REGIONS if r in (present or REGIONS)]
    head = ["Run", *(f"Dice {r}" for r in regions), *(f"HD95 {r}, {units(loaded)[0]}" for r in regions)]

    def cells(summary: Result) -> list[str]:
        out = []
        for figure, digits in (("dice", 3), ("hd95", 1)):
            for region in regions:
                of = summary["regions"].get(region)
                out.append(cell_of(of["figures"][figure], digits) if of else NOTHING)
        return [*out, str(summary["patients"]), str(summary["cases"]), str(summary["missing"])]

    return by_run([*head, "Patients", "Cases", "Missing"], loaded, cells)


def pooled_table(loaded: Loaded) -> str:
    """Dice of voxel counts summed over all cases, of each region and of each label."""
    summaries = [result["evaluation"]["summary"] for _, result in loaded if result is not None]
    regions = [r for r in REGIONS if any(r in s["regions"] for s in summaries)]
    labels = list(dict.fromkeys(label for s in summaries for label in s["pooled_class_dice"] if label not in regions))
    head = ["Run", *(f"pooled Dice {name}" for name in (*regions, *labels)), "Cases"]

    def cells(summary: Result) -> list[str]:
        figures = [summary["regions"].get(region, {}).get("pooled_dice") for region in regions]
        figures += [summary["pooled_class_dice"].get(label) for label in labels]
        return [*(NOTHING if f is None else f"{f:.3f}" for f in figures), str(summary["cases"])]

    return by_run(head, loaded, cells)


def slices_table(loaded: Loaded) -> str:
    """Whole tumour in single slices: mean over slices, over slices that have tumour, over patients, pooled."""
    head = ["Run", "mean slice Dice", "where tumour is", "mean over patients", "pooled Dice", "Slices"]

    def cells(summary: Result) -> list[str]:
        of = summary["regions"]["WT"]
        dice, present = of["figures"]["dice"], of["dice_where_present"]
        plain = [NOTHING if e["case_mean"] is None else f"{e['case_mean']:.3f}" for e in (dice, present)]
        return [*plain, cell_of(dice, 3), f"{of['pooled_dice']:.3f}", str(summary["cases"])]

    return by_run(head, loaded, cells)


def enhancing_table(loaded: Loaded) -> str:
    """Enhancing tumour apart: cases with enough of it, and what was predicted where there is none."""
    distance, volume = units(loaded)
    head = ["Run", "Dice ET", f"HD95 ET, {distance}", "Cases with ET", f"False ET, {volume}", "Cases without ET"]

    def cells(summary: Result) -> list[str]:
        of = summary["enhancing"]
        if of is None:
            return [NOTHING] * 5
        false = of["false_positive_volume"]
        return [
            cell_of(of["dice"], 3),
            cell_of(of["hd95"], 1),
            str(of["dice"]["cases"]),
            cell_of(false, 2),
            str(false["cases"]),
        ]

    return by_run(head, loaded, cells)


def runs_table(loaded: Loaded) -> str:
    """Where the figures come from: command, commit, seed, steps, time, machine, data and split."""
    head = ["Run", "Command", "Commit", "Seed", "Steps", "Minutes", "Machine", "Data", "Split"]
    rows = []
    for name, result in loaded:
        if result is None:
            rows.append([name, *[NOT_RUN] * (len(head) - 1)])
            continue
        run = result["run"]
        rows.append(
            [
                run.get("title", name),
                f"`{run['command']}`",
                short_commits(run["commit"]),
                str(run["seed"]),
                str(run["steps"]),
                f"{run['wall_seconds'] / 60:.0f}",
                run["machine"],
                f"`{run['data_fingerprint']}`",
                f"`{run['split_fingerprint']}`",
            ]
        )
    return markdown(head, rows)


def folds_table(loaded: Loaded) -> str:
    """Dice of each fold of a cross-validation: mean over patients and its 95 % bootstrap interval."""
    rows = []
    present: list[str] = []
    for name, result in loaded:
        if result is None:
            rows.append([name, NOT_RUN])
            continue
        found = result["evaluation"]
        present = present or [region for region in REGIONS if region in found["summary"]["regions"]]
        several = len(found["repeats"]) > 1
        for fold in found["folds"]:
            place = f"{result['run']['title']}, " + (f"repeat {fold['repeat']}, " if several else "")
            dice = [cell_of(fold["dice"][region], 3) for region in present]
            rows.append([f"{place}fold {fold['fold']}", *dice, str(fold["patients"]), str(fold["cases"])])
    head = ["Fold", *(f"Dice {region}" for region in present or REGIONS), "Patients", "Cases"]
    return markdown(head, [row + [NOT_RUN] * (len(head) - len(row)) for row in rows])


def bench_table(loaded: Loaded) -> str:
    """The figures of ``bench/run.py``, one row each, with commit and machine below."""
    rows, foot = [], []
    for name, result in loaded:
        if result is None:
            rows.append([name, NOT_RUN])
            continue
        rows += [
            [f["title"], NOT_RUN if f["value"] is None else f"{f['value']:g} {f['unit']}"] for f in result["figures"]
        ]
        foot.append(f"Commit {short_commits(result['commit'])} on {result['machine']}.\n")
    return markdown(["What", "Measured"], rows) + "".join("\n" + line for line in foot)


def detection_table(loaded: Loaded) -> str:
    """The figures of ``bench/detection.py``: a row a damage, how often it was noticed, and false alarms of its rule."""
    head = ["Damage", "Rule", "Noticed", "False alarms"]
    rows, foot = [], []
    for name, result in loaded:
        if result is None:
            rows.append([name, *[NOT_RUN] * 3])
            continue
        rows += [
            [
                f["damage"],
                f"`{f['rule']}`",
                f"{f['noticed']} of {f['damaged']}",
                f"{f['false_alarms']} of {f['sound']}",
            ]
            for f in result["figures"]
        ]
        foot.append(f"Commit {short_commits(result['commit'])} on {result['machine']}.\n")
    return markdown(head, rows) + "".join("\n" + line for line in foot)


def modalities_table(loaded: Loaded) -> str:
    """The figures of ``bench/modalities.py``: a row a subset of the modalities, Dice of both arms, means at the end."""
    return "\n".join(_modalities_of(name, result) for name, result in loaded)


def _modalities_of(name: str, result: Result | None) -> str:
    """One result's table and what it rests on. A filled circle: the modality is there, an empty one: it is not."""
    if result is None:
        return markdown([name, "Dice"], [[NOT_RUN, NOT_RUN]])
    modalities = result["modalities"]
    regions = list(result["summary"][0]["with"])
    head = [m.upper().replace("T1C", "T1c") for m in modalities]
    head += [f"{region} {arm}" for region in regions for arm in ("without", "with")]
    rows = []
    for found in result["summary"]:
        there = found["modalities"]
        signs = ["mean", *[""] * (len(modalities) - 1)]
        if there is not None:
            signs = ["●" if m in there else "○" for m in modalities]
        cells = [cell_of(found[arm][region], 3) for region in regions for arm in ("without", "with")]
        rows.append([*signs, *cells])
    runs = result["runs"]
    steps = sorted({run["steps"] for arm in runs.values() for run in arm})
    dropped = sorted({run["modality_dropout"] for run in runs["with"]})
    foot = (
        f"Dice, mean over {result['patients']} patients ({result['cases']} cases) [95 % interval]; trained without and "
        f"with leaving modalities out of {', '.join(f'{share:.0%}' for share in dropped)} of the patches, "
        f"{' or '.join(map(str, steps))} steps. Commit {short_commits(result['commit'])} on {result['machine']}, "
        f"{result['device']}.\n"
    )
    return markdown(head, rows) + "\n" + foot


def processes_table(loaded: Loaded) -> str:
    """The figures of ``bench/processes.py``: a row a pair of trainings, what came of a killed process below."""
    head = ["The same training", "Losses differ by at most", "Weights differ by at most", "Dice differs by at most"]
    rows, foot = [], []
    for name, result in loaded:
        if result is None:
            rows.append([name, *[NOT_RUN] * 3])
            continue
        rows += [
            [pair["title"], *(f"{pair[of]:.1g}" for of in ("loss", "weights", "dice"))] for pair in result["pairs"]
        ]
        killed = result["killed"]
        foot.append(
            f"The killed process: the second of two, after {killed['steps_done']} of {result['steps']} steps; all was "
            f"over after {killed['seconds_until_all_stopped']:.0f} s with exit code {killed['exit_code']}, and "
            f"{killed['steps_saved']} steps were saved. "
            f"Commit {short_commits(result['commit'])} on {result['machine']}.\n"
        )
    return markdown(head, rows) + "".join("\n" + line for line in foot)


def grid_table(loaded: Loaded) -> str:
    """The rows of ``bench/training.py`` as they are, with its note, commit and machine below."""
    return "\n".join(_grid_of(name, result) for name, result in loaded)


def _grid_of(name: str, result: Result | None) -> str:
    if result is None:
        return markdown([name, "Measured"], [[NOT_RUN, NOT_RUN]])
    shown = [
        [NOTHING if cell is None else f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in row]
        for row in result["rows"]
    ]
    foot = f"{result['note']}. Commit {short_commits(result['commit'])} on {result['machine']}.\n"
    return markdown(result["head"], shown) + "\n" + foot


def arms_table(loaded: Loaded) -> str:
    """The figures of ``bench/study.py``: a row an arm, its costs, its Dice, and the difference from the first arm."""
    return "\n".join(_arms_of(name, result) for name, result in loaded)


def _arms_of(name: str, result: Result | None) -> str:
    if result is None:
        return markdown([name, "Dice"], [[NOT_RUN, NOT_RUN]])
    regions = [region for region in REGIONS if any(region in arm["dice"] for arm in result["arms"])]
    head = ["Arm", "Steps", "Core minutes", *(f"Dice {region}" for region in regions)]
    head += [*(f"difference {region}" for region in regions), f"Dice {regions[0]} of each seed"]
    rows = []
    for arm in result["arms"]:
        dice, gain = (
            [cell_of(arm[what][region], 3) if region in arm[what] else NOTHING for region in regions]
            for what in ("dice", "gain")
        )
        steps = " + ".join(str(count) for count in arm["steps"])
        each = ", ".join(f"{mean:.3f}" for mean in arm["each_seed"][regions[0]])
        rows.append([arm["arm"], steps, f"{arm['core_minutes']:.1f}", *dice, *gain, each])
    cases = result["arms"][0]["dice"][regions[0]]
    shared = " ".join(part for part in (result["prepare"], result["common"]) if part)
    foot = f"{cases['cases']} cases of {cases['patients']} patients; options of all: `{shared}`. "
    if result["runs"] < result["runs_wanted"]:
        foot += f"{result['runs']} of {result['runs_wanted']} runs. "
    return markdown(head, rows) + f"\n{foot}{commits_of(result).capitalize()} on {result['machine']}.\n"


def recipes_table(loaded: Loaded) -> str:
    """Each arm with its options, its cost and its scores: of things that do not compare, in one table."""
    head = ["Recipe", "Data", "Options", "Steps", "Core minutes", "Peak MiB", *(f"Dice {region}" for region in REGIONS)]
    head += ["mean IoU", "Accuracy WT", "Cases"]
    rows, foot = [], []
    for name, result in loaded:
        if result is None:
            rows.append([name, *[NOT_RUN] * (len(head) - 1)])
            continue
        data = ", ".join(result["data"])
        for arm in result["arms"]:
            dice = [cell_of(arm["dice"][region], 3) if region in arm["dice"] else NOTHING for region in REGIONS]
            further = [f"{arm['further'][one]:.3f}" if one in arm["further"] else NOTHING for one in _FURTHER]
            options = " ".join(filter(None, (*arm["options"], result["common"])))
            cost = ["+".join(map(str, arm["steps"])), f"{arm['core_minutes']:.1f}", str(arm["peak_mib"])]
            cases = str(next(iter(arm["dice"].values()))["cases"])
            rows.append([arm["arm"], data, f"`{options}`", *cost, *dice, *further, cases])
        foot.append(f"{data}: {commits_of(result)} on {result['machine']}")
    return markdown(head, rows) + "\n" + "".join(f"{line}.\n" for line in foot)


_FURTHER = ("mean_iou", "accuracy")


def commits_of(result: Result) -> str:
    """The commits that a result was made with."""
    return "commit " + short_commits(result["commit"])


KINDS: dict[str, Callable[[Loaded], str]] = {
    "results": results_table,
    "pooled": pooled_table,
    "slices": slices_table,
    "enhancing": enhancing_table,
    "runs": runs_table,
    "folds": folds_table,
    "bench": bench_table,
    "detection": detection_table,
    "alarms": alarms_table,
    "grid": grid_table,
    "modalities": modalities_table,
    "processes": processes_table,
    "arms": arms_table,
    "compare": compare_table,
    "matrix": matrix_table,
    "networks": networks_tables,
    "recipes": recipes_table,
    "metrics": metrics_table,
    "nnunet": nnunet_table,
    "inference": inference_table,
    "faithfulness": faithfulness_table,
    **MODEL_KINDS,
}


def load(name: str, folder: Path) -> Result | None:
    """The result called ``name``, ``None`` where it was not run."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    content: Result = json.loads(path.read_text(encoding="utf-8"))
    return content


def filled(text: str, folder: Path = RESULTS) -> str:
    """The text with every marked table made anew from the results in ``folder``."""

    def table(found: re.Match[str]) -> str:
        kind, *names = found["what"].split()
        if kind not in KINDS or not names:
            raise ValueError(f"'<!-- table: {found['what']} -->' should name one of {', '.join(KINDS)} and its results")
        return found[1] + KINDS[kind]([(name, load(name, folder)) for name in names]) + found[4]

    return MARKED.sub(table, text)


def texts(root: Path = ROOT) -> list[Path]:
    """The texts that may hold tables."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def main(arguments: Sequence[str]) -> int:
    """Write all tables, or with ``--check`` only say which texts differ."""
    differing = 0
    wanted = {path: filled(path.read_text(encoding="utf-8")) for path in texts()} | cards(filled)
    for path, new in wanted.items():
        if path.is_file() and path.read_text(encoding="utf-8") == new:
            continue
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)}: a table differs from its JSON; run make tables")
            differing += 1
        else:
            path.write_text(new, encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: tables written")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
