from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.errors import ConfigError
from pack.nanobanana.settings.profile import Profile, checked, endpoint, normalise_base_url, origin
from pack.nanobanana.settings.store import ProfileStore, data_folder

KEY = "sk-planted0123456789abcdefWXYZ"
URL = "https://gateway.example"


@pytest.mark.parametrize(
    "text",
    [
        "https://gateway.example",
        "https://gateway.example/",
        "https://gateway.example///",
        "  https://gateway.example/v1\n",
        "https://gateway.example/v1/",
        "https://gateway.example/v1/chat/completions",
        "https://gateway.example/v1/chat/completions/",
        "https://gateway.example/chat/completions",
        "HTTPS://Gateway.Example:443/v1",
        "https://gateway.example/v1/v1",
    ],
)
def test_every_way_to_write_a_base_url(text):
    assert normalise_base_url(text) == URL
    assert endpoint(Profile(base_url=text)) == "https://gateway.example/v1/chat/completions"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("http://localhost:8080/v1", "http://localhost:8080"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("https://[2001:DB8::1]:8443/v1", "https://[2001:db8::1]:8443"),
        ("https://h.example/api/v1", "https://h.example/api"),
        ("https://h.example/API/v12", "https://h.example/API/v12"),
        ("https://h.example/v1beta", "https://h.example/v1beta"),
        ("https://h.example/my-v1/x", "https://h.example/my-v1/x"),
        ("simulator", "simulator"),
        (" Simulator ", "simulator"),
        # Without a scheme: https, but http at home.
        ("h.example/v1", "https://h.example"),
        ("h.example:8443", "https://h.example:8443"),
        ("localhost:8080/v1/", "http://localhost:8080"),
        ("192.168.1.20:4000", "http://192.168.1.20:4000"),
        ("studio:4000", "http://studio:4000"),
        ("gateway.local", "http://gateway.local"),
    ],
)
def test_ports_prefixes_and_the_simulator_stay(text, wanted):
    assert normalise_base_url(text) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is missing"),
        ("   ", "is missing"),
        ("gateway", "not a web address"),
        ("sk-0123456789abcdef", "not a web address"),
        ("me@gateway.example", "not a web address"),
        ("ftp://gateway.example", "not a web address"),
        ("file:///etc/passwd", "not a web address"),
        ("https://", "not a web address"),
        ("https:///v1", "not a web address"),
        ("https://gateway.example:99999", "not a web address"),
        ("https://gateway.example:0", "not a web address"),
        ("https://gateway.example:x", "not a web address"),
        ("https://[::1", "not a web address"),
        ("https://gate way.example", "not a web address"),
        ("https://gateway.example\\@evil.example", "not a web address"),
        ("https://gateway.example/\nHost: x", "not a web address"),
        ("javascript:alert(1)", "not a web address"),
        ("https://me:secret@gateway.example", "user name or a password"),
        ("https://@gateway.example", "user name or a password"),
        ("https://gateway.example?key=1", "a query"),
        ("https://gateway.example/v1?", "a query"),
        ("https://gateway.example/v1#", "a query"),
        ("https://gateway.example/#/v1", "a query"),
    ],
)
def test_what_is_no_base_url_is_refused_in_words(text, words):
    with pytest.raises(ConfigError, match=words) as caught:
        normalise_base_url(text)
    assert caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_key_typed_as_base_url_is_not_repeated():
    with pytest.raises(ConfigError) as caught:
        normalise_base_url(KEY)
    assert KEY not in str(caught.value)
    assert "0123456789" not in str(caught.value)


@given(st.text(alphabet="htps:/.ab1v[]@?#%\\ -chatompleion", max_size=40) | st.text(max_size=40))
def test_normalising_twice_is_normalising_once(text):
    try:
        once = normalise_base_url(text)
    except ConfigError:
        return
    assert normalise_base_url(once) == once
    assert once == "simulator" or once.startswith(("http://", "https://"))
    assert not once.endswith(("/", "/v1"))


