"""`gconvtool doctor`."""

from __future__ import annotations

from gconvtool.cli import console, options
from gconvtool.errors import MissingError


def doctor(json: options.Json = False) -> int:
    """Look for what keeps this machine from timing networks, or blurs what it times."""
    from gconvtool.pipeline.doctor import diagnose
    from gconvtool.report import document, terminal

    with console.progress("doctor") as progress:
        result = diagnose(progress=progress)
    if json:
        console.answer(document.diagnosis(result))
    else:
        console.show(terminal.doctor_page(result))
    return MissingError.exit_code if result.count("failed") else 0
