"""The verbs about models: train, segment, demo."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gliamap.cli.data_verbs import Json, Overwrite, Pattern
from gliamap.cli.show import (
    count,
    end_with_failures,
    plain,
    print_json,
    print_notes,
    print_table,
    progress_bar,
    remark,
    remark_if_stopped,
    say,
)

if TYPE_CHECKING:
    from gliamap.recipes.recipe import Recipe
    from gliamap.training.progress import StepReport
    from gliamap.workflows.train import Trained

# Options whose help needs more than a line.
TestFold = Annotated[
    int | None, typer.Option(help="Fold to test on, of the data set's own. Default: a fifth of the patients.")
]
ClosedFolds = Annotated[list[int] | None, typer.Option(help="Fold to use for nothing at all; repeatable.")]
Widths = Annotated[
    str | None, typer.Option(help="Feature channels a level. Default: 16,32,64,128,256; twice that in 2D.")
]
OutputKind = Annotated[
    Literal["regions", "classes"] | None,
    typer.Option(help="Overlapping WT/TC/ET (the default), or the convention's labels."),
]
FromRecipe = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="Settings to start from: default, volumes, slices, strong, any-modality, "
        "small-lesions, or a file (gliamap plan). Other options come first.",
    ),
]
Patch = Annotated[
    tuple[int, int, int] | None, typer.Option(help="Patch size X Y Z (Z = 1 for slices). Default: as the data.")
]
MicroBatch = Annotated[
    int | None, typer.Option(help="Patches at once, to fit into memory; gradients are added up. Default: all.")
]
SaveEvery = Annotated[float | None, typer.Option(help="Minutes between saves for --resume. Default: 5.")]


class Tracker(StrEnum):
    """Where figures can go beside the run's folder; an enum because typer takes no list of literals."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"


Track = Annotated[
    list[Tracker] | None,
    typer.Option(help="Send figures and pictures there, too; repeatable."),
]
Accept = Annotated[
    bool, typer.Option("--accept-changes", help="Resume although settings or cases differ; run.json notes it.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped; say all else as before.")]
