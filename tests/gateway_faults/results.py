"""Result URLs: the images that can be downloaded, and the faults of downloading them."""

from __future__ import annotations

import re
import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass

_ID = re.compile(r"/output/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp", "image/gif": "gif"}
_STORE_BYTES = 256 * 1024 * 1024

STATUSES = (401, 403, 404, 408, 410, 425, 429, 500, 502, 503, 504, 524)

REDIRECTS: dict[str, tuple[str, str]] = {
    "download_redirect_file": ("file:///etc/passwd", "redirects to a file"),
    "download_redirect_private": ("http://10.0.0.1/picture.png", "redirects to a private address"),
    "download_redirect_link_local": ("http://169.254.169.254/latest/meta-data/", "redirects to a link-local address"),
    "download_redirect_mapped": ("http://[::ffff:10.0.0.1]/picture.png", "redirects to an IPv4-mapped address"),
    "download_redirect_userinfo": ("http://user:secret@10.0.0.1/p.png", "redirects to a URL with user and password"),
    "download_redirect_ftp": ("ftp://example.com/picture.png", "redirects to FTP"),
    "download_redirect_http": ("http://example.invalid/picture.png", "redirects to http (from https: see ssl_context)"),
}

# Each name's description and parameters with their defaults. `times`: how many downloads of the image it strikes, 0
# for all of them. Several such faults of one image strike one after the other.
DOWNLOADS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    f"download_{status}": (f"the result URL answers {status}", (("times", "1"),)) for status in STATUSES
} | {
    "download_short_body": ("half of the announced bytes, then the end", (("times", "1"),)),
    "download_short_chunked": ("half of the bytes in chunks, then the end without the last chunk", (("times", "1"),)),
    "download_html": ("200 with an HTML page", (("times", "1"),)),
    "download_empty": ("200 without a byte", (("times", "1"),)),
    "download_hang": ("no answer, until the client leaves", (("times", "1"),)),
    "download_hang_middle": ("silence after half of the bytes, until the client leaves", (("times", "1"),)),
    "download_close": ("the connection ends before an answer", (("times", "1"),)),
    "download_reset": ("a TCP reset before an answer", (("times", "1"),)),
    "download_reset_middle": ("a TCP reset after half of the bytes", (("times", "1"),)),
    "download_latency": ("a pause before the answer", (("seconds", "1"), ("times", "1"))),
    "download_slow": ("the bytes come slowly", (("bytes_per_second", "100000"), ("times", "0"))),
    "download_drip": ("one byte at a time", (("seconds", "1"), ("times", "0"))),
    "download_wrong_type": ("Content-Type text/html around an image", (("times", "0"),)),
    "download_no_type": ("no Content-Type", (("times", "0"),)),
    "download_disposition": ("a Content-Disposition that names a path upwards", (("times", "0"),)),
    "download_no_length": ("no length: the connection's end ends the image", (("times", "0"),)),
    "download_chunked": ("chunked instead of a length", (("times", "0"),)),
    "download_gzip": ("Content-Encoding: gzip", (("times", "0"),)),
    "download_huge_length": ("announces 64 GiB and sends the image, then silence", (("times", "0"),)),
    "download_endless": ("an image that never ends", (("times", "0"),)),
    "download_gzip_bomb": ("gzip that unpacks without end", (("times", "0"),)),
    "download_redirect": ("one redirect to the image", (("times", "1"),)),
    "download_redirect_chain": ("redirects one after the other", (("times", "5"),)),
    "download_redirect_loop": ("redirects to itself for ever", (("times", "0"),)),
    "download_redirect_relative": ("one redirect with a relative Location", (("times", "1"),)),
    "download_redirect_nowhere": ("a redirect without a Location", (("times", "0"),)),
    "download_redirect_to": ("redirects to the given URL", (("times", "0"), ("url", "http://10.0.0.1/picture.png"))),
    **{name: (words, (("times", "0"),)) for name, (_, words) in REDIRECTS.items()},
}

URL_FORMS: dict[str, str] = {
    "url_query": "the result URL carries a signature in its query",
    "url_no_extension": "the result URL has no extension",
    "url_wrong_extension": "the result URL's extension is another format's",
    "url_parentheses": "the result URL's name holds parentheses",
    "url_escaped": "the result URL's name holds percent escapes",
    "url_long": "the result URL is 3,000 characters long",
    "url_fragment": "the result URL ends in a fragment",
    "url_upper_scheme": "the result URL begins with HTTP:",
    "url_other_case": "the result URL's extension is in capitals",
}

