"""The living elements, kept up to date as facts arrive and time passes."""

from lineage.core.authority.targets import orders_hitting
from lineage.core.findings.keeping.changes import ChangeSet
from lineage.core.findings.keeping.marks import Due, Marks
from lineage.core.findings.keeping.neighbourhoods import Aspect
from lineage.core.findings.options import Options
from lineage.core.findings.rules.rule import REVOCATION
from lineage.core.findings.scene.clock import Horizon
from lineage.core.findings.scene.ledger import Stirred
from lineage.core.findings.scene.reaches import Reaches
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.times import Instant


class Living:
    """The elements that are alive.

    Attributes:
        keys: Their keys.
        due: When they have to be examined again.
    """

    def __init__(self, scene: Scene, reaches: Reaches, options: Options, marks: Marks, horizon: Horizon) -> None:
        """Start without elements.

        Args:
            scene: The facts.
            reaches: The living elements under things.
            options: The settings.
            marks: Receives the things to evaluate again.
            horizon: The horizon of the scene's moving instant.
        """
        self._scene = scene
        self._reaches = reaches
        self._world = scene.world
        self._options = options
        self._marks = marks
        self._horizon = horizon
        self.keys: set[str] = set()
        self.due = Due()
        self._lasting: set[str] = set()  # the elements whose last activity may matter, now or later

    def update(self, batch: ChangeSet, stirred: Stirred, at: Instant) -> None:
        """Determine what is alive, and mark the things whose rules depend on it."""
        scene, graph = self._scene, self._world.graph
        used = {*batch.below, *stirred.used}
        above = graph.above(*used)
        self._watch(batch)
        before = {key: scene.activity_before(key) for key in above & self._lasting}
        scene.forget(set(), above)
        self._mark_activity(before, at)
        asked = batch.below | batch.ordered
        asked.update(key for key, _ in self.due.reached(at))
        turned: set[str] = set()
        for key in asked:
            if not graph.granted(key):
                continue
            self._horizon.restart()
            alive = scene.is_alive(key)
            self.due.add(self._horizon.next, key, 0)
            if alive != (key in self.keys):
                turned.add(key)
                (self.keys.add if alive else self.keys.discard)(key)
        self._marks.mark(turned, Aspect.ALIVE)
        # a dormant element is not reported while what it draws on is
        below = (child for key in turned for child in graph.children(key))
        self._marks.mark((child for child in below if child in self._lasting), Aspect.ALIVE)
        changed = turned | batch.below
        self._reaches.update((*batch.granted, *(changed - batch.granted.keys())), self.keys)  # parents first
        self._marks.mark_parties(changed, Aspect.ALIVE)
        reaching = graph.above(*changed)
        self._marks.mark(reaching, Aspect.REACH)
        self._marks.mark_names(reaching, Aspect.REACH, unless=self._reaches.are_few)
        ended = ((turned | used) & scene.affected) | batch.ordered
        if ended:
            hitting = orders_hitting(self._world, graph.above(*ended), lambda _: True)
            orders = {order.body.revocation for each in hitting.values() for order in each}
            self._marks.mark((f"{REVOCATION}:{id_}" for id_ in orders), Aspect.REACH)

    def _watch(self, batch: ChangeSet) -> None:
        """Note the granted elements that may live long enough for their activity to matter, and what they draw on."""
        graph, options = self._world.graph, self._options
        least = min(options.unused, options.dormant + options.dormant_left)
        for key in batch.granted:
            element = graph.element(key)
            if element is not None and element.ends_at - element.issued_at >= least:
                self._lasting.add(key)
                self._lasting.update(element.parents)

    def _mark_activity(self, before: dict[str, Instant | None], at: Instant) -> None:
        """Mark the things that depend on the last activity of elements, if it was or now is long ago."""
        scene, graph, long_ago = self._scene, self._world.graph, at - self._options.dormant
        young = at - self._options.unused
        for key, last in before.items():
            element = graph.element(key)
            if element is None:
                continue
            now = scene.last_activity(key)
            if last is None or now < last or last <= long_ago or element.issued_at <= young:
                self._marks.aspects[key] |= Aspect.ACTIVITY
            if last is not None and (last <= long_ago) != (now <= long_ago):
                self._marks.mark(graph.children(key), Aspect.ACTIVITY)
