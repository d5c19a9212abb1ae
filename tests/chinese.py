"""Chinese words that a page must hold, by place: node title, panel, history, help, settings."""

from __future__ import annotations

CHINESE = (
    ("\u56fe\u50cf\u751f\u6210",),
    ("2 \u5f20\u56fe\u50cf", "\u5df2\u4ed8 US$0.08"),
    ("NanoBanana \u5386\u53f2", "\u8f7d\u5165", "\u5df2\u4fdd\u5b58"),
    ("\u6309\u63d0\u793a\u8bcd\u751f\u6210\u56fe\u50cf",),
    ("\u7f51\u5173\u5730\u5740", "\u5bc6\u94a5", "\u6d4b\u8bd5\u8fde\u63a5"),
)
