"""A sweep of three points as `sweep` answers it, without converting or timing anything."""

from __future__ import annotations

from gconvtool.results import (
    Drift,
    Interval,
    LossMeasure,
    Race,
    SiteOutcome,
    Sweep,
    SweepPoint,
    Totals,
)


def swept(
    objective: str = "latency",
    *,
    losses: tuple[float, ...] = (0.25, 1.5, 1.0),
    gains: tuple[float, ...] = (1.5, 2.0, 2.5),
    measure: LossMeasure = "points",
    model: str = "nets/net.onnx",
) -> Sweep:
    """The second point is dominated by the third, as losses and gains are by themselves."""
    points = tuple(
        point(number, gain, lost, timed=objective == "latency")
        for number, (gain, lost) in enumerate(zip(gains, losses, strict=True), 1)
    )
    before = Totals(4000, 400, True)
    return Sweep(model, objective, measure, before, points, 40, "fit.npz", ("few samples",))


def point(number: int, gain: float, lost: float, *, timed: bool) -> SweepPoint:
    """One that was written."""
    return SweepPoint(
        number,
        (SiteOutcome("conv", "standard", "grouped(2)", error=0.1, macs_before=9, macs_after=3),),
        Totals(round(4000 / gain), 100, True),
        (Drift("scores", 20, 0.1 * number, 20.0, 0.99, 1.0),),
        gain,
        lost,
        9 / gain if timed else None,
        Race(10.0, 10 / gain, Interval(gain, gain - 0.1, gain + 0.1), "faster") if timed else None,
        f"out/point-{number}.onnx",
        f"out/point-{number}.plan.json",
    )
