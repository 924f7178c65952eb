"""`python -m gconvtool`."""

from gconvtool.cli.main import main

main()
