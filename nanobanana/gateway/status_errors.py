"""From a gateway's answer to the error that it means: its status or a payload, and its place in the table."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Final

from ..errors import BadRequest, RateLimited, StatusError
from .error_body import is_error, read_body, read_error_body
from .error_table import ROWS, TIMED_OUT, ErrorReply, ErrorRow
from .text import beginning, header_request_id, lowered

_FIELDS: Final = re.compile(
    r"\bgoogle\b|extra_body|image_config|modalities|aspect_ratio|output_format|image_size", re.IGNORECASE
)
_OTHER_DIALECT: Final = (
    "Choose another dialect in Settings > NanoBanana: this gateway may want the aspect ratio told otherwise."
)


def status_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    key_is_set: bool,
    now: float,
) -> StatusError:
    """The error that an answer with a status other than 2xx means.

    `body`: its first bytes, of which 256 KiB are read. `now`: unix seconds, for a Retry-After that is a date.
    """
    known = lowered(headers)
    error = read_body(body)
    # A timeout stays a timeout, whatever number the body holds: only a named code can say that nothing was done.
    counts = status if status in TIMED_OUT else error.number or status
    reply = ErrorReply(error, counts, status, key_is_set, beginning(known.get("location", ""), 200))
    return _error(
        reply,
        request_id=header_request_id(headers) or error.request_id,
        retry_after=retry_after(known.get("retry-after", ""), now),
    )


def error_event(payload: Mapping[str, object], *, key_is_set: bool = True, request_id: str = "") -> StatusError | None:
    """The error that a payload of a 200 answer holds, or None. `request_id`: from the answer's headers."""
    if not is_error(payload):
        return None
    error = read_error_body(payload)
    reply = ErrorReply(error, error.number or 200, 200, key_is_set)
    return _error(reply, request_id=request_id or error.request_id, retry_after=None)


def retry_after(value: str, now: float) -> float | None:
    """Seconds to wait according to a Retry-After header (seconds or an HTTP date); None if it makes no sense."""
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


def _error(reply: ErrorReply, *, request_id: str, retry_after: float | None) -> StatusError:
    row = next(row for row in ROWS if row.fits(reply))
    message = _message(reply, row)
    code = reply.body.code or (str(reply.body.number) if reply.body.number else reply.body.type)
    if row.error is RateLimited:
        return RateLimited(
            message,
            row.hint,
            status=reply.http_status,
            code=code,
            retry_after=retry_after,
            request_id=request_id,
            billed=row.billed,
        )
    # The field names of the dialects: this gateway may know others.
    hint = _OTHER_DIALECT if row.error is BadRequest and _FIELDS.search(reply.body.message) else row.hint
    return row.error(
        message,
        hint,
        status=reply.http_status,
        code=code,
        request_id=request_id,
        billed=row.billed,
        sure=row.sure,
    )


def _message(reply: ErrorReply, row: ErrorRow) -> str:
    where = "in its answer" if reply.in_stream else f"HTTP {reply.http_status}"
    code = reply.body.code
    happened = f"{row.happened} ({where}{f', {code}' if code else ''})."
    if reply.location and 300 <= reply.http_status < 400:
        return f"{happened} It leads to {reply.location}"
    if not reply.body.message:
        return f"{happened} It gave no reason."
    says = "Its page says" if reply.body.is_page else "It says"
    return f'{happened} {says}: "{reply.body.message}"'