Labels = Annotated[
    str | None,
    typer.Option(help="Label convention to write, such as brats2023. Default: the input's, else the model's."),
]
Part = Annotated[
    Literal["train", "val", "test"] | None, typer.Option(help="Only the cases of this part of the run's split.")
]
MinSize = Annotated[
    float | None,
    typer.Option(min=0, help="Remove connected parts below this, mL (images: pixels). Default: as the model says."),
]
ResampleTo = Annotated[
    str | None,
    typer.Option(help="Bring the other modalities onto this one's grid, unregistered, where grids differ."),
]
Modalities = Annotated[
    str | None,
    typer.Option(help="Use only these of the model's modalities, as if the others were missing: t1,t1c."),
]
Flips = Annotated[
    bool,
    typer.Option("--flips", help="Average over all flips: 8 times the work in 3D, 4 times in 2D."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Allow a model of skull-stripped brains on whole heads, and the reverse.")
]
Overlap = Annotated[
    float | None, typer.Option(min=0, max=0.9, help="Overlap of windows, a share. Default: as the model says.")
]


def train(
    store: Annotated[Path, typer.Argument(help="Prepared data set (gliamap prepare).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    test_fold: TestFold = None,
    closed_fold: ClosedFolds = None,
    split: Annotated[Path | None, typer.Option(help="Divide the cases as this split.json does.")] = None,
    leaky: Annotated[bool, typer.Option("--leaky", help="Take a --split that tears patients apart.")] = False,
    recipe: FromRecipe = "default",
    network: Annotated[str | None, typer.Option(help="dynunet or unet. Default: dynunet.")] = None,
    dims: Annotated[int | None, typer.Option(min=2, max=3, help="2 (slices) or 3. Default: as the data.")] = None,
    widths: Widths = None,
    output: OutputKind = None,
    patch: Patch = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps. Default: 1000.")] = None,
    batch: Annotated[int | None, typer.Option(help="Patches a step. Default: 2; 16 in 2D.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate. Default: 0.001.")] = None,
    optimiser: Annotated[Literal["adamw", "sgd"] | None, typer.Option(help="Default: adamw.")] = None,
    schedule: Annotated[Literal["cosine", "poly"] | None, typer.Option(help="Default: cosine.")] = None,
    precision: Annotated[Literal["fp32", "bf16"] | None, typer.Option(help="Default: bf16 autocast.")] = None,
    validate_every: Annotated[int | None, typer.Option(help="Steps between validations. Default: 250.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that load patches. Default: 1.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of split, weights and patches. Default: 0.")] = None,
    micro_batch: MicroBatch = None,
    save_every: SaveEvery = None,
    track: Track = None,
    resume: Resume = False,
    accept_changes: Accept = False,
    json: Json = False,
) -> None:
    """Train a network on a prepared data set.

    Patients are divided into training, validation and test. After Ctrl-C, the same command with --resume goes on.

    Examples:

    gliamap train store -o run

    gliamap train store -o run --test-fold 3 --steps 5000 --network unet

    gliamap train store -o run --recipe strong --steps 5000
    """
    from gliamap.recipes.named import find_recipe
    from gliamap.sources.splits import SplitOptions
    from gliamap.workflows.train import TrainOptions
    from gliamap.workflows.train import train as run

    config: dict[str, Any] = {
        **{"patch": patch, "steps": steps, "batch": batch, "learning_rate": learning_rate, "optimiser": optimiser},
        **{"schedule": schedule, "precision": precision, "validate_every": validate_every, "workers": workers},
        **{"seed": seed, "micro_batch": micro_batch, "save_every_minutes": save_every},
    }
    sizes = {"network": network, "dims": dims, "widths": _widths(widths) if widths else None, "output": output}
    chosen = _over(find_recipe(recipe), sizes, config)
    folds = SplitOptions(test_fold=test_fold, closed_folds=tuple(closed_fold or ()), seed=chosen["config"]["seed"])
    more = {"split": folds, "split_file": split, "leaky": leaky, "track": tuple(one.value for one in track or ())}
    options = TrainOptions.model_validate(chosen | more)
    with remark_if_stopped(f"the same command with --resume goes on in {plain(out)}"), progress_bar("train") as bar:
        observe = _watch(bar)
        done = run(store, out, options=options, resume=resume, accept_changes=accept_changes, observe=observe)
    _print_trained(done, json=json)


def _over(recipe: Recipe, sizes: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The recipe's settings, and over them those that were given (not ``None``); the seed is 0 unless said."""
    given, set_ = ({name: value for name, value in these.items() if value is not None} for these in (sizes, config))
    return recipe.model_dump() | given | {"config": {"seed": 0} | recipe.config | set_}


def _print_trained(done: Trained, *, json: bool) -> None:
    best, split, run = dict(done.spec.metrics), done.split, plain(done.run)
    if json:
        cases = {name: len(getattr(split, name)) for name in ("train", "val", "test", "left_out")}
        print_json({"run": done.run, "best": best, "cases": cases})
        return
    say(f"[bold]trained[/] on {count(split.train, 'case')}; model, log and curves in {run}")
    if best:
        step = int(best.pop("step"))
        scores = ", ".join(f"{name.removeprefix('validation_dice_')} {value:.3f}" for name, value in best.items())
        say(f"best validation Dice ({count(split.val, 'case')}, step {step}): {scores}")
    else:
        remark("no case was left for validation: the last weights count as the best")
    remark(f"next: gliamap segment SCANS -o masks --model {run}")


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"'{text}' is no list of numbers such as 16,32,64,128", param_hint="--widths"
        ) from error


def _watch(progress: Callable[[float, int, str], None]) -> Callable[[StepReport], None]:
    """Show a smoothed loss and the latest validation; a line of its own for each validation."""
    loss = 0.0
    dice = ""

    def observe(report: StepReport) -> None:
        nonlocal loss, dice
        loss = 0.98 * loss + 0.02 * report.loss if loss else report.loss
        if report.dice:
            dice = " ".join(f"{region} {score:.2f}" for region, score in report.dice.items())
            remark(f"step {report.step}: loss {loss:.3f}, validation Dice {dice}")
        progress(report.step, report.steps, f"loss {loss:.3f} {dice}")

    return observe


def segment(
    source: Annotated[Path, typer.Argument(help="Case folder, folder of cases, image or folder of images.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for masks, numbers and pictures.")],
    model: Annotated[Path, typer.Option(help="Run folder of gliamap train, or a model folder.")],
    labels: Labels = None,
    lossy: Annotated[bool, typer.Option("--lossy", help="Allow --labels to merge labels.")] = False,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Write probabilities, too.")] = False,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Write no mosaics.")] = False,
    part: Part = None,
    pattern: Pattern = None,
    resample_to: ResampleTo = None,
    modalities: Modalities = None,
    min_size: MinSize = None,
    overlap: Overlap = None,
    flips: Flips = False,
    precision: Annotated[Literal["fp32", "bf16"] | None, typer.Option(help="Default: the fastest here.")] = None,
    force: Force = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Segment scans: a mask on the input's own grid, volumes, and a picture for each case.

    A case that fails does not stop the others: it is reported at the end, with exit code 1.

    Examples:

    gliamap segment BraTS2021_00006 -o masks --model run

    gliamap segment BraTS2021_Validation -o masks --model run --probabilities

    gliamap segment slices/images -o masks --model run --labels binary

    gliamap segment BraTS2021 -o masks --model run-any --modalities t1c,flair --flips

    gliamap segment clinic -o masks --model run --pattern '{case}/{case}_{modality}.nii.gz' --resample-to t1c
    """
    from gliamap.workflows.segment import SegmentOptions
    from gliamap.workflows.segment import segment as run

    options = SegmentOptions(
        labels=labels,
        lossy=lossy,
        probabilities=probabilities,
        pictures=not no_pictures,
        part=part,
        min_size=min_size,
        overlap=overlap,
        precision=precision,
        pattern=pattern,
        resample_to=resample_to,
        modalities=None if modalities is None else tuple(filter(None, map(str.strip, modalities.split(",")))),
        flips=flips,
        force=force,
        overwrite=overwrite,
    )
    with progress_bar("segment") as progress:
        done = run(source, out, model=model, options=options, progress=progress)
    if json:
        print_json({"out": out, "cases": done.cases, "failed": done.failed, "notes": done.notes})
    else:
        _print_volumes(done.cases)
        say(f"masks, numbers and pictures in {plain(out)}; research use only")
    print_notes(done.notes)
    end_with_failures(done.failed, len(done.cases) + len(done.failed))


def _print_volumes(cases: list[dict[str, Any]]) -> None:
    """One row a case; long runs show the first 40, all are in the JSON files. Then the label conventions written."""
    from rich.table import Table

    if not cases:
        return
    regions = list(cases[0]["regions"])
    table = Table()
    table.add_column("case", overflow="fold")
    for title in (*(f"{region} {cases[0]['unit']}" for region in regions), "seconds"):
        table.add_column(title, justify="right")
    table.add_column("warnings")
    for summary in cases[:40]:
        sizes = (f"{summary['regions'].get(region, 0):.1f}" for region in regions)
        warnings = plain("; ".join(summary["warnings"]))
        table.add_row(plain(summary["case_id"]), *sizes, f"{summary['seconds']:.1f}", warnings)
    print_table(table)
    if len(cases) > 40:
        say(f"... and {len(cases) - 40} more")
    for name, why in sorted({(summary["label_convention"], summary["label_convention_from"]) for summary in cases}):
        say(f"labels: {name} ({why})")


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the demonstration.")] = Path("demo"),
    json: Json = False,
) -> None:
    """Segment a phantom with the built-in model and score it: a look at what gliamap makes, in a minute.

    Examples:

    gliamap demo

    gliamap demo -o somewhere-else
    """
    from gliamap.scoring.table import as_json, as_rich_table
    from gliamap.workflows.demo import demo as run

    with progress_bar("demo") as progress:
        done = run(out, progress=progress)
    if json:
        scores = as_json(done.scores, ())["summary"]
        print_json({"mask": done.mask, "picture": done.picture, "case": done.summary, "scores": scores})
        return
    _print_volumes([done.summary])
    print_table(as_rich_table(done.scores))
    say(f"mask      {plain(done.mask)}")
    say(f"picture   {plain(done.picture)}")
    remark("A phantom and a model trained on phantoms: real scans need a model trained on real cases.")
