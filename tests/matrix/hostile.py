"""The part of the fault matrix in which the gateway is an enemy."""

from __future__ import annotations

from typing import Any

from .downloads import lost
from .row import Row

URL = "A hostile address"
ANSWER = "A hostile answer"


def given_up(fault: str, ending: str, says: str, **changes: Any) -> Row:
    """Nothing can be made of it, and it may have been billed."""
    return Row(ANSWER, (fault,), 1, 1, 0, 0, ending, "maybe", says, "failed", (1, 1), "may have been billed", **changes)


def no_image(fault: str, ending: str, says: str, *, section: str = ANSWER) -> Row:
    """An answer to its end that holds no image."""
    return Row(section, (fault,), 1, 1, 0, 0, ending, "yes", says, "failed", (1, 1), "was billed")


def endless_flood(fault: str) -> Row:
    """As many bytes as the line carries: ends at the total timeout or at a cap, whichever comes first."""
    return given_up(fault, "BadAnswer or TimedOut", "may have been billed", hangs=True, within=8.0)


def endless(fault: str) -> Row:
    """Ends at the total timeout."""
    return given_up(fault, "TimedOut", "did not finish its answer within 0.6 seconds", hangs=True)


HOSTILE = (
    lost("hostile_url_userinfo", "holds a user name", section=URL),
    no_image("hostile_url_file", "ContentRefused", "file:///etc/passwd", section=URL),
    lost("hostile_url_link_local", "link-local address (169.254.169.254)", section=URL),
    lost("hostile_url_private", "private address (10.0.0.1)", section=URL),
    lost("hostile_url_private_172", "private address (172.16.0.1)", section=URL),
    lost("hostile_url_private_192", "private address (192.168.1.1)", section=URL),
    lost("hostile_url_cgnat", "private address (100.64.0.1)", section=URL),
    lost("hostile_url_multicast", "no single machine (224.0.0.1)", section=URL),
    lost("hostile_url_unspecified", "no single machine (0.0.0.0)", section=URL),
    lost("hostile_url_loopback", "private address (127.0.0.1)", section=URL),
    lost("hostile_url_decimal", "private address (127.0.0.1)", section=URL),
    lost("hostile_url_octal", "private address (127.0.0.1)", section=URL),
    lost("hostile_url_localhost", "is this computer", section=URL),
    lost("hostile_url_loopback_v6", "private address (::1)", section=URL),
    lost("hostile_url_mapped", "private address (127.0.0.1)", section=URL),
    lost("hostile_url_unique_local", "private address (fd00::1)", section=URL),
    lost("hostile_url_link_local_v6", "link-local address (fe80::1)", section=URL),
    no_image("hostile_url_ftp", "ContentRefused", "ftp://example.com", section=URL),
    no_image("hostile_url_javascript", "ContentRefused", "javascript:alert", section=URL),
    no_image("hostile_url_html_data", "ContentRefused", "no image", section=URL),
    no_image("hostile_url_invalid_base64", "ContentRefused", "no image", section=URL),
    no_image("hostile_url_empty_data", "ContentRefused", "no image", section=URL),
    lost("hostile_url_no_host", "names no host", section=URL),
    lost("hostile_url_bad_port", "is malformed", section=URL),
    lost("hostile_url_unresolvable", "no host named nowhere.invalid", section=URL),
    lost("hostile_url_backslash", "characters that an address can't have", section=URL),
    lost("hostile_url_header_injection", "a private address", section=URL),
    endless_flood("hostile_endless_stream"),
    endless_flood("hostile_endless_comments"),
    endless_flood("hostile_endless_text"),
    endless_flood("hostile_endless_line"),
    endless_flood("hostile_endless_event"),
    endless_flood("hostile_endless_json"),
    endless("hostile_endless_waiting"),
    endless("hostile_drip"),
    given_up("hostile_gzip_bomb", "BadAnswer", "larger than 192 MB", within=10.0),
    given_up("hostile_deep_json", "BadAnswer", "nested"),
    given_up("hostile_deep_lists", "BadAnswer", "nested"),
    Row(
        ANSWER, ("hostile_many_urls",), 1, 1, 0, 0, "DownloadFailed", "yes", "no host named", "answered", (0, 0),
        "change the seed", within=10.0,
    ),
    no_image("hostile_huge_numbers", "BadAnswer", "ended without an image"),
    no_image("hostile_invalid_utf8", "ContentRefused", "no image"),
    no_image("hostile_lone_surrogate", "ContentRefused", "no image"),
    no_image("hostile_wrong_types", "BadAnswer", "ended without an image"),
    no_image("hostile_not_json", "BadAnswer", "ended without an image"),
    given_up("hostile_html", "BadAnswer", "a web page"),
    given_up("hostile_binary", "BadAnswer", "instead of an answer"),
    given_up("hostile_not_http", "BadAnswer", "did not send an HTTP answer"),
    given_up("hostile_status_line", "BadAnswer", "did not send an HTTP answer"),
    given_up("hostile_long_header", "BadAnswer", "did not send an HTTP answer"),
    given_up("hostile_many_headers", "BadAnswer", "did not send an HTTP answer"),
    given_up("hostile_bad_chunk", "StreamBroken", "before its answer was whole"),
    given_up("hostile_bad_gzip", "BadAnswer", "damaged"),
)  # fmt: skip
