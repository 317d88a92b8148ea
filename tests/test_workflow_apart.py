"""Items of work in processes of their own: what they tell, what they give, how they end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gliamap.errors import ConfigError
from gliamap.workflows.common.apart import Ended, Told, each_apart


def work(item: str, tell: Callable[[str], None]) -> str:
    tell(f"{item} begins")
    if item == "die":
        os._exit(1)
    if item == "raise":
        raise ConfigError("no such thing", remedy="another one")
    return item.upper()


def wait_for_ever(item: str, tell: Callable[[int], None]) -> str:
    tell(os.getpid())
    time.sleep(600)
    return item


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_what_is_told_and_given_comes_with_the_items_number() -> None:
    """The process of the first dies, which is no reason for the second to."""
    found = list(each_apart(work, ["die", "b"], at_once=1))
    assert found == [Told(0, "die begins"), Ended(0, None), Told(1, "b begins"), Ended(1, "B")]
    assert list(each_apart(work, [], at_once=2)) == []


def test_what_is_raised_there_is_raised_here() -> None:
    with pytest.raises(ConfigError, match="no such thing") as caught:
        list(each_apart(work, ["raise"], at_once=1))
    assert caught.value.remedy == "another one"


def test_leaving_early_ends_the_processes() -> None:
    with closing(each_apart(wait_for_ever, ["a", "b"], at_once=2)) as events:
        told = [next(events), next(events)]
    pids = [event.message for event in told if isinstance(event, Told)]
    assert len(set(pids)) == 2 and not any(is_alive(pid) for pid in pids)
