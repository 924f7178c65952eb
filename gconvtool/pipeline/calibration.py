"""A model against itself: whatever is found between the two is noise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gconvtool.pipeline.contestants import Contestant
from gconvtool.pipeline.course import lay_out
from gconvtool.pipeline.duel import contest, prepare
from gconvtool.pipeline.gates import Gates, near
from gconvtool.pipeline.source import Model
from gconvtool.pipeline.terms import Options, Terms
from gconvtool.results import Calibration
from gconvtool.timing import machine, stats

if TYPE_CHECKING:
    from typing_extensions import Unpack


def calibrate(model: Model, **options: Unpack[Options]) -> Calibration:
    """Find out what this machine can tell apart now, with the whole of the time budget.

    Gates are not decided, since there is nothing to decide; those that ask for less than the noise
    floor get a warning.

    Raises:
        InputError: the model or the data cannot be used.
        MissingError: onnxruntime or the provider is missing, or a convolution ran elsewhere.
    """
    noise, wanted = machine.preflight(), Terms(**options)
    terms = replace(wanted, gates=Gates())
    one = Contestant.open(model, terms)
    (found,) = contest([prepare(one, one, lay_out((one, one), terms))], terms, noise)
    floor, detectable = stats.floor(found.measurement)
    warnings = (*found.warnings, *near(wanted.gates, floor))
    return Calibration(replace(found, warnings=warnings), floor, detectable)
