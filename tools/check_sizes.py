"""House rules that no linter knows: sizes, empty package files, no unpickling, a true file tree in the README.

Prints each offence as ``file:line: what``, then how many functions are long; exit code 1 where there is an offence.
``tests/test_rules.py`` runs the same functions.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "gliamap"
README = ROOT / "README.md"

MAX_FUNCTION_LINES = 60
AIM_FUNCTION_LINES = 40
MAX_FILE_LINES = 400
MAX_PARAMETERS = 6

UNPICKLING_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNPICKLING_CALLS = {("torch", "load"), ("torch", "save"), ("pd", "read_pickle"), ("pandas", "read_pickle")}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(root: Path = PACKAGE) -> list[Path]:
    """Every Python file of the package, in order."""
    return sorted(root.rglob("*.py"))


def in_room(path: Path, *rooms: str) -> bool:
    """Whether ``path`` lies in one of these sub-packages."""
    return path.relative_to(PACKAGE).parts[0] in rooms


def functions(tree: ast.AST) -> list[Function]:
    """Every function and method of a module."""
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def length(function: Function) -> int:
    """Lines from ``def`` to the end, docstring included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters(function: Function) -> int:
    """How many parameters a caller sees: ``self`` and ``cls`` do not count."""
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    own = 1 if names[:1] in (["self"], ["cls"]) else 0
    stars = (function.args.vararg is not None) + (function.args.kwarg is not None)
    return len(names) - own + len(function.args.kwonlyargs) + stars


def at(path: Path, line: int, what: str) -> str:
    """One offence, as editors like it."""
    return f"{path.relative_to(ROOT)}:{line}: {what}"


def too_large(path: Path, tree: ast.AST, text: str) -> Iterator[str]:
    """Files and functions over the limits, functions with too many parameters."""
    lines = len(text.splitlines())
    if lines > MAX_FILE_LINES:
        yield at(path, 1, f"file of {lines} lines, limit {MAX_FILE_LINES}")
    for function in functions(tree):
        if length(function) > MAX_FUNCTION_LINES:
            yield at(path, function.lineno, f"{function.name} has {length(function)} lines, limit {MAX_FUNCTION_LINES}")
        if parameters(function) > MAX_PARAMETERS and not in_room(path, "cli"):
            yield at(
                path, function.lineno, f"{function.name} has {parameters(function)} parameters, limit {MAX_PARAMETERS}"
            )


def hidden_imports(path: Path, tree: ast.AST) -> Iterator[str]:
    """Imports inside functions, which only the rooms that must start fast may have."""
    if in_room(path, "cli", "workflows", "__init__.py"):
        return
    for function in functions(tree):
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield at(path, node.lineno, f"import inside {function.name}; only cli and workflows may")


def unpickling(path: Path, tree: ast.AST) -> Iterator[str]:
    """Anything that could run code from a data file."""
    sound = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and _weights_only(node)}
    for node in ast.walk(tree):
        if id(node) in sound:
            continue
        match node:
            case ast.Import(names=names):
                for alias in names:
                    if alias.name.split(".")[0] in UNPICKLING_MODULES:
                        yield at(path, node.lineno, f"imports {alias.name}, which unpickles")
            case ast.ImportFrom(module=str(module), names=names):
                calls = {(module, alias.name) for alias in names} & UNPICKLING_CALLS
                if calls or module.split(".")[0] in UNPICKLING_MODULES:
                    yield at(path, node.lineno, f"imports from {module} what unpickles")
            case ast.Attribute(value=ast.Name(id=module), attr=name) if (module, name) in UNPICKLING_CALLS:
                yield at(path, node.lineno, f"{module}.{name} pickles")
            case ast.keyword(arg="allow_pickle", value=value) if ast.unparse(value) != "False":
                yield at(path, value.lineno, "allow_pickle is not False")


def _weights_only(call: ast.Call) -> bool:
    """``torch.load(..., weights_only=True)``: torch's own reader, which builds tensors and nothing else."""
    only = any(word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in call.keywords)
    return only and ast.unparse(call.func) == "torch.load"


def filled_packages() -> Iterator[str]:
    """Sub-packages whose ``__init__`` holds something: reading a NIfTI file must not load torch."""
    for path in sources():
        if path.name == "__init__.py" and path.parent != PACKAGE and path.read_text(encoding="utf-8").strip():
            yield at(path, 1, "a sub-package's __init__ stays empty")


def tree_entries(readme: str) -> list[Path]:
    """The paths that the README's file tree names, relative to the repository.

    The tree is the fenced block that has a line ``src/gliamap/``. In each line the names come first, separated by
    blanks; two blanks or more, or ``#``, begin the remark. A name under ``folder/`` is indented further than it.
    """
    blocks = re.findall(r"^```\w*\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    block = next((b for b in blocks if re.search(r"src/gliamap/", b)), "")
    entries: list[Path] = []
    above: list[tuple[int, Path]] = [(-1, Path())]
    for line in block.splitlines():
        bare = re.sub(r"[│├└─|]", " ", line)
        if not bare.strip():
            continue
        indent = len(bare) - len(bare.lstrip())
        names = [name.strip(",") for name in re.split(r"\s{2,}|#", bare.strip())[0].split()]
        above = [(i, folder) for i, folder in above if i < indent]
        parent = above[-1][1]
        entries += [parent / name for name in names]
        if names[0].endswith("/"):
            above.append((indent, parent / names[0]))
    return entries


def tree_offences(readme: str, root: Path = ROOT) -> Iterator[str]:
    """Names in the README's tree that do not exist, and rooms or vocabulary modules that it does not name."""
    package = root / "src" / "gliamap"
    named = {root / entry for entry in tree_entries(readme)}
    if not named:
        yield "README.md:1: no fenced file tree with a line 'src/gliamap/'"
        return
    for path in sorted(named):
        if not path.exists() and not path.with_name(path.name + ".py").exists():
            yield f"README.md:1: the tree names {path.relative_to(root)}, which does not exist"
    rooms = [p.parent for p in package.glob("*/__init__.py")]
    modules = [p for p in package.glob("*.py") if p.name != "__init__.py"]
    for path in sorted([*rooms, *modules]):
        if path not in named and path.with_suffix("") not in named:
            yield f"README.md:1: the tree does not name {path.relative_to(root)}"


def code_offences() -> Iterator[str]:
    """Every offence in the code."""
    for path in sources():
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        yield from too_large(path, tree, text)
        yield from hidden_imports(path, tree)
        yield from unpickling(path, tree)
    yield from filled_packages()


def summary() -> str:
    """How many functions there are and what share is longer than the aim."""
    lengths = [length(f) for path in sources() for f in functions(ast.parse(path.read_text(encoding="utf-8")))]
    long = sum(n > AIM_FUNCTION_LINES for n in lengths)
    share = 100 * long / max(1, len(lengths))
    return (
        f"{len(sources())} files, {len(lengths)} functions, {long} ({share:.1f} %) over {AIM_FUNCTION_LINES} lines, "
        f"the longest {max(lengths, default=0)}"
    )


def main() -> int:
    """Print the offences and the summary; 1 where there is an offence."""
    found = [*code_offences(), *tree_offences(README.read_text(encoding="utf-8"))]
    for offence in found:
        print(offence)
    print(summary())
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
