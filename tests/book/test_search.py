"""Search: each abbreviation leads to the row that defines it, words before parts of words."""

import pytest

from tinylm import book
from tinylm.book import search
from tinylm.book.terms import split, synonyms

TABLE = book.rows()

# What a reader types, and the row to read first.
FIRST = """
GQA                             C2b-55
grouped query attention         C2b-55
MQA                             C2b-54
MHA                             C2a-C08
MoE                             D2-18
mixture of experts              D2-18
RLHF                            C4-100
DPO                             C4-184
direct preference optimization  C4-184
PPO                             C4-135
GRPO                            C4-182
RLOO                            C4-109
A2C                             C4-112
GAE                             C4-112
TRPO                            C4-138
SFT                             C4-012
RAG                             C3-079
ICL                             C3-007
in-context learning             C3-007
KV cache                        C2b-03
kv-cache                        C2b-03
LoRA                            C2a-E21
what is LoRA?                   C2a-E21
CoT                             C3-036
zero-shot CoT                   C3-037
ToT                             C3-040
MBR                             C3-074
APE                             C3-089
MLM                             C1-027
CLM                             C1-023
NSP                             C1-036
TLM                             C1-097
RTD                             C1-038
ELECTRA                         C1-038
BERT                            C1-068
RoBERTa                         C1-080
ALBERT                          D2-05
T5                              C1-043
BPE                             C1-014
NER                             C1-109
CRF                             C1-110
EWC                             C1-118
RoPE                            C2b-76
rotary embeddings               C2b-76
2.3.5 rope                      C2b-76
ALiBi                           C2b-68
YaRN                            C2b-85
NTK                             C2b-84
FlashAttention                  C2b-06
flash attention                 C2b-06
sliding window                  C2b-14
attention sinks                 C2b-34
Mamba                           C2b-19
kNN-LM                          C2b-43
BM25                            C2b-47
needle in a haystack            C2b-96
attention                       C2a-C06
self-attention                  C2a-C06
causal mask                     C2a-C07
transformer                     C2a-C01
LayerNorm                       C2a-I03
RMSNorm                         C2a-I06
SwiGLU                          C2a-I15
GELU                            C2a-I11
Adam                            C2a-I19
perplexity                      C1-025
cross-entropy                   C1-022
ZeRO                            C2a-J20
FSDP                            C2a-J20
tensor parallelism              C2a-J05
pipeline parallel               C2a-J07
all-reduce                      C2b-09
Chinchilla                      C2a-K08
scaling laws                    C2a-K01
emergent abilities              C2a-K03
Bradley-Terry                   C4-124
reward model                    C4-121
reward hacking                  C4-170
PRM                             C4-201
best of n                       C4-210
RLAIF                           C4-190
prefix tuning                   C3-108
LLMLingua                       C3-122
self-consistency                C3-072
distillation                    C1-083
knowledge distillation          C1-083
quantisation                    C1-089
eq 2.6                          C2a-C06
equation (2.6)                  C2a-C06
(2.6)                           C2a-C06
eqs. 2.71                       C2b-53
eq 4.55                         C4-135
Table 2.1                       C2a-B07
table 2.4                       C2b-70
Fig 2.5(c)                      C2b-13
Figure 3.1                      C3-039
3.4.2                           C3-125
temperature                     C2a-C14
softmax temperature             C2a-C14
sampling temperature            C2a-C14
top-k                           C2a-C14
nucleus                         C2a-C14
greedy                          C2a-B05
beam                            C2a-E01
beam search                     C2a-E01
weight decay                    C2a-I19
learning rate                   C2a-I19
warmup                          C2a-I19
gradient clipping               C2a-I01
backpropagation                 C2a-J02
momentum                        C2a-J02
attention mask                  C2a-C07
padding mask                    C1-026
LoRA rank                       C2a-E21
activation function             C2a-I07
logits                          C2a-C10
cross entropy loss              C1-022
bits per byte                   C1-025
tokenizer                       C1-014
embedding                       C2a-A05
residual                        C2a-C05
parameter count                 C2a-D05
FLOPs                           C2a-D05
in context                      C3-007
agents                          C3-083
ReAct                           C3-083
distill                         C1-083
long context                    C2b-01
gradient accumulation           C2a-J16
batch size                      C2a-I18
policy gradient                 C4-105
advantage                       C4-111
critic                          C4-113
word2vec                        C2a-A07
n-gram                          C2a-A02
LSTM                            C2b-99
early stopping                  C1-114
deduplication                   C2a-H01
""".strip().splitlines()


def ids(query, table=TABLE):
    return [row.id for row in search.find(table, query)]


