"""The float graph while the module tree is walked: nodes by name, and maps reshaped as a layer wants them."""

from kws.compress.quantize.nodes import FEATURES, Node, Reshape
from kws.errors import KwsError


class Trace:
    """The nodes so far, by name; the features' width is what the first layer takes."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.bands: int | None = None

    def add(self, node: Node) -> str:
        """Append a node; return its name."""
        self.nodes[node.name] = node
        return node.name

    def width(self, source: str) -> int | None:
        """Return the values of a frame; None for features that no layer has taken yet."""
        return self.bands if source == FEATURES else self.nodes[source].frequency * self.nodes[source].channels

    def as_map(self, source: str, frequency: int, channels: int, reader: str) -> str:
        """Return the name of ``source`` as a map [frames, frequency, channels]: itself, or reshaped."""
        if self.bands is None:
            self.bands = frequency * channels
        if self.width(source) != frequency * channels:
            raise KwsError(
                f"{reader}: takes {frequency * channels} values per frame, but {source} has {self.width(source)}; "
                "the layers do not fit together"
            )
        if source != FEATURES and isinstance(self.nodes[source], Reshape):
            source = self.nodes[source].inputs[0]
        if source != FEATURES and (self.nodes[source].frequency, self.nodes[source].channels) == (frequency, channels):
            return source
        name = f"{source}_{frequency}x{channels}"
        return self.add(Reshape(name=name, inputs=(source,), frequency=frequency, channels=channels))
