"""The imports allowed by docs/architecture.md, and the single place of each library."""

import ast
import importlib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.places import ROOT

PACKAGES = ("ingest", "lineage", "schemas")

# Layer -> our packages that it may import.
ARROWS = {
    "lineage.plumbing": set(),
    "lineage.core": set(),
    "schemas": set(),
    "ingest": {"lineage.core", "lineage.plumbing", "schemas"},
    "lineage.store": {"lineage.core", "lineage.plumbing", "schemas"},
    "lineage.deliver": {"lineage.core", "lineage.plumbing", "schemas", "ingest", "lineage.store"},
    "lineage.serve": {"lineage.core", "lineage.plumbing", "schemas", "ingest", "lineage.store", "lineage.deliver"},
}
# Library -> the only layer, or modules, that may import it.
PLACES = {
    "sqlalchemy": ("lineage.store",),
    "alembic": ("lineage.store",),
    "fastavro": ("ingest.codec.avro_fastavro",),
    "kafka": ("ingest",),
    "cryptography": ("lineage.deliver",),
    "jwt": ("ingest", "lineage.serve", "lineage.deliver"),
    "networkx": ("lineage.core", "lineage.serve.client_items"),
    "opentelemetry": ("ingest.kafka.cloudevents_headers", "lineage.serve.processes.tracing"),
    "click": ("lineage.serve",),
    "rich": ("lineage.serve",),
    "prometheus_client": (
        "lineage.serve.http.core.metrics",
        "lineage.serve.processes.collect_metrics",
        "lineage.serve.processes.consumer_metrics",
        "lineage.serve.processes.delivery_metrics",
        "lineage.serve.processes.finding_metrics",
        "lineage.serve.processes.health_server",
        "lineage.serve.server.connection_metrics",
    ),
    "h11": ("lineage.serve.server",),
    "uvicorn": ("lineage.serve.server",),
    "psycopg": ("lineage.store",),
    "sqlite3": (
        "ingest.producer.spool",
        "ingest.log.sqlite_log",
        "lineage.store",
        "lineage.plumbing.sqlite_file",
        "lineage.deliver.tlog.witness",
    ),
    "jinja2": ("lineage.serve.web",),
    "markupsafe": ("lineage.serve.web",),
    "structlog": ("lineage.serve.processes.logs",),
}
# The core is pure: of the standard library it may not use clocks, files, processes or the network.
IMPURE = {"time", "os", "pathlib", "io", "socket", "subprocess", "threading", "random", "uuid", "sqlite3", "logging"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def imports(name: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*name.split(".")[: -node.level], base]).rstrip(".")
            # `from package import module` imports the module.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def folders_of(package: str) -> Iterator[Path]:
    return (path.parent for path in (ROOT / package).rglob("__init__.py"))


def layer_of(name: str) -> str | None:
    return next((layer for layer in ARROWS if name == layer or name.startswith(f"{layer}.")), None)


ALL = list(modules())


@pytest.mark.parametrize(("name", "tree"), ALL, ids=[name for name, _ in ALL])
def test_imports_follow_the_arrows(name: str, tree: ast.Module):
    """A module imports only its own layer and those below it."""
    layer = layer_of(name)
    allowed = ARROWS.get(layer, set()) | {layer}

    for imported in imports(name, tree):
        target = layer_of(imported)
        if target is not None:
            assert target in allowed, f"{name} imports {imported}"


@pytest.mark.parametrize(("name", "tree"), ALL, ids=[name for name, _ in ALL])
def test_every_library_has_one_place(name: str, tree: ast.Module):
    """A library is imported in one place only, so that it can be replaced there."""
    for imported in imports(name, tree):
        library = imported.partition(".")[0]
        places = PLACES.get(library)
        if places is not None:
            assert any(name == place or name.startswith(f"{place}.") for place in places), f"{name} imports {imported}"


