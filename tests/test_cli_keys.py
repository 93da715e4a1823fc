"""``pipeline keys``: a key of one's own, and whose keys may join."""

import json
import stat
from pathlib import Path

import pytest
from command_line import CommandLine

KEYS = {name: f"{number:064x}" for number, name in enumerate(["lab", "roof"], start=1)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "pipeline" / "keys"


def test_a_key_is_made_once_and_its_public_part_shown(
    command_line: CommandLine, folder: Path
) -> None:
    code, made, err = command_line("keys", "make")
    assert (code, err) == (0, "")
    assert len(bytes.fromhex(made)) == 32
    assert command_line("keys", "show") == (0, made, "")
    secret = folder / "secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert made not in secret.read_text()

    code, out, err = command_line("keys", "make")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {secret}: exists already; peers know its public key.")
    assert command_line("keys", "show").out == made


def test_peers_are_allowed_listed_and_revoked(command_line: CommandLine, folder: Path) -> None:
    for name, key in KEYS.items():
        assert command_line("keys", "allow", name, key) == (0, "", "")
    assert json.loads(command_line("keys", "list", "--json").out) == KEYS
    assert command_line("keys", "list").out == f"{KEYS['lab']} lab\n{KEYS['roof']} roof\n"
    assert command_line("keys", "revoke", "lab") == (0, "", "")
    assert list(json.loads(command_line("keys", "list", "--json").out)) == ["roof"]


def test_a_peer_that_is_allowed_again_has_its_new_key(
    command_line: CommandLine, tmp_path: Path
) -> None:
    where = ("--folder", tmp_path / "elsewhere")
    for key in ("ab" * 32, "CD" * 32):
        assert command_line("keys", "allow", "lab", key, *where).code == 0
    assert command_line("keys", "list", *where).out == f"{'cd' * 32} lab\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["show"], "secret: no key; make one: pipeline keys make"),
        (
            ["allow", "lab", "abc"],
            "KEY: is no key: must be 64 hexadecimal digits, got 3 characters",
        ),
        (["allow", "../lab", KEYS["roof"]], "NAME: must be letters, digits, '-', '_' and '.', at"),
        (["allow", "roof", KEYS["lab"]], "KEY: is that of 'lab' already; revoke it there first"),
        (["revoke", "roof"], "NAME: 'roof' is not allowed; allowed are: lab"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str], text: str, command_line: CommandLine, folder: Path
) -> None:
    command_line("keys", "allow", "lab", KEYS["lab"])
    code, out, err = command_line("keys", *arguments)
    assert (code, out) == (2, "")
    assert text in err
    assert len(err.splitlines()) == 1
