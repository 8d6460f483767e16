"""Unreadable files and folders are named with the remedy, and do not keep others from being read."""

import json

import pytest

from tests.support.closed_files import close, run
from tests.support.collecting import decision


@pytest.fixture(name="logs")
def _logs(tmp_path):
    folder = tmp_path / "logs"
    (folder / "closed").mkdir(parents=True)
    for name in ("open.log", "shut.log", "closed/within.log"):
        (folder / name).write_text(json.dumps(decision(1)) + "\n", encoding="utf-8")
    close(folder / "shut.log")
    close(folder / "closed")
    return folder


@pytest.mark.slow
def test_try_reads_the_rest_of_a_folder_and_names_unreadable_files(logs):
    """They are on the screen, and in the document with the reason for each."""
    shown, found = run("try", logs), json.loads(run("try", logs, "--json").stdout)

    assert 0 == shown.returncode, shown.stderr
    assert "may not be read; let the user of this process read it" in " ".join(shown.stdout.split())
    assert ["open.log"] == [one["file"].rpartition("/")[2] for one in found["files"]]
    assert {"shut.log", "closed"} == {one["file"].rpartition("/")[2] for one in found["unread"]}
    assert all("may not be read" in one["why"] for one in found["unread"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shut.log", "closed"])
def test_try_reports_a_named_file_as_unreadable(logs, name):
    """It does not say that the format is unknown."""
    ended = run("try", logs / name)

    assert 2 == ended.returncode
    assert f"{name} may not be read; let the user of this process read it" in ended.stderr
    assert "format" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shut.log", "closed/within.log"])
def test_ingest_reads_nothing_if_one_file_is_unreadable(logs, tmp_path, name):
    """The readable files are not ingested either."""
    store = f"sqlite:///{tmp_path}/store.db"
    ended = run("ingest", logs / "open.log", logs / name, "--store", store)

    assert 2 == ended.returncode
    assert f"{name} may not be read; let the user of this process read it" in ended.stderr
    assert not (tmp_path / "store.db").exists()


@pytest.mark.slow
def test_collect_follows_the_rest_and_names_the_source(logs, tmp_path):
    """Each path is named with the source and the remedy; what is readable is in the log."""
    settings, store = tmp_path / "delegraph.toml", f"sqlite:///{tmp_path}/store.db"
    settings.write_text(f'[[source]]\nname = "pdp"\nformat = "opa"\nfollow = "{logs}"\n', encoding="utf-8")
    run("init", "--store", store)
    ended = run("collect", "--drain", "--store", store, DELEGRAPH_CONFIG=str(settings))

    for name in ("shut.log", "closed"):
        assert f"the source 'pdp' cannot follow {logs / name}: it may not be read; let the user" in ended.stderr
    assert "pdp: 1 record, " in ended.stdout