# The folders and modules of a layer, from the bottom up: each imports only those before it.
ROOMS = {
    "ingest": (
        "codec", "secrets", "tracing", "trust_file", "declared_settings", "log", "projector", "projection_tasks",
        "kafka", "sources",
        "opening", "revocations", "producer",
    ),
    "lineage.core": ("model", "authority", "cases", "revocation", "findings", "evidence", "retention"),
    "lineage.store": (
        "database", "migrations", "acts_in_time", "reading", "writing", "store", "plans", "quarantine", "delivery",
        "kept_findings", "follower", "evidence_trees", "retention_runs", "deletions", "rebuild", "server_info",
        "server_clock", "source_records", "authority_replica", "api_tokens",
    ),
    "lineage.deliver": ("http", "tlog", "outbox", "rfc7009", "probes", "ssf", "token_status", "findings"),
    "lineage.serve": (
        "documents", "text", "drawing", "cache", "queries", "commands", "config", "server", "http", "web",
        "mcp", "client_items", "client_problems", "http_client", "async_http_client", "client", "processes", "cli",
    ),
}  # fmt: skip


def modules_imported() -> dict[str, set[str]]:
    """Return each module with our modules that it imports, including imports for types and inside functions.

    An import for types counts, since a reader of the module has to know the other one.
    """
    names = {name for name, _ in ALL}

    def module_of(imported: str) -> str:
        while imported and imported not in names:
            imported = imported.rpartition(".")[0]
        return imported

    return {name: {module_of(imported) for imported in imports(name, tree)} - {"", name} for name, tree in ALL}


def rooms_imported(folder: str) -> dict[str, set[str]]:
    """Return the modules and folders of a folder, each with what it imports of the others."""
    found: dict[str, set[str]] = {}
    for name, imported in modules_imported().items():
        if name.startswith(f"{folder}."):
            room = name.removeprefix(f"{folder}.").partition(".")[0]
            inside = [each.removeprefix(f"{folder}.") for each in imported if each.startswith(f"{folder}.")]
            others = {each.partition(".")[0] for each in inside}
            found.setdefault(room, set()).update(others - {room})
    return found


FOLDERS = sorted({".".join(path.relative_to(ROOT).parts) for package in PACKAGES for path in folders_of(package)})


def test_no_modules_import_in_a_circle():
    """The modules can be read in an order in which each follows its imports."""
    list(TopologicalSorter(modules_imported()).static_order())  # raises CycleError, with the circle


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS)
def test_no_folders_import_in_a_circle(folder: str):
    """The same holds for the modules and folders inside each folder."""
    list(TopologicalSorter(rooms_imported(folder)).static_order())


@pytest.mark.slow
@pytest.mark.parametrize("folder", ROOMS)
def test_every_arrow_inside_a_layer_goes_down(folder: str):
    """A folder imports only folders that are listed before it."""
    rooms = ROOMS[folder]

    assert set(rooms) == rooms_imported(folder).keys()
    for room, others in rooms_imported(folder).items():
        assert others <= set(rooms[: rooms.index(room)]), f"{room} imports {others}"


# The interfaces. Only queries, commands, caches, wiring and processes use the store and the log.
FACES = (
    "lineage.serve.cli",
    "lineage.serve.http",
    "lineage.serve.mcp",
    "lineage.serve.processes.http_process",
    "lineage.serve.processes.http_warmup",
    "lineage.serve.server",
    "lineage.serve.text",
    "lineage.serve.web",
)
# These examine or create a store and a log, without a service.
TOOLS = tuple(
    f"lineage.serve.cli.{name}"
    for name in ("doctor", "doctor_evidence", "doctor_kafka", "doctor_sources", "init_command")
)


@pytest.mark.parametrize(
    ("name", "tree"), [(name, tree) for name, tree in ALL if name.startswith(FACES) and name not in TOOLS]
)
def test_interfaces_use_the_service_only(name: str, tree: ast.Module):
    """An interface calls queries and commands: it does not import the store or access the store or log of a service."""
    assert [] == [imported for imported in imports(name, tree) if layer_of(imported) == "lineage.store"]
    assert [] == list(taken_of_a_service(tree))


