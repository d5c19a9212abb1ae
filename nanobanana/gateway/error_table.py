"""Turns the gateway's errors into ours: what an answer other than 200, or an error inside an answer, means."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime

from ..errors import RateLimited, StatusError
from .answer.types import Redact, keep_as_is
from .error_body import is_error, read_body, read_payload
from .fault_table import ROWS, TIMED_OUT, Fault, Row
from .text import header_request_id, lowered


def status_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    key_is_set: bool,
    now: float,
    redact: Redact = keep_as_is,
) -> StatusError:
    """The error that an answer other than 200 means.

    `body`: its first bytes, 256 KiB are read. `now`: unix seconds, for a Retry-After that is a date. `redact` takes
    keys out of the gateway's words.
    """
    known = lowered(headers)
    found = read_body(body, redact)
    # A timeout stays one whatever number the body holds: only a code in words can say that nothing was done.
    counts = status if status in TIMED_OUT else found.number or status
    fault = Fault(found, counts, status, key_is_set, redact(known.get("location", ""))[:200])
    return _error(
        fault,
        request_id=header_request_id(headers, redact) or found.request_id,
        retry_after=retry_after(known.get("retry-after", ""), now),
    )


def error_event(
    payload: Mapping[str, object], *, key_is_set: bool = True, request_id: str = "", redact: Redact = keep_as_is
) -> StatusError | None:
    """The error that a payload of a 200 answer holds, or None. `request_id`: that of the answer's headers."""
    if not is_error(payload):
        return None
    found = read_payload(payload, redact)
    fault = Fault(found, found.number or 200, 200, key_is_set)
    return _error(fault, request_id=request_id or found.request_id, retry_after=None)


def retry_after(value: str, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (seconds, or an HTTP date); None when there is none to make sense of."""
    value = value.strip()
    if re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", value, re.ASCII):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        seconds = moment.timestamp() - now
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _error(fault: Fault, *, request_id: str, retry_after: float | None) -> StatusError:
    row = next(row for row in ROWS if row.fits(fault))
    message = _message(fault, row)
    code = fault.body.code or (str(fault.body.number) if fault.body.number else fault.body.type)
    if row.error is RateLimited:
        return RateLimited(
            message,
            row.hint,
            status=fault.http_status,
            code=code,
            retry_after=retry_after,
            request_id=request_id,
            billed=row.billed,
        )
    return row.error(message, row.hint, status=fault.http_status, code=code, request_id=request_id, billed=row.billed)


def _message(fault: Fault, row: Row) -> str:
    where = "in its answer" if fault.in_stream else f"HTTP {fault.http_status}"
    code = fault.body.code
    happened = f"{row.happened} ({where}{f', {code}' if code else ''})."
    if fault.location and 300 <= fault.http_status < 400:
        return f"{happened} It names: {fault.location}"
    if not fault.body.words:
        return f"{happened} It gave no reason."
    says = "Its page says" if fault.body.is_page else "It says"
    return f'{happened} {says}: "{fault.body.words}"'
