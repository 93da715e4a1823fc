"""Keys in files: private, whole, and never shown."""

from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.queue.keys import KeyFolder, KeyPair, read_secret, write_secret


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    folder = KeyFolder(tmp_path / "keys")
    folder.make()
    return folder


def test_a_secret_key_tells_its_public_one(tmp_path: Path) -> None:
    pair = KeyPair.new()
    write_secret(tmp_path / "key", pair)
    assert read_secret(tmp_path / "key") == pair
    assert KeyPair.new() != pair


def test_a_secret_is_not_shown() -> None:
    pair = KeyPair.new()
    assert pair.public.hex() in repr(pair)
    assert pair.secret.hex() not in f"{pair} {pair!r} {[pair]}"
    assert repr(pair.secret) not in f"{pair} {pair!r} {[pair]}"


def test_a_secret_that_others_can_read_is_not_used(keys: KeyFolder) -> None:
    (keys.folder / "secret").chmod(0o640)
    with pytest.raises(PipelineError, match=r"secret: is not private to you \(.* mode 640\)"):
        keys.own()


@pytest.mark.parametrize("name", ["", "allowed"])
def test_a_folder_that_others_can_write_to_is_not_used(name: str, keys: KeyFolder) -> None:
    (keys.folder / name).chmod(0o770)
    for use in (keys.own, keys.allowed):
        with pytest.raises(PipelineError, match=r"others can write to it .* mode 770"):
            use()


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"12" * 31, b"1" * 100_000])
def test_a_file_without_a_key_is_named_and_not_shown(content: bytes, keys: KeyFolder) -> None:
    (keys.folder / "allowed" / "lab").write_bytes(content)
    (keys.folder / "secret").write_bytes(content)
    for name, use in (("allowed/lab", keys.allowed), ("secret", keys.own)):
        with pytest.raises(PipelineError, match=f"{name}: is no key: must be 64 hexa") as caught:
            use()
        assert len(str(caught.value)) < 300


def test_other_files_beside_the_keys_are_no_keys(keys: KeyFolder) -> None:
    (keys.folder / "allowed" / ".lab").write_text("half written")
    assert keys.allowed() == {}
