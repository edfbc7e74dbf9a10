"""Thousands of damaged files of every format that is read: ``python tests/fuzz [FORMAT …] --mutations 10000 --seed 0``.

Every damaged file must be read, or refused by one of our errors, within 2.5 seconds of processor time and 300 MB of
memory above the imports. Each format is run in a process of its own. ``--only N --show`` reads file N alone.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_FOLDERS = (".", "tests/networks", "tests/devices/ibm", "tests/devices/ibm/jobs", "tests/fuzz")
NAMES = ("models", "checkpoints", "devices", "mnist", "data", "cache", "results", "ledger")


def main() -> int:
    """0 if everything was as it must be."""
    parser = argparse.ArgumentParser(prog="python tests/fuzz", description=__doc__)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--mutations", type=int, default=10_000, help="damaged files of each format")
    parser.add_argument("--seed", type=int, default=0, help="of the damage")
    parser.add_argument("--only", type=int, help="number of the one file to read")
    parser.add_argument("--show", action="store_true", help="print tracebacks")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.formats) - set(NAMES):
        parser.error(f"{', '.join(sorted(unknown))}: must be one of {', '.join(NAMES)}")
    if options.here:
        return _run(options)
    arguments = [each for each in sys.argv[1:] if each not in options.formats]
    failures = 0
    for name in options.formats or NAMES:
        failures += subprocess.run([sys.executable, str(_HERE), name, *arguments, "--here"]).returncode != 0
    return min(failures, 1)


def _run(options: argparse.Namespace) -> int:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.path[:0] = [str(_HERE.parents[1] / each) for each in _FOLDERS]
    from fuzz_run import fuzz

    (name,) = options.formats
    numbers = range(options.mutations) if options.only is None else [options.only]
    report = fuzz(name, numbers, options.seed, show=options.show)
    print(f"{name}: {len(numbers)} damaged files: {report}", flush=True)
    for place, found in sorted(report.raw.items(), key=lambda each: -len(each[1])):
        print(f"  {len(found)} × {place} (file {found[0]})")
    if report.hangs:
        print(f"  slow: {report.hangs[:20]}")
    return not report.is_good


if __name__ == "__main__":
    sys.exit(main())
