"""Every text has its translation, every translation its text, and the code asks only for texts that are there."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT
from pack.nanobanana.settings.profile import SETTINGS, Profile
from stand_in import StandIn

LANGUAGES = ("en", "zh")
WEB = ROOT / "web"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("locales_script", ROOT / "scripts" / "locales.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


locales = load_script()


@pytest.fixture
def object_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    # Settings of whoever runs the tests would add models and profiles.
    for name in ("NANOBANANA_HOME", "NANOBANANA_BASE_URL", "NANOBANANA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with StandIn({"pack": ROOT}, tmp_path) as host:
        return host.object_info()


def words(language: str, name: str) -> dict[str, str]:
    return dict(locales.leaves(locales.read(language, name)))


def test_nothing_is_missing_or_superfluous(object_info: dict[str, Any]) -> None:
    assert locales.problems(object_info) == []


def test_a_missing_and_a_superfluous_text_are_found(
    object_info: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "locales"
    for language in LANGUAGES:
        (copy / language).mkdir(parents=True)
        for name in locales.FILES:
            text = (ROOT / "locales" / language / f"{name}.json").read_text(encoding="utf-8")
            (copy / language / f"{name}.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(locales, "LOCALES", copy)
    assert locales.problems(object_info) == []
    for path, before, after in (
        (copy / "zh" / "commands.json", '"label"', '"lable"'),
        (copy / "en" / "nodeDefs.json", "NanoBanana Recall", "NanoBanana Remember"),
    ):
        path.write_text(path.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    found = "\n".join(locales.problems(object_info))
    assert "zh/commands.json lacks NanoBanana_OpenSettings.label" in found
    assert "zh/commands.json has NanoBanana_OpenSettings.lable" in found
    assert "en/nodeDefs.json differs from the schemas" in found


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_hosts_own_translator_can_read_every_text(language: str) -> None:
    # vue-i18n takes these for its own syntax in what it compiles: names, commands, settings, tooltips.
    for name in ("nodeDefs", "commands", "settings"):
        wrong = [key for key, text in words(language, name).items() if re.search(r"[@{}|$%]", text)]
        assert not wrong


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_fill_in_the_same_values(language: str) -> None:
    english = words("en", "main")
    for key, text in words(language, "main").items():
        assert set(re.findall(r"\{(\w+)", text)) == set(re.findall(r"\{(\w+)", english[key])), key


def test_chinese_is_chinese() -> None:
    same = {"nanobanana.settings.base_url_example", "nanobanana.history.tab", "settingsCategories.NanoBanana"}
    for name in locales.FILES:
        english = words("en", name)
        for key, text in words("zh", name).items():
            assert text != english[key] or key in same, f"{name}: {key}"


def used_keys() -> tuple[set[str], set[str]]:
    """Keys that the scripts name in full, and the beginnings of those that they put together."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in WEB.glob("*.js"))
    whole = set(re.findall(r"""\bt\(\s*"([\w.]+)\"""", source))
    begun = set(re.findall(r"\bt\(\s*`([\w.]*)\$\{", source))
    return whole, begun


def test_every_word_that_the_scripts_use_is_there_and_no_other() -> None:
    there = {key.removeprefix("nanobanana.") for key in words("en", "main") if key.startswith("nanobanana.")}
    whole, begun = used_keys()
    assert len(whole) > 40
    assert not whole - there
    # A key that is put together: `t(`${name}.${value}`)` for the choices of a setting.
    choices = {f"{name}.{choice}" for name, setting in SETTINGS.items() for choice in setting.choices}
    unused = {key for key in there - whole - choices if not key.startswith(tuple(one for one in begun if one))}
    assert not unused


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_setting_has_its_label_hint_and_choices(language: str) -> None:
    there = words(language, "main")
    wanted = [f"{group}.{name}" for name in SETTINGS for group in ("field", "hint")]
    wanted += [f"{name}.{choice}" for name, setting in SETTINGS.items() for choice in setting.choices]
    assert not [key for key in wanted if not there.get(f"nanobanana.{key}", "").strip()]


def test_every_setting_is_documented_with_its_default() -> None:
    table = (ROOT / "docs" / "nodes.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \|([^|]*)\|", table))
    defaults = Profile()
    for name, setting in SETTINGS.items():
        value = getattr(defaults, name)
        said = setting.said(value) if setting.most else f"`{value}`" if setting.choices else str(value).lower()
        assert rows[name].strip() == (said if value and setting.kind != "prices" else ""), name
    assert set(SETTINGS) <= set(rows)


def test_every_verdict_phase_and_state_has_its_words() -> None:
    there = set(words("en", "main"))
    from typing import get_args

    from pack.nanobanana import progress as report
    from pack.nanobanana.calls import connection_test as doctor
    from pack.nanobanana.journal import records

    wanted = [f"verdict.{one}" for one in get_args(doctor.Verdict)]
    wanted += [f"phase.{one}" for one in get_args(report.Phase)]
    wanted += [f"state.{one}" for one in get_args(records.State) if one != "failed"]
    wanted += [f"{group}_{one}" for group in ("error.billed", "state.failed") for one in ("yes", "no", "maybe")]
    assert not [key for key in wanted if f"nanobanana.{key}" not in there]


def test_commands_and_settings_are_those_that_are_registered() -> None:
    source = (WEB / "nanobanana.js").read_text(encoding="utf-8")
    ids = {one.replace(".", "_") for one in re.findall(r'\bid: "(NanoBanana\.[\w.]+)"', source)}
    assert ids == set(locales.read("en", "commands")) | set(locales.read("en", "settings"))
    for name, label in re.findall(r'id: "(NanoBanana\.\w+)",\s*label: "([^"]+)"', source):
        assert locales.read("en", "commands")[name.replace(".", "_")]["label"] == label


def test_every_node_has_help_in_both_languages(object_info: dict[str, Any]) -> None:
    for node in (name for name in object_info if name.startswith("NanoBanana")):
        english = WEB / "docs" / f"{node}.md"
        chinese = WEB / "docs" / node / "zh.md"
        assert english.is_file(), node
        assert (WEB / "docs" / node / "en.md").read_text(encoding="utf-8") == english.read_text(encoding="utf-8")
        definition = locales.read("en", "nodeDefs")[node]
        text = english.read_text(encoding="utf-8")
        grown = re.compile(r"_image_\d+$")
        for name in definition["inputs"]:
            assert grown.search(name) or name == "control_after_generate" or f"`{name}`" in text, f"{node}: {name}"
        translated = chinese.read_text(encoding="utf-8")
        assert re.search(r"[\u4e00-\u9fff]", translated)
        assert len(re.findall(r"(?m)^#", text)) == len(re.findall(r"(?m)^#", translated)), node
        assert len(re.findall(r"(?m)^\|", text)) == len(re.findall(r"(?m)^\|", translated)), node


def test_translation_files_are_plain_json() -> None:
    for path in (ROOT / "locales").rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
        assert path.stem in locales.FILES
