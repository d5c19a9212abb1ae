"""Work of an HTTP route in a daemon thread: the host's loop goes on, and a host that quits isn't held up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """The result of `work`, or its exception; the thread ends by itself when nobody waits for it any longer."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: Callable[[], None]) -> None:
        # The loop is closed when the host quits meanwhile; the future is cancelled when the page went away.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if future.done() else result())

    def run() -> None:
        try:
            value = work()
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            caught = error
            settle(lambda: future.set_exception(caught))
        else:
            settle(lambda: future.set_result(value))

    threading.Thread(target=run, name="nanobanana-route", daemon=True).start()
    return await future
