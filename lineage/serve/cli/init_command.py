"""Making what is missing: the tables of the store, the embedded log, the topics on Kafka. Harmless to repeat."""

from ingest.log.sqlite_log import SqliteLog
from lineage.core.model.errors import RefusedError
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import now, opened_log, opened_store
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service


def prepare(
    settings: Settings, *, partitions: int | None = None, replication: int | None = None, reader: str | None = None
) -> Document:
    """Make what is missing, and say what was made.

    Args:
        settings: Where things are to be.
        partitions: Of each topic on Kafka; None: what the cluster gives.
        replication: Copies of each partition; None: what the cluster gives.
        reader: A role of PostgreSQL that may read the store from now on, and nothing else.

    Raises:
        RefusedError: What is asked for is not to be had where the store or the log are.
        UnavailableError: The store or the log is away.
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
