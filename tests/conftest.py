"""Fixtures that all tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# rich takes COLUMNS for good where it is set when a console is made: made here, the tests can set it themselves.
os.environ.pop("COLUMNS", None)
import gliamap.cli.show  # noqa: F401
from gliamap.cli import app

# The same examples on every run, and no limit per example: a busy machine is not a bug.
settings.register_profile("gliamap", deadline=None, derandomize=True)
settings.load_profile("gliamap")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Networks made ready for an engine are not kept where the user's are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLIAMAP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    """Work that is meant for a process of its own chooses PyTorch's threads: here it must not for all tests after it.

    More threads than cores are slow, and sums over several threads are rounded in another way.
    """
    before = torch.get_num_threads()
    yield
    if torch.get_num_threads() != before:
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real cases named by GLIAMAP_DATA; a test that needs it is skipped where it is unset."""
    value = os.environ.get("GLIAMAP_DATA")
    if value and Path(value).is_dir():
        return Path(value)
    if os.environ.get("GLIAMAP_REQUIRE_DATA") == "1":
        pytest.fail("GLIAMAP_DATA does not name a folder and GLIAMAP_REQUIRE_DATA=1")
    pytest.skip("real cases are read from the folder named by GLIAMAP_DATA, which is not set")


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Run ``gliamap`` with these words in this process, in ``tmp_path``; exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gliamap", *words])
        capsys.readouterr()
        try:
            app.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return (code, *capsys.readouterr())

    return run
