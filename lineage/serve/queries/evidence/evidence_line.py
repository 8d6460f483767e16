"""The sentence about the evidence under an answer: under which checkpoint the log is, and what came later."""

from lineage.serve.queries.service import Service
from lineage.store import evidence_trees


class EvidenceLine:
    """The sentence of one process. On SQLite it is computed again only when the store has changed."""

    def __init__(self, service: Service, origin: str | None) -> None:
        """Read from the store of a service, whose trees have a configured origin."""
        self._service, self._origin = service, origin
        self._known: tuple[object, str | None] = (None, None)

    def sentence(self) -> str | None:
        """Return it; None if nothing is signed."""
        store = self._service.store
        token = None if store.change_probe is None else store.change_probe()
        known, sentence = self._known
        if token is None or token != known:
            sentence = self._sentence()
            self._known = (token, sentence)
        return sentence

    def _sentence(self) -> str | None:
        if not evidence_trees.has_checkpoints(self._service.store):
            return None
        # It imports the libraries of signatures, which an answer over an unsigned log does not need.
        from lineage.serve.queries.evidence.evidence_status import coverages

        return coverages(self._service.store, self._origin).sentence
