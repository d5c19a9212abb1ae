"""Is a profile's gateway there, and does it accept the key? Asked with requests that can't be billed.

`GET /v1/models` tells whether there is a gateway, and which models it lists; some list them to anyone. So a POST
without a model and without a message follows: the endpoint refuses it with 400 when path and key are right, and with
401 when the key is wrong, before any billable work. Only a refusal of its own counts, in JSON and in other words than
those with which the list was refused: a proxy's page, a missing database or a missing header refuse everything.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from ..cancel import CancelToken, Clock
from ..catalog import MODEL_NAMES
from ..errors import (
    AuthFailed,
    BadRequest,
    ConfigError,
    GatewayError,
    NotFound,
    OutOfCredit,
    RateLimited,
    StatusError,
    TimedOut,
)
from ..gateway.client import Gateway
from ..gateway.status_errors import error_event, status_error
from ..settings.profile import Profile
from ..settings.redaction import masked

Verdict = Literal[
    "ok", "not_set", "unreachable", "timed_out", "wrong_path", "bad_key", "no_credit", "not_allowed", "busy", "failed"
]
_Answer = tuple[int, Mapping[str, str], bytes]

# What tells a relay by its headers' names or its answers, and the dialects with which the ratio gets through it
# (docs/nodes.md, "Which dialect for which relay").
_RELAYS: tuple[tuple[str, re.Pattern[str], tuple[str, ...]], ...] = (
    ("LiteLLM", re.compile("litellm", re.IGNORECASE), ("documented", "openrouter")),
    ("Portkey", re.compile("portkey", re.IGNORECASE), ("prompt_flags",)),
    ("OpenRouter", re.compile(r"openrouter\.ai|x-or-", re.IGNORECASE), ("openrouter",)),
    ("new-api", re.compile("new[-_]api|oneapi", re.IGNORECASE), ("documented", "extra_body", "prompt_flags")),
)
_READ = 4096
_CHECK_PATH = "Check the base URL: it is the address before /v1/chat/completions."


@dataclass(frozen=True)
class Diagnosis:
    """`message`: what was found. `hint`: the one thing to do, empty when all is well.

    `models`: what the gateway lists, empty when it lists none. `missing`: documented models that it doesn't list.
    `relay`: what kind of relay it is, if that can be told.
    """

    verdict: Verdict
    message: str
    hint: str = ""
    models: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    seconds: float = 0.0
    relay: str = ""

    @property
    def ok(self) -> bool:
        return self.verdict == "ok"


def diagnose(
    profile: Profile,
    *,
    cancel: CancelToken,
    resolve_base_url: Callable[[str], str] = lambda base_url: base_url,
    clock: Clock = time.monotonic,
) -> Diagnosis:
    """Ask the profile's gateway; each of the two questions takes 20 seconds at most. Raises `Cancelled` only.

    `resolve_base_url` turns `simulator` into an address.
    """
    began = clock()
    if not profile.base_url:
        return Diagnosis("not_set", "No base URL is set.", "Fill in the gateway's base URL, then test again.")
    gateway = Gateway(replace(profile, base_url=resolve_base_url(profile.base_url)))
    found = _Questions(gateway, cancel).diagnosis()
    if found.ok and profile.spare_keys:
        found = _with_spare_keys(found, gateway.profile, cancel)
    redact = profile.redact
    return replace(
        found,
        message=redact(found.message),
        hint=redact(found.hint),
        models=tuple(map(redact, found.models)),
        seconds=clock() - began,
    )


def _with_spare_keys(found: Diagnosis, profile: Profile, cancel: CancelToken) -> Diagnosis:
    """`found` for the first key, or what is wrong with one of the others."""
    for number, key in enumerate(profile.spare_keys, 2):
        other = _Questions(Gateway(profile.with_key(key)), cancel).diagnosis()
        if not other.ok:
            message = f"The first key works, and key {number} ({masked(key)}) does not. {other.message}"
            return replace(other, message=message, models=found.models, relay=found.relay)
    return replace(found, message=f"{found.message} All {len(profile.spare_keys) + 1} keys are taken.")


class _Questions:
    def __init__(self, gateway: Gateway, cancel: CancelToken) -> None:
        self._gateway = gateway
        self._cancel = cancel

    def diagnosis(self) -> Diagnosis:
        try:
            listing = self._gateway.models(cancel=self._cancel)
            models = _listed(listing)
            # Any error but "there is no model list" is the verdict.
            refused = None if models else self._refusal(listing)
            if isinstance(refused, AuthFailed | OutOfCredit):
                return self._verdict(refused)
            answer = self._gateway.refused_request(cancel=self._cancel)
            return self._with_relay(self._second(answer, models, refused), listing, answer)
        except TimedOut as error:
            return Diagnosis("timed_out", error.message, error.hint)
        except ConfigError as error:
            return Diagnosis("failed", error.message, error.hint)
        except GatewayError as error:
            return Diagnosis("unreachable", error.message, error.hint)

    def _with_relay(self, found: Diagnosis, *answers: _Answer) -> Diagnosis:
        """`found`, with the relay's name, and the dialects that get through it if another one is chosen."""
        profile = self._gateway.profile
        texts = [profile.base_url]
        for _, headers, body in answers:
            texts += [*headers, headers.get("server", ""), body[:_READ].decode("utf-8", "replace")]
        text = "\n".join(texts)
        for name, sign, dialects in _RELAYS:
            if not sign.search(text):
                continue
            message = f"{found.message} It is {name}." if found.ok else found.message
            hint = found.hint
            if found.ok and profile.dialect not in dialects:
                advice = f"Choose the dialect {' or '.join(dialects)}: with {profile.dialect} the aspect ratio is lost."
                hint = f"{advice} {hint}".strip()
            return replace(found, message=message, hint=hint, relay=name)
        return found

    def _second(self, answer: _Answer, models: tuple[str, ...], before: StatusError | None) -> Diagnosis:
        """What the refused POST means. `before`: with what the list of models was refused."""
        refused = self._refusal(answer)
        if refused is None:
            return Diagnosis(
                "wrong_path",
                f"There is a server, but what answers is no gateway (HTTP {answer[0]}{_title(answer[2])}).",
                _CHECK_PATH,
                models,
            )
        if isinstance(refused, BadRequest) or "model" in refused.code:
            if before is not None and before.message == refused.message:
                # Whatever is asked: no call can work either.
                return Diagnosis("failed", refused.message, "The gateway refuses everything in these words.", models)
            if _json(answer[2]) is not None:
                return self._well(models)
        return replace(self._verdict(refused), models=models)

    def _well(self, models: tuple[str, ...]) -> Diagnosis:
        key = "takes the key" if self._gateway.profile.api_key else "asks for no key (none is set)"
        sentences = [f"The gateway answers and {key}."]
        missing = tuple(name for name in MODEL_NAMES if models and name not in models)
        if models:
            sentences.append(f"It lists {len(models)} models.")
        if missing:
            sentences.append(f"Not among them: {', '.join(missing)}.")
        hint = "A model that isn't listed may not work with this key." if missing else ""
        return Diagnosis("ok", " ".join(sentences), hint, models, missing)

    def _verdict(self, error: StatusError) -> Diagnosis:
        if isinstance(error, AuthFailed):
            return Diagnosis("not_allowed" if error.status == 403 else "bad_key", error.message, error.hint)
        if isinstance(error, OutOfCredit):
            return Diagnosis("no_credit", error.message, error.hint)
        if isinstance(error, RateLimited):
            return Diagnosis("busy", error.message, "The gateway is there. Test again in a minute.")
        if isinstance(error, NotFound) or error.status == 405 or 300 <= error.status < 400:
            # A plain request to a TLS port has a better advice of its own.
            return Diagnosis("wrong_path", error.message, error.hint if "https://" in error.hint else _CHECK_PATH)
        return Diagnosis("failed", error.message, error.hint)

    def _refusal(self, answer: _Answer) -> StatusError | None:
        status, headers, body = answer
        key_is_set = bool(self._gateway.profile.api_key)
        if status == 200:
            payload = _json(body)
            return error_event(payload, key_is_set=key_is_set) if payload is not None else None
        return status_error(status, headers, body, key_is_set=key_is_set, now=time.time())


def _json(body: bytes) -> Mapping[str, object] | None:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else None


def _listed(answer: _Answer) -> tuple[str, ...]:
    """The ids of a model list; empty if the answer isn't one."""
    payload = _json(answer[2]) if answer[0] == 200 else None
    data: Any = payload.get("data") if payload else None
    if not isinstance(data, list):
        return ()
    entries = cast("list[object]", data)
    ids = (cast("dict[str, object]", entry).get("id") for entry in entries if isinstance(entry, dict))
    return tuple(name[:200] for name in ids if isinstance(name, str))


def _title(body: bytes) -> str:
    start = body[:2048].lstrip().lower()
    return ", a web page" if start.startswith((b"<!doctype", b"<html")) else ""
