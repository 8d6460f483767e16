"""Create what is missing: the tables of the store, the embedded log, the topics on Kafka. Idempotent."""

from ingest.log.sqlite_log import SqliteLog
from lineage.core.model.errors import RefusedError
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import now, opened_log, opened_store
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service


def prepare(
    settings: Settings, *, partitions: int | None = None, replication: int | None = None, reader: str | None = None
) -> Document:
    """Create what is missing, and report what was created.

    Args:
        settings: The store and the log.
        partitions: Partitions of each topic on Kafka; None for the cluster's default.
        replication: Replicas of each partition; None for the cluster's default.
        reader: A PostgreSQL role that may read the store from now on, and nothing else.

    Raises:
        RefusedError: An option does not apply to this kind of store or log.
        UnavailableError: The store or the log is unavailable.
    """
    made: list[str] = []
    with opened_log(settings, create=True) as log:
        if isinstance(log, SqliteLog):
            if partitions is not None or replication is not None:
                raise RefusedError("--partitions and --replication are for a log on Kafka, not for the embedded one")
        else:
            from ingest.kafka.log import KafkaLog

            assert isinstance(log, KafkaLog)  # noqa: S101 (there are two kinds)
            made = log.create(partitions=partitions, replication=replication)
        with opened_store(settings, create=True) as store:
            if reader is not None:
                store.grant_reader(reader)
            store.bind(log.identity)
            service = Service(store, log, settings.read_trust(now), now, source=settings.source)
            return {
                "store": store.url,
                "log": settings.log_url,
                "topics": made,
                "reader": reader,
                "as_of": service.as_of(),
            }
