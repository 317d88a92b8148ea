"""Signals after OpenVINO was at work: it must not decide where they are handled."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest

import tiny
from gliamap.infer.engine import EngineChoice
from gliamap.infer.engines import build_engine
from gliamap.infer.signal_stack import _Stack, signal_stack_kept

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sigaltstack is asked as on Linux")


def stack_now() -> tuple[int | None, int, int]:
    found = _Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
    return found.place, found.flags, found.size


def test_what_the_block_sets_is_undone() -> None:
    before = stack_now()
    other = ctypes.create_string_buffer(65536)
    with signal_stack_kept():
        own = _Stack(ctypes.addressof(other), 0, len(other))
        assert ctypes.CDLL(None).sigaltstack(ctypes.byref(own), None) == 0
        assert stack_now() != before
    assert stack_now() == before


def test_a_graph_that_was_made_ready_leaves_it_alone(tmp_path: Path) -> None:
    spec = tiny.spec()
    model = tiny.write_model(tmp_path / "model", spec)
    before = stack_now()
    engine = build_engine(model, spec, EngineChoice(engine="openvino"))
    engine(np.zeros((1, 4, *spec.window.patch), np.float32))
    assert stack_now() == before
