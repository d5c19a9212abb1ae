"""The house rules of the code: what may import what, what may be in a file, and what a pack must not do to its host."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import pytest
from conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib

NOT_OURS = {".git", ".venv", "output", "artefacts", "node_modules", "__pycache__"}
MOST_LINES = 400
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


@dataclass(frozen=True)
class Import:
    """`target`: dotted, from the pack's root for our own modules, else the absolute name."""

    file: str
    line: int
    target: str
    ours: bool
    at_import_time: bool


@cache
def _all_files() -> tuple[str, ...]:
    found: list[str] = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS]
        found += [(Path(folder) / name).relative_to(ROOT).as_posix() for name in names]
    return tuple(sorted(found))


def files(*suffixes: str) -> list[str]:
    return [file for file in _all_files() if file.endswith(suffixes)]


def pack_files() -> list[str]:
    """The Python files that the host gets to see."""
    return [file for file in files(".py") if file == "__init__.py" or file.startswith(("nanobanana/", "nodes/"))]


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
def imports(file: str) -> tuple[Import, ...]:
    at_import_time = _module_level(tree(file))
    package = list(PurePosixPath(file).parent.parts)
    found: list[Import] = []
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found += [Import(file, node.lineno, name.name, False, node in at_import_time) for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append(Import(file, node.lineno, node.module or "", False, node in at_import_time))
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            dotted = ".".join(part for part in base if part)
            for name in node.names:
                target = f"{dotted}.{name.name}" if dotted else name.name
                found.append(
                    Import(file, node.lineno, target if _is_module(target) else dotted, True, node in at_import_time)
                )
    return tuple(found)


def our_imports() -> Iterator[Import]:
    for file in pack_files():
        yield from (one for one in imports(file) if one.ours)


def foreign_imports() -> Iterator[Import]:
    for file in pack_files():
        yield from (one for one in imports(file) if not one.ours)


def importers(*names: str) -> set[str]:
    """Files that import any of the top-level modules `names`, also inside of functions."""
    return {one.file for one in foreign_imports() if one.target.split(".")[0] in names}


def part(file_or_module: str) -> str:
    """`nodes`, `nanobanana.gateway`, `nanobanana.errors`, ...: the part of the house a file or a module belongs to."""
    pieces = file_or_module.removesuffix(".py").removesuffix("/__init__").replace("/", ".").split(".")
    return ".".join(pieces[:2]) if pieces[0] == "nanobanana" else pieces[0]


# What each part may import besides itself. Whatever isn't listed here is orchestration: the library's own top level.
BASICS = {f"nanobanana.{name}" for name in ("errors", "cancel", "catalog", "image_request", "progress")}
MAY_IMPORT = {
    "nanobanana.errors": set[str](),
    "nanobanana.cancel": set[str](),
    "nanobanana.image_request": set[str](),
    "nanobanana.progress": set[str](),
    "nanobanana.catalog": {"nanobanana.errors"},
    "nanobanana.prompt_list": set[str](),
    "nanobanana.simulator": set[str](),
    "nanobanana.imaging": BASICS,
    "nanobanana.journal": BASICS,
    "nanobanana.settings": BASICS,
    "nanobanana.gateway": BASICS | {"nanobanana.settings"},
    "nanobanana.calls": BASICS
    | {f"nanobanana.{name}" for name in ("settings", "gateway", "imaging", "journal", "simulator")},
}


@pytest.mark.parametrize("name", sorted(MAY_IMPORT))
def test_a_part_imports_only_what_it_may(name: str) -> None:
    wrong = [
        f"{one.file}:{one.line} imports {one.target}"
        for one in our_imports()
        if part(one.file) == name and part(one.target) not in MAY_IMPORT[name] | {name}
    ]
    assert not wrong


def test_every_part_is_there() -> None:
    there = {part(file) for file in pack_files()}
    assert set(MAY_IMPORT) <= there


def test_the_library_knows_no_nodes() -> None:
    wrong = [one for one in our_imports() if one.file.startswith("nanobanana/") and part(one.target) == "nodes"]
    assert not wrong


def test_nodes_leave_the_wire_and_the_simulator_to_the_library() -> None:
    hidden = ("nanobanana.gateway", "nanobanana.simulator")
    wrong = [one for one in our_imports() if part(one.file) == "nodes" and part(one.target) in hidden]
    assert not wrong


def test_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {}
    for one in our_imports():
        if one.at_import_time:
            source = one.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            graph.setdefault(source, set()).add(one.target)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for target in sorted(graph.get(module, ())):
                visit(target, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())
    assert len(done) > 20


def test_the_packs_own_modules_are_imported_relatively() -> None:
    wrong = [one for one in foreign_imports() if one.target.split(".")[0] in ("nanobanana", "nodes", "pack")]
    assert not wrong


def test_torch_is_imported_by_one_module() -> None:
    assert importers("torch") == {"nodes/_tensors.py"}


def test_the_host_is_imported_by_one_module() -> None:
    assert importers(*HOST_MODULES) == {"nodes/_host.py"}


def test_requests_is_imported_by_the_transport_alone() -> None:
    found = importers("requests", "urllib3")
    assert found
    assert all(file.startswith("nanobanana/gateway/http/") for file in found)


def test_nothing_heavy_is_imported_with_the_pack() -> None:
    heavy = [
        one for one in foreign_imports() if one.at_import_time and one.target.split(".")[0] in ("requests", "urllib3")
    ]
    assert not [one for one in heavy if part(one.file) == "nodes"]


def test_only_declared_libraries_are_imported() -> None:
    allowed = set(sys.stdlib_module_names) | {"requests", "urllib3", "PIL", "numpy", "torch", "aiohttp"} | HOST_MODULES
    wrong = [one for one in foreign_imports() if one.target.split(".")[0] not in allowed]
    assert not wrong
    # aiohttp is the host's web server: only the routes need it.
    assert importers("aiohttp") <= {"nodes/_host.py"} | {
        file for file in pack_files() if file.startswith("nodes/web_api/")
    }


def test_python_files_hold_cp1252_only() -> None:
    for file in files(".py"):
        try:
            (ROOT / file).read_text(encoding="utf-8").encode("cp1252")
        except UnicodeEncodeError as error:
            pytest.fail(f"{file}: {error}")


def test_files_are_short() -> None:
    long = {
        file: lines
        for file in files(".py", ".js", ".mjs")
        if not file.startswith("tests/") and (lines := len((ROOT / file).read_bytes().splitlines())) > MOST_LINES
    }
    assert not long


def test_every_module_says_what_it_is_and_delays_annotations() -> None:
    for file in files(".py"):
        module = tree(file)
        if not module.body:
            continue
        assert ast.get_docstring(module) or file.startswith("tests/"), f"{file} has no docstring"
        futures = [node for node in module.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
        rest = [node for node in module.body[1:] if node not in futures]
        assert futures or not rest, f"{file} lacks `from __future__ import annotations`"


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"NODE_CLASS_MAPPINGS", "it would win over comfy_entrypoint"),
        (r"is_api_node", "it is for Comfy.org's own paid nodes"),
        (r"\beval\(|\bexec\(|os\.system\(|shell=True", "registries refuse it"),
        (r"\bsys\.path\b", "the pack's nodes/ would hide the host's nodes.py"),
        (r"\bthrow_exception_if_processing_interrupted\b|\bProgressBar\b", "they clear the flag siblings wait for"),
        (r"to_thread\(|run_in_executor\(", "they keep the host's loop from ending"),
        (r"verify\s*=\s*False", "it switches TLS checks off"),
        (r"os\.environ\[[^]]+\]\s*=", "the environment is the host's"),
    ],
)
def test_the_pack_keeps_away_from(pattern: str, why: str) -> None:
    wrong = [file for file in pack_files() if re.search(pattern, (ROOT / file).read_text(encoding="utf-8"))]
    assert not wrong, why


