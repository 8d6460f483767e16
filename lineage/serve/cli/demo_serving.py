"""``delegraph demo --serve``: the incident of the demo, to look around in. The store is gone when it ends."""

import tempfile
import time
from pathlib import Path

from ingest.codec import api as codec
from ingest.log.shared import SharedLog
from ingest.opening import open_log
from ingest.projector import project
from ingest.sources.file_import import take_in
from lineage.core.model.times import Instant
from lineage.serve.cache.question_cache import Keeping
from lineage.serve.cli.demo import ASKED, RESPONDER, StoryClock, incident_path
from lineage.serve.cli.demo_story import demo_story, register_receiver
from lineage.serve.config.http_settings import HttpSettings
from lineage.serve.documents.refusal_wording import OVER_HTTP
from lineage.serve.queries.service import Service, Trust
from lineage.serve.server.runner import Say, serve
from lineage.store.store import open_store


def run_serving(settings: HttpSettings, *, say: Say) -> None:
    """Serve the incident until stopped.

    The clock starts at the moment of the story at which the question is asked, and goes on from there: what was alive
    then is alive, and can be revoked.

    Raises:
        RefusedError: It cannot listen there.
    """
    with tempfile.TemporaryDirectory(prefix="delegraph-demo-") as folder:
        url = f"sqlite:///{Path(folder) / 'delegraph.db'}"
        story, began = StoryClock(), time.monotonic()

        def clock() -> Instant:
            return ASKED + round((time.monotonic() - began) * 1_000_000)

        store = open_store(url, codec.read, create=True)
        try:
            log = open_log(url, create=True, clock=story)
            take_in([str(incident_path())], log, store, format="jsonl", clock=story)
            project(log, store, None)
            log.close()
            shared = SharedLog(lambda: open_log(url, create=False, clock=clock))
            try:
                worlds = Keeping(store, shared, None, log_inside=True)
                source = "urn:delegraph:demo"
                service = Service(store, shared, Trust(), clock, source=source, worlds=worlds, face=OVER_HTTP)
                register_receiver(service)
                serve(service, settings, say=say, name=RESPONDER, story=demo_story(service))
            finally:
                shared.close()
        finally:
            store.close()
