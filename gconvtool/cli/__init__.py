"""The command line: parse → one call → render → exit code; one file a command."""
