"""Which part of the pack may import which, and what only one module may touch."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest
from conftest import ROOT

MOST_LOOSE = 8
# The host's modules, and what else a pack finds in it only because the host needs it.
HOST_MODULES = {
    "comfy",
    "comfy_api",
    "comfy_api_nodes",
    "comfy_execution",
    "folder_paths",
    "server",
    "nodes",
    "execution",
}
LIBRARIES = {"requests", "urllib3", "PIL", "numpy", "torch", "aiohttp"}

# What each part may import besides itself.
BASICS = {f"nanobanana.{name}" for name in ("errors", "cancel", "catalog", "file_lock", "image_request", "progress")}
MAY_IMPORT: dict[str, set[str]] = {
    "nanobanana.errors": set(),
    "nanobanana.cancel": set(),
    "nanobanana.file_lock": {"nanobanana.errors"},
    "nanobanana.image_request": set(),
    "nanobanana.progress": set(),
    "nanobanana.catalog": {"nanobanana.errors"},
    "nanobanana.simulator": set(),
    "nanobanana.imaging": BASICS,
    "nanobanana.journal": BASICS,
    "nanobanana.settings": BASICS,
    "nanobanana.gateway": BASICS | {"nanobanana.settings"},
    "nanobanana.calls": BASICS
    | {f"nanobanana.{name}" for name in ("settings", "gateway", "imaging", "journal", "simulator")},
}
# Nodes leave the wire and the simulator to the library.
HIDDEN_FROM_NODES = {"nanobanana.gateway", "nanobanana.simulator"}


@dataclass(frozen=True)
class Import:
    """`target`: dotted, from the pack's root for our own modules, else the absolute name."""

    file: str
    line: int
    target: str
    ours: bool
    at_import_time: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.target}"


@cache
def pack_files() -> tuple[str, ...]:
    """The Python files that the host gets to see."""
    found = [ROOT / "__init__.py", *(ROOT / "nanobanana").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")]
    return tuple(sorted(file.relative_to(ROOT).as_posix() for file in found))


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), file)


def _module_level(module: ast.Module) -> set[ast.AST]:
    """Nodes that run when the module is imported: not those in functions, nor under `if TYPE_CHECKING`."""
    found: set[ast.AST] = set()
    pending: list[ast.AST] = list(module.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            pending += node.orelse
            continue
        found.add(node)
        pending += ast.iter_child_nodes(node)
    return found


def _is_module(dotted: str) -> bool:
    path = ROOT / dotted.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@cache
def imports() -> tuple[Import, ...]:
    return tuple(one for file in pack_files() for one in _imports_of(file))


def _imports_of(file: str) -> Iterator[Import]:
    at_import_time = _module_level(tree(file))
    package = file.split("/")[:-1]
    for node in ast.walk(tree(file)):
        early = node in at_import_time
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(file, node.lineno, name.name, False, early)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield Import(file, node.lineno, node.module or "", False, early)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            dotted = ".".join(part for part in base if part)
            for name in node.names:
                target = f"{dotted}.{name.name}" if dotted else name.name
                yield Import(file, node.lineno, target if _is_module(target) else dotted, True, early)


def importers(*names: str) -> set[str]:
    """Files that import any of the top-level modules `names`, also inside of functions."""
    return {one.file for one in imports() if not one.ours and one.target.split(".")[0] in names}


def module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def part(dotted: str) -> str:
    """`nodes`, `nanobanana.gateway`, `nanobanana.errors`, ...: what a module belongs to."""
    pieces = dotted.split(".")
    return ".".join(pieces[:2]) if pieces[0] == "nanobanana" else pieces[0]


def test_a_part_imports_only_what_it_may() -> None:
    wrong = [
        str(one)
        for one in imports()
        if one.ours
        and (allowed := MAY_IMPORT.get(part(module(one.file)))) is not None
        and part(one.target) not in allowed | {part(module(one.file))}
    ]
    assert not wrong
    assert set(MAY_IMPORT) <= {part(module(file)) for file in pack_files()}


def test_the_library_knows_no_nodes_and_nodes_know_no_wire() -> None:
    wrong = [
        str(one)
        for one in imports()
        if one.ours and part(one.target) in ({"nodes"} if one.file.startswith("nanobanana/") else HIDDEN_FROM_NODES)
    ]
    assert not wrong


def test_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {}
    for one in imports():
        if one.ours and one.at_import_time:
            graph.setdefault(module(one.file), set()).add(one.target)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
    assert len(done) > 20


def test_few_modules_lie_loose() -> None:
    loose = [file for file in pack_files() if file.startswith("nanobanana/") and file.count("/") == 1]
    assert len(loose) <= MOST_LOOSE, loose


def test_the_pack_imports_itself_relatively_and_never_its_tests() -> None:
    """Its folder can have any name, and its `nodes` must not be taken for the host's."""
    own = {"nanobanana", "pack", "demo", "scripts", "bench", *(path.stem for path in (ROOT / "tests").iterdir())}
    wrong = [str(one) for one in imports() if not one.ours and one.target.split(".")[0] in own]
    assert not wrong


def test_each_library_is_imported_only_where_it_belongs() -> None:
    assert importers("torch") == {"nodes/_tensors.py"}
    assert importers(*HOST_MODULES) == {"nodes/_host.py"}
    assert {file.rpartition("/")[0] for file in importers("requests", "urllib3")} == {"nanobanana/gateway/http"}
    # aiohttp is the host's web server: only the routes need it.
    assert {file.rpartition("/")[0] for file in importers("aiohttp")} == {"nodes/web_api"}


def test_only_declared_libraries_are_imported() -> None:
    allowed = set(sys.stdlib_module_names) | LIBRARIES | HOST_MODULES
    wrong = [str(one) for one in imports() if not one.ours and one.target.split(".")[0] not in allowed]
    assert not wrong


@pytest.mark.parametrize("file", [file for file in pack_files() if "/simulator/" not in file])
def test_no_module_is_longer_than_one_can_read(file: str) -> None:
    assert len((ROOT / file).read_bytes().splitlines()) <= 400
