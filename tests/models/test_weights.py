"""Weights files: round trip, and every way in which they can be broken."""

import json
import struct
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import models
from models import ModelCard, ModelError, read_card
from models.card import TrainedWords
from models.network import Network
from models.weights import save

CARD = ModelCard(
    network="dvs_gesture",
    options={"classes": 3, "steps": 60, "input_channels": 2, "size": [4, 4], "mode": "spike"},
    classes=("wave", "clap", "other ‑ ünlike"),
    sensor_size=(128, 128),
    input_size=(4, 4),
    window_us=25000,
    steps=60,
    data="simulated",
    accuracy="50.0% of 2 recordings",
    licence="Apache-2.0",
    created_by="tests",
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "new" / "w.safetensors"
    save(models.build("dvs_gesture", **CARD.options), CARD, path)
    return path


def test_card_round_trip(weights: Path) -> None:
    assert read_card(weights) == CARD
    assert read_card(str(weights)) == CARD
    assert [path.name for path in weights.parent.iterdir()] == ["w.safetensors"]


def test_a_card_says_the_vocabulary_and_an_old_one_need_not(tmp_path: Path) -> None:
    words = msgspec.structs.replace(CARD, vocabulary=TrainedWords(1001, "ab" * 32))
    save(models.build("dvs_gesture", **CARD.options), words, tmp_path / "new.safetensors")
    assert read_card(tmp_path / "new.safetensors") == words
    old = json.loads(msgspec.json.encode(CARD))
    del old["vocabulary"]
    save_file({"a": torch.zeros(2)}, tmp_path / "old.safetensors", {"card": json.dumps(old)})
    assert read_card(tmp_path / "old.safetensors") == CARD


def test_reading_a_card_is_fast(weights: Path) -> None:
    best = min(_seconds(weights) for _ in range(5))
    assert best < 0.005


def _seconds(path: Path) -> float:
    started = time.perf_counter()
    read_card(path)
    return time.perf_counter() - started


def test_weights_round_trip(weights: Path, tmp_path: Path) -> None:
    network = models.load(weights)
    assert network.dtype == torch.float32
    assert not network.training
    assert models.load(weights, dtype=torch.float64).dtype == torch.float64
    # A second trip changes nothing, because everything is representable in float16 already.
    save(network, CARD, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == weights.read_bytes()


def test_trained_constants_are_not_rounded(tmp_path: Path) -> None:
    options = {"size": [4, 4], "lif": {"learnable": True}}
    network = models.build("dvs_gesture", **options)
    with torch.no_grad():
        network.get_parameter("conv1.alpha").fill_(0.31)
    save(network, msgspec.structs.replace(CARD, options=options), tmp_path / "w.safetensors")
    loaded = models.load(tmp_path / "w.safetensors")
    assert loaded.get_parameter("conv1.alpha").item() == torch.tensor(0.31).item()


@pytest.mark.filterwarnings("error")  # torch warns of such pickles: it would stand above the error
@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_taken_for_weights_says_how_to_bring_it_in(
    zipped: bool, tmp_path: Path
) -> None:
    path = tmp_path / "best.pth"
    torch.save({"a": torch.zeros(1)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"is a checkpoint of torch.*pipeline models import .*pth"):
        read_card(path)


def test_what_float16_cannot_hold_is_refused(tmp_path: Path) -> None:
    network = models.build("dvs_gesture", **CARD.options)
    with torch.no_grad():
        network.get_buffer("norm.running_var").fill_(1e6)
    with pytest.raises(ModelError, match=r"norm.running_var must be finite in torch.float16"):
        save(network, CARD, tmp_path / "w.safetensors")
    assert not list(tmp_path.iterdir())
    save(network, CARD, tmp_path / "w.safetensors", torch.float32)


def test_weights_that_do_not_fit_the_card_are_refused(tmp_path: Path) -> None:
    network = models.build("dvs_gesture", **CARD.options | {"classes": 4})
    path = tmp_path / "w.safetensors"
    save(network, CARD, path)
    with pytest.raises(
        ModelError, match=r"w.safetensors: must fit dvs_gesture with 3 classes, but"
    ):
        models.load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"none: there is no such file; .* `pipeline train RECIPE.toml`"
    ):
        read_card(tmp_path / "none")
    with pytest.raises(ModelError, match="cannot be read"):
        read_card(tmp_path)


def header(table: object) -> bytes:
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text


BROKEN = {
    "empty": (b"", "has at least 8 bytes, this one 0"),
    "short": (b"1234", "has at least 8 bytes, this one 4"),
    "long header": (b"\xff" * 64, "claims a header of 18446744073709551615 bytes"),
    "not JSON": (header(b"]["), "its header is not JSON"),
    "not UTF-8": (header(b'{"\xff\xfe": 1}'), "its header is not JSON"),
    "deep": (header(b"[" * 200_000), "its header is not JSON"),
    "a list": (header([]), "its header is not JSON"),
    "odd metadata": (header({"__metadata__": {"card": 3}}), "its header is damaged"),
    "odd tensor": (header({"a": 3}), "its header is damaged"),
    "no card": (header({}), "this file has none"),
    "card is not JSON": (header({"__metadata__": {"card": "{"}}), "its model card cannot be read"),
    "card is empty": (header({"__metadata__": {"card": "{}"}}), "its model card cannot be read"),
    "gap": (
        header({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}) + b"ab",
        "leave a gap or overlap at byte 1",
    ),
    "wrong shape": (
        header({"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 2]}}) + b"ab",
        r"a tensor of shape \[2\] has 2 bytes",
    ),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    for reader in (read_card, models.load):
        with pytest.raises(ModelError, match=message) as caught:
            reader(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_file_cut_short_or_too_long(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    for content in (weights.read_bytes()[:-1], weights.read_bytes() + b"x"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"its tensors need \d+ bytes, it holds"):
            read_card(path)


def test_weights_without_a_card(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match="weights must carry a model card"):
        models.load(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_header_never_crashes(weights: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(weights.read_bytes())
    reach = 8 + struct.unpack("<Q", content[:8])[0]
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, reach - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "w.safetensors"
    path.write_bytes(content[: data.draw(st.none() | st.integers(0, len(content)))])
    with suppress(ModelError):  # any other error fails the test
        assert isinstance(read_card(path), ModelCard)
        assert isinstance(models.load(path), Network)


counts = st.integers(1, 2**40)
sizes = st.tuples(counts, counts)
json_values = (
    st.none()
    | st.booleans()
    | counts
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
cards = st.builds(
    ModelCard,
    network=st.text(),
    options=st.dictionaries(st.text(), json_values | st.lists(json_values)),
    classes=st.lists(st.text(), min_size=1).map(tuple),
    sensor_size=sizes,
    input_size=sizes,
    window_us=counts,
    steps=counts,
)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(card=cards)
def test_any_card_survives(card: ModelCard, tmp_path: Path) -> None:
    save(torch.nn.Linear(1, 1), card, tmp_path / "w.safetensors")  # type: ignore[arg-type]
    assert read_card(tmp_path / "w.safetensors") == card
