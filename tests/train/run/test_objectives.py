"""Every objective, from its name to a run: it trains, is loaded again, goes on to the same bits,
and refuses what cannot be.
"""

import dataclasses
import functools

import numpy as np
import pytest

from tests.train.run.test_run import final, losses, needs_fork, quiet
from tests.train.tiny import tiny_config
from tinylm.errors import CheckpointError, ConfigError, DataError
from tinylm.models import GPT
from tinylm.models.encoder.encoder import Electra, Encoder
from tinylm.models.encoder.seq2seq import Seq2Seq
from tinylm.models.encoder.xlnet import XLNet
from tinylm.parallel import launch
from tinylm.pretrain.language.multi_token import MultiTokenHeads
from tinylm.pretrain.objectives import OBJECTIVES
from tinylm.train import TrainConfig, load_run, prepare_run, train_run
from tinylm.train.run.build import decoder_of, new_model

EVERY = [
    (name, architecture) for name in OBJECTIVES for architecture in OBJECTIVES[name].architectures
]
TEXT = "the cat sat. a dog ran! " * 60
PAIRS = "".join(f"the cat {i}\tdie katze {i}\n" for i in range(10)) * 3


def config_for(folder, name, architecture=None, **changes):
    """A TrainConfig of an objective, with the files it needs: 3 steps, a text of 24 characters over
    and over.
    """
    folder.mkdir(exist_ok=True)
    (folder / "text.txt").write_text(TEXT)
    (folder / "pairs.tsv").write_text(PAIRS)
    (folder / "words.tsv").write_text(
        "a\te\n"
    )  # single characters: tokens of the tokenizer "chars"
    more = {
        "translation": {"data": str(folder / "pairs.tsv")},
        "code-switching": {"dictionary": str(folder / "words.tsv")},
    }
    values = dict(
        objective=name,
        architecture=architecture,
        context=12,
        steps=3,
        lr=1e-2,
        warmup=0,
        n_layer=1,
        dropout=0.0,
        schedule="constant",
        eval_every=0,
        checkpoint_every=0,
    )
    return tiny_config(folder, **{**values, **more.get(name, {}), **changes})


@pytest.mark.parametrize("name, architecture", EVERY)
def test_every_objective_trains_and_is_loaded_again(tmp_path, name, architecture):
    config = config_for(tmp_path, name, architecture, steps=12)
    summary = train_run(prepare_run(config, quiet), None, quiet)
    history = [loss for (event, _), loss in losses(tmp_path / "run").items() if event == "step"]
    # A text that repeats itself every 24 tokens: whatever is asked, its first steps are the easiest
    # to gain.
    assert np.isfinite(history).all() and np.mean(history[-4:]) < np.mean(history[:2])
    assert np.isfinite(summary["validation_loss"])
    assert ("bits_per_byte" in summary) == ((name, architecture) == ("causal", "decoder"))
    model, tokenizer, saved = load_run(tmp_path / "run")
    assert (saved.objective, saved.architecture) == (name, architecture)
    loaded = model.state_dict()
    assert all(
        np.array_equal(loaded[key], array)
        for key, array in final(tmp_path / "run")[0]["model"].items()
    )


@pytest.mark.parametrize(
    "name, kind",
    [
        ("causal", GPT),
        ("fim", GPT),
        ("multi-token", MultiTokenHeads),
        ("prefix", Encoder),
        ("masked", Encoder),
        ("bert", Encoder),
        ("replaced", Electra),
        ("permuted", XLNet),
        ("mass", Seq2Seq),
        ("bart", Seq2Seq),
        ("ul2", Seq2Seq),
    ],
)
def test_a_run_gives_its_kind_of_model_back(tmp_path, name, kind):
    config = config_for(tmp_path, name)
    model = new_model(config, config.special(20))
    assert type(model) is kind


