"""What is opened up is found by the names that `analyze` gives it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from models import model

from gconvtool.pipeline.analyze import analyze
from gconvtool.pipeline.convert import convert
from gconvtool.pipeline.opening import open_up
from gconvtool.plan import Selection
from gconvtool.recipes import Grouped

W = np.random.default_rng(0).standard_normal((8, 8, 3, 3)).astype(np.float32)


def fused(inputs: str = "float[1, 8, 9, 9] x") -> ir.Model:
    return model(
        f"""
        g ({inputs}) => (float[1, 8, 5, 5] y) {{
          f = com.microsoft.FusedConv <activation = "Relu"> (x, w)
          y = Conv (f, v)
        }}
        """,
        domains=["com.microsoft"],
        w=W,
        v=W[::-1],
    )


def test_what_was_done_is_said() -> None:
    opened = open_up(fused("float[1, 8, 9, 9] x, float[8, 8, 3, 3] v"), every=False)
    assert opened.names == {"f": "f/conv"}
    assert [note.split()[0] for note in opened.notes] == ["1", "1"]
    assert open_up(model("g (float[1] x) => (float[1] y) { y = Neg (x) }"), every=True).notes == ()


def test_selections_go_by_old_names_and_new_ones() -> None:
    opened = open_up(fused(), every=False)
    selection = opened.selection(Selection(only=("f", "y*"), skip=("f/conv",)))
    assert selection == Selection(only=("f/conv", "y*"), skip=("f/conv",))


@pytest.mark.parametrize("name", ["f", "f/conv"])
def test_plans_go_by_old_names_and_new_ones(name: str, tmp_path: Path) -> None:
    assert [layer.name for layer in analyze(fused()).layers] == ["f", "y"]
    plan = tmp_path / "plan.json"
    convert(fused(), recipe=Grouped(2), only=("f",), save_plan=plan)
    plan.write_text(plan.read_text().replace('"f/conv"', f'"{name}"'))
    result = convert(fused(), plan=plan)
    assert {site.name: site.recipe for site in result.sites} == {"f/conv": "grouped(2)", "y": None}
