"""The tokenizer inside a GGUF file gives the model's own ids."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.published.formats.files import gguf, installed
from tinylm.errors import CheckpointError
from tinylm.models.published.formats.gguf import read_gguf
from tinylm.models.published.formats.gguf_tokenizer import special_ids, tokenizer_of
from tinylm.tokenizers.printable import to_printable

BYTES = [to_printable(bytes([value])) for value in range(256)]
SETTINGS = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
            "tokenizer.ggml.tokens": ["<|im_end|>", *BYTES, "Ġa", "12"],
            "tokenizer.ggml.token_type": [3] + [1] * 258,  # 3: a control token
            "tokenizer.ggml.merges": ["Ġ a", "1 2"],
            "tokenizer.ggml.eos_token_id": 0}
DROP = object()


@pytest.fixture
def carried(tmp_path):
    """The file of SETTINGS with some changed."""
    def make(**changed):
        settings = SETTINGS | {f"tokenizer.ggml.{name}": value for name, value in changed.items()}
        path = tmp_path / "a.gguf"
        path.write_bytes(gguf({name: value for name, value in settings.items() if value is not DROP}))
        return read_gguf(path)
    return make


def test_ids_are_places_in_the_list(carried):
    tokenizer = tokenizer_of(carried())
    assert tokenizer.vocab_size == 259 and tokenizer.special == {"<|im_end|>": 0}
    assert tokenizer.encode(" a").tolist() == [257]
    assert tokenizer.encode("<|im_end|>", allow_special=True).tolist() == [0]
    assert special_ids(carried()) == {"eos": 0}


def test_the_way_to_split_is_the_file_s(carried):
    assert tokenizer_of(carried()).encode("12").tolist() == [1 + ord("1"), 1 + ord("2")]  # each digit alone
    assert tokenizer_of(carried(pre="gpt-2")).encode("12").tolist() == [258]


@pytest.mark.parametrize(("changed", "message"), [
    ({"model": "llama"}, "model 'llama' and splitting 'smollm' is not read"),
    ({"pre": "unheard-of"}, "splitting 'unheard-of' is not read"),
    ({"model": DROP}, "tokenizer.ggml.model is missing"),
    ({"tokens": 3}, "tokenizer.ggml.tokens is of a wrong type"),
    ({"token_type": [1, 3]}, "do not fit together"),
    ({"merges": ["Ġ unknown"]}, "merges 'unknown', which is no token"),
    ({"merges": ["Ġa"]}, "damaged"),
    ({"tokens": ["<|im_end|>", *BYTES, "Ġa", "a b"]}, "damaged: token 'a b'"),     # a space is written Ġ
    ({"tokens": ["<|im_end|>", *BYTES, "Ġa", "a"]}, "damaged: vocabulary has two ids"),
])
def test_a_damaged_tokenizer_is_refused(carried, changed, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        tokenizer_of(carried(**changed))
    assert "a.gguf" in str(caught.value)


@pytest.fixture(scope="module")
def smollm2():
    weights = read_gguf(installed("smollm2"))
    return weights, tokenizer_of(weights)


def test_smollm2_s_special_tokens(smollm2):
    weights, tokenizer = smollm2
    assert tokenizer.vocab_size == 49152
    assert [tokenizer.special[name] for name in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")] == [0, 1, 2]
    assert special_ids(weights) == {"bos": 1, "eos": 2, "unk": 0, "pad": 2}


def oracle(weights):
    """Hugging Face's tokenizer of the same tokens and merges, splitting as SmolLM2's tokenizer.json says."""
    library = pytest.importorskip("tokenizers")
    ids = {token: i for i, token in enumerate(weights.metadata["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in weights.metadata["tokenizer.ggml.merges"]]
    theirs = library.Tokenizer(library.models.BPE(ids, merges))
    theirs.pre_tokenizer = library.pre_tokenizers.Sequence([
        library.pre_tokenizers.Digits(individual_digits=True), library.pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return theirs


def test_smollm2_s_ids_are_those_of_hugging_face(smollm2):
    weights, tokenizer = smollm2
    theirs = oracle(weights)

    # Of the last two, the bytes 04 and F1 have no token.
    @given(st.text(st.sampled_from(" \n\t'sldevrtmALL129²é中-.🙂abcdefghi\x04\U00040000"), max_size=60))
    def check(text):
        assert tokenizer.encode(text).tolist() == theirs.encode(text).ids

    check()
    prose = "The Declaration of 1948 wasn't signed by 8 countries;\n\n\tdef f(x):  return x**2  # ¿qué? 中文 "
    assert tokenizer.encode(prose).tolist() == theirs.encode(prose).ids
    assert tokenizer.decode(tokenizer.encode(prose)) == prose
    assert tokenizer.encode(prose).dtype == np.int32
