"""Which options do all tasks share?"""

import argparse

LAYERS = ("s4", "s4d", "rtf")


def parse(
    task: str, *, seeds: int = 3, layers: tuple[str, ...] = LAYERS, flags: dict[str, str] | None = None
) -> argparse.Namespace:
    """Return the command line of a task; ``layers`` and ``seeds`` are lists, ``flags`` further switches."""
    parser = argparse.ArgumentParser(prog=f"benchmarks.evidence.{task}")
    parser.add_argument("--layer", choices=layers, help="one of them, all unless given")
    parser.add_argument("--seeds", type=int, default=seeds, help="how many seeds, from --first-seed on")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="a few steps on few samples: checks that everything runs")
    for flag, text in (flags or {}).items():
        parser.add_argument(f"--{flag}", action="store_true", help=text)
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {arguments.seeds}")
    arguments.layers = layers if arguments.layer is None else (arguments.layer,)
    first = arguments.first_seed
    arguments.seeds = list(range(first, first + (1 if arguments.quick else arguments.seeds)))
    return arguments