def test_special_ids_come_after_the_words_and_plain_models_have_none(tmp_path):
    causal, masked, spans = (
        config_for(tmp_path, name).special(20) for name in ("causal", "masked", "sentinels")
    )
    assert causal.vocab_size == 20 and len(causal.ids) == 0
    assert masked.mask >= 20 and masked.vocab_size == 29  # nine names, see special.NAMES
    # 12 tokens, at most half of them masked in spans of 3: 2 marks, one that closes, and 3 to
    # spare.
    assert spans.vocab_size == 29 + 12 // 6 + 4


def test_a_masked_run_goes_on_to_the_same_bits(tmp_path):
    resumed(tmp_path, "masked")


def test_an_encoder_decoder_goes_on_to_the_same_bits(tmp_path):
    resumed(tmp_path, "bart")


def test_code_switching_goes_on_with_the_dictionary_it_began_with(tmp_path):
    resumed(tmp_path, "code-switching", lambda folder: (folder / "words.tsv").unlink())
    (tmp_path / "parts" / "run" / "dictionary.tsv").unlink()
    with pytest.raises(DataError, match="dictionary .* cannot be read"):
        train_run(TrainConfig(resume=str(tmp_path / "parts" / "run"), steps=9), None, quiet)


def resumed(folder, name, between=lambda folder: None):
    """6 steps at once, and 3 and 3: the same bits; dropout on, so that its stream is gone on with
    too.
    """
    whole, parts = (
        config_for(folder / part, name, dropout=0.1, steps=steps, checkpoint_every=3)
        for part, steps in (("whole", 6), ("parts", 3))
    )
    train_run(whole, None, quiet)
    train_run(parts, None, quiet)
    between(folder / "parts")
    train_run(TrainConfig(resume=str(folder / "parts" / "run"), steps=6), None, quiet)
    (arrays, state), (others, other) = (final(folder / part / "run") for part in ("whole", "parts"))
    assert (
        state == other
        and losses(folder / "whole" / "run").items() <= losses(folder / "parts" / "run").items()
    )
    assert all(
        arrays["model"][key].tobytes() == others["model"][key].tobytes() for key in arrays["model"]
    )


def test_two_stages_go_on_to_the_same_bits_and_leave_far_positions_alone(tmp_path):
    """5 short steps of 8, cut in the middle of the short ones; a causal model, whose rows are its
    context.
    """
    stages = dict(short_context=4, short_steps=5, weight_decay=0.0, checkpoint_every=4, steps=8)
    stages |= {"positions": "learned", "init": "gpt2"}
    train_run(config_for(tmp_path / "whole", "causal", **stages), None, quiet)
    train_run(config_for(tmp_path / "parts", "causal", **{**stages, "steps": 3}), None, quiet)
    parts = tmp_path / "parts" / "run"
    fresh = GPT(config_for(tmp_path, "causal", positions="learned").model(len(set(TEXT))), 1337)
    positions = final(parts)[0]["model"]["positions.table.weight"]
    assert np.array_equal(
        positions[4:], fresh.positions.table.weight.numpy()[4:]
    )  # beyond the short rows: no gradient yet
    assert not np.array_equal(positions[:4], fresh.positions.table.weight.numpy()[:4])
    train_run(TrainConfig(resume=str(parts), steps=8), None, quiet)
    (arrays, state), (others, other) = final(tmp_path / "whole" / "run"), final(parts)
    assert state == other and all(
        arrays["model"][k].tobytes() == others["model"][k].tobytes() for k in arrays["model"]
    )
    assert not np.array_equal(others["model"]["positions.table.weight"][4:], positions[4:])


@needs_fork
def test_two_workers_train_masked_lm_as_one_does(tmp_path):
    one, two = (config_for(tmp_path / part, "masked", dtype="float64") for part in ("one", "two"))
    train_run(one, None, quiet)
    launch(functools.partial(together, config=two), 2)
    (arrays, state), (others, other) = (
        final(tmp_path / "one" / "run"),
        final(tmp_path / "two" / "run"),
    )
    assert state == other
    for name, array in arrays[
        "model"
    ].items():  # sums in another order, and Adam divides by roots of tiny numbers
        np.testing.assert_allclose(others["model"][name], array, rtol=1e-5, atol=1e-9)


