"""Blocks in a file without a name."""

import random
import tempfile
from pathlib import Path

import pytest

from lineage.plumbing.scratch_file import ScratchFile


def test_blocks_take_the_place_of_removed_ones(tmp_path: Path):
    """
    Every block is read as it was written, whatever is removed and added; a removed one until another is added.
    """
    rng = random.Random(1)
    file = ScratchFile(tmp_path)
    written: dict[int, bytes] = {}
    for step in range(5_000):
        if len(written) == 100:
            number = rng.choice([*written])
            file.remove(number)
            assert file.get(number) == written.pop(number)
        block = step.to_bytes(4) * rng.randrange(1, 200)
        number = file.put(block)
        assert number is not None
        assert number not in written
        written[number] = block
        if step % 100 == 0:
            assert {one: file.get(one) for one in written} == written
    assert file.size < 10 * 100 * 400
    file.close()


def test_without_a_temporary_folder(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path):
    """
    If no folder can be used, nothing is written, which is logged once, with the remedy.
    """
    file = ScratchFile(None)
    with monkeypatch.context() as during:
        during.setattr(tempfile, "tempdir", None)
        during.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "missing")])
        assert [file.put(b"block"), file.put(b"block")] == [None, None]
    (record,) = caplog.records
    assert "memory is used instead" in record.getMessage()
    assert "TMPDIR" in record.getMessage()

    assert file.put(b"block") == 0
    assert file.get(0) == b"block"


def test_a_block_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    The place of a removed block is still free after a failure to write there.
    """
    file = ScratchFile(tmp_path)
    number = file.put(b"block")
    assert number is not None
    file.remove(number)
    with monkeypatch.context() as during:
        during.setattr("os.pwrite", no_space)
        assert file.put(b"other") is None
    assert file.put(b"other") == number
    assert file.get(number) == b"other"


def no_space(*_: object) -> int:
    """Fail as a full disk does."""
    raise OSError("No space left on device")
