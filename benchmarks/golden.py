"""How far our networks are from the published reference code: ``python -m benchmarks.golden``.

In float64, on the drawn parameters and inputs of ``tests/golden``, through `models.from_reference`,
by `forward` and by `step`; the largest absolute difference of each array.
"""

import numpy as np
import torch

import models
from tests.golden_draw import golden, image_frames, tensors
from tests.models.test_golden import CASES, by_forward, by_step


def distance(ours: torch.Tensor, theirs: np.ndarray) -> float:
    """Return the largest absolute difference."""
    return float(np.abs(ours.numpy() - theirs.reshape(ours.shape)).max())


def row(name: str, network_name: str, options: dict, x: torch.Tensor, run) -> list[float]:
    """Return a golden file's differences: steps, their mean, head after it, head per step."""
    expected = golden(name)
    network = models.from_reference(network_name, tensors(name), **options)
    features = run(network, x)
    transformer = name.startswith("meta")
    if transformer:  # its golden steps are logits; its head is linear
        logits = network.classify(features)
        steps = distance(logits[..., :48], expected["last_steps_first_48"])
        mean = distance(logits.transpose(0, 1), expected["mean_over_steps"])
    else:
        steps = distance(features.transpose(0, 1)[-60:, :, :48], expected["last_steps_first_48"])
        mean = distance(features.mean(1), expected["mean_over_steps"])
    after = network.decide(features)
    per_step = network.classify(features).mean(1)
    if network_name == "imdb":  # one logit against 0, of the last step
        after, per_step = after[:, 1], network.classify(features)[:, -1, 1]
    return [
        steps,
        mean,
        distance(after, expected.get("output_time_mean_then_head", expected["output"])),
        distance(per_step, expected["output"]),
    ]


def main() -> None:
    """Print the table."""
    torch.set_grad_enabled(False)
    cases = {
        name: (case.network, case.options, torch.from_numpy(case.draw(name)))
        for name, case in CASES.items()
    }
    picture = torch.from_numpy(2 * image_frames("sdt", (1, 3, 224, 224)) - 0.5)
    name = "meta_spikeformer_8_512"
    cases[name] = (name, {}, picture[:, None].expand(-1, 4, -1, -1, -1))
    print(f"{'golden file':24}{'by':10}{'steps':>9}{'mean':>9}{'after mean':>12}{'output':>9}")
    for name, (network, options, x) in cases.items():
        for run in (by_forward, by_step):
            numbers = row(name, network, options, x, run)
            by = run.__name__.removeprefix("by_")
            print(
                f"{name:24}{by:10}{numbers[0]:9.1e}{numbers[1]:9.1e}"
                f"{numbers[2]:12.1e}{numbers[3]:9.1e}"
            )


if __name__ == "__main__":
    main()
