"""Terminal pages: everything is there, at any width from 40 columns on no number is cut."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from helpers_report import ANALYSIS, DIFFERENCE, FAILED, RESULTS, SMALL, STUDY, named
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from gconvtool.report import words
from gconvtool.report.tables.table import Table, counts, names, numbers
from gconvtool.report.terminal import AnalysisPage, DifferencePage, SeveralPage, StudyPage
from gconvtool.report.terminal.sheet import Sheet, folded
from gconvtool.results import Gate, Totals

WIDTHS = (40, 60, 80, 100, 120)


def shown(page, width=120):
    """A page as it is printed at this width."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(page)
    return console.file.getvalue()


def line(page, start):
    """The one line that starts so."""
    lines = [" ".join(text.split()) for text in page.splitlines()]
    (found,) = [text for text in lines if text.startswith(start)]
    return found


PAGE = shown(StudyPage(STUDY), 160)


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (
            "stem/conv Conv",
            "stem/conv Conv standard 64×112×112 64×56×56 3×3 /2 36,864 115,605,504 ████████████",
        ),
        ("open Conv", "open Conv standard 8×H×? 16×(floor((H - 1)/2) 3×3 /2 1,152 1152·H·W ?"),
        ("loop/body/step ×10", "loop/body/step ×10 MatMul linear ? ? 1,000 100,000"),
        ("loop/body/step/else", "loop/body/step/else not taken MatMul linear ? ? 1,000 500"),
        ("while/body/turn", "while/body/turn ×? MatMul linear ? ? 1,000 500"),
        ("depthwise", "depthwise 1 576 28,800"),
        ("≥ 116", "≥ 116,634,304 MACs = ≥ 233,268,608 FLOPs, 39,592 parameters"),
        ("Formula", "Formula MACs = 1152·H·W + 116634304·N"),
        ("No MACs", "No MACs 200,704 bias adds, 200,711 elementwise operations"),
        ("Memory", "Memory 482.2 KiB of weights; at most 1.5 MiB of activations, at stem/conv"),
        ("dw:", "dw: gdc at an input of 7×7"),
        ("thin", "thin standard 2 576 700 4,608 9,216 loss"),
        ("kept", "kept pointwise 2 4 4,096 1,024 40,960 10,240 bytes do not shrink"),
        ("dw0", "dw0, dw1, dw2 and 2 more: depthwise now"),
        ("dw 0", "dw 0.410 memory 5.10 0.0113"),
        ("112", "112 96 112,001 39,592 392.0 KiB"),
        ("224", "224 96 ≥ 224,002 39,592 ?"),
        ("= 3", "= 3 · 4 = 12"),
    ],
)
def test_a_page_tells_everything(start, text):
    assert line(PAGE, start) == text


def test_what_is_stored_besides_learned_numbers_is_told():
    assert "11,000 running statistics, 24 scales and zero points, 300 unused" in PAGE
    assert "Stored" not in shown(StudyPage(SMALL))


def test_parts_stand_indented_under_what_holds_them():
    indents = {text.strip().split()[0]: len(text) - len(text.lstrip()) for text in
               PAGE.splitlines() if text.strip().startswith(("loop", "while/body"))}  # fmt: skip
    assert indents == {
        "loop": 1, "loop/body/step": 3, "loop/body/step/else": 5, "while/body/turn": 3,
    }  # fmt: skip


def test_kinds_and_layers_without_a_cost_are_left_out():
    assert "activation " not in PAGE
    assert "12,345" not in PAGE
    assert "relu" not in PAGE


def test_what_holds_a_costly_part_is_shown_even_if_it_costs_nothing():
    loop, step = ANALYSIS.layers[2:4]
    analysis = replace(ANALYSIS, layers=(replace(loop, macs=0), step))
    assert line(shown(AnalysisPage(analysis)), "loop ").startswith("loop Loop control")


def test_the_other_convention_doubles_the_columns_and_the_formulas():
    page = shown(StudyPage(STUDY, "flops"), 160)
    assert "231,211,008" in line(page, "stem/conv Conv")
    assert "2·1152·H·W" in line(page, "open Conv")
    assert "115,605,504" not in page
    assert "1 MAC = 1 multiply + 1 add = 2 FLOPs" in page


@pytest.mark.parametrize(
    ("gate", "text"),
    [
        (Gate("max_macs", 3e8, 116634304, True), "--max-macs 300,000,000: held (116,634,304)"),
        (Gate("max_macs", 3e8, 116634304, None),
         "--max-macs 300,000,000: cannot tell (≥ 116,634,304)"),
        (Gate("max_peak_memory", 2e7, 3e7, False),
         "--max-peak-memory 20,000,000 bytes: FAILED (30,000,000 bytes)"),
        (Gate("max_increase_macs_percent", 2.5, 2.5001, False),
         "--max-increase macs=2.5%: FAILED (+2.5001 %)"),
        (Gate("max_increase_params", 0, 1152, False), "--max-increase params=0: FAILED (+1,152)"),
        (Gate("max_increase_peak_memory", 1024, -5, True),
         "--max-increase peak-memory=1,024 bytes: held (-5 bytes)"),
        (Gate("max_increase_params_percent", 2, None, False),
         "--max-increase params=2%: FAILED (more than none)"),
    ],
)  # fmt: skip
def test_a_gate_has_its_option_its_unit_and_its_verdict(gate, text):
    assert f"Gate  {text}" in shown(StudyPage(replace(SMALL, gates=(gate,))))


