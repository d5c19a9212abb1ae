"""The part of the fault matrix that is about the image once it is made: its download, its bytes, its size."""

from __future__ import annotations

from typing import Any

from .row import Row

DOWNLOAD = "The download"
FILE = "The image's bytes"
_FREE = "at no cost"


def fetched(fault: str, **changes: Any) -> Row:
    """The download is tried again until it works, within the call."""
    return Row(DOWNLOAD, (fault,), 1, 1, 1, 1, "", "yes", "", "kept", (0, 1), **changes)


def lost(fault: str, says: str, *, later: int = 0, section: str = DOWNLOAD, **changes: Any) -> Row:
    """The download fails for good: the person gets the address, and a re-run tries it again without a POST."""
    ending = "" if later else "change the seed"
    return Row(section, (fault,), 1, 1, 0, 0, "DownloadFailed", "yes", says, "answered", (0, later), ending, **changes)


def odd(variant: str, says: str = "") -> Row:
    """A file of another kind than expected, which is read all the same."""
    return Row(FILE, (f"picture_{variant}",), 1, 1, 1, 1, "", "yes", says, "kept", (0, 1), says)


def unreadable(variant: str, says: str) -> Row:
    """Bytes that can't be read however often they come: kept, and the error names the file. Paid once in any case."""
    return Row(FILE, (f"picture_{variant}",), 1, 1, 1, 0, "ImageError", "yes", says, "kept", (0, 0), "Change the seed")


_PASSING = (403, 404, 408, 425, 429, 500, 502, 503, 504, 524)

DOWNLOADS = (
    *(fetched(f"download_{status}") for status in _PASSING),
    fetched("download_404:4"),
    fetched("download_short_body:2"),
    fetched("download_short_chunked"),
    fetched("download_html:3"),
    fetched("download_empty"),
    fetched("download_close"),
    fetched("download_reset"),
    fetched("download_reset_middle"),
    fetched("download_hang", hangs=True),
    fetched("download_hang_middle", hangs=True),
    fetched("download_wrong_type"),
    fetched("download_no_type"),
    fetched("download_disposition"),
    fetched("download_no_length"),
    fetched("download_chunked"),
    fetched("download_gzip"),
    fetched("download_redirect"),
    fetched("download_redirect_chain"),
    fetched("download_redirect_relative"),
    *(fetched(form) for form in (
        "url_query", "url_no_extension", "url_wrong_extension", "url_parentheses", "url_escaped", "url_long",
        "url_fragment", "url_upper_scheme", "url_other_case",
    )),
    lost("download_401:0", "its server answered 401"),
    lost("download_410:0", "its server answered 410"),
    *(lost(f"download_{status}:5", f"its server answered {status}", later=1) for status in _PASSING),
    lost("download_404:0", "its server answered 404"),
    lost("download_short_body:5", "before the image was whole", later=1),
    lost("download_html:5", "something that is no image", later=1),
    lost("download_reset:5", "closed the connection", later=1),
    lost("download_hang:0", "sent nothing for 0.3 seconds", hangs=True, stays=True),
    lost("download_drip:0.05", "took longer than 0.6 seconds", hangs=True, stays=True),
    lost("download_huge_length", "more than 134 MB"),
    lost("download_endless", "more than 134 MB", within=10.0),
    lost("download_gzip_bomb", "more than 134 MB", within=10.0),
    lost("download_redirect_loop", "more than 5 times"),
    lost("download_redirect_nowhere", "its server answered 302"),
    lost("download_redirect_file", "begins with file:"),
    lost("download_redirect_private", "private address (10.0.0.1)"),
    lost("download_redirect_link_local", "link-local address (169.254.169.254)"),
    lost("download_redirect_mapped", "private address (10.0.0.1)"),
    lost("download_redirect_userinfo", "holds a user name"),
    lost("download_redirect_ftp", "begins with ftp:"),
    lost("download_redirect_http", "no host named"),
    *(odd(variant) for variant in (
        "jpeg", "webp", "rgb16", "gray16", "gray", "gray_jpeg", "gray_alpha", "one_bit", "palette", "palette_alpha",
        "alpha", "alpha_webp", "cmyk", "exif_rotated", "animated_webp", "animated_gif", "bmp", "tiff",
    )),
    odd("smaller", "Asked for about 512 x 512"),
    odd("other_ratio", "Asked for 1:1, got 512 x 384"),
    lost("picture_corrupt_png", "broken or incomplete", section=FILE),
    lost("picture_truncated_png", "cut short", section=FILE),
    lost("picture_truncated_jpeg", "cut short", section=FILE),
    lost("picture_truncated_webp", "cut short", section=FILE),
    lost("picture_header_only", "cut short", section=FILE),
    unreadable("bomb", "can't be read"),
    lost("picture_html", "something that is no image", section=FILE),
    lost("picture_svg", "something that is no image", section=FILE),
    lost("picture_json", "something that is no image", section=FILE),
    lost("picture_empty", "its server sent nothing", section=FILE),
)  # fmt: skip
