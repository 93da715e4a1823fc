"""SpikingJelly's neuron: its equation by hand, its numbers and gradients from SpikingJelly 2.0."""

import pytest
import torch

from models.errors import ModelError
from models.tau_lif import TauLif, TauLifLayer, tau_lif_step

INPUT = (0.5, 2.0, 1.75, 0.25, 1.5, 3.0, -1.0, 1.9)


def stretch(*values: float) -> torch.Tensor:
    """One neuron over time, (batch, time, channels, height, width)."""
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1, 1)


def rest() -> torch.Tensor:
    return torch.zeros(1, 1, 1, 1, dtype=torch.float64)


def test_equation() -> None:
    x, v = torch.tensor([0.5, 2.0, 3.0]), torch.tensor([0.5, 0.0, -0.5])
    fire, after = tau_lif_step(x, v, TauLif())
    assert fire.tolist() == [0, 1, 1]
    assert after.tolist() == [0.5, 0.0, 0.0]
    assert v.tolist() == [0.5, 0.0, -0.5]


def test_at_the_threshold_it_fires() -> None:
    below = torch.nextafter(torch.tensor(2.0), torch.tensor(0.0))
    fire, _ = tau_lif_step(torch.stack([torch.tensor(2.0), below]), torch.zeros(2), TauLif())
    assert fire.tolist() == [1, 0]


def test_numbers_are_spikingjellys() -> None:
    spikes, v = TauLifLayer(1)(stretch(*INPUT), rest())
    assert spikes.flatten().tolist() == [0, 1, 0, 0, 1, 1, 0, 0]
    assert v.item() == pytest.approx(0.7, abs=1e-15)
    spikes, _ = TauLifLayer(1, TauLif(theta=0.5))(stretch(*INPUT), rest())
    assert spikes.flatten().tolist() == [0, 1, 1, 0, 1, 1, 0, 1]


def test_gradients_are_spikingjellys() -> None:
    x = stretch(*INPUT).requires_grad_()
    spikes, _ = TauLifLayer(1)(x, rest())
    weights = torch.arange(1.0, 9.0, dtype=torch.float64).view_as(x)
    (gradient,) = torch.autograd.grad((spikes * weights).sum(), x)
    expected = (
        *(0.560360743865, 0.940014848806, 2.53710411149, 2.254163676561),
        *(2.490259750136, 1.259923024842, 1.457686655253, 2.846311050349),
    )
    torch.testing.assert_close(gradient, stretch(*expected), rtol=0, atol=1e-11)


def test_a_stretch_may_be_cut_anywhere() -> None:
    x = torch.from_numpy(
        torch.randn(2, 9, 3, 2, 2, generator=torch.Generator().manual_seed(1)).numpy()
    )
    layer, v = TauLifLayer(3), torch.zeros(2, 3, 2, 2)
    whole, end = layer(2 * x, v)
    first, v = layer(2 * x[:, :4], v)
    second, v = layer(2 * x[:, 4:], v)
    assert torch.equal(torch.cat([first, second], 1), whole)
    assert torch.equal(v, end)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"tau": 0.5}, "tau must be at least 1 step, got 0.5"),
        ({"tau": float("nan")}, "tau must be a finite number, got nan"),
        ({"theta": 0.0}, r"theta must be above 0, got 0\.0"),
        ({"surrogate": "sigmod"}, "got 'sigmod'; did you mean 'sigmoid'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, float], problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        TauLif(**options)  # type: ignore[arg-type]
