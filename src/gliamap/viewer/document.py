"""A page with scripts as one file that opens from disk, offline: nothing is fetched, nothing runs but what it holds.

Its content security policy names the hash of the one script and the one style sheet, so that nothing else could run
even if a name from outside slipped through as HTML. Data stands in elements that no browser runs or shows; scripts read
them and write text only.

    <script type="application/json" id="ID">{...}</script>           what a viewer shows
    <script type="text/plain" id="ID-NAME">...</script>              its blobs: gzip, base64
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from gliamap.report.page import text
from gliamap.report.page_style import STYLE

VIEWER, SURFACES = "viewer", "surfaces"
"""The scripts of the viewer of planes, which also read what :func:`embed` writes, and those of the view in 3D."""


def write_document(
    title: str,
    parts: Iterable[str],
    *,
    version: str,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    images_beside: bool = False,
) -> str:
    """The whole page: ``title`` is plain text, ``parts`` are HTML (empty ones are left out).

    ``styles`` are style sheets after that of all pages, ``scripts`` classic scripts that share one strict scope, both
    as text (see :func:`read_static`) and in this order; the last one starts what the others declare.
    ``images_beside``: pictures may lie in files beside the page. Nothing from outside may stand in styles or scripts;
    HTML must hold no style attribute, the policy forbids it. ``ValueError`` where code would end its own element.
    """
    style = "\n".join((STYLE, *styles))
    script = "\n".join(("(() => {", '"use strict";', *scripts, "})();")) if scripts else ""
    for code, end in ((style, "</style"), (script, "</script")):
        if end in code.lower():
            raise ValueError(f"{end} inside the page's own code would end it")
    content = "\n".join(part for part in parts if part)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(style, script, images_beside=images_beside)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{text(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
{content}
<footer>gliamap {text(version)}. Research use only; not a medical device.</footer>
</main>
{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


def embed(ident: str, content: Mapping[str, Any], blobs: Mapping[str, bytes]) -> str:
    """The elements of one viewer: ``content`` as JSON under ``ident``, each of ``blobs`` (gzip) as ``ident-NAME``.

    ``ident`` and the names of blobs are this program's own words. In scripts ``readPayload(ident)`` gives the content,
    ``blobsInPage(ident)`` the ``readBlob`` of a viewer.
    """
    elements = [_data(ident, "application/json", as_inert_json(content))]
    for name, packed in blobs.items():
        elements.append(_data(f"{ident}-{name}", "text/plain", base64.b64encode(packed).decode("ascii")))
    return "\n".join(elements)


def as_inert_json(content: Any) -> str:
    """JSON that ends no element and no line of a script: ``<``, ``>``, ``&`` and the like are written as escapes."""
    said = json.dumps(content, allow_nan=False, separators=(",", ":"))  # ASCII: U+2028 is an escape already
    return said.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def read_static(name: str) -> str:
    """A style sheet or script that comes with this package, as text."""
    return (files("gliamap.viewer") / "static" / name).read_text(encoding="utf-8")


def read_scripts(beginning: str) -> tuple[str, ...]:
    """All scripts of this package whose names begin so, sorted by name."""
    names = sorted(path.name for path in (files("gliamap.viewer") / "static").iterdir())
    return tuple(read_static(name) for name in names if name.startswith(beginning) and name.endswith(".js"))


def _data(ident: str, kind: str, said: str) -> str:
    return f'<script type="{kind}" id="{text(ident)}">{said}</script>'


def _policy(style: str, script: str, *, images_beside: bool) -> str:
    run = f"script-src {_hash(script)}; " if script else ""
    beside = "'self' " if images_beside else ""
    return (
        f"default-src 'none'; {run}style-src {_hash(style)}; img-src {beside}data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode('utf-8')).digest()).decode('ascii')}'"
