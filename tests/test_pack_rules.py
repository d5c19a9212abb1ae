"""What a pack must and must not do: to its host, to the registry, to whoever reads its files."""

from __future__ import annotations

import ast
import os
import re
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from conftest import NODE_IDS, ROOT
from test_layout import pack_files, tree

NOT_OURS = {".git", ".venv", "output", "artefacts", "node_modules", "__pycache__"}


@cache
def _all_files() -> tuple[str, ...]:
    found: list[str] = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS]
        found += [(Path(folder) / name).relative_to(ROOT).as_posix() for name in names]
    return tuple(sorted(found))


def files(*suffixes: str) -> list[str]:
    return [file for file in _all_files() if file.endswith(suffixes)]


def test_python_files_hold_cp1252_only() -> None:
    for file in files(".py"):
        try:
            (ROOT / file).read_text(encoding="utf-8").encode("cp1252")
        except UnicodeEncodeError as error:
            pytest.fail(f"{file}: {error}")


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
    assert found == set(NODE_IDS)


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


def test_requirements_are_the_same_everywhere() -> None:
    tomllib: Any = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    assert project["project"]["dependencies"] == listed == ["requests", "pillow", "numpy"]


def test_the_version_is_the_same_everywhere() -> None:
    tomllib: Any = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")
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
