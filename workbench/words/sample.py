"""`workbench sample`: text from a checkpoint. This word and `eval` load torch."""

import argparse

from workbench import options


def declare(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    parser.add_argument("--prompt", metavar="TEXT", help="default: the run's sample.prompt")
    parser.add_argument("--tokens", type=int, metavar="N")
    parser.add_argument("--temperature", type=float, metavar="X", help="0 takes the likeliest token")
    parser.add_argument("--top-k", type=int, metavar="K", help="0 allows every token")
    parser.add_argument("--seed", type=int, metavar="N")
    options.json(parser)


def run(a: argparse.Namespace) -> int:
    """Text from a run's last checkpoint."""
    from workbench.training import offline
    from workbench.words import named

    return offline.sample(
        named.run(a),
        prompt=a.prompt,
        tokens=a.tokens,
        temperature=a.temperature,
        top_k=a.top_k,
        seed=a.seed,
        json=a.json,
    )