def test_the_origin_is_where_the_key_may_go():
    assert origin("https://h.example:8443/api/v1") == "https://h.example:8443"
    assert origin("simulator") == "simulator"


def test_the_data_folder(tmp_path):
    home = Path.home()
    host = tmp_path / "host"
    assert data_folder(host, {"NANOBANANA_HOME": str(tmp_path / "own")}) == tmp_path / "own"
    assert data_folder(None, {"NANOBANANA_HOME": "~/pictures"}) == home / "pictures"
    assert data_folder(None, {"NANOBANANA_HOME": "here"}).is_absolute()
    assert data_folder(host, {"NANOBANANA_HOME": " "}) == host
    assert data_folder(host, {}) == host
    assert data_folder(None, {}, platform="linux") == home / ".local" / "share" / "nanobanana"
    assert data_folder(None, {"XDG_DATA_HOME": str(tmp_path)}, platform="linux") == tmp_path / "nanobanana"
    assert data_folder(None, {"XDG_DATA_HOME": "relative"}, platform="linux") == home / ".local/share/nanobanana"
    assert data_folder(None, {}, platform="darwin") == home / "Library" / "Application Support" / "nanobanana"
    assert data_folder(None, {"LOCALAPPDATA": str(tmp_path)}, platform="win32") == tmp_path / "nanobanana"
    assert data_folder(None, {}, platform="win32") == home / "AppData" / "Local" / "nanobanana"


@pytest.fixture
def store(tmp_path: Path) -> ProfileStore:
    return ProfileStore(tmp_path / "data", {})


FULL = Profile(
    name="studio",
    base_url=URL,
    api_key=KEY,
    dialect="openrouter",
    stream=False,
    connect_timeout=3.5,
    total_timeout=60.0,
    concurrency=8,
    private_hosts=("cdn.local", "10.0.0.5"),
    extra_models=("Nano-\u732b",),
    prices={"NanoBananaPro-1K": 0.24},
    picture_limit=1_000_000,
    body_limit=3_000_000,
    system_message="You draw.\nAlways.",
    prompt_prefix="Draw: ",
    body_fields='{"temperature": 0.5}',
    task_path="/v1/jobs/{id}",
)


def test_the_defaults_are_those_of_the_documentation():
    profile = Profile()
    assert (profile.name, profile.dialect, profile.stream, profile.concurrency) == ("default", "documented", True, 4)
    assert (profile.connect_timeout, profile.total_timeout) == (10.0, 600.0)
    assert (profile.picture_limit, profile.body_limit) == (7_000_000, 20_000_000)
    assert (profile.private_hosts, profile.extra_models, dict(profile.prices)) == ((), (), {})


def test_a_profile_can_be_a_key_of_a_dictionary():
    assert {FULL: 1}[replace(FULL)] == 1


def test_what_is_saved_comes_back(store):
    store.save(FULL)
    assert store.get("studio") == FULL
    assert store.names() == ["default", "studio"]


def test_a_repr_never_shows_the_key():
    assert KEY not in repr(FULL)
    assert "planted" not in f"{FULL!r} {FULL}"


def test_without_anything_set_the_default_is_there_and_says_what_to_do(store):
    assert store.names() == ["default"]
    assert store.stored() == Profile()
    with pytest.raises(ConfigError, match="No gateway is set") as caught:
        store.get()
    assert "NANOBANANA_BASE_URL" in caught.value.hint
    assert not store.path.exists()


def test_an_unknown_profile_names_those_there_are(store):
    store.save(FULL)
    with pytest.raises(ConfigError, match="'nope'") as caught:
        store.get("nope")
    assert caught.value.hint == "Choose one of default, studio."


def test_the_environment_wins_for_the_default_profile_only(tmp_path):
    environ = {"NANOBANANA_BASE_URL": "https://env.example/v1", "NANOBANANA_API_KEY": " Bearer env-key-0123456789 "}
    store = ProfileStore(tmp_path, environ)
    assert store.get() == Profile(base_url="https://env.example", api_key="env-key-0123456789")
    store.save(Profile(base_url=URL, api_key=KEY, concurrency=9))
    store.save(FULL)
    assert store.get() == Profile(base_url="https://env.example", api_key="env-key-0123456789", concurrency=9)
    assert store.get("studio") == FULL
    assert store.stored() == Profile(base_url=URL, api_key=KEY, concurrency=9)
    view = store.public_view()
    assert [one["from_environment"] for one in view] == [["base_url", "api_key"], []]


