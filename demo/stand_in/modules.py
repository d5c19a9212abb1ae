"""The host's modules as a pack sees them, put into `sys.modules` for as long as a stand-in is open."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any, Final

import torch
from aiohttp import web

from . import io_node, io_types
from .io_autogrow import Autogrow
from .state import HostState

_ONE_AT_A_TIME: Final = threading.Lock()


class ComfyExtension:
    """Base of what a pack's `comfy_entrypoint` returns."""

    async def on_load(self) -> None:
        """Called once after the pack is loaded."""

    async def get_node_list(self) -> list[type[io_node.ComfyNode]]:
        raise TypeError(f"{type(self).__name__} has no get_node_list")


class PreviewText:
    """`ui.PreviewText`: text that the frontend shows on the node."""

    def __init__(self, value: str, **kwargs: Any) -> None:
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        return {"text": (self.value,)}


def _io_members(floor: bool) -> dict[str, Any]:
    widgets = {
        "Boolean": ("BOOLEAN", io_types.BooleanInput),
        "Int": ("INT", io_types.IntInput),
        "Float": ("FLOAT", io_types.FloatInput),
        "String": ("STRING", io_types.StringInput),
    }
    plain = {"Image": "IMAGE", "Mask": "MASK", "Latent": "LATENT", "AnyType": "*"}
    schema = io_node.Schema
    if floor:
        kept = tuple(name for name in schema.arguments if name not in io_node.SCHEMA_NEWER_THAN_FLOOR)
        schema = type("Schema", (schema,), {"arguments": kept})
    members: dict[str, Any] = {name: io_types.socket_type(io_type) for name, io_type in plain.items()}
    for name, (io_type, input_class) in widgets.items():
        members[name] = io_types.socket_type(io_type, io_types.at_floor(input_class) if floor else input_class)
    members["Combo"] = io_types.socket_type("COMBO", io_types.ComboInput, io_types.ComboOutput)
    return members | {
        "Autogrow": Autogrow,
        "ComfyNode": io_node.ComfyNode,
        "Custom": io_types.Custom,
        "FolderType": io_types.FolderType,
        "Hidden": io_node.Hidden,
        "Input": io_types.Input,
        "NodeOutput": io_node.NodeOutput,
        "NumberDisplay": io_types.NumberDisplay,
        "Output": io_types.Output,
        "Schema": schema,
        "UploadType": io_types.UploadType,
        "WidgetInput": io_types.WidgetInput,
    }


def _comfy_api(state: HostState) -> type:
    class Execution:
        async def set_progress(
            self,
            value: float,
            max_value: float,
            node_id: str | None = None,
            preview_image: Any = None,
            ignore_size_limit: bool = False,
        ) -> None:
            context = state.context.get()
            node_id = node_id or (context.node_id if context else None)
            if node_id is None:
                raise ValueError("node_id must be provided if not in executing context")
            state.record("progress", node_id, value=value, max=max_value, preview=preview_image)

    class ComfyAPI:
        def __init__(self) -> None:
            self.execution = Execution()

    return ComfyAPI


class PromptServer:
    """The host's server as nodes use it: events to the browser, and routes."""

    instance: PromptServer

    def __init__(self, state: HostState) -> None:
        self._state = state
        self.client_id = "stand-in"
        self.prompt_queue = SimpleNamespace(currently_running={}, history={})
        self.routes = web.RouteTableDef()

    def send_sync(self, event: str, data: Any, sid: str | None = None) -> None:
        context = self._state.context.get()
        self._state.record(str(event), context.node_id if context else "", data=data, client=sid)


def _module(name: str, members: dict[str, Any]) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(members)
    return module


def _host_modules(state: HostState) -> dict[str, ModuleType]:
    io = _module("comfy_api.latest._io_public", _io_members(state.floor))
    ui = _module("comfy_api.latest._ui_public", {"PreviewText": PreviewText})
    api = {"io": io, "IO": io, "ui": ui, "UI": ui, "ComfyAPI": _comfy_api(state), "ComfyExtension": ComfyExtension}

    def interrupt_current_processing(value: bool = True) -> None:
        state.set_interrupted(value)

    management: dict[str, Any] = {
        "InterruptProcessingException": state.interrupt_exception,
        "processing_interrupted": lambda: state.interrupted,
        "interrupt_current_processing": interrupt_current_processing,
        "throw_exception_if_processing_interrupted": state.throw_if_interrupted,
        "intermediate_device": lambda: torch.device("cpu"),
    }
    if not state.floor:
        management["intermediate_dtype"] = lambda: torch.float32

    def get_system_user_directory(name: str = "system") -> str:
        if not name or name.startswith("_") or not name.replace("_", "").isalnum():
            raise ValueError(f"not a system user's name: {name!r}")
        return str(state.folder / "user" / f"__{name}")

    folders = {
        f"get_{name}_directory": (lambda name=name: str(state.directory(name)))
        for name in ("input", "output", "temp", "user")
    }
    server_class = type("PromptServer", (PromptServer,), {})
    server_class.instance = server_class(state)
    args = SimpleNamespace(multi_user=False, listen="127.0.0.1", port=8188, preview_size=512, disable_metadata=False)
    return {
        "comfy_api": _module("comfy_api", {}),
        "comfy_api.latest": _module("comfy_api.latest", api),
        "comfy_api.v0_0_2": _module("comfy_api.v0_0_2", api),
        "comfy": _module("comfy", {}),
        "comfy.model_management": _module("comfy.model_management", management),
        "comfy.cli_args": _module("comfy.cli_args", {"args": args}),
        "comfy_execution": _module("comfy_execution", {}),
        "comfy_execution.utils": _module(
            "comfy_execution.utils", {"get_executing_context": lambda: state.context.get()}
        ),
        "folder_paths": _module(
            "folder_paths",
            {
                **folders,
                "base_path": str(state.folder),
                "get_system_user_directory": get_system_user_directory,
                "get_annotated_filepath": lambda name: str(state.directory("input") / name),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
            },
        ),
        "server": _module("server", {"PromptServer": server_class}),
    }


def _leave_out(modules: dict[str, ModuleType], without: Iterable[str]) -> None:
    for name in without:
        module, _, member = name.partition(":")
        if member:
            *path, last = member.split(".")
            delattr(functools.reduce(getattr, path, modules[module]), last)
        else:
            del modules[module]


@contextmanager
def host_modules(state: HostState, without: Iterable[str] = ()) -> Generator[dict[str, ModuleType], None, None]:
    """`sys.modules` with the host's modules in it; afterwards they are gone, and the pack's too.

    `without` names what this host lacks: modules, or `module:member`s.

    Only one stand-in can be open in a process; opening a second one is a RuntimeError.
    """
    if not _ONE_AT_A_TIME.acquire(blocking=False):
        raise RuntimeError("another stand-in is open in this process")
    before = dict(sys.modules)
    try:
        modules = _host_modules(state)
        _leave_out(modules, without)
        for name, module in modules.items():
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(modules[parent], child, module)
        sys.modules.update(modules)
        yield modules
    finally:
        _restore(before)
        _ONE_AT_A_TIME.release()


def _restore(before: dict[str, ModuleType]) -> None:
    """Remove the host's and the pack's modules; libraries that were imported meanwhile stay."""
    for name in [name for name in sys.modules if name not in before]:
        head = name.split(".")[0]
        if head in ("comfy", "comfy_api", "comfy_execution", "folder_paths", "server") or "/" in head or "\\" in head:
            del sys.modules[name]
    for name, module in before.items():
        if sys.modules.get(name) is not module:
            sys.modules[name] = module
