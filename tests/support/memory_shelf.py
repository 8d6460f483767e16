"""Blocks in memory, where a keeper writes them to a file."""


class MemoryShelf:
    """Blocks by number, for a limited number of them."""

    def __init__(self, room: int | None = None) -> None:
        self.blocks: list[bytes] = []
        self.removed: list[int] = []
        self.room = room

    def put(self, block: bytes) -> int | None:
        """Add a block, if there is room."""
        if self.removed:
            number = self.removed.pop()
            self.blocks[number] = block
            return number
        if self.room is not None and len(self.blocks) >= self.room:
            return None
        self.blocks.append(block)
        return len(self.blocks) - 1

    def get(self, number: int) -> bytes:
        """Return a block."""
        return self.blocks[number]

    def remove(self, number: int) -> None:
        """Let a later block have this number."""
        assert number not in self.removed
        self.removed.append(number)
