"""The remembered ancestors of a span in its trace. Pure."""

from typing import Any, Final, NamedTuple

from ingest.sources.adapters.kit import Memory

SPANS: Final = "span"  # topic: the remembered content of each span, by id
_DEEPEST: Final = 10_000


class Path(NamedTuple):
    """A span and its remembered ancestors; ``whole`` if they reach the root."""

    spans: list[tuple[str, dict[str, Any]]]
    whole: bool

    def first(self, field: str) -> Any:
        """Return the value of a field in the nearest span that has it."""
        return next((known[field] for _, known in self.spans if field in known), None)

    def above(self, field: str, *, other_than: Any = None) -> tuple[str | None, dict[str, Any]]:
        """Return the nearest ancestor with a different value of a field."""
        upwards = self.spans[1:]
        return next(((id_, known) for id_, known in upwards if known.get(field) not in (None, other_than)), (None, {}))

    def is_timeless(self, field: str) -> bool:
        """Whether the nearest span with this field has no time, so that it could not become an event."""
        return next(("at" not in known for _, known in self.spans if field in known), False)


def path_of(memory: Memory, id_: str | None) -> Path:
    """Return the path up from a span."""
    spans: list[tuple[str, dict[str, Any]]] = []
    while id_ is not None and len(spans) < _DEEPEST:
        known = memory.get(SPANS, id_)
        if known is None:
            return Path(spans, whole=False)
        spans.append((id_, known))
        id_ = known.get("above")
    return Path(spans, whole=True)
