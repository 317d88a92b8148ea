"""The verb calibrate: what a cross-validation tells about how a model is best used, and how far it can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gliamap.cli.data_verbs import Json, Pattern
from gliamap.cli.show import plain, print_json, print_text_table, progress_bar, remark_if_stopped, say


def calibrate(
    study: Annotated[Path, typer.Argument(help="Folder of a complete cross-validation (gliamap cross-validate).")],
    scans: Annotated[Path, typer.Option(help="Data set that it was made on, with its masks.")],
    model: Annotated[
        Path | None, typer.Option(help="Run or model of the same recipe to write into. Default: those of the folds.")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Label convention of the masks. Default: as found.")] = None,
    flips: Annotated[bool, typer.Option("--flips", help="Learn to predict Dice for use with flips.")] = False,
    engine: Annotated[str, typer.Option(help="auto, torch, openvino or onnxruntime.")] = "auto",
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or fp16. Default: bf16 where it is fast.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="Prepared data set of the trainings: note what it is like in older models.")
    ] = None,
    pattern: Pattern = None,
    json: Json = False,
) -> None:
    """Calibrate a model on the cases that the folds of a cross-validation held out.

    Chooses between windows and one pass, finds the temperature, learns to predict Dice, and writes all of it into the
    model. An interrupted call goes on where it stopped.

    Examples:

    gliamap calibrate study --scans BraTS2021_Training

    gliamap calibrate study --scans BraTS2021_Training --model run
    """
    from gliamap.infer.engine import EngineChoice
    from gliamap.workflows.common.failures import plain_settings
    from gliamap.workflows.studies.calibrate import FOLDER, CalibrateOptions
    from gliamap.workflows.studies.calibrate import calibrate as run
    from gliamap.workflows.studies.calibrate_files import as_json, confidence_table, dice_table, sentences

    with plain_settings():
        choice = EngineChoice.model_validate({"engine": engine, "precision": precision})
    options = CalibrateOptions(labels=labels, pattern=pattern, flips=flips, choice=choice, store=store)
    with remark_if_stopped("the same command goes on"), progress_bar("calibrate") as bar:
        found = run(study, scans, model=model, options=options, progress=bar)
    if json:
        print_json(as_json(found))
        return
    print_text_table(dice_table(found))
    print_text_table(confidence_table(found))
    for words in sentences(found):
        say(words)
    say(f"written into {plain(', '.join(map(str, found.models)))}; more in {plain(study / FOLDER)}")
