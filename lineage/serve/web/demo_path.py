"""A guided tour through an incident: steps that link to pages, and events that are added on request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoStep:
    """A step of the tour.

    Attributes:
        title: Its heading.
        text: What happens, and what to look at.
        link: The address of a page, and the link's text.
        play: The name of what happens on request; None for nothing.
        new_tab: Whether the link opens in a new tab.
    """

    title: str
    text: str
    link: tuple[str, str]
    play: str | None = None
    new_tab: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A tour.

    Attributes:
        steps: In order.
        plays: What can happen, by name.
        happened: The names of what has happened.
    """

    steps: Sequence[DemoStep]
    plays: Mapping[str, Callable[[], None]]
    happened: set[str] = field(default_factory=set)

    def play(self, name: str) -> None:
        """Make something happen."""
        self.plays[name]()
        self.happened.add(name)
