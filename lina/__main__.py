"""The command line: ``python -m lina tour | info | warmup``."""

import argparse
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="lina", description="Certified linear algebra: a tour, and what is installed."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    tour = verbs.add_parser("tour", help="the main functions on real data, with a page of pictures")
    tour.add_argument("--out", type=Path, default=Path("lina-tour"), help="folder of the page (default: lina-tour)")
    tour.add_argument("--numeric", action="store_true", help="numbers only, on made data, without optional packages")
    tour.add_argument("--models", action="store_true", help="train and run four networks, too (three minutes, torch)")
    verbs.add_parser("info", help="versions, devices, threads and the cache folder")
    verbs.add_parser("warmup", help="compile every kernel into the cache, ahead of its first call")
    arguments = parser.parse_args(argv)
    if arguments.verb == "info":
        from lina._tour.info import info

        print(info())
        return 0
    if arguments.verb == "warmup":
        from lina._tour.warmup import warmup

        warmup()
        return 0
    from lina._tour.run import run_numeric, run_tour

    if arguments.numeric:
        return run_numeric(models=arguments.models)
    return run_tour(arguments.out, models=arguments.models)


if __name__ == "__main__":
    sys.exit(main())
