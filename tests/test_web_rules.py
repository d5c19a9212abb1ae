"""What the pack's page code must not do to a page that it shares with ComfyUI and every other pack."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

WEB = ROOT / "web"
SCRIPTS = sorted(WEB.rglob("*.js"))
# The pack's display name without what isn't a letter or a digit: the registry's linter asks for it.
NAMESPACE = "nanobananaforcomfyui."


def without_comments(source: str) -> str:
    return re.sub(r"/\*.*?\*/|(?<![:\"'])//[^\n]*", "", source, flags=re.DOTALL)


def test_there_are_scripts() -> None:
    assert SCRIPTS


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"\binnerHTML\b|\bouterHTML\b|insertAdjacentHTML|document\.write", "words are set with textContent"),
        (r"document\.body\.(append|prepend|appendChild|insertBefore)", "the body is shared: use our own widget's DOM"),
        (r"\b(document|window)\.addEventListener", "a listener there hears every other pack's events"),
        (r"\.prototype\.\w+\s*=", "patched prototypes break in the other renderer and in other packs"),
        (r"\bonDrawForeground\b|\bonDrawBackground\b", "nothing is drawn on the canvas in the Vue renderer"),
        (r"[\"'`]https?://", "nothing is loaded from elsewhere"),
        (r"\beval\(|new Function\(", "registries refuse it"),
        (r"\bconsole\.(log|debug|info)\(", "the console is the person's"),
        (r"\blocalStorage\b|\bsessionStorage\b", "settings are the host's"),
    ],
)
def test_scripts_keep_away_from(pattern: str, why: str) -> None:
    wrong = [path.name for path in SCRIPTS if re.search(pattern, without_comments(path.read_text(encoding="utf-8")))]
    assert not wrong, why


def test_only_the_hosts_public_scripts_are_imported() -> None:
    for path in SCRIPTS:
        for target in re.findall(r"\bfrom\s+[\"']([^\"']+)[\"']", path.read_text(encoding="utf-8")):
            outside = re.fullmatch(r"(\.\./)+scripts/(app|api)\.js", target)
            assert outside or (path.parent / target).resolve().is_file(), f"{path.name} imports {target}"


def test_extensions_are_named_after_the_pack() -> None:
    names = [
        name
        for path in SCRIPTS
        for name in re.findall(r"registerExtension\(\s*\{\s*name:\s*[\"']([^\"']+)", path.read_text(encoding="utf-8"))
    ]
    assert names
    assert all(name.startswith(NAMESPACE) for name in names)
    assert len(set(names)) == len(names)


def test_no_test_is_in_the_folder_that_the_page_loads() -> None:
    assert not [path.name for path in SCRIPTS if "test" in path.stem]