def taken_of_a_service(tree: ast.Module) -> Iterator[str]:
    """Yield each ``service.store``, ``service.log`` and ``service.trust.table``, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found = ast.unparse(node)
            if found.endswith(("service.store", "service.log", "service.trust.table", "service.require_log")):
                yield f"{node.lineno}: {found}"


def test_queries_import_no_commands():
    """A query changes nothing, so it needs no command; commands use queries."""
    for name, tree in ALL:
        if name.startswith("lineage.serve.queries"):
            assert [] == [one for one in imports(name, tree) if one.startswith("lineage.serve.commands")], name


def test_the_core_is_pure():
    """The core uses no clock, file or network: facts, trust and times are its arguments."""
    for name, tree in ALL:
        if name.startswith("lineage.core"):
            libraries = {imported.partition(".")[0] for imported in imports(name, tree)}
            assert libraries.isdisjoint(IMPURE), f"{name} imports {libraries & IMPURE}"


def test_texts_are_interned_in_two_places():
    """Only a keeper interns texts as they are, since Python 3.12 never frees them; see ``shared_text``."""
    attributes = {(name, node.attr) for name, tree in ALL for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    interning = {name for name, attribute in attributes if attribute == "intern"}
    interning |= {name for name, tree in ALL if "sys.intern" in imports(name, tree)}

    assert interning == {"lineage.core.model.keys", "lineage.core.findings.keeping.sharing"}


def test_the_core_never_calls_itself():
    """A chain may be 100,000 deep: no function of the core is recursive, except over the fixed depth of a record."""
    bounded = {
        "lineage.core.model.events._sorted",
        "lineage.core.model.events._json_value",
        "lineage.core.authority.elements.merge_facts",
    }
    for name, tree in ALL:
        if name.startswith("lineage.core"):
            assert {f"{name}.{function}" for function in calling_themselves(tree)} <= bounded


def calling_themselves(tree: ast.Module) -> Iterator[str]:
    methods = {id(item) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for item in node.body}
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for call in (node.func for node in ast.walk(function) if isinstance(node, ast.Call)):
            if id(function) in methods:
                itself = isinstance(call, ast.Attribute) and call.attr == function.name and _is_self(call)
            else:
                itself = isinstance(call, ast.Name) and call.id == function.name
            if itself:
                yield function.name


def _is_self(attribute: ast.Attribute) -> bool:
    return isinstance(attribute.value, ast.Name) and attribute.value.id == "self"


def test_the_clock_is_read_in_one_place():
    """Only the wiring and the producer read the time of day; agents do not pass a clock to the producer."""
    for name, tree in ALL:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "time_ns", "time"}:
                owner = node.value.id if isinstance(node.value, ast.Name) else ""
                if owner in {"datetime", "time"}:
                    assert name in {"lineage.serve.config.wiring", "ingest.producer.api"}, (
                        f"{name} reads {owner}.{node.attr}"
                    )


PUBLIC = {
    "ingest.producer": [
        "Emitted",
        "Metrics",
        "Producer",
        "action_from_mcp",
        "decision_from_authzen",
        "digest_of",
        "now",
        "principal_id",
        "token_id",
        "token_issued_from_exchange",
        "token_issued_from_jwt",
    ],
    "ingest.revocations": ["Revocations", "answer_of", "answering"],
    "lineage.serve.client": ["AsyncClient", "AsyncItems", "Client", "Items", "to_networkx"],
}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_public_modules_export_exactly_this(name: str):
    """The public names are listed here, so that none is added or removed by accident."""
    module = importlib.import_module(name)

    assert PUBLIC[name] == sorted(module.__all__)
    assert all(getattr(module, exported) is not None for exported in module.__all__)


def test_the_packages_say_that_they_are_typed():
    """Type checkers use our annotations in a user's program (PEP 561)."""
    assert [True] * 3 == [(ROOT / package / "py.typed").is_file() for package in PACKAGES]


def test_no_test_imports_another():
    """Shared code is in ``tests/support``, which imports no test either."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for imported in imports(name, ast.parse(path.read_text(encoding="utf-8"))):
            if imported.startswith("tests."):
                assert imported.split(".")[1] == "support", f"{name} imports {imported}"


def test_folders_of_tests_are_named_like_packages():
    """The folders of the tests have the names of the packages that they test."""
    folders = {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("*") if path.is_dir()}
    named = {folder for folder in folders if "__pycache__" not in folder} - {"cases", "support"}

    assert [] == sorted(
        folder for folder in named if not any((ROOT / package / folder).is_dir() for package in ("", "lineage"))
    )
