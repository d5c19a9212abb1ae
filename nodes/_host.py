"""The only importer of ComfyUI: nodes, progress, events, interrupts, the data folder.

Every optional feature of the host is looked up when it is used, so a missing one costs that feature alone.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

try:
    from comfy_api.v0_0_2 import ComfyExtension, io
except ImportError:
    from comfy_api.latest import ComfyExtension, io

from ..nanobanana.errors import Log

_log = Log(__name__)

_FOLDER = "nanobanana"


def schema(**fields: Any) -> io.Schema:
    """`io.Schema`, without the fields that this host is too old to know."""
    known = inspect.signature(io.Schema).parameters
    return io.Schema(**{name: value for name, value in fields.items() if name in known})


def advanced(kind: Callable[..., Any], name: str, **options: Any) -> Any:
    """An input of this kind among the node's advanced ones, where the host has such a place."""
    try:
        return kind(name, advanced=True, **options)
    except TypeError:
        return kind(name, **options)


def is_interrupted() -> bool:
    """Whether the person pressed cancel. Reads the host's flag and leaves it for the other nodes to see."""
    from comfy.model_management import processing_interrupted

    return processing_interrupted()


def interruption() -> BaseException:
    """The exception that tells the host a cancel from an error."""
    from comfy.model_management import InterruptProcessingException

    return InterruptProcessingException()


def blocker() -> object:
    """As an output of a node: the host skips, without an error, what needs it."""
    from comfy_execution.graph_utils import ExecutionBlocker

    return ExecutionBlocker(None)


def data_folder() -> Path:
    """A folder of the host's that no HTTP route serves. It may not exist yet."""
    import folder_paths

    with contextlib.suppress(AttributeError):
        return Path(folder_paths.get_system_user_directory(_FOLDER))
    return Path(folder_paths.get_user_directory()) / f"__{_FOLDER}"


def run_id() -> str:
    """The id of the prompt that is being executed in this context; empty if none is."""
    with contextlib.suppress(ImportError):
        from comfy_execution.utils import get_executing_context

        if context := get_executing_context():
            return str(context.prompt_id)
    return ""


def server() -> Any:
    """The host's server, or None if there is none (a script that runs graphs without one)."""
    with contextlib.suppress(ImportError):
        from server import PromptServer

        return getattr(PromptServer, "instance", None)
    return None


def page_sender() -> Callable[[str, Mapping[str, Any]], None]:
    """What sends our own events to the page that started what is being executed, whenever it is called.

    Noted now: later the host names the page of the next run. Sends to no page if there is none. What it returns may be
    called from any thread.
    """
    instance = server()
    client = str(getattr(instance, "client_id", None) or "")

    def send(name: str, data: Mapping[str, Any]) -> None:
        if client:
            # The host's loop may be closed already.
            with contextlib.suppress(RuntimeError):
                instance.send_sync(name, dict(data), client)

    return send


def is_multi_user() -> bool:
    """Whether several people share this host, each with files of their own."""
    with contextlib.suppress(ImportError):
        from comfy.cli_args import args

        return bool(getattr(args, "multi_user", False))
    return False


def _running(run: str, part: int) -> Any:
    """A part of the prompt `run`, which is being executed; empty if the host doesn't tell."""
    queue = getattr(server(), "prompt_queue", None)
    running: Any = getattr(queue, "currently_running", None)
    with contextlib.suppress(LookupError, TypeError, RuntimeError):
        for item in list(cast("dict[Any, Any]", running if isinstance(running, dict) else {}).values()):
            if str(item[1]) == run:
                return item[part]
    return {}


def _queued_with(run: str) -> Any:
    """What the page sent with the prompt `run`."""
    return _running(run, 3)


def graph_of(run: str) -> object:
    """The graph of the prompt `run`, as the host's API has it."""
    return _running(run, 2)


def input_file(name: str) -> tuple[int, int] | None:
    """(time of the last change, bytes) of a file of the host's input folder; None if there is no such file."""
    if name.startswith(("/", "~")) or "\\" in name or ":" in name or ".." in name:
        return None  # no place outside the folder is looked at, least of all one in the network
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError, TypeError):
        import folder_paths

        found = Path(cast("Any", folder_paths).get_annotated_filepath(name)).stat()
        return found.st_mtime_ns, found.st_size
    return None


def workflow_id(run: str) -> str:
    """The id of the workflow that the prompt `run` was made from, as its page sent it; empty if it didn't."""
    with contextlib.suppress(LookupError, TypeError):
        return str(_queued_with(run)["extra_pnginfo"]["workflow"]["id"])
    return ""


def queued_at(run: str) -> float:
    """When a person queued the prompt `run`, in Unix seconds; infinity where the host doesn't tell (before 0.3.69)."""
    with contextlib.suppress(LookupError, TypeError, ValueError):
        return float(_queued_with(run)["create_time"]) / 1000
    return math.inf


def prompt_outcome(run: str) -> str:
    """How the prompt `run` ended (success, error, interrupted, unknown); empty until the host has put it away."""
    history = getattr(getattr(server(), "prompt_queue", None), "history", None)
    if not isinstance(history, dict):
        return "unknown"
    entry: Any = cast("dict[str, Any]", history).get(run)
    if entry is None:
        return ""
    try:
        status = entry["status"]
        if any(message[0] == "execution_interrupted" for message in status["messages"]):
            return "interrupted"
        return str(status["status_str"])
    except (LookupError, TypeError):
        return "unknown"


def broadcast(name: str, data: Mapping[str, Any]) -> None:
    """Send one of our own events to every page. May be called from any thread."""
    instance = server()
    if instance is not None:
        with contextlib.suppress(RuntimeError):
            instance.send_sync(name, dict(data))


async def set_progress(node_id: str, value: float, most: float) -> None:
    """Move the node's progress bar. On the host's loop only."""
    try:
        from comfy_api.latest import ComfyAPI

        await ComfyAPI().execution.set_progress(value, most, node_id=node_id)
    except Exception:  # noqa: BLE001
        # A progress bar that can't be drawn must not fail a paid call.
        _log.debug("The host did not take the progress", exc_info=True)


__all__ = [
    "ComfyExtension",
    "advanced",
    "blocker",
    "broadcast",
    "data_folder",
    "graph_of",
    "input_file",
    "interruption",
    "io",
    "is_interrupted",
    "is_multi_user",
    "page_sender",
    "prompt_outcome",
    "queued_at",
    "run_id",
    "schema",
    "server",
    "set_progress",
    "workflow_id",
]
