"""How long `gconvtool --help` takes, against importing typer and rich.console alone.

    python benchmarks/startup.py

Prints the ratio of medians over interleaved runs. The bar is 1.5.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 25
COMMANDS = {
    "gconvtool --help": [sys.executable, "-m", "gconvtool", "--help"],
    "import typer, rich.console": [sys.executable, "-c", "import typer, rich.console"],
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    ours, base = (statistics.median(series) for series in times.values())
    print(f"gconvtool --help takes {ours / base:.2f}x of `import typer, rich.console`")


if __name__ == "__main__":
    main()