def test_the_files_key_is_not_sent_to_another_gateway_that_the_environment_names(tmp_path):
    ProfileStore(tmp_path, {}).save(Profile(base_url=URL, api_key=KEY))
    assert ProfileStore(tmp_path, {"NANOBANANA_BASE_URL": "https://other.example"}).get().api_key == ""
    assert ProfileStore(tmp_path, {"NANOBANANA_BASE_URL": f"{URL}/v1"}).get().api_key == KEY
    assert ProfileStore(tmp_path, {"NANOBANANA_API_KEY": "k-2"}).get() == Profile(base_url=URL, api_key="k-2")


def test_a_key_saved_without_a_base_url_goes_to_the_environments_gateway(tmp_path):
    ProfileStore(tmp_path, {}).save(Profile(api_key=KEY))
    assert ProfileStore(tmp_path, {"NANOBANANA_BASE_URL": URL}).get().api_key == KEY


@pytest.mark.skipif(os.name == "nt", reason="file modes are a POSIX thing")
def test_the_file_is_private_from_the_moment_it_exists(store):
    modes: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for path in list(store.path.parent.glob("*")) + list(store.path.parent.glob(".*")):
                try:
                    modes.append(stat.S_IMODE(path.stat().st_mode))
                except FileNotFoundError:
                    continue

    store.path.parent.mkdir()
    old = os.umask(0)
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for number in range(30):
            store.save(replace(FULL, name=f"p{number}"))
    finally:
        stop.set()
        thread.join()
        os.umask(old)
    assert modes
    assert set(modes) == {0o600}
    assert {path.name for path in store.path.parent.iterdir()} == {"profiles.json", "profiles.lock"}


@pytest.mark.skipif(os.name == "nt", reason="file modes are a POSIX thing")
def test_a_file_that_others_can_read_is_made_private(store, caplog):
    store.save(FULL)
    store.path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        assert store.get("studio") == FULL
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert "readable by its owner only" in caplog.text
    assert KEY not in caplog.text


def test_what_a_newer_version_wrote_is_kept(store):
    store.save(FULL)
    document = json.loads(store.path.read_text(encoding="utf-8"))
    document["colour"] = "green"
    document["profiles"]["studio"]["future"] = {"x": [1]}
    store.path.write_text(json.dumps(document), encoding="utf-8")
    assert store.get("studio") == FULL
    store.save(replace(FULL, concurrency=2))
    store.rename("studio", "atelier")
    document = json.loads(store.path.read_text(encoding="utf-8"))
    assert document["colour"] == "green"
    assert document["profiles"]["atelier"]["future"] == {"x": [1]}
    assert document["profiles"]["atelier"]["concurrency"] == 2


@pytest.mark.parametrize(
    "content",
    [b"{not json", b"[]", b'"x"', b'{"profiles": []}', b'{"profiles": {"a": 5}}', b"\xff\xfe\x00", b"", b'{"a":\xff}'],
)
def test_a_damaged_file_is_named_and_never_overwritten(store, content):
    store.path.parent.mkdir()
    store.path.write_bytes(content)
    for action in (
        store.names,
        store.get,
        store.public_view,
        lambda: store.save(FULL),
        lambda: store.delete("x"),
        lambda: store.rename("x", "y"),
    ):
        with pytest.raises(ConfigError) as caught:
            action()
        assert str(store.path) in str(caught.value)
        assert caught.value.__cause__ is None
    assert store.path.read_bytes() == content
    assert store.keys() == []


