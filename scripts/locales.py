"""The translations: English comes from the nodes' schemas, the others are checked against it.

    python scripts/locales.py write     write locales/en/nodeDefs.json anew from the schemas
    python scripts/locales.py check     say what is missing or superfluous

Run it with the project's own Python (.venv): it needs the stand-in host.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

ROOT: Final = Path(__file__).resolve().parent.parent
LOCALES: Final = ROOT / "locales"
FILES: Final = ("main", "nodeDefs", "commands", "settings")
ENGLISH: Final = "en"

Tree = dict[str, Any]


def node_definitions(object_info: Mapping[str, Any]) -> Tree:
    """`nodeDefs.json` for the pack's nodes, from what `GET /object_info` answers."""
    return {name: _node(info) for name, info in sorted(object_info.items()) if name.startswith("NanoBanana")}


def _node(info: Mapping[str, Any]) -> Tree:
    inputs: Tree = {}
    for group in ("required", "optional"):
        for name, (kind, *rest) in info["input"].get(group, {}).items():
            options: Mapping[str, Any] = rest[0] if rest else {}
            inputs[name] = _slot(name, options.get("tooltip"))
            if options.get("control_after_generate"):
                inputs["control_after_generate"] = {"name": "control after generate"}
            if kind.startswith("COMFY_AUTOGROW"):
                template = options["template"]
                ((_, (_, *inner)),) = template["input"]["required"].items()
                tooltip = inner[0].get("tooltip") if inner else None
                # The page looks a grown input up under its whole name, with the dot as an underscore.
                inputs |= {f"{name}_{one}": _slot(one, tooltip) for one in template["names"]}
    outputs = {
        str(number): _slot(name, tooltip)
        for number, (name, tooltip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
    }
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": inputs,
        "outputs": outputs,
    }


def _slot(name: str, tooltip: str | None) -> Tree:
    return {"name": name, "tooltip": tooltip} if tooltip else {"name": name}


def schemas() -> Mapping[str, Any]:
    """The nodes as the stand-in host derives them, with no settings at all."""
    stand_in = importlib.import_module("stand_in")
    with tempfile.TemporaryDirectory() as folder, stand_in.StandIn({"pack": ROOT}, Path(folder)) as host:
        return cast("Mapping[str, Any]", host.object_info())


def read(language: str, name: str) -> Tree:
    path = LOCALES / language / f"{name}.json"
    return cast("Tree", json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every text with its dotted key."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(cast("Tree", value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def languages() -> list[str]:
    return sorted(folder.name for folder in LOCALES.iterdir() if folder.is_dir() and folder.name != ENGLISH)


def problems(object_info: Mapping[str, Any]) -> list[str]:
    """What is wrong with the translations, a line each."""
    found: list[str] = []
    derived = node_definitions(object_info)
    if derived != read(ENGLISH, "nodeDefs"):
        found.append("en/nodeDefs.json differs from the schemas: run scripts/locales.py write")
    for language in languages():
        for name in FILES:
            english, other = dict(leaves(read(ENGLISH, name))), dict(leaves(read(language, name)))
            where = f"{language}/{name}.json"
            found += [f"{where} lacks {key}" for key in english if key not in other]
            found += [f"{where} has {key}, which English has not" for key in other if key not in english]
    return found


def main(arguments: list[str]) -> None:
    if arguments == ["write"]:
        text = json.dumps(node_definitions(schemas()), indent=2, ensure_ascii=False)
        (LOCALES / ENGLISH / "nodeDefs.json").write_text(f"{text}\n", encoding="utf-8")
    elif arguments == ["check"]:
        found = problems(schemas())
        print("\n".join(found) or "Everything is translated.")
        sys.exit(1 if found else 0)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "demo"))
    main(sys.argv[1:])
