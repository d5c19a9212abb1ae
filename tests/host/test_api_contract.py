"""The stand-in's names and arguments are those of the ComfyUI that is found. Reads its source, starts nothing."""

from __future__ import annotations

import ast

import pytest
from comfy_process import Installation
from stand_in import io_autogrow, io_node, io_types
from stand_in.io_types import Input, Output


def classes(installation: Installation) -> dict[str, ast.ClassDef]:
    """Classes of the host's `_io.py` by their dotted names."""
    source = (installation.folder / "comfy_api" / "latest" / "_io.py").read_text(encoding="utf-8")
    found: dict[str, ast.ClassDef] = {}

    def gather(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                found[prefix + node.name] = node
                gather(node.body, f"{prefix}{node.name}.")

    gather(ast.parse(source).body, "")
    return found


def arguments(node: ast.ClassDef) -> list[str]:
    """The arguments of `__init__`, or the fields of a dataclass."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return [argument.arg for argument in member.args.args[1:]]
    return [
        member.target.id
        for member in node.body
        if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name)
    ]


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("Input", Input),
        ("WidgetInput", io_types.WidgetInput),
        ("Boolean.Input", io_types.BooleanInput),
        ("Int.Input", io_types.IntInput),
        ("Float.Input", io_types.FloatInput),
        ("String.Input", io_types.StringInput),
        ("Combo.Input", io_types.ComboInput),
        ("Combo.Output", io_types.ComboOutput),
        ("Autogrow.Input", io_autogrow.AutogrowInput),
        ("Output", Output),
        ("Schema", io_node.Schema),
    ],
)
def test_arguments_are_the_hosts(
    installation: Installation, name: str, ours: type[Input] | type[Output] | type[io_node.Schema]
) -> None:
    real = arguments(classes(installation)[name])
    assert [one for one in real if one in ours.arguments] == [one for one in ours.arguments if one in real]
    # An older host lacks only what the stand-in knows to be newer than the oldest supported one.
    assert set(ours.arguments) - set(real) <= io_types.NEWER_THAN_FLOOR | io_node.SCHEMA_NEWER_THAN_FLOOR


def test_templates_take_what_the_hosts_take(installation: Installation) -> None:
    real = classes(installation)
    assert arguments(real["Autogrow.TemplateNames"]) == ["input", "names", "min"]
    assert arguments(real["Autogrow.TemplatePrefix"]) == ["input", "prefix", "min", "max"]


def test_hidden_values_are_the_hosts(installation: Installation) -> None:
    members = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in classes(installation)["Hidden"].body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert {one.name: one.value for one in io_node.Hidden}.items() <= members.items()
