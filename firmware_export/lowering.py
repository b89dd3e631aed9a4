"""A writer's functions by operator: what each operator of the quantized graph becomes in another format."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from kws.errors import KwsError

WriterT = TypeVar("WriterT")
OpT = TypeVar("OpT")


class Lowerings(Generic[WriterT]):
    """The registry of one format; ``WriterT`` is the class that its functions write with."""

    def __init__(self, format_name: str, base: "Lowerings[WriterT] | None" = None) -> None:
        """Start empty, or with the functions that ``base`` has so far."""
        self._format = format_name
        self.functions: dict[type, Callable[[WriterT, Any], None]] = {} if base is None else dict(base.functions)

    def of(self, kind: type[OpT]) -> Callable[[Callable[[WriterT, OpT], None]], Callable[[WriterT, OpT], None]]:
        """Register the decorated function for the operator class ``kind``."""

        def register(function: Callable[[WriterT, OpT], None]) -> Callable[[WriterT, OpT], None]:
            self.functions[kind] = function
            return function

        return register

    def write(self, writer: WriterT, op: Any) -> None:
        """Write ``op``.

        Raises:
            KwsError: no function writes it in this format (yet); the message names the operator and its output.
        """
        if type(op) not in self.functions:
            known = ", ".join(sorted(kind.__name__ for kind in self.functions))
            raise KwsError(
                f"operator {type(op).__name__} (output '{getattr(op, 'output', '?')}') cannot be written as "
                f"{self._format}; build the model from {known}"
            )
        self.functions[type(op)](writer, op)
