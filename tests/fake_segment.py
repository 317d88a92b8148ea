"""A stand-in for ``gliamap segment`` that does at once, late, badly or never what the name of its model says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Read ``input``, write ``out`` as the real command does, with events on standard output."""
    words = sys.argv[1:]
    out = Path(words[words.index("--out") + 1])
    way = Path(words[words.index("--model") + 1]).name if "--model" in words else "chosen"
    scans = sorted(Path(words[0]).iterdir())
    name = scans[0].name.rpartition("_")[0]
    Path("words.json").write_text(json.dumps([*words, os.environ.get("GLIAMAP_PASSWORD", "no password")]))
    tell("progress", stage="read", share=0.0, seconds_left=None)
    if way == "failing":
        found = f"input/{scans[0].name}"
        tell("error", what="the scan is not one", found=found, expected=None, remedy="send another")
        sys.exit(2)
    if way == "crashing":
        sys.exit("boom")
    if way == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    tell("progress", stage="network", share=0.5, seconds_left=1.5)
    if way == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if way in ("stubborn", "leaving"):
        child = subprocess.Popen(["sleep", "600"])
        Path("child").write_text(str(child.pid))
    if way in ("slow", "stubborn"):
        time.sleep(600)
    out.mkdir()
    shutil.copy(scans[0], out / f"{name}{''.join(scans[0].suffixes)}")
    for ending in ("_report.html", "_mosaic.png"):
        (out / (name + ending)).write_text(f"<title>{ending}</title>")
    summary = {"regions": {"WT": 12.5}, "unit": "mL", "seconds": 0.1, "warnings": [{"code": "a", "text": "b"}]}
    (out / f"{name}.json").write_text(json.dumps(summary))
    (out / "segment.json").write_text(json.dumps({"finished": True}))
    tell("progress", stage="end", share=1.0, seconds_left=0.0)


def tell(event: str, **content: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **content}) + "\n")
    sys.stdout.flush()


main()
