"""How a verb fails: settings that do not fit, an output that is no folder, cases that must not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from gliamap.errors import ConfigError, GliamapError, LayoutError, OutputError

logger = logging.getLogger(__name__)


@contextmanager
def plain_settings() -> Iterator[None]:
    """Turn pydantic's complaint about a setting made in the block into a ``ConfigError`` that names the setting."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        given = str(first["input"]) if name else None
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"there is no setting called '{name}'", remedy="check its spelling") from error
        if first["type"] == "value_error":  # a message of ours
            what = first["msg"].removeprefix("Value error, ")
            raise ConfigError(what, found=given, remedy="give another value") from error
        raise ConfigError(
            f"the setting '{name}' does not fit",
            found=given,
            expected=first["msg"].removeprefix("Input should be "),
            remedy="give another value",
        ) from error


def check_folder(out: Path) -> None:
    """``OutputError`` where ``out`` exists and is no folder."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file", expected="a folder, new or existing", remedy="choose another --out")


def check_free(out: Path, names: Iterable[str], *, holding: str, overwrite: bool) -> None:
    """``OutputError`` where ``out`` is no folder, or holds one of the files ``names`` already (unless ``overwrite``).

    ``holding`` says what these files are: ``scores``, say.
    """
    check_folder(out)
    there = [name for name in names if (out / name).exists()]
    if there and not overwrite:
        them = "it" if holding.startswith("a ") else "them"
        raise OutputError(
            f"{out} holds {holding} already",
            found=", ".join(there),
            remedy=f"choose another output folder, or replace {them} with --overwrite",
        )


def all_failed(failed: Mapping[str, str], done: str, remedy: str) -> LayoutError:
    """The error of a run in which no case could be ``done`` (``prepared``, say): it tells the first one's reason."""
    first, why = next(iter(failed.items()))
    return LayoutError(f"none of the {len(failed)} cases could be {done}", found=f"{first}: {why}", remedy=remedy)


def reason_of(error: Exception) -> str:
    """Why a case failed, for the report at the end; to be called where the error is handled.

    A ``ConfigError`` (model or settings do not fit) and an ``OutputError`` (nothing can be written) are no fault of
    the case and would meet every other one too: they are raised again. Everything else is the case's own affair,
    even what nobody foresaw: one odd file among hundreds must not cost a night's work. It is reported with its type;
    the case run alone gives the traceback.
    """
    if isinstance(error, ConfigError | OutputError):
        raise error
    if isinstance(error, GliamapError):
        return str(error)
    logger.error("a case failed in a way that nobody foresaw: %s", type(error).__name__)
    return f"unexpected {type(error).__name__}: {error}"
