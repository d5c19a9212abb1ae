"""Talks to a running ComfyUI: its nodes, prompts, progress, images, interrupts."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from outcome import STATUS, OnStatus, Outcome
from workflow_graph import Graph

_END: Final = {"execution_success": "success", "execution_error": "error", "execution_interrupted": "interrupted"}


class _Watch:
    """Gathers what the host says about one prompt."""

    def __init__(self) -> None:
        # When the host began: before that it may have collected garbage, which takes 0.3 s every ten seconds.
        self.began = time.perf_counter()
        self._started: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        self.status = ""
        self.message = ""

    def event(self, kind: str, data: Mapping[str, Any]) -> None:
        now = time.perf_counter()
        if kind == "progress_state":
            nodes: Mapping[str, Any] = data["nodes"]
            for node_id, node in nodes.items():
                self._started.setdefault(node_id, now)
                if node["state"] == "finished":
                    self.seconds.setdefault(node_id, now - self._started[node_id])
        elif kind == "execution_start":
            self.began = now
        elif kind in _END:
            self.status = _END[kind]
            self.message = str(data.get("exception_message", "")).strip()


class ComfyClient:
    """One browser's worth of connection to the ComfyUI at `base_url`; an async context manager."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._client_id = uuid.uuid4().hex

    async def __aenter__(self) -> ComfyClient:
        # The host is on this machine: use no proxy from the environment.
        self._session = aiohttp.ClientSession(self._base_url, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str, **params: str) -> Any:
        """The JSON at `path`. Raises `aiohttp.ClientResponseError` for any status but 200."""
        async with self._session.get(path, params=params) as response:
            response.raise_for_status()
            return await response.json()

    async def view(self, image: Mapping[str, str]) -> bytes:
        """The bytes of an image that an output node wrote; `image` is its entry in the node's `ui`."""
        async with self._session.get("/view", params=dict(image)) as response:
            response.raise_for_status()
            return await response.read()

    async def queue(self, graph: Graph) -> str:
        """Queue `graph`; returns the prompt's id. Raises ValueError with the host's answer if it is refused."""
        body = {"prompt": graph, "client_id": self._client_id}
        async with self._session.post("/prompt", json=body) as response:
            answer = await response.json()
            if response.status != 200:
                raise ValueError(json.dumps(answer, ensure_ascii=False))
            return str(answer["prompt_id"])

    async def interrupt(self) -> None:
        async with self._session.post("/interrupt", json={}) as response:
            response.raise_for_status()

    async def run(self, graph: Graph, on_status: OnStatus) -> Outcome:
        """Run `graph` to its end, however it ends, and fetch the images that its output nodes wrote."""
        watch = _Watch()
        async with self._session.ws_connect("/ws", params={"clientId": self._client_id}, max_msg_size=0) as socket:
            try:
                prompt_id = await self.queue(graph)
            except ValueError as error:
                return Outcome("error", 0.0, str(error))
            async for message in socket:
                if message.type == aiohttp.WSMsgType.TEXT:
                    event = json.loads(message.data)
                    if event["type"] == STATUS:
                        on_status(event["data"])
                    elif event["data"].get("prompt_id") == prompt_id:
                        watch.event(event["type"], event["data"])
                if watch.status:
                    break
            seconds = time.perf_counter() - watch.began
        outcome = Outcome("error", seconds, watch.message or "the host closed the connection", watch.seconds)
        if watch.status == "success" or watch.status == "interrupted":
            outcome.status, outcome.message = watch.status, ""
        history = await self._history(prompt_id)
        for node_id, ui in history.get("outputs", {}).items():
            if ui.get("images"):
                outcome.images[node_id] = [await self.view(image) for image in ui["images"]]
            if ui.get("text"):
                outcome.texts[node_id] = [str(text) for text in ui["text"]]
        return outcome

    async def _history(self, prompt_id: str) -> Mapping[str, Any]:
        # The last event is sent a moment before the prompt enters the history.
        for _ in range(50):
            history = await self.get(f"/history/{prompt_id}")
            if prompt_id in history:
                return history[prompt_id]
            await asyncio.sleep(0.05)
        return {}