def together(comm, config):
    return train_run(config, comm, quiet)


def test_a_decoder_for_plain_text_has_no_special_ids(tmp_path):
    config = config_for(tmp_path, "fim", steps=1, init="gpt2")
    train_run(config, None, quiet)
    model, tokenizer, _ = load_run(tmp_path / "run")
    cut, ids = decoder_of(model, config, tokenizer.vocab_size), tokenizer.encode("the cat")[None]
    V = tokenizer.vocab_size
    # float32 logits of size 0.3: a product with fewer columns may add in another order, by an ulp
    # or two of 0.3
    np.testing.assert_allclose(cut(ids).numpy(), model(ids).numpy()[..., :V], rtol=0, atol=1e-7)
    for name in ("masked", "bart"):
        other = dataclasses.replace(config, objective=name, positions="auto")
        with pytest.raises(ConfigError, match=f"objective {name}: .*train with objective causal"):
            decoder_of(new_model(other, other.special(V)), other, V)


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"objective": "maskd"},
            "objective must be a name or synonym that `tinylm corrupt --list` shows, such as mask",
        ),
        (
            {"objective": "masked", "architecture": "decoder"},
            "masked trains encoder or seq2seq here, not decoder",
        ),
        ({"objective": "bart", "architecture": "encoder"}, "bart trains seq2seq here, not encoder"),
        (
            {"objective": "masked", "positions": "alibi"},
            "masked: its model has positions rope or learned, not alibi: leave out --positions",
        ),
        (
            {"objective": "bart", "positions": "rope"},
            "bart: its model has positions t5 or learned, not rope: leave out --positions",
        ),
        (
            {"objective": "permuted", "positions": "rope"},
            "permuted: its model has positions auto, not rope: leave out --positions",
        ),
        ({"objective": "prefix", "norm": "rms"}, "prefix: its model has no choice of norm"),
        ({"objective": "bart", "n_kv_head": 2}, "no choice of n_kv_head: leave out --n-kv-head"),
        (
            {"objective": "masked", "norm_placement": "branch"},
            "norm_placement pre or post, not branch",
        ),
        ({"objective": "permuted", "activation": "swiglu"}, "no gated feed-forward"),
        (
            {"objective": "masked", "context": 1},
            "rows of 1 tokens are too short, context must be at least 2",
        ),
        ({"objective": "fim", "context": 3}, "context must be at least 4"),
        (
            {"objective": "translation"},
            "needs pairs: --data FILE with lines sentence<TAB>translation",
        ),
        (
            {"objective": "code-switching"},
            "needs --dictionary FILE with lines word<TAB>translation",
        ),
        (
            {"objective": "masked", "dictionary": "d.tsv"},
            "no use for a dictionary: leave out --dictionary",
        ),
        ({"short_steps": 8, "context": 64}, "short_context 0 and short_steps 8: give both or none"),
        ({"short_context": 128, "context": 64}, "no more tokens than the context of 64"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_made(changes, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**changes).check()


def test_a_text_that_lacks_what_the_objective_needs_leaves_no_directory(tmp_path):
    config = config_for(tmp_path, "sentence-permutation")
    (tmp_path / "text.txt").write_text("no sentence ends here " * 50)
    with pytest.raises(ConfigError, match="no token of the vocabulary ends in"):
        prepare_run(config, quiet)
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_its_objective(tmp_path):
    train_run(config_for(tmp_path, "masked", steps=1), None, quiet)
    with pytest.raises(CheckpointError, match="objective is 'masked' there and 'spans' here"):
        prepare_run(TrainConfig(resume=str(tmp_path / "run"), objective="spans"), quiet)
