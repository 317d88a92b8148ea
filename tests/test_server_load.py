"""Many at a time: everybody who watches sees every change that lasts, no upload is lost, memory stays bounded."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import nibabel as nib
import numpy as np
import pytest

WATCHERS, UPLOADS = 50, 20
_GROWTH = 150 * 2**20  # of the server's memory, while 20 files of 36 MB come in

pytestmark = pytest.mark.slow


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[str, str, int]]:
    """A running app: its address, a token, its process."""
    words = [sys.executable, "-m", "gliamap", "serve", "--port", "0", "--data", str(tmp_path / "data")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        link = re.fullmatch(r"open (\S+)/enter\?token=(\S+)\n", process.stdout.readline())
        assert link
        yield link[1], link[2], process.pid
        process.terminate()


def own_memory(pid: int) -> int:
    """Bytes that are the process' own: pages of files that the system keeps do not count."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", text)
    assert found
    return int(found[1]) * 1024


async def watch(client: httpx.AsyncClient, wanted: int) -> int:
    """How many events it took until ``wanted`` cases with a file were seen."""
    seen, files = 0, {}
    async with client.stream("GET", "/api/events", timeout=120) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                seen += 1
                files |= {case["id"]: len(case["files"]) for case in json.loads(line[6:]).get("cases", [])}
                if sum(map(bool, files.values())) == wanted:
                    return seen
    raise AssertionError("the stream ended")


async def upload(client: httpx.AsyncClient, scan: bytes) -> dict[str, Any]:
    case_id = (await client.post("/api/cases")).json()["id"]
    answer = await client.put(f"/api/cases/{case_id}/files/1", content=scan, headers={"X-File-Name": "t1.nii"})
    assert answer.status_code == 200, answer.text
    case: dict[str, Any] = answer.json()
    return case


async def crowd(base: str, token: str, pid: int) -> dict[str, Any]:
    scan = nib.Nifti1Image(np.zeros((240, 240, 155), np.float32), np.eye(4)).to_bytes()
    limits = httpx.Limits(max_connections=WATCHERS + UPLOADS + 5)
    async with httpx.AsyncClient(
        base_url=base, headers={"Origin": base}, limits=limits, timeout=120, trust_env=False
    ) as client:
        await client.get("/enter", params={"token": token})
        before, peak, began = own_memory(pid), 0, time.perf_counter()
        watchers = [asyncio.create_task(watch(client, UPLOADS)) for _ in range(WATCHERS)]
        uploads = asyncio.gather(*(upload(client, scan) for _ in range(UPLOADS)))
        while not uploads.done():
            peak = max(peak, own_memory(pid))
            await asyncio.sleep(0.02)
        cases, seconds = await uploads, time.perf_counter() - began
        seen = await asyncio.gather(*watchers)
    return {"cases": cases, "seen": seen, "growth": peak - before, "seconds": seconds, "bytes": len(scan)}


def test_fifty_watch_while_twenty_files_come_in(address: tuple[str, str, int], tmp_path: Path) -> None:
    found = asyncio.run(crowd(*address))
    assert len({case["id"] for case in found["cases"]}) == UPLOADS
    sizes = {path.stat().st_size for path in (tmp_path / "data").rglob("1.nii")}
    assert sizes == {found["bytes"]} == {case["files"][0]["bytes"] for case in found["cases"]}
    assert len(found["seen"]) == WATCHERS
    assert found["growth"] < _GROWTH
    if "GLIAMAP_SHOW" in os.environ:
        sys.stderr.write(json.dumps({name: found[name] for name in ("seen", "growth", "seconds", "bytes")}) + "\n")
