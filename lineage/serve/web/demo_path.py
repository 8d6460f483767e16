"""A guided path through an incident: steps that lead to pages, and events that come when one asks for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of the path.

    Attributes:
        title: What it is about.
        text: What happens, and what to look at.
        link: Where it leads, and what is written there.
        play: The name of what happens when one asks for it; None: nothing.
        beside: Whether it opens beside the path, to be left there.
    """

    title: str
    text: str
    link: tuple[str, str]
    play: str | None = None
    beside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A path.

    Attributes:
        steps: In order.
        plays: What can be made happen, by name.
        happened: The names of what did.
    """

    steps: Sequence[Step]
    plays: Mapping[str, Callable[[], None]]
    happened: set[str] = field(default_factory=set)

    def play(self, name: str) -> None:
        """Have something happen."""
        self.plays[name]()
        self.happened.add(name)
