"""Results of the Python clients: lists item by item or as a data frame, and graphs for networkx."""

from collections.abc import AsyncIterator, Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, Self, TypeVar

import networkx as nx

from lineage.core.model.errors import RefusedError

_Item = TypeVar("_Item")


class Items(Generic[_Item]):
    """The items of a list, read page by page as they are needed. They can be read once."""

    def __init__(self, items: Iterator[_Item]) -> None:
        """Read from an iterator."""
        self._items = items

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Item:
        return next(self._items)

    def to_pandas(self) -> Any:
        """Return the items as a ``pandas.DataFrame``: a column for each field, ``a.b`` for the member of an object.

        Raises:
            RefusedError: pandas is not installed.
        """
        return _frame(list(self))


class AsyncItems(Generic[_Item]):
    """The items of a list, for ``async for``. They can be read once."""

    def __init__(self, items: AsyncIterator[_Item]) -> None:
        """Read from an iterator."""
        self._items = items

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Item:
        return await anext(self._items)

    async def to_pandas(self) -> Any:
        """Return the items as a ``pandas.DataFrame``, as ``Items.to_pandas`` does."""
        return _frame([item async for item in self])


def _frame(items: list[Any]) -> Any:
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise RefusedError("a data frame needs pandas: pip install pandas") from error
    return pandas.json_normalize(items)


def to_networkx(graph: Mapping[str, Any]) -> "nx.MultiDiGraph[str]":
    """Convert the graph of principals to networkx: principals as nodes, delegations and tokens between them as edges.

    Args:
        graph: The answer of ``Client.principals_graph``.

    Returns:
        A directed multigraph; nodes and edges have the fields of the answer as attributes.
    """
    drawn: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    for node in graph["nodes"]:
        drawn.add_node(node["id"], **{name: value for name, value in node.items() if name != "id"})
    for edge in graph["edges"]:
        fields = {name: value for name, value in edge.items() if name not in ("from", "to")}
        drawn.add_edge(edge["from"], edge["to"], **fields)
    return drawn
