"""The part of ComfyUI's node API that the pack uses, for the type checker."""

from typing import Any

class ComfyExtension:
    async def get_node_list(self) -> list[type[io.ComfyNode]]: ...

class _Execution:
    async def set_progress(
        self, value: float, max_value: float, node_id: str | None = ..., preview_image: Any = ...
    ) -> None: ...

class ComfyAPI:
    execution: _Execution

class io:  # noqa: N801
    class Schema:
        def __init__(self, *, node_id: str, **fields: Any) -> None: ...

    class NodeOutput:
        def __init__(self, *values: Any, ui: Any = ...) -> None: ...

    class HiddenHolder:
        unique_id: str

    class ComfyNode:
        hidden: io.HiddenHolder
        @classmethod
        def GET_SCHEMA(cls) -> io.Schema: ...  # noqa: N802 - the host's own name

    class Hidden:
        unique_id: Any

    class Type:
        class Input:
            def __init__(self, id: str, **options: Any) -> None: ...

        class Output:
            def __init__(self, id: str = ..., **options: Any) -> None: ...

    class String(Type): ...
    class Int(Type): ...
    class Combo(Type): ...
    class Image(Type): ...
    class Mask(Type): ...

    class Autogrow:
        Type = dict[str, Any]

        class TemplateNames:
            def __init__(self, input: Any, names: list[str], min: int = ...) -> None: ...

        class Input:
            def __init__(self, id: str, template: Any, **options: Any) -> None: ...

    @staticmethod
    def Custom(io_type: str) -> type[io.Type]: ...  # noqa: N802
