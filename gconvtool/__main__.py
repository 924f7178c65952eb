"""The program: `gconvtool`, or `python -m gconvtool`."""

from __future__ import annotations

import sys

from gconvtool.cli import interrupts


def main() -> None:
    """Run the command line and exit with its code; an interruption may come at any time."""
    interrupts.listen()
    try:
        from gconvtool.cli.main import run  # noqa: PLC0415  an interruption has to be heard before

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # it waited for the import, and `run` had not begun
        from gconvtool.cli.main import interrupted  # noqa: PLC0415  the same

        code = interrupted(sys.argv[1:])
    interrupts.leave()
    sys.exit(code)


if __name__ == "__main__":
    main()
