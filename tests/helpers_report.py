"""A network made up to have something in every field, as the reports get it."""

from __future__ import annotations

from dataclasses import replace

from gconvtool.results import (
    Analysis,
    Difference,
    Explanation,
    Failed,
    Gate,
    KindTotal,
    Layer,
    LayerChange,
    Placement,
    Prospect,
    Roofline,
    Saving,
    Stored,
    Study,
    SweepRow,
    Totals,
    Unknown,
    WhatIf,
)

MAP = (1, 64, 56, 56)
STEM = Layer(
    "stem/conv", "Conv", "standard", 115605504, 36864, (1, 64, 112, 112), MAP, 64, 64, 1, (3, 3),
    (2, 2), "115605504·N", 200704, 7, 147456, 4014080,
)  # fmt: skip
OPEN = Layer(
    "open", "Conv", "standard", None, 1152,
    (1, 8, "H", None), (1, 16, "floor((H - 1)/2) + 1", None), 8, 16, 1, (3, 3), (2, 2), "1152·H·W",
    None, None,
)  # fmt: skip
LOOP = Layer("loop", "Loop", "control", 1000000, 0, None, None)
STEP = replace(LOOP, name="loop/body/step", op="MatMul", kind="linear", macs=100000, params=1000,
               parent="loop", times=10)  # fmt: skip
BRANCH = replace(STEP, name="loop/body/step/else", macs=500, parent="loop/body/step", times=0)
WHILE = replace(LOOP, name="while", macs=None)
TURN = replace(STEP, name="while/body/turn", macs=500, parent="while", times=None)
NOTED = Layer("dw", "Conv", "depthwise", 28800, 576, MAP, MAP, note="gdc at an input of 7×7")
RELU = Layer("relu", "Relu", "activation", 0, 0, MAP, MAP, elementwise_ops=200704)
LAYERS = (STEM, OPEN, LOOP, STEP, BRANCH, WHILE, TURN, NOTED, RELU)
TOTALS = Totals(116634304, 39592, False, 200704, 200711, 493824, 4816896, 1605632)

ANALYSIS = Analysis(
    "nets/whole.onnx",
    LAYERS,
    (Unknown("open", "Conv", "its output is open"), Unknown("while", "Loop", "trips unknown")),
    TOTALS,
    {
        "standard": KindTotal(2, None, 38016),
        "depthwise": KindTotal(1, 28800, 576),
        "activation": KindTotal(12345, 0, 0),
    },
    {"N": 1},
    {"learned": Stored(9, 39592, 158368), "statistics": Stored(4, 11000, 44000),
     "quantisation": Stored(24, 24, 96), "unused": Stored(2, 300, 1200)},
    "1152·H·W + 116634304·N",
    "stem/conv",
    ("a warning",),
)  # fmt: skip
PROSPECTS = (
    Prospect("stem/conv", "standard", 115605504, 28901376, 36864, 9216, 9000, 8000, (2, 4, 64)),
    Prospect("thin", "standard", 4608, 9216, 576, 700, 1000, 1200, (2,), loss=True),
    Prospect("kept", "pointwise", 40960, 10240, 4096, 1024, 50000, 60000, (2, 4)),
    *(Prospect(f"dw{i}", "depthwise", 9, 9, 9, 9, 9, 9, reason="depthwise now") for i in range(5)),
)
GATES = (
    Gate("max_macs", 3e8, 116634304, None),
    Gate("max_params", 5e6, 39592, True),
    Gate("max_increase_macs_percent", 2, 3.2145, False),
    Gate("max_peak_memory", 2e7, None, None),
)
STUDY = Study(
    ANALYSIS,
    (Saving("stem/conv", "grouped(4)", 115605504, 28901376),),
    (WhatIf("grouped(4)", PROSPECTS, Totals(115651072, 41536), Totals(28920832, 10940)),),
    Roofline(100.0, 12.5, True, (Placement("stem/conv", 55.5, "compute", 100.0, 2.312),
                                 Placement("dw", 0.41, "memory", 5.1, 0.0113))),
    (SweepRow({"H": 112, "W": 96}, Totals(112001, 39592, peak_activation_bytes=401408)),
     SweepRow({"H": 224, "W": 96}, Totals(224002, 39592, exact=False))),
    (Explanation("stem/conv", ("MACs = output · weights", "= 3 · 4 = 12")),),
    GATES,
)  # fmt: skip
SMALL = Study(
    Analysis("small.onnx", (STEM,), (), Totals(115605504, 36864),
             {"standard": KindTotal(1, 115605504, 36864)}),
)  # fmt: skip
FAILED = Failed("broken.onnx", "broken.onnx: not an ONNX model")
RESULTS = (STUDY, SMALL, FAILED)

GROUPED = replace(STEM, groups=4, kind="grouped", macs=28901376, params=9216)
AFTER = Analysis(
    "after.onnx", (GROUPED, RELU), (), Totals(28901376, 9216, True, 200704, 200704),
    {"grouped": KindTotal(1, 28901376, 9216)},
)  # fmt: skip
DIFFERENCE = Difference(
    Study(replace(SMALL.analysis, layers=(STEM, NOTED, RELU))),
    Study(AFTER),
    (LayerChange("stem/conv", STEM, GROUPED), LayerChange("dw", NOTED, None),
     LayerChange("new", None, replace(NOTED, name="new")), LayerChange("relu", RELU, RELU)),
)  # fmt: skip


def named(name: str) -> Study:
    """A study in which all that can carry a name from a model carries this one."""
    layer = replace(OPEN, name=name, note=name, output_shape=(1, name, 2), macs_formula=f"9·{name}")
    analysis = replace(
        ANALYSIS, model=name, layers=(layer,), unknown=(Unknown(name, name, name),),
        dims={name: 1}, peak_at=name,
    )  # fmt: skip
    what_if = WhatIf(name, tuple(replace(one, name=name) for one in PROSPECTS), TOTALS, TOTALS)
    return replace(
        STUDY,
        analysis=analysis,
        savings=(Saving(name, name, 2, 1),),
        what_if=(what_if,),
        sweep=(SweepRow({name: 1}, TOTALS),),
        explanations=(Explanation(name, (name,)),),
    )
