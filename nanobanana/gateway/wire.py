"""The protocol part in one place: what goes out, what comes in, and what its failures mean. No I/O anywhere in it."""

from __future__ import annotations

from .answer import AnswerReader
from .faults import error_event, retry_after, status_error
from .request_body import RequestBody
from .retry import DOWNLOAD_TRIES, delay, download_delay, may_retry
from .sse import SseDecoder, SseEvent
from .values import Answer, AnswerEvent, AnswerLimits, Picture, PictureData, PictureUrl, Progress
from .words import header_request_id

__all__ = [
    "DOWNLOAD_TRIES",
    "Answer",
    "AnswerEvent",
    "AnswerLimits",
    "AnswerReader",
    "Picture",
    "PictureData",
    "PictureUrl",
    "Progress",
    "RequestBody",
    "SseDecoder",
    "SseEvent",
    "delay",
    "download_delay",
    "error_event",
    "header_request_id",
    "may_retry",
    "retry_after",
    "status_error",
]
