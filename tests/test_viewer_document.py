"""A page with scripts as one file: nothing runs but what it holds, whatever names say."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gliamap.viewer.document import as_inert_json, embed, read_scripts, write_document


def policy_of(page: str) -> str:
    """The page's content security policy."""
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert found
    return found[1]


def hash_of(code: str) -> str:
    """As policies name a script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


class Inline(HTMLParser):
    """The content of the page's style and script elements, as a browser cuts them out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None, str]] = []
        self.now: tuple[str, str | None] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.now = (tag, dict(attrs).get("type")) if tag in ("script", "style") else None

    def handle_data(self, data: str) -> None:
        if self.now:
            self.found.append((*self.now, data))

    def handle_endtag(self, tag: str) -> None:
        self.now = None


def test_the_policy_names_what_the_page_holds_and_nothing_else() -> None:
    page = write_document("A page", ["<p>hello</p>"], version="1", styles=["p{}"], scripts=["f();"])
    found = {tag: code for tag, _, code in Inline(page).found}
    assert policy_of(page) == (
        f"default-src 'none'; script-src {hash_of(found['script'])}; style-src {hash_of(found['style'])}; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    assert found["script"] == '(() => {\n"use strict";\nf();\n})();'


def test_without_scripts_none_may_run() -> None:
    policy = policy_of(write_document("A page", [], version="1"))
    assert "script-src" not in policy and policy.startswith("default-src 'none';")


def test_pictures_beside_the_page_are_asked_for() -> None:
    assert "img-src 'self' data: blob:;" in policy_of(write_document("", [], version="1", images_beside=True))


def test_code_that_would_end_its_element_is_refused() -> None:
    with pytest.raises(ValueError, match="</script"):
        write_document("", [], version="1", scripts=["'</ScRipt>'"])
    with pytest.raises(ValueError, match="</style"):
        write_document("", [], version="1", styles=["</style>"])


@example("</script><!--&\u2028")
@given(st.text())
def test_data_ends_no_element_and_comes_back(words: str) -> None:
    said = as_inert_json({"title": words})
    assert not set(said) & set("<>&\u2028\u2029") and said.isascii()
    assert json.loads(said) == {"title": words}


def test_data_and_blobs_stand_under_their_names() -> None:
    ((_, kind, said), (_, other, packed)) = Inline(embed("case", {"n": 1}, {"t1c": b"\x00\xff"})).found
    assert (kind, json.loads(said)) == ("application/json", {"n": 1})
    assert (other, base64.b64decode(packed)) == ("text/plain", b"\x00\xff")
    assert 'id="case-t1c"' in embed("case", {}, {"t1c": b""})


def test_scripts_are_found_by_their_beginning() -> None:
    (*_, last) = read_scripts("case_page")
    assert "createViewer(" in last
    assert read_scripts("no such script") == ()