def test_several_models_have_a_row_each():
    page = shown(SeveralPage(RESULTS))
    assert line(page, "small.onnx") == "small.onnx 115,605,504 36,864 ? 0"
    assert line(page, "broken") == "broken.onnx: not an ONNX model failed"
    assert "Gate  --max-params 5,000,000: held" in page


def test_a_difference_stands_side_by_side():
    page = shown(DifferencePage(DIFFERENCE))
    assert line(page, "MACs") == "MACs 115,605,504 28,901,376 -86,704,128 0.250x"
    assert line(page, "grouped") == "grouped 0 1 0 9,216 0 28,901,376 +28,901,376"
    changed = "stem/conv standard → grouped, 3×3 /2 → 3×3 /2 g4 36,864 9,216"
    assert line(page, "stem/conv").startswith(changed)
    assert "only in A" in line(page, "dw only")
    assert "only in B" in line(page, "new")
    assert "relu" not in page
    assert "3 layers differ, 0 alike" in page


def test_without_layers_a_page_is_still_one():
    nothing = replace(ANALYSIS, layers=(), unknown=(), kinds={}, totals=Totals(0, 0))
    assert "0 MACs" in shown(AnalysisPage(nothing), 40)
    assert shown(SeveralPage(()), 40)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "page",
    [StudyPage(STUDY), SeveralPage(RESULTS), DifferencePage(DIFFERENCE), SeveralPage([FAILED])],
    ids=["study", "several", "difference", "failed"],
)
def test_no_line_is_too_long_and_nothing_is_elided(page, width):
    text = shown(page, width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "…" not in text


COUNTS = st.integers(0, 10**15)


@given(
    width=st.integers(40, 130),
    rows=st.lists(
        st.tuples(st.text("ab/_ 語", min_size=1, max_size=60), COUNTS, COUNTS), max_size=4
    ),
)
def test_numbers_are_whole_at_any_width(width, rows):
    found = [*zip(*rows, strict=True)] or [(), (), ()]
    table = Table((names("Layer", found[0]), counts("A", found[1]), counts("B", found[2])))
    text = shown(Sheet(table), width)
    assert all(cell_len(part) <= width for part in text.splitlines())
    for _, a, b in rows:
        assert {f"{a:,}", f"{b:,}"} <= set(text.split())


@pytest.mark.parametrize("width", WIDTHS)
def test_columns_of_a_rank_go_together_and_the_last_never(width):
    long = [10**15]
    columns = (names("Layer", ["x" * 30]), counts("A", long, 2), counts("B", long, 2),
               numbers("C", ["9" * 12], 1), counts("D", long))  # fmt: skip
    head = shown(Sheet(Table(columns)), width).splitlines()[0].split()
    assert "D" in head
    assert ("A" in head) == ("B" in head)
    assert "C" in head or "A" not in head


@given(st.text("abc ", max_size=80), st.integers(4, 40))
def test_folding_loses_nothing_but_spaces(text, width):
    lines = folded(text, width)
    assert all(len(part) <= width for part in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(st.lists(st.sampled_from(["1152", "N", "(floor((H - 1)/2) + 1)", "height"]), min_size=1))
def test_a_formula_is_the_same_in_lines(factors):
    formula = "·".join(factors)
    assert words.unstacked(words.stacked(formula)) == formula


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\nb", "a\rb\x00", "\u202etxet", "\udc80"])
def test_what_would_steer_a_terminal_is_printed_as_an_escape(name):
    study = named(name)
    for page in (StudyPage(study), SeveralPage((study,))):
        assert all(c.isprintable() or c == "\n" for c in shown(page))
    assert shown(StudyPage(study), 400).count(repr(name)[1:-1]) > 8


@pytest.mark.parametrize("name", ["net[bold]/conv", "[/]", "a:smile:", "\\[b]"])
def test_names_are_no_markup(name):
    assert re.search(rf"^ {re.escape(name)} ", shown(StudyPage(named(name))), re.MULTILINE)


def test_a_colour_is_never_all_that_tells():
    console = Console(file=io.StringIO(), width=160, force_terminal=True, highlight=False)
    console.print(StudyPage(STUDY))
    plain = re.sub(r"\x1b\[[\d;]*m", "", console.file.getvalue())
    assert plain == PAGE
