"""`tinylm eval` of folders: an exported run scores as the run does; the rest is refused by name."""

import json

import numpy as np
import pytest

from tinylm.cli import main
from tinylm.cli.learn.eval_published import Beginning
from tinylm.models import GPT, GPTConfig
from tinylm.models.encoder.presets import build, tiny
from tinylm.models.published.published_form import published_form
from tinylm.models.published.save import save_pretrained
from tinylm.tokenizers import ByteTokenizer
from tinylm.tokenizers.published.write import tokenizer_json


def result(capsys, *argv):
    assert main(["eval", *map(str, argv), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model"
    assert main(["export", str(run), str(path)]) == 0
    return path


def test_an_exported_run_scores_as_the_run(run, folder, text, capsys):
    of_run, of_folder = result(capsys, run, text), result(capsys, folder, "--data", text)
    assert of_folder["tokens"] == of_run["tokens"] == text.stat().st_size - 1
    for name in ("loss", "perplexity", "bits_per_byte"):
        # windows are batched otherwise: float32 sums in another order
        assert of_folder[name] == pytest.approx(of_run[name], rel=1e-6)


def test_the_lines_give_perplexity_per_token_and_per_byte(folder, text, capsys):
    found = result(capsys, folder, text)
    assert main(["eval", str(folder), str(text)]) == 0
    said = capsys.readouterr().out
    assert f"perplexity     {found['perplexity']:.3f}" in said
    assert f"(perplexity {2 ** found['bits_per_byte']:.3f} per byte)" in said


def test_what_the_model_wants_before_a_text_is_given(tmp_path, text, capsys):
    model = GPT(GPTConfig(vocab_size=257, context=2000, n_layer=1, n_head=1, d_model=8), seed=1)
    same, described = published_form(model)
    save_pretrained(same, tmp_path, described=described)
    words, _ = tokenizer_json(ByteTokenizer(["<s>"]))
    single = [
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ]
    tokens = {"<s>": {"id": "<s>", "ids": [256], "tokens": ["<s>"]}}
    frame = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": single,
        "special_tokens": tokens,
    }
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    words |= {"post_processor": frame | {"pair": pair}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(words))
    found = result(capsys, tmp_path, text)
    ids = np.concatenate([[256], np.frombuffer(text.read_bytes(), np.uint8)])[None]
    logits = model(ids[:, :-1]).numpy().astype(np.float64)[0]
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    nats = -log_p[np.arange(len(log_p)), ids[0, 1:]].sum()
    size = text.stat().st_size  # below 1024 ids: one window
    assert found["tokens"] == size
    assert found["loss"] == pytest.approx(nats / size, rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(nats / size / np.log(2), rel=1e-5)


def test_ids_come_before_every_document():
    words = Beginning(ByteTokenizer(["<s>"]), (256,))
    assert np.concatenate(list(words.encode_stream(["a", "b"]))).tolist() == [256, 97, 98]


def test_what_cannot_be_scored_is_one_line(folder, text, tmp_path, capsys):
    assert main(["eval", str(folder)]) == 1
    assert "has no text of its own: give one with --data FILE" in capsys.readouterr().err
    model, described = published_form(build(tiny("bert-base-uncased")))
    save_pretrained(model, tmp_path, described=described)
    assert main(["eval", str(tmp_path), str(text)]) == 1
    assert "of type Encoder, which gives no probability of a text" in capsys.readouterr().err