def test_nothing_is_printed() -> None:
    for file in pack_files():
        if PurePosixPath(file).name == "__main__.py" or "/commands" in file:
            continue
        calls = [node for node in ast.walk(tree(file)) if isinstance(node, ast.Call)]
        printed = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not printed, f"{file}:{printed}"


def test_node_classes_can_be_found_by_scanners() -> None:
    """Scanners look for a class that directly subclasses `...ComfyNode` and a literal `node_id` in its schema."""
    found: set[str] = set()
    for file in pack_files():
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("ComfyNode") for base in node.bases):
                ids = [
                    keyword.value.value
                    for call in ast.walk(node)
                    if isinstance(call, ast.Call)
                    for keyword in call.keywords
                    if keyword.arg == "node_id" and isinstance(keyword.value, ast.Constant)
                ]
                assert ids == [node.name], f"{file}: {node.name}"
                found.add(node.name)
    names = ("Generate", "Edit", "Connection", "Prompts", "Recall")
    assert found == {f"NanoBananaGateway{name}" for name in names}


def test_no_file_names_a_machine() -> None:
    suffixes = (".py", ".js", ".mjs", ".json", ".md", ".toml", ".txt", ".yml", ".css")
    names = [*files(*suffixes), "Makefile", ".ci/run", ".comfyignore"]
    wrong = [
        f"{file}: {match.group()}"
        for file in names
        if not file.startswith("tests/")
        for match in re.finditer(r"(?<![\w.~])/(root|work|tmp|home)/[a-z.]+", (ROOT / file).read_text(encoding="utf-8"))
    ]
    assert not wrong


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_requirements_are_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    assert project["project"]["dependencies"] == listed == ["requests", "pillow", "numpy"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    version = next(
        node.value.value
        for node in tree("__init__.py").body
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "__version__"
        and isinstance(node.value, ast.Constant)
    )
    assert project["project"]["version"] == version
    assert project["tool"]["comfy"]["requires-comfyui"] == ">=0.11.0"
    assert "comfyui" not in project["project"]["name"].lower()


def test_what_users_do_not_need_stays_out_of_the_registry() -> None:
    ignored = (ROOT / ".comfyignore").read_text(encoding="utf-8").split("\n")
    kept = {"__init__.py", "nanobanana", "nodes", "web", "locales", "example_workflows", "docs"}
    kept |= {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "requirements.txt", ".comfyignore"}
    present = {path.name for path in ROOT.iterdir()} - {".git", "__pycache__"}
    assert not {name for name in kept if name in ignored or f"{name}/" in ignored}
    unlisted = {name for name in present - kept if name not in ignored and f"{name}/" not in ignored}
    assert not {name for name in unlisted if name not in _ignored_by_git()}


def _ignored_by_git() -> set[str]:
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").split("\n")
    return {
        name
        for name in (path.name for path in ROOT.iterdir())
        if any(PurePosixPath(name).match(line.rstrip("/")) for line in lines if line)
    }