HOSTILE_URLS: dict[str, tuple[str, str]] = {
    "hostile_url_userinfo": ("http://user:secret@127.0.0.1:9/picture.png", "a result URL with user and password"),
    "hostile_url_file": ("file:///etc/passwd.png", "a result URL that is a file"),
    "hostile_url_link_local": ("http://169.254.169.254/latest/picture.png", "a result URL at 169.254.169.254"),
    "hostile_url_private": ("http://10.0.0.1/picture.png", "a result URL at 10.0.0.1"),
    "hostile_url_private_172": ("http://172.16.0.1/picture.png", "a result URL at 172.16.0.1"),
    "hostile_url_private_192": ("http://192.168.1.1/picture.png", "a result URL at 192.168.1.1"),
    "hostile_url_cgnat": ("http://100.64.0.1/picture.png", "a result URL at 100.64.0.1"),
    "hostile_url_multicast": ("http://224.0.0.1/picture.png", "a result URL at 224.0.0.1"),
    "hostile_url_unspecified": ("http://0.0.0.0:9/picture.png", "a result URL at 0.0.0.0"),
    "hostile_url_loopback": ("http://127.0.0.1:9/picture.png", "a result URL at another port of this machine"),
    "hostile_url_decimal": ("http://2130706433:9/picture.png", "a result URL at 127.0.0.1, written as one number"),
    "hostile_url_octal": ("http://0177.0.0.1:9/picture.png", "a result URL at 127.0.0.1, written in octal"),
    "hostile_url_localhost": ("http://localhost:9/picture.png", "a result URL at localhost, another port"),
    "hostile_url_loopback_v6": ("http://[::1]:9/picture.png", "a result URL at [::1]"),
    "hostile_url_mapped": ("http://[::ffff:127.0.0.1]:9/picture.png", "a result URL at an IPv4-mapped address"),
    "hostile_url_unique_local": ("http://[fd00::1]/picture.png", "a result URL at a unique-local address"),
    "hostile_url_link_local_v6": ("http://[fe80::1]/picture.png", "a result URL at a link-local IPv6 address"),
    "hostile_url_ftp": ("ftp://example.com/picture.png", "a result URL by FTP"),
    "hostile_url_javascript": ("javascript:alert(1)//picture.png", "a result URL that is JavaScript"),
    "hostile_url_svg_data": (
        "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4=",
        "a data URL of an SVG",
    ),
    "hostile_url_html_data": ("data:text/html;base64,PGI+bm88L2I+", "a data URL of HTML"),
    "hostile_url_invalid_base64": ("data:image/png;base64,@@not*base64@@", "a data URL that is not base64"),
    "hostile_url_empty_data": ("data:image/png;base64,", "a data URL without data"),
    "hostile_url_no_host": ("http:///picture.png", "a result URL without a host"),
    "hostile_url_bad_port": ("http://127.0.0.1:99999/picture.png", "a result URL with an impossible port"),
    "hostile_url_unresolvable": ("http://nowhere.invalid/picture.png", "a result URL whose host does not exist"),
    "hostile_url_backslash": ("http://127.0.0.1:9\\@example.com/p.png", "a result URL that parsers read differently"),
    "hostile_url_header_injection": ("http://127.0.0.1:9/p\r\nX-Injected: 1\r\n.png", "line ends in a result URL"),
}


@dataclass(frozen=True)
class DownloadFault:
    """One download fault with its parameters filled in; `times` 0 strikes always."""

    name: str
    values: dict[str, str]

    @property
    def times(self) -> int:
        return int(self.values["times"])


@dataclass
class Result:
    """One image that can be downloaded."""

    url: str
    data: bytes
    mime: str
    faults: tuple[DownloadFault, ...]
    downloads: int = 0

    def strike(self) -> DownloadFault | None:
        """Count one download, and say which fault strikes it."""
        self.downloads += 1
        struck = 0
        for fault in self.faults:
            struck += fault.times
            if fault.times == 0 or self.downloads <= struck:
                return fault
        return None


class ResultStore:
    """The newest results, up to 256 MiB."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: OrderedDict[str, Result] = OrderedDict()
        self._bytes = 0

    def add(self, base_url: str, data: bytes, mime: str, form: str, faults: tuple[DownloadFault, ...]) -> Result:
        """Keep an image and give it a URL under `base_url`, written as `form` (one of URL_FORMS, or empty) says."""
        name = str(uuid.uuid4())
        result = Result(_address(base_url, name, _EXTENSIONS.get(mime, "png"), form), data, mime, faults)
        with self._lock:
            self._results[name] = result
            self._bytes += len(data)
            while self._bytes > _STORE_BYTES and len(self._results) > 1:
                _, old = self._results.popitem(last=False)
                self._bytes -= len(old.data)
        return result

    def find(self, path: str) -> Result | None:
        """The result that a path or a URL names."""
        found = _ID.search(path)
        with self._lock:
            return self._results.get(found.group(1)) if found else None

    def strike(self, result: Result) -> DownloadFault | None:
        """Count one download of `result`, and say which fault strikes it."""
        with self._lock:
            return result.strike()


def _address(base_url: str, name: str, extension: str, form: str) -> str:
    plain = f"{base_url}/output/{name}"
    other = "png" if extension != "png" else "jpeg"
    forms = {
        "url_query": f"{plain}.{extension}?Expires=1773835762&Signature=a%2Bb%3D&x=1",
        "url_no_extension": plain,
        "url_wrong_extension": f"{plain}.{other}",
        "url_parentheses": f"{plain}-(1).{extension}",
        "url_escaped": f"{plain}-%E7%8C%AB%20cat.{extension}",
        "url_long": f"{plain}-{'x' * 2900}.{extension}",
        "url_fragment": f"{plain}.{extension}#top",
        "url_upper_scheme": f"{base_url.replace('http', 'HTTP', 1)}/output/{name}.{extension}",
        "url_other_case": f"{plain}.{extension.upper()}",
    }
    return forms.get(form, f"{plain}.{extension}")
