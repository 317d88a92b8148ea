"""The house rules hold, and the checker notices where they do not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import check_sizes
from check_sizes import PACKAGE, README, hidden_imports, parameters, too_large, tree_entries, tree_offences, unpickling


def test_the_package_keeps_the_rules() -> None:
    assert list(check_sizes.code_offences()) == []


def test_the_file_tree_in_the_readme_is_true() -> None:
    assert list(tree_offences(README.read_text(encoding="utf-8"))) == []


def offences_in(text: str, room: str = "io") -> list[str]:
    path = PACKAGE / room / "sample.py"
    tree = ast.parse(text)
    return [*too_large(path, tree, text), *hidden_imports(path, tree), *unpickling(path, tree)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f():\n" + "    x = 1\n" * 60, "f has 61 lines, limit 60"),
        ("x = 1\n" * 401, "file of 401 lines, limit 400"),
        ("def f(a, b, *, c, d, e, f, g): ...", "f has 7 parameters, limit 6"),
        ("def f():\n    import torch", "import inside f"),
        ("import pickle", "imports pickle"),
        ("from torch import load", "imports from torch what unpickles"),
        ("import torch\ntorch.load('x')", "torch.load pickles"),
        ("import torch\ntorch.load('x', weights_only=False)", "torch.load pickles"),
        ("import numpy as np\nnp.load('x', allow_pickle=True)", "allow_pickle is not False"),
    ],
)
def test_an_offence_is_noticed(text: str, message: str) -> None:
    (found,) = offences_in(text)
    assert message in found


def test_what_is_allowed_passes() -> None:
    assert offences_in("def f():\n" + "    x = 1\n" * 59) == []
    assert offences_in("def verb(a, b, c, d, e, f, g):\n    import torch", room="cli") == []
    assert offences_in("import numpy as np\nnp.load('x', allow_pickle=False)") == []
    assert offences_in("import torch\ntorch.load('x', weights_only=True)") == []


def test_self_is_no_parameter() -> None:
    method = ast.parse("def f(self, a, /, b, *c, d, **e): ...").body[0]
    assert isinstance(method, ast.FunctionDef)
    assert parameters(method) == 5


TREE = """
```
src/gliamap/
  labels volume   vocabulary
  io/             files
    nifti.py      NIfTI
tests/            tests
```
"""


def test_tree_by_eye(tmp_path: Path) -> None:
    assert [str(entry) for entry in tree_entries(TREE)] == [
        "src/gliamap",
        "src/gliamap/labels",
        "src/gliamap/volume",
        "src/gliamap/io",
        "src/gliamap/io/nifti.py",
        "tests",
    ]
    for name in ("labels.py", "boxes.py", "io/__init__.py", "io/nifti.py", "nets/__init__.py"):
        path = tmp_path / "src" / "gliamap" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "tests").mkdir()
    assert list(tree_offences(TREE, tmp_path)) == [
        "README.md:1: the tree names src/gliamap/volume, which does not exist",
        "README.md:1: the tree does not name src/gliamap/boxes.py",
        "README.md:1: the tree does not name src/gliamap/nets",
    ]
