"""The book's Table 2.2 counted: how many parameters the printed sizes give, and which printed heads cannot be.

Section 2.1.1. Claim: depth, width and heads, with the hidden width and vocabulary of the published configurations, give
each printed total; where the table prints as many key-value heads as query heads although the model shares them, the
total gives the misprint away. No training, no memory: a formula. Well under a second; --seed, --device and --quick are
taken and change nothing. `python scripts/model_sizes.py`. Read next: tinylm/models/sizes.py.

Measured output:

    model             L      D    heads       parameters  printed   with the printed heads
    GPT-1            12    768   12/12       116,534,784   0.117B
    GPT-2            48   1600   25/25     1,557,611,200     1.5B
    GPT-3            96  12288   96/96   174,604,259,328     175B
    LLaMA2-7B        32   4096   32/32     6,738,415,616       7B
    LLaMA2-13B       40   5120   40/40    13,015,864,320      13B
    LLaMA2-70B       80   8192   64/8     68,976,648,192      70B   64/64: 78.4B
    LLaMA3-8B        32   4096   32/8      8,030,261,248       8B
    LLaMA3-70B       80   8192   64/8     70,553,706,496      70B
    LLaMA3.1-405B   126  16384  128/8    405,853,388,800     405B
    Gemma2-2B        26   2304    8/4      2,614,341,888       2B
    Gemma2-9B        42   3584   16/8      9,241,705,984       9B
    Gemma2-27B       46   4608   32/16    27,227,128,320      37B
    Qwen2.5-0.5B     24    896   14/2        494,032,768     0.5B
    Qwen2.5-7B       28   3584   28/4      7,615,616,512       7B
    Qwen2.5-72B      80   8192   64/8     72,706,203,648      72B
    Falcon-7B        32   4544   71/1      6,921,720,704       7B   71/71: 8.2B
    Falcon-40B       60   8192  128/8     41,303,293,952      40B   128/128: 48.9B
    Falcon-180B      80  14848  232/8    178,557,088,768     180B   232/232: 212.6B
    Mistral-7B       32   4096   32/8      7,241,732,096       7B   32/32: 8.0B
    the real heads come nearer to the printed total in 5 of 5 cases; the book's Gemma2 of 37B counts 27B
"""
import argparse
import dataclasses

from tinylm.models.sizes import TABLE_2_2


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true")
    parser.parse_args()
    print("model".ljust(14) + "    L      D    heads       parameters  printed   with the printed heads")
    nearer = []
    for name, size in TABLE_2_2.items():
        other, count = "", size.parameters()
        if size.printed_kv:
            wrong = dataclasses.replace(size, n_kv_head=size.printed_kv).parameters()
            other = f"{size.n_head}/{size.printed_kv}: {wrong / 1e9:.1f}B"
            nearer.append(abs(count / 1e9 - size.printed) < abs(wrong / 1e9 - size.printed))
        print(f"{name:14} {size.n_layer:4} {size.d_model:6} {size.n_head:4}/{size.n_kv_head:<3} {count:16,} "
              f"{size.printed:7g}B   {other}".rstrip())
    print(f"the real heads come nearer to the printed total in {sum(nearer)} of {len(nearer)} cases; the book's Gemma2 of "
          "37B counts 27B")


if __name__ == "__main__":
    main()
