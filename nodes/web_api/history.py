"""What the history tab asks for: pages, totals, images, downloading again, clearing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...nanobanana.calls.engine import can_be_downloaded
from ...nanobanana.cancel import CancelToken
from ...nanobanana.catalog import SIMULATOR
from ...nanobanana.errors import HistoryError, ImageError, InputError, Log
from ...nanobanana.imaging.headers import sniff
from ...nanobanana.imaging.masking import without_sentence
from ...nanobanana.journal import ANSWER_POSITION, CallRecord, DayTotal, ImageRecord
from ...nanobanana.settings.profile import Profile, same_origin
from ...nanobanana.settings.redaction import redact
from .._events import told
from .._services import engine, journal, profiles, thumbnails
from .http import File, RequestFailed, RouteRequest

_log = Log(__name__)

_MOST_ROWS = 200
_DAY = 86400.0
_MIMES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
    "avif": "image/avif",
}


def page(request: RouteRequest) -> object:
    """Calls, newest first. `before`: the last page's cursor; `limit`: 1 to 200; `search`: words in prompt or model."""
    before = _number(request.query, "before")
    limit = min(_MOST_ROWS, max(1, _number(request.query, "limit") or 50))
    found = journal().history(before=before, limit=limit, search=request.query.get("search", "")[:1000])
    keys, currencies = profiles().keys(), _currencies()
    return {"calls": [_call(call, keys, currencies) for call in found.calls], "before": found.before}


def totals(request: RouteRequest) -> object:
    """Totals for the last `days` days, and how much there is in all."""
    days = min(366, max(1, _number(request.query, "days") or 30))
    stats = journal().stats()
    return {
        "days": _days(journal().totals_by_day(days), _currencies()),
        "calls": sum(stats.calls.values()),
        "pictures": stats.images,
        "bytes": stats.bytes,
        "cap_bytes": stats.cap_bytes,
    }


def thumbnail(request: RouteRequest) -> File | None:
    """None for an image that is gone or can't be read: the page shows a sign in its place."""
    try:
        data = thumbnails().thumbnail(request.path.get("id", ""))
    except (ImageError, HistoryError) as error:
        _log.info("No thumbnail: %s", error)
        return None
    return File(data, "image/jpeg", "nanobanana-thumbnail.jpg")


def original(request: RouteRequest) -> File:
    """The bytes as they came. What isn't a known kind of image is served as a file to save, whatever it claims.

    A saved answer is served as plain text.
    """
    record = journal().image(request.path.get("id", ""))
    data = journal().read(record)
    if record.position == ANSWER_POSITION:
        return File(data, "text/plain; charset=utf-8", f"nanobanana-{record.call_id}-answer.txt")
    kind = sniff(data)
    mime = _MIMES.get(kind or "", "application/octet-stream")
    return File(data, mime, f"nanobanana-{record.call_id}-{record.position}.{record.extension}")


def download(request: RouteRequest) -> object:
    """Fetch the images of the call `id` that were paid for and aren't on disk."""
    call_id = request.body.get("id")
    record = journal().call(call_id) if isinstance(call_id, int) else None
    if record is None:
        raise InputError("This call isn't in the history.", "Look at the history again.")
    outcome = engine().redownload(record.id, _profile_of(record), CancelToken())
    after = journal().call(record.id)
    return {
        "call": _call(after, profiles().keys(), _currencies()) if after else None,
        "error": outcome.error.message if outcome.error else "",
        "hint": outcome.error.hint if outcome.error else "",
    }


def _profile_of(record: CallRecord) -> Profile:
    """The profile of a call; if it was renamed or deleted since, another of its gateway. A download needs no key."""
    store, details = profiles(), record.details
    if details.profile in store.names():
        return store.get(details.profile)
    usable = (store.stored(name) for name in store.names())
    bare = Profile(details.profile, details.base_url)
    return next((one for one in usable if same_origin(one.base_url, details.base_url)), bare)


def clear(request: RouteRequest) -> object:
    """Remove calls with their images: those in `calls` or of the images in `pictures`, those older than `days`, or,
    with `all`, every one."""
    calls, days = _ids(request.body.get("calls")), request.body.get("days")
    named = request.body.get("pictures")
    names = cast("list[object]", named) if isinstance(named, list) else []
    calls += [journal().image(name).call_id for name in names if isinstance(name, str)]
    if calls:
        cleared = journal().clear(calls=calls)
    elif isinstance(days, int) and not isinstance(days, bool) and days > 0:
        cleared = journal().clear(older_than=time.time() - days * _DAY)
    elif request.body.get("all") is True:
        cleared = journal().clear()
    else:
        raise RequestFailed(400, "The request doesn't say what to clear.")
    thumbnails().sweep()
    told.forget()
    return {"calls": cleared.calls, "pictures": cleared.images, "bytes": cleared.bytes}


def _ids(value: object) -> list[int]:
    return [one for one in cast("list[object]", value) if isinstance(one, int)] if isinstance(value, list) else []


def _currencies() -> dict[str, str]:
    """By profile."""
    return {name: profiles().stored(name).currency for name in profiles().names()}


def _call(call: CallRecord, keys: list[str], currencies: Mapping[str, str]) -> dict[str, object]:
    details = call.details
    return {
        "id": call.id,
        "state": call.state,
        "at": call.asked_at,
        "seconds": call.seconds,
        "model": details.request.model,
        # What was added for a mask isn't the person's.
        "prompt": without_sentence(details.request.prompt),
        "ratio": details.request.aspect_ratio,
        "format": details.request.output_format,
        "profile": details.profile,
        # A seed may be larger than JavaScript's numbers can hold exactly.
        "seed": str(details.request.seed),
        "inputs": details.inputs,
        "cost": details.cost,
        "currency": currencies.get(details.profile, Profile().currency),
        "billed": "no" if details.base_url == SIMULATOR else call.billed,
        "simulated": details.base_url == SIMULATOR,
        "error": redact(call.error, keys),
        "notes": redact(call.notes, keys).splitlines(),
        "text": redact(call.text[:4000], keys)[:2000],
        "request_id": call.request_id,
        "can_download": can_be_downloaded(call),
        "answer": call.answer.id if call.answer else "",
        "pictures": [_image(image, call.composites.get(image.position)) for image in call.images],
    }


def _image(image: ImageRecord, composite: ImageRecord | None) -> dict[str, object]:
    return {
        "composite": _image(composite, None) if composite else None,
        "id": image.id,
        "width": image.width,
        "height": image.height,
        "bytes": image.bytes,
        "extension": image.extension,
    }


def _days(totals: Sequence[DayTotal], currencies: Mapping[str, str]) -> list[dict[str, Any]]:
    """The profiles' totals of a day in one; `costs` and `maybe_costs` by currency."""
    days: dict[str, dict[str, Any]] = {}
    for one in totals:
        counts = {"calls": one.calls, "pictures": one.images, "billed": one.billed, "maybe_billed": one.maybe_billed}
        counts["unpriced"] = one.unpriced
        day = days.setdefault(one.day, {"day": one.day, **dict.fromkeys(counts, 0), "costs": {}, "maybe_costs": {}})
        for name, count in counts.items():
            day[name] += count
        currency = currencies.get(one.profile, Profile().currency)
        for name, cost in (("costs", one.cost), ("maybe_costs", one.maybe_cost)):
            if cost:
                day[name][currency] = day[name].get(currency, 0.0) + cost
    return list(days.values())


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise RequestFailed(400, f"{name!r} is not a number.")
    return int(text)
