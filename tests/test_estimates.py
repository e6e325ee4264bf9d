"""What memory is said to be taken, beside what is counted with tensors that hold no numbers: two layers of each kind.

All layers of all models: `python -m tests.gpu.estimates`.
"""

import pytest
import torch

from tests.gpu import estimates
from tests.gpu.checks_memory import WORKS
from tests.gpu.meta import Meta


@pytest.mark.slow
@pytest.mark.parametrize("model", ["Llama 1B", "Pythia 6.9B"])
def test_estimates_are_within_a_fifth_of_what_is_counted(model: str) -> None:
    rows = list(estimates.rows(model, layers=2))
    assert [row.what for row in rows] == ["weights", *WORKS, estimates.WEIGHTS_PART, estimates.BLOCK]
    assert [(row.what, row.ratio) for row in rows if not row.close] == []


def test_meta_tensors_are_counted_and_asked_for_numbers() -> None:
    with Meta() as counting, torch.inference_mode():
        tensor = torch.empty(1000, 100, device="meta")
        assert counting.live == 400_000
        assert (float(tensor.sum()), bool((tensor > 0).all()), torch.equal(tensor, tensor + 1)) == (0.0, True, True)
        assert tensor.cpu().tolist()[0][0] == 1.0


def test_a_model_that_is_not_there_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert estimates.main(["GPT-5"]) == 2
    assert capsys.readouterr().err == (
        "there is no model 'GPT-5': there are Llama 1B, Llama 8B, Llama 70B, Pythia 6.9B\n"
    )
