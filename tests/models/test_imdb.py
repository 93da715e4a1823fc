"""IMDB: token ids go in, the last step decides."""

import pytest
import torch

import models
from models.imdb import Imdb
from tests.golden_draw import tensors


@pytest.fixture(scope="module")
def network() -> Imdb:
    return models.from_reference("imdb", tensors("imdb"))


def test_ids_may_come_without_the_axes_of_a_frame(network: Imdb) -> None:
    ids = torch.randint(0, 1001, (2, 5), generator=torch.Generator().manual_seed(1))
    outputs, state = network(ids)
    framed, framed_state = network(ids[..., None, None, None].to(torch.uint16))
    assert torch.equal(outputs, framed)
    assert torch.equal(state.fc1, framed_state.fc1)
    one, _ = network.step(ids[:, 0], network.initial_state(2))
    assert torch.equal(one, outputs[:, 0])


def test_only_the_last_step_decides(network: Imdb) -> None:
    outputs, _ = network(torch.tensor([[0, 1, 2, 3]]))
    assert torch.equal(network.decide(outputs), network.classify(outputs[:, -1]))


def test_the_scores_are_the_sigmoid_of_the_references_logit(network: Imdb) -> None:
    z = torch.tensor([[-2.0], [0.5]])
    scores = network.scores(torch.cat([torch.zeros_like(z), z], 1))
    torch.testing.assert_close(scores, torch.cat([1 - z.sigmoid(), z.sigmoid()], 1))


@pytest.mark.parametrize("ids", [[[0, 1001]], [[-1, 3]]])
def test_an_id_outside_the_vocabulary_is_refused(network: Imdb, ids: list[list[int]]) -> None:
    with pytest.raises(models.ModelError, match="token ids must be 0 to 1000, got"):
        network(torch.tensor(ids))


def test_dropout_is_for_training_alone() -> None:
    torch.manual_seed(1)
    network = models.build("imdb")
    features = torch.ones(1, 256)
    assert not torch.equal(network.classify(features), network.classify(features))
    network.eval()
    assert torch.equal(network.classify(features), network.classify(features))


def test_the_embeddings_second_copy_in_a_checkpoint_is_checked() -> None:
    checkpoint = tensors("imdb")
    checkpoint["embedding_fc.weight"] = checkpoint["embedding.weight"].T
    models.from_reference("imdb", checkpoint)
    checkpoint["embedding_fc.weight"] = checkpoint["embedding.weight"].T + 1
    with pytest.raises(models.ModelError, match="must be the transpose of embedding"):
        models.from_reference("imdb", checkpoint)
