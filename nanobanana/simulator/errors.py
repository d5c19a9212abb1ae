"""Requests that are not accepted: the documented error body, and the reasons."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Failure:
    """One error answer. `billed`: whether a gateway of the worst kind has charged for the call by then."""

    status: int
    message: str
    code: str | int | None = None
    type: str = "new_api_error"
    param: str | None = None
    billed: bool = False

    def with_code(self, code: str | int | None) -> Failure:
        """The same failure with another code."""
        return replace(self, code=code)


class Rejected(Exception):
    """The request is not accepted; carries the answer to give."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def bad_request(message: str, param: str | None = None, code: str = "invalid_request") -> Rejected:
    """A 400 of the documented style, to be raised."""
    return Rejected(Failure(400, message, code, "invalid_request_error", param))


NO_KEY = Failure(401, "No API key was provided", "invalid_api_key", "invalid_request_error")
WRONG_KEY = Failure(401, "Invalid token", "invalid_api_key", "invalid_request_error")
NO_CREDIT = Failure(403, "\u7528\u6237\u989d\u5ea6\u4e0d\u8db3, user quota is not enough", "insufficient_user_quota")
TOO_LARGE = Failure(413, "Request body too large", "request_body_too_large", "invalid_request_error")


def documented_error(failure: Failure, message: str) -> dict[str, object]:
    """`{"error": {"message", "type", "param", "code"}}` as a JSON-ready value."""
    return {"error": {"message": message, "type": failure.type, "param": failure.param, "code": failure.code}}


def documented_body(failure: Failure, message: str) -> tuple[bytes, str]:
    """The documented error's bytes and their Content-Type."""
    body = json.dumps(documented_error(failure, message), ensure_ascii=False).encode()
    return body, "application/json; charset=utf-8"
