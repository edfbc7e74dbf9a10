"""CPU seconds of the light commands of two installations, side by side in one run.

python -m benchmarks.commands OLD/bin/qkd-pl NEW/bin/qkd-pl
"""

import resource
import subprocess
import sys

COMMANDS = ("--help", "--version", "jobs", "devices")
REPETITIONS = 5


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one run of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(old: str, new: str) -> None:
    """Print the least of some runs for each command, and the ratio."""
    print(f"{'command':<12}{'old':>8}{'new':>8}{'new / old':>12}")
    for command in COMMANDS:
        runs = [(cpu_seconds([old, command]), cpu_seconds([new, command])) for _ in range(REPETITIONS)]
        before, after = (min(column) for column in zip(*runs, strict=True))
        print(f"{command:<12}{before:>7.2f}s{after:>7.2f}s{after / before:>12.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
