"""Under torchrun: the first process speaks, and torchrun's summary names the errors of all."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from gliamap.io.atomic import write_json

_STOPPED = (130, 143)  # Ctrl-C and SIGTERM: not the error that torchrun looks for


@contextmanager
def one_voice() -> Iterator[None]:
    """Keep quiet in the block where this process is not the first, and leave its error for torchrun to print.

    Several processes would say the same several times. Where torchrun did not start this one, nothing is changed. A
    traceback, which no user can cause, is printed by every process.
    """
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not file:
        yield
        return
    try:
        with ExitStack() as stack:
            if os.environ.get("RANK") != "0":
                nowhere = stack.enter_context(Path(os.devnull).open("w"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
            yield
    except SystemExit as end:
        if end.code not in (None, 0, *_STOPPED):
            _leave(Path(file), str(end.__context__ or f"exit code {end.code}"))
        raise
    except Exception as error:
        _leave(Path(file), traceback.format_exception_only(error)[-1].strip())
        raise


def _leave(file: Path, message: str) -> None:
    """What torchrun reads when a process ends badly: ``torch.distributed.elastic.multiprocessing.errors``."""
    about = {"py_callstack": message, "timestamp": str(int(time.time()))}
    write_json(file, {"message": {"message": message, "extraInfo": about}})