def test_a_file_written_by_hand(store):
    store.path.parent.mkdir()
    store.path.write_text(
        '\ufeff{"profiles": {"default": {"base_url": "https://gateway.example/v1/", "api_key": "sk-by-hand"}}}', "utf-8"
    )
    assert store.get() == Profile(base_url=URL, api_key="sk-by-hand")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", 5),
        ("api_key", None),
        ("stream", "yes"),
        ("stream", 1),
        ("concurrency", "4"),
        ("concurrency", True),
        ("total_timeout", [1]),
        ("private_hosts", "cdn.local"),
        ("extra_models", [1]),
        ("prices", {"m": "free"}),
        ("prices", 3),
        ("concurrency", float("inf")),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(store, field, value):
    store.path.parent.mkdir()
    store.path.write_text(json.dumps({"profiles": {"default": {"base_url": URL, "api_key": KEY, field: value}}}))
    with pytest.raises(ConfigError, match=field) as caught:
        store.get()
    assert KEY not in str(caught.value)
    (view,) = store.public_view()
    assert field in str(view["problem"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dialect": "klingon"}, "dialect"),
        ({"connect_timeout": 0.0}, "connect timeout.*between 0.1 s and 300 s"),
        ({"connect_timeout": float("nan")}, "connect timeout.*between 0.1 s and 300 s"),
        ({"total_timeout": float("inf")}, "total timeout"),
        ({"concurrency": 0}, "concurrency.*between 1 and 64"),
        ({"concurrency": 65}, "concurrency.*between 1 and 64"),
        ({"picture_limit": 1}, "image limit.*between 0.01 MB"),
        ({"body_limit": -1}, "body limit.*between 0.02 MB"),
        ({"prices": {"m": -0.1}}, "price of 'm'"),
        ({"prices": {"m": float("nan")}}, "price"),
        ({"name": ""}, "name"),
        ({"name": " a"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a" * 65}, "name"),
        ({"name": KEY}, "looks like an API key"),
        ({"base_url": "nowhere"}, "not a web address"),
        ({"api_key": "two words"}, "API key holds a space"),
        ({"api_key": "line\nbreak-secret"}, "API key holds a space"),
        ({"api_key": "schlüssel-secret"}, "API key holds a space"),
    ],
)
def test_a_value_out_of_range_is_not_saved(store, change, words):
    with pytest.raises(ConfigError, match=words) as caught:
        store.save(replace(FULL, **change))
    assert caught.value.hint
    assert not store.path.exists()
    assert "secret" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_an_empty_base_url_can_be_saved_and_is_asked_for_later(store):
    store.save(Profile(api_key=KEY))
    with pytest.raises(ConfigError, match="No gateway is set"):
        store.get()


def test_renaming_keeps_place_and_key(store):
    store.save(replace(FULL, name="a"))
    store.save(replace(FULL, name="b"))
    store.rename("a", "c")
    assert store.names() == ["default", "c", "b"]
    assert store.get("c") == replace(FULL, name="c")
    for old, new in (("default", "x"), ("missing", "x"), ("c", "b"), ("c", "default"), ("c", "")):
        with pytest.raises(ConfigError):
            store.rename(old, new)
    assert store.names() == ["default", "c", "b"]


def test_deleting_leaves_no_key_behind(store):
    store.save(FULL)
    leftover = store.path.with_name(".profiles.json.dead")
    leftover.write_text(KEY)
    os.utime(leftover, (time.time() - 120, time.time() - 120))
    store.delete("studio")
    store.delete("default")
    with pytest.raises(ConfigError):
        store.delete("studio")
    assert store.names() == ["default"]
    assert not any(KEY.encode() in path.read_bytes() for path in store.path.parent.iterdir())


def test_the_public_view_has_everything_but_the_key(store):
    store.save(FULL)
    store.save(replace(FULL, name="short", api_key="abcdefghijk"))
    store.save(replace(FULL, name="none", api_key=""))
    view = {str(one["name"]): one for one in store.public_view()}
    assert view["studio"]["has_key"] is True
    assert view["studio"]["key_tail"] == "WXYZ"
    assert (view["short"]["has_key"], view["short"]["key_tail"]) == (True, "")
    assert (view["none"]["has_key"], view["none"]["key_tail"]) == (False, "")
    assert view["studio"]["prices"] == {"NanoBananaPro-1K": 0.24}
    assert view["studio"]["private_hosts"] == ["cdn.local", "10.0.0.5"]
    assert view["studio"]["problem"] == ""
    assert "No gateway is set" in str(view["default"]["problem"])
    text = json.dumps(store.public_view())
    assert KEY not in text
    assert "abcdefghijk" not in text
    assert "api_key" not in text.replace('["api_key"]', "")


def test_a_base_url_with_a_password_in_the_file_is_not_shown(store):
    store.path.parent.mkdir()
    store.path.write_text(json.dumps({"profiles": {"default": {"base_url": "https://me:hunter2@gateway.example"}}}))
    assert "hunter2" not in json.dumps(store.public_view())
    with pytest.raises(ConfigError) as caught:
        store.get()
    assert "hunter2" not in str(caught.value)


def test_all_keys_are_known_for_redaction(tmp_path):
    store = ProfileStore(tmp_path, {"NANOBANANA_API_KEY": "Bearer env-key-0123"})
    store.save(FULL)
    store.save(replace(FULL, name="b"))
    store.save(replace(FULL, name="c", api_key=""))
    assert store.keys() == ["env-key-0123", KEY]


def test_threads_that_save_at_once_lose_nothing(tmp_path):
    threads = [
        threading.Thread(target=ProfileStore(tmp_path, {}).save, args=(replace(FULL, name=f"p{number}"),))
        for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ProfileStore(tmp_path, {}).names()) == 13


def test_a_folder_that_can_not_be_written_is_an_error_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"profiles\.json"):
        ProfileStore(tmp_path / "file", {}).save(FULL)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"body_fields": "temperature: 1"}, "no JSON"),
        ({"body_fields": "[1]"}, "no JSON object"),
        ({"body_fields": "[" * 100_000}, "no JSON"),
        ({"body_fields": '{"messages": [], "stream": true}'}, "messages, stream"),
        ({"task_path": "v1/jobs/{id}"}, "task path"),
        ({"task_path": "/v1/jobs"}, "task path"),
    ],
)
def test_additions_that_can_not_be_used_are_refused(fields: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        checked(replace(FULL, **fields))


def test_two_processes_that_save_at_once_lose_nothing(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import conftest\n"
        "from pathlib import Path; from pack.nanobanana.settings.store import ProfileStore\n"
        "from pack.nanobanana.settings.profile import Profile\n"
        "store = ProfileStore(Path(sys.argv[2]), {})\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for number in range(15): store.save(Profile(f'{sys.argv[3]} {number}'))\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(ROOT / "tests"), str(tmp_path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in ("one", "two", "three")
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=60)
    assert len(ProfileStore(tmp_path, {}).names()) == 1 + 3 * 15


def test_a_deeply_nested_file_and_an_unknown_user_are_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "profiles.json").write_text("[" * 200_000)
    with pytest.raises(ConfigError, match="not valid JSON"):
        ProfileStore(tmp_path, {}).get()
    assert data_folder(environ={"NANOBANANA_HOME": "~no-such-user-here/x"}).name == "x"


def test_another_gateway_of_the_environment_gets_none_of_the_files_secrets(tmp_path: Path) -> None:
    stored = Profile(
        base_url="https://a.example",
        api_key="sk-first-0123456789",
        spare_keys=("sk-second-0123456789",),
        headers="CF-Access-Client-Secret: hush-hush",
        body_fields='{"user": "hush-hush", "temperature": 0.5}',
    )
    ProfileStore(tmp_path, {}).save(stored)
    assert ProfileStore(tmp_path, {"NANOBANANA_BASE_URL": "https://a.example/v1"}).get() == stored
    other = ProfileStore(tmp_path, {"NANOBANANA_BASE_URL": "https://b.example"}).get()
    assert (other.api_key, other.spare_keys, other.headers) == ("", (), "")
    assert json.loads(other.body_fields) == {"temperature": 0.5}
    assert other.secrets == ()