@pytest.mark.parametrize("line", FIRST)
def test_the_first_row_is_the_one_to_read_first(line):
    query, id = line.rsplit(None, 1)
    assert ids(query)[0] == id


def test_a_number_without_its_chapter_is_told_how_to_ask():
    for query in ("equation 1", "eq. (12)", "Table 3", "fig 5"):
        found = search.search(TABLE, query)
        assert not found.rows and "by chapter" in found.note
    assert search.search(TABLE, "eq 2.6").rows and search.search(TABLE, "2").rows


def test_every_synonym_is_one_term_with_the_rows_that_define_it():
    for literal, known in synonyms().items():
        (term,) = split(literal)
        assert term.rows == known.rows, literal
    assert len(synonyms()) > 800


@pytest.mark.parametrize("literal", sorted(synonyms())[::100])
def test_a_synonym_leads_to_its_first_row(literal):
    found = search.search(TABLE, literal)
    assert found.first is found.rows[0]
    assert found.first.id == synonyms()[literal].rows[0]


@pytest.mark.parametrize(
    "query, hidden", [("DPO", "C2b-60"), ("RAG", "C2b-25"), ("PPO", "C2b-101")]
)
def test_an_abbreviation_is_no_part_of_a_word(query, hidden):
    # LearnedPositions, cumulative average, opportunity: words that only hold these letters.
    assert hidden not in ids(query)


def row(number, concept, symbol="-", section="2.1.1", test="-"):
    return book.Row(f"X-{number}", section, concept, symbol, test, "-")


SMALL = [
    row(1, "Masks of attention", section="2.1.1, eq (2.6)"),
    row(2, "A row about something else", "tinylm.nn.attention:causal_mask"),
    row(3, "Layers: how masking works", section="2.1.10"),
    row(4, "Unmasked text", test="tests/test_mask.py::test_b", section="2.3"),
]


def test_concepts_come_before_code_and_paths_only_where_there_is_nothing_else():
    assert ids("mask", SMALL) == ["X-1", "X-2", "X-3"]  # plural, name of code, other form
    assert ids("test_b", SMALL) == ["X-4"]


def test_parts_of_words_are_found_only_without_whole_ones():
    found = search.search(SMALL, "nmask")
    assert [row.id for row in found.rows] == ["X-4"]
    assert "have it inside" in found.note and "(near are masks, unmasked" in found.note


def test_all_words_must_occur():
    assert ids("attention masks", SMALL) == ["X-1"]
    assert ids("attention quaternion", SMALL) == ["X-1"]  # the known term stands alone
    assert "these have 'attention'" in search.search(SMALL, "attention quaternion").note


def test_a_section_holds_its_subsections_and_not_its_namesakes():
    assert ids("2.1.1", SMALL) == ["X-1", "X-2"]
    assert search.search(SMALL, "2.1.1").section == "2.1.1"


def test_ids_find_their_rows_in_any_case_and_in_their_own_order():
    assert ids("x-4 X-1", SMALL) == ["X-4", "X-1"]
    assert ids("c2b-55 c2b-55") == ["C2b-55"]


def test_a_term_outside_the_section_that_was_asked_for_is_found_elsewhere():
    found = search.search(TABLE, "2.3.5 GQA")
    assert found.rows[0].id == "C2b-55"
    assert found.note == "Not in section 2.3.5; elsewhere:"


@pytest.mark.parametrize(
    "query, words",
    [
        ("atention", "near are attention"),
        ("perplexty", "perplexity"),
        ("quaternion zzz", "near are"),
        ("eq 2.300", "no row is about equation 2.300; near are 2.102, 2.103, 2.104"),
        ("9.9", "no section 9.9: chapters are 1, 2, 3, 4"),
        ("5", "no section 5: chapters are 1, 2, 3, 4"),
        ("C3-999", "no row C3-999; near are C3-"),
        ("?!", "lists the sections"),
    ],
)
def test_nothing_found_names_what_is_near(query, words):
    found = search.search(TABLE, query)
    assert found.rows == []
    assert words in found.note


def test_what_the_book_only_names_is_said_to_be_named():
    assert [m.section for m in search.search(TABLE, "Vision Transformer").mentions] == ["D2L 11.9"]
    assert [m.concept for m in search.search(TABLE, "C3-041").mentions] == ["System 1 / System 2"]


def test_files_beside_the_book_are_found_by_their_names():
    files = search.search(TABLE, "speculative decoding").files
    assert files[0][0] == "tinylm/generate/strategies/speculative.py"
    assert "peculative" in files[0][1]
    # Where there are many rows, a word in the first sentence of a file says little.
    named = [path for path, _ in search.search(TABLE, "attention").files]
    assert named and all("attention" in path for path in named)
    assert search.search(TABLE, "x").files == []
