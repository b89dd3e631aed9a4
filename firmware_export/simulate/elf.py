"""A linked image: what is loaded where, and what its symbols and sections are."""

import bisect
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kws.system.packages import need


@dataclass(frozen=True)
class Symbol:
    """A function or an object: ``bytes`` from ``address`` on, in the section ``section``."""

    name: str
    address: int
    bytes: int
    section: str
    function: bool


@dataclass(frozen=True, eq=False)
class Image:
    """Everything of an ELF file that lies in memory.

    ``segments`` are (address, content); ``sections`` (name -> address, bytes); ``symbols`` by address.
    """

    segments: tuple[tuple[int, bytes], ...]
    sections: dict[str, tuple[int, int]]
    symbols: tuple[Symbol, ...]

    @cached_property
    def addresses(self) -> dict[str, int]:
        """The address of every symbol."""
        return {symbol.name: symbol.address for symbol in self.symbols}

    @cached_property
    def functions(self) -> tuple[Symbol, ...]:
        """The functions by address."""
        return tuple(symbol for symbol in self.symbols if symbol.function)

    def code(self) -> tuple[int, bytes]:
        """Return where the code begins, and all of it; gaps between its sections are zeros."""
        places = [place for name, place in self.sections.items() if name.startswith(".text")]
        begin = min(address for address, _ in places)
        content = bytearray(max(address + size for address, size in places) - begin)
        for address, data in self.segments:
            if begin <= address < begin + len(content):
                content[address - begin : address - begin + len(data)] = data
        return begin, bytes(content)

    def function_at(self, address: int) -> str:
        """Return the name of the function that holds this address, or "?"."""
        index = bisect.bisect_right([symbol.address for symbol in self.functions], address) - 1
        if index < 0 or address >= self.functions[index].address + max(self.functions[index].bytes, 1):
            return "?"
        return self.functions[index].name


def read(path: Path) -> Image:
    """Read an ELF file that ``build.image`` made."""
    package = need("elftools.elf.elffile", "pyelftools", "simulate")
    with path.open("rb") as file:
        elf = package.ELFFile(file)
        loaded = [section for section in elf.iter_sections() if section["sh_flags"] & 2 and section["sh_size"]]
        segments = tuple((section["sh_addr"], section.data()) for section in loaded)  # .bss gives zeros
        sections = {section.name: (section["sh_addr"], section["sh_size"]) for section in loaded}
        names = [section.name for section in elf.iter_sections()]
        table = elf.get_section_by_name(".symtab")
        thumb = elf["e_machine"] == "EM_ARM"
        symbols = [symbol for entry in table.iter_symbols() if (symbol := _symbol(entry, names, thumb)) is not None]
    return Image(segments, sections, tuple(sorted(symbols, key=lambda symbol: (symbol.address, -symbol.bytes))))


def _symbol(entry: Any, sections: list[str], thumb: bool) -> Symbol | None:
    kind, index = entry["st_info"]["type"], entry["st_shndx"]
    if kind not in ("STT_FUNC", "STT_OBJECT") or not isinstance(index, int):
        return None
    function = kind == "STT_FUNC"
    address = entry["st_value"] & ~1 if function and thumb else entry["st_value"]  # the lowest bit stands for Thumb
    return Symbol(entry.name, address, entry["st_size"], sections[index], function)
