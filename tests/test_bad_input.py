"""Bad input: one clear line, the right exit code, no file left behind, the input untouched."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import nets
import numpy as np
import onnx
import pytest
from helpers_cli import CLASSIFIER, Answer, Desk, python, refused
from onnx import parser

QUICK = ("--time-budget", "1", "--threads", "1")
CALLS = {
    "analyze": "analyze {}",
    "convert": "convert {} -o out.onnx --groups 4",
    "dry run": "convert {} --groups 4 --dry-run",
    "bench A": "bench {} net.onnx --time-budget 1 --threads 1",
    "bench B": "bench net.onnx {} --time-budget 1 --threads 1",
    "bench alone": "bench {} --groups 4 --time-budget 1 --threads 1",
}
"""Every way to name a model."""


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    return Desk(tmp_path, monkeypatch, capfd).furnish()


def unchanged(desk: Desk, *words: object, code: int = 2) -> str:
    """What is said by a call that is refused and leaves everything as it was, with JSON or not."""
    before = desk.files()
    plain = desk(*words)
    said = refused(plain, code)
    assert plain.out == ""
    assert desk.files() == before
    documented = desk(*words, "--json")
    assert refused(documented, code) == said
    assert documented.document["error"]["message"] == said
    assert documented.document["exit_code"] == code
    assert documented.document["schema"] == f"gconvtool.{words[0]}/1"
    assert desk.files() == before
    return said


def altered(change: Callable[[onnx.ModelProto], object]) -> Callable[[], bytes]:
    """A classifier that something was done to."""

    def content() -> bytes:
        model = nets.network(CLASSIFIER)
        change(model)
        return model.SerializeToString()

    return content


def cut(share: float) -> Callable[[], bytes]:
    """The first part of a model."""
    whole = nets.network(CLASSIFIER).SerializeToString()
    return lambda: whole[: int(share * len(whole))]


def graph(text: str) -> Callable[[], bytes]:
    """A model from ONNX text that no checker has seen."""
    header = '<ir_version: 8, opset_import: ["": 17]>\n'
    return lambda: parser.parse_model(header + text).SerializeToString()


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "empty"),
    "text": (lambda: b"this is a text, and no model at all\n" * 20, "not an ONNX"),
    "zip": (lambda: b"PK\x03\x04" + bytes(300), "not an ONNX"),
    "zeros": (lambda: bytes(1000), "not an ONNX"),
    "cut early": (cut(0.01), "not an ONNX"),
    "cut in half": (cut(0.5), "not an ONNX"),
    "cut late": (cut(0.99), "not an ONNX"),
    "no nodes": (graph("g (float[1] x) => (float[1] x) {}"), "no nodes"),
    "unknown operator": (graph("g (float[1] x) => (float[1] y) { y = Blah (x) }"), "Blah"),
    "dangling input": (
        altered(lambda m: m.graph.node[2].input.__setitem__(0, "nowhere")),
        "nowhere",
    ),
    "not in order": (
        altered(lambda m: m.graph.node.insert(0, m.graph.node.pop())),
        "flat",
    ),
    "an output twice": (
        altered(lambda m: m.graph.node[2].output.__setitem__(0, "stem")),
        "stem",
    ),
    "an unknown attribute": (
        altered(lambda m: m.graph.node[1].attribute.append(onnx.helper.make_attribute("blub", 1))),
        "blub",
    ),
    "no opset": (altered(lambda m: m.ClearField("opset_import")), "opset"),
    "a format to come": (altered(lambda m: setattr(m, "ir_version", 999)), "ir_version"),
}
"""Files that are no valid model: their content, and what the message says of them."""


class TestModels:
    @pytest.mark.parametrize("call", CALLS)
    def test_a_missing_file(self, desk, call):
        said = unchanged(desk, *CALLS[call].format("gone.onnx").split())
        assert said == "gone.onnx: no such file"

    @pytest.mark.parametrize("call", CALLS)
    def test_a_directory(self, desk, call):
        (desk.folder / "models").mkdir()
        said = unchanged(desk, *CALLS[call].format("models").split())
        assert said.startswith("models: ")
        assert "folder" in said

    @pytest.mark.parametrize("kind", BROKEN)
    def test_a_file_that_is_no_valid_model(self, desk, kind):
        content, meant = BROKEN[kind]
        (desk.folder / "bad.onnx").write_bytes(content())
        said = unchanged(desk, "analyze", "bad.onnx")
        assert said.startswith("bad.onnx: ")
        assert meant in said

    @pytest.mark.parametrize("call", sorted(CALLS.keys() - {"analyze"}))
    @pytest.mark.parametrize("kind", ["empty", "text", "cut in half", "unknown operator"])
    def test_every_command_refuses_it_in_the_same_words(self, desk, kind, call):
        (desk.folder / "bad.onnx").write_bytes(BROKEN[kind][0]())
        said = refused(desk("analyze", "bad.onnx"))
        assert unchanged(desk, *CALLS[call].format("bad.onnx").split()) == said

    @pytest.mark.parametrize("kind", ["dangling input", "an output twice"])
    def test_no_library_adds_lines_of_its_own(self, desk, kind):
        (desk.folder / "bad.onnx").write_bytes(BROKEN[kind][0]())
        done = python("-m", "gconvtool", "analyze", "bad.onnx")
        assert "bad.onnx" in refused(Answer(done.returncode, done.stdout, done.stderr))

    @pytest.mark.parametrize("data", [[], ["--data", "fit.npz"]])
    def test_shapes_that_contradict_the_weights(self, desk, data):
        text = CLASSIFIER.replace("8, 3, 3, 3] w0", "8, 5, 3, 3] w0")
        model = parser.parse_model(text)
        good = {w.name: w for w in nets.network(CLASSIFIER).graph.initializer}
        good["w0"] = onnx.numpy_helper.from_array(np.ones((8, 5, 3, 3), np.float32), "w0")
        model.graph.ClearField("value_info")
        model.graph.initializer.extend(good.values())
        onnx.save(model, desk.folder / "odd.onnx")
        said = unchanged(desk, "convert", "odd.onnx", "-o", "out.onnx", "--groups", 4, *data)
        assert "odd.onnx" in said

    def test_a_file_that_cannot_be_read(self, desk, monkeypatch):
        def read_bytes(self: Path) -> bytes:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

        (desk.folder / "locked.onnx").write_bytes(b"x")
        with monkeypatch.context() as patched:
            patched.setattr(Path, "read_bytes", read_bytes)
            answer = desk("analyze", "locked.onnx")
        assert "locked.onnx" in refused(answer)
        assert "Permission denied" in refused(answer)

    @pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="a device of Unix")
    def test_an_endless_device_is_not_read(self, desk, monkeypatch):
        def read_bytes(self: Path) -> bytes:
            raise AssertionError(f"{self} would be read without an end")

        with monkeypatch.context() as patched:
            patched.setattr(Path, "read_bytes", read_bytes)
            answer = desk("analyze", "/dev/zero")
        assert "/dev/zero" in refused(answer)

    def test_weights_beside_the_model_that_are_gone(self, desk):
        onnx.save(nets.network(CLASSIFIER), desk.folder / "far.onnx", save_as_external_data=True,
                  location="far.bin", size_threshold=0)  # fmt: skip
        (desk.folder / "far.bin").unlink()
        words = ["-o", "out.onnx", "--groups", 2]
        assert "far.bin" in unchanged(desk, "convert", "far.onnx", *words)

    def test_weights_beside_the_model_that_are_cut_off(self, desk):
        onnx.save(nets.network(CLASSIFIER), desk.folder / "far.onnx", save_as_external_data=True,
                  location="far.bin", size_threshold=0)  # fmt: skip
        os.truncate(desk.folder / "far.bin", 500)
        said = unchanged(desk, "convert", "far.onnx", "-o", "out.onnx", "--groups", 4)
        assert "far.onnx" in said

    def test_a_weight_with_too_few_bytes(self, desk):
        model = nets.network(CLASSIFIER)
        model.graph.initializer[2].raw_data = model.graph.initializer[2].raw_data[:-4]
        onnx.save(model, desk.folder / "short.onnx")
        said = unchanged(desk, "convert", "short.onnx", "-o", "out.onnx", "--groups", 4)
        assert "w1" in said

    @pytest.mark.parametrize("odd", [np.nan, np.inf])
    @pytest.mark.parametrize("data", [[], ["--data", "fit.npz"]])
    def test_a_weight_that_is_not_finite(self, desk, odd, data):
        model = nets.network(CLASSIFIER)
        weight = onnx.numpy_helper.to_array(model.graph.initializer[2]).copy()
        weight[0, 0, 0, 0] = odd
        model.graph.initializer[2].CopyFrom(onnx.numpy_helper.from_array(weight, "w1"))
        onnx.save(model, desk.folder / "nan.onnx")
        said = unchanged(desk, "convert", "nan.onnx", "-o", "out.onnx", "--groups", 4, *data)
        assert "finite" in said

    @pytest.mark.parametrize(
        "text",
        [
            "g (string[N] x) => (string[N] y) { y = Identity (x) }",
            "g (seq(float[N]) x) => (seq(float[N]) y) { y = Identity (x) }",
        ],
    )
    def test_a_model_that_cannot_be_fed(self, desk, text):
        (desk.folder / "odd.onnx").write_bytes(graph(text)())
        said = unchanged(desk, "bench", "odd.onnx", "odd.onnx", *QUICK)
        assert "input x" in said

    def test_a_model_without_inputs(self, desk):
        weights = "<float[1, 8, 8, 8] x, float[16, 8, 3, 3] w>"
        text = f"g () => (float[1, 16, 6, 6] y) {weights} {{ y = Conv (x, w) }}"
        closed = nets.network(f'<ir_version: 8, opset_import: ["": 17]>{text}')
        onnx.save(closed, desk.folder / "closed.onnx")
        assert desk("analyze", "closed.onnx").code == 0
        for words in (
            ["convert", "closed.onnx", "-o", "out.onnx", "--groups", 4],
            ["bench", "closed.onnx", "closed.onnx", *QUICK],
        ):
            assert "input" in unchanged(desk, *words)

    def test_models_that_do_different_jobs(self, desk):
        other = CLASSIFIER.replace("N, 4] scores", "N, 5] scores").replace("4, 16] w3", "5, 16] w3")
        onnx.save(nets.network(other.replace("float[4] b3", "float[5] b3")), desk.folder / "b.onnx")
        said = unchanged(desk, "bench", "net.onnx", "b.onnx", *QUICK)
        assert "scores" in said

    def test_models_that_are_fed_differently(self, desk):
        onnx.save(nets.network(nets.RESIDUAL), desk.folder / "b.onnx")
        said = unchanged(desk, "bench", "net.onnx", "b.onnx", *QUICK)
        assert "image" in said
        assert "b.onnx" in said

    def test_models_of_different_sizes(self, desk):
        other = CLASSIFIER.replace("N, 3, 8, 8", "N, 3, 9, 9")
        onnx.save(nets.network(other), desk.folder / "b.onnx")
        said = unchanged(desk, "bench", "net.onnx", "b.onnx", *QUICK)
        assert "b.onnx" in said
        assert "9" in said


class TestShapes:
    @pytest.mark.parametrize(
        ("value", "meant"),
        [
            ("other:1,3,8,8", "it has image"),
            ("imge:1,3,8,8", "did you mean image?"),
            ("image:1,3,8", "3 dimensions"),
            ("image:1,3,8,8,8", "5 dimensions"),
            ("image:1,3,8,x", "'x'"),
            ("image:1,3,8,", "image:1,3,8,"),
            ("image:1,3,8,1.5", "'1.5'"),
            ("image:1,3,8,0", "1 or more"),
            ("image:1,3,8,-8", "1 or more"),
            ("image:1,3,8,99999999999999999999", "99999999999999999999"),
            ("image", "NAME:SIZES"),
            (":1,3,8,8", "NAME:SIZES"),
            ("", "NAME:SIZES"),
        ],
    )
    def test_a_wrong_input_shape(self, desk, value, meant):
        for words in (
            ["analyze", "net.onnx"],
            ["convert", "net.onnx", "-o", "out.onnx", "--groups", 4],
            ["convert", "net.onnx", "-o", "out.onnx", "--groups", 4, "--data", "fit.npz"],
        ):
            said = unchanged(desk, *words, "--input-shape", value)
            assert "--input-shape" in said
            assert meant in said

    @pytest.mark.parametrize(
        ("value", "meant"),
        [
            ("M=1", "it has N"),
            ("n=1", "N"),
            ("N", "NAME=SIZE"),
            ("=1", "NAME=SIZE"),
            ("", "NAME=SIZE"),
            ("N=x", "'x'"),
            ("N=0", "1 or more"),
            ("N=99999999999999999999", "99999999999999999999"),
        ],
    )
    def test_a_wrong_dimension(self, desk, value, meant):
        for words in (
            ["analyze", "net.onnx"],
            ["convert", "net.onnx", "-o", "out.onnx", "--groups", 4],
            ["convert", "net.onnx", "-o", "out.onnx", "--groups", 4, "--data", "fit.npz"],
            ["bench", "net.onnx", "net.onnx", *QUICK],
        ):
            said = unchanged(desk, *words, "--dim", value)
            assert "--dim" in said
            assert meant in said


def bad_data(folder: Path) -> None:
    """Data that do not fit the classifier, each named after what is wrong with it."""
    image = nets.images(20, shape=(3, 8, 8))
    np.savez(folder / "name.npz", picture=image)
    np.savez(folder / "more.npz", image=image, mask=image)
    np.savez(folder / "channels.npz", image=image[:, :2])
    np.savez(folder / "rank.npz", image=image[0])
    np.savez(folder / "words.npz", image=image.astype("U4"))
    np.savez(folder / "nan.npz", image=np.where(image > 1, np.nan, image))
    np.savez(folder / "huge.npz", image=image.astype(float) * 1e300)
    np.savez(folder / "none.npz", image=image[:0])
    np.savez(folder / "lengths.npz", image=image, labels=np.arange(19))
    np.savez(folder / "classes.npz", image=image, labels=np.arange(20))
    np.savez(folder / "target.npz", image=image, target=np.ones((20, 5)))
    np.savez(folder / "spoken.npz", image=image, target=np.array(["one"] * 20))
    np.save(folder / "shape.npy", image[:, :, :4])
    (folder / "text.npz").write_text("this is no archive")
    (folder / "empty.npz").touch()
    (folder / "cut.npz").write_bytes((folder / "name.npz").read_bytes()[:2000])
    (folder / "table.csv").write_text("1,2,3")
    (folder / "hollow").mkdir()
    (folder / "broken.png").mkdir()
    (folder / "images").mkdir()
    (folder / "images" / "a.png").write_text("no image")


DATA = {
    "gone.npz": "no such",
    "name.npz": "picture",
    "more.npz": "mask",
    "channels.npz": "20×2×8×8",
    "rank.npz": "3×8×8",
    "words.npz": "float32",
    "nan.npz": "NaN",
    "huge.npz": "float32",
    "none.npz": "no samples",
    "lengths.npz": "19",
    "classes.npz": "labels",
    "target.npz": "target",
    "spoken.npz": "target",
    "shape.npy": "20×3×4×8",
    "text.npz": ".npz",
    "empty.npz": ".npz",
    "cut.npz": ".npz",
    "table.csv": ".npz",
    "hollow": ".npz",
    "images": "a.png",
    "no_such_module:Reader": "no_such_module",
}
"""Data sources that do not fit, and what the message names."""


class TestData:
    @pytest.mark.parametrize("source", DATA)
    def test_data_that_do_not_fit(self, desk, source):
        bad_data(desk.folder)
        for words in (
            ["convert", "net.onnx", "-o", "out.onnx", "--groups", 4, "--data", source],
            ["bench", "net.onnx", "net.onnx", *QUICK, "--data", source],
        ):
            said = unchanged(desk, *words)
            assert source in said
            assert DATA[source] in said

    @pytest.mark.parametrize("option", ["--test-data", "--fit-data"])
    @pytest.mark.parametrize("source", ["gone.npz", "channels.npz"])
    def test_other_data_that_do_not_fit(self, desk, option, source):
        bad_data(desk.folder)
        words = (
            ["convert", "net.onnx", "-o", "out.onnx", "--data", "fit.npz"]
            if option == "--test-data"
            else ["bench", "net.onnx", "--data", "test.npz", *QUICK]
        )
        assert source in unchanged(desk, *words, "--groups", 4, option, source)

    def test_too_few_samples_to_fit_to(self, desk):
        np.savez(desk.folder / "one.npz", image=nets.images(1, shape=(3, 8, 8)))
        words = ["convert", "net.onnx", "-o", "out.onnx", "--groups", 4, "--data", "one.npz"]
        assert "2 samples" in unchanged(desk, *words)

    def test_too_few_samples_for_a_batch(self, desk):
        words = ["bench", "net.onnx", "net.onnx", "--data", "fit.npz", "--batch", 41, *QUICK]
        said = unchanged(desk, *words)
        assert "40" in said
        assert "41" in said

    def test_too_few_samples_for_a_fixed_batch(self, desk):
        fixed = CLASSIFIER.replace("float[N, ", "float[8, ")
        onnx.save(nets.network(fixed), desk.folder / "fixed.onnx")
        np.savez(desk.folder / "ten.npz", image=nets.images(10, shape=(3, 8, 8)))
        words = ["convert", "fixed.onnx", "-o", "out.onnx", "--groups", 4, "--data", "ten.npz"]
        said = unchanged(desk, *words)
        assert "ten.npz" in said
        assert "8" in said

    def test_a_batch_that_the_model_does_not_take(self, desk):
        fixed = CLASSIFIER.replace("float[N, ", "float[1, ")
        onnx.save(nets.network(fixed), desk.folder / "fixed.onnx")
        said = unchanged(desk, "bench", "fixed.onnx", "fixed.onnx", "--batch", 4, *QUICK)
        assert "--batch" in said

    def test_a_dry_run_reads_no_data_but_wants_them_to_be_there(self, desk):
        words = ["convert", "net.onnx", "--groups", 4, "--dry-run", "--data", "gone.npz"]
        assert "gone.npz" in unchanged(desk, *words)


class TestRecipes:
    @pytest.mark.parametrize("data", [[], ["--data", "fit.npz"]])
    @pytest.mark.parametrize(
        "recipe", [["--groups", 3], ["--groups", 64], ["--separable", "--rank", 10]]
    )
    def test_a_recipe_that_goes_nowhere(self, desk, recipe, data):
        said = unchanged(desk, "convert", "net.onnx", "-o", "out.onnx", *recipe, *data)
        assert "no convolution" in said
        assert "no convolution" in unchanged(desk, "bench", "net.onnx", *recipe, *data, *QUICK)

    def test_a_network_without_convolutions(self, desk):
        text = "g (float[N, 8] x) => (float[N, 8] y) { y = Relu (x) }"
        (desk.folder / "none.onnx").write_bytes(graph(text)())
        said = unchanged(desk, "convert", "none.onnx", "-o", "out.onnx", "--groups", 4)
        assert "no convolution" in said

    def test_a_dry_run_of_it_gives_the_reasons(self, desk):
        answer = desk("convert", "net.onnx", "--groups", 3, "--dry-run")
        assert answer.code == 0
        assert "3 groups do not divide" in " ".join(answer.out.split())


CONVERT = ("convert", "net.onnx", "--groups", "4", "--data", "fit.npz", "-o")


class TestOutputs:
    def test_a_file_that_exists(self, desk):
        (desk.folder / "out.onnx").write_bytes(b"precious")
        assert "--force" in unchanged(desk, *CONVERT, "out.onnx")

    def test_a_file_that_exists_is_replaced_by_force(self, desk):
        (desk.folder / "out.onnx").write_bytes(b"of no use")
        answer = desk(*CONVERT, "out.onnx", "--force")
        assert answer.code == 0
        onnx.checker.check_model(onnx.load(desk.folder / "out.onnx"))
        assert set(desk.files()) == {"net.onnx", "fit.npz", "test.npz", "out.onnx"}

    @pytest.mark.parametrize("force", [[], ["--force"]])
    def test_the_input_itself(self, desk, force):
        (desk.folder / "link.onnx").symlink_to("net.onnx")
        (desk.folder / "twin.onnx").hardlink_to(desk.folder / "net.onnx")
        for name in ("net.onnx", "./net.onnx", "link.onnx", "twin.onnx"):
            assert "never changed" in unchanged(desk, *CONVERT, name, *force)

    @pytest.mark.parametrize("name", ["fit.npz", "test.npz"])
    def test_the_data(self, desk, name):
        said = unchanged(desk, *CONVERT, name, "--force", "--test-data", "test.npz")
        assert name in said

    def test_a_folder_that_does_not_exist(self, desk):
        said = unchanged(desk, *CONVERT, "no/such/out.onnx")
        assert "no/such" in said
        assert "does not exist" in said

    @pytest.mark.parametrize("force", [[], ["--force"]])
    def test_a_folder(self, desk, force):
        (desk.folder / "results").mkdir()
        assert "folder" in unchanged(desk, *CONVERT, "results", *force)

    def test_below_a_file(self, desk):
        assert "test.npz" in unchanged(desk, *CONVERT, "test.npz/out.onnx")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe of Unix")
    def test_what_is_no_plain_file_is_not_replaced(self, desk):
        os.mkfifo(desk.folder / "pipe")
        said = refused(desk(*CONVERT, "pipe", "--force"))
        assert "pipe" in said
        assert (desk.folder / "pipe").is_fifo()

    @pytest.mark.parametrize("length", [251, 300])
    def test_a_name_that_is_too_long(self, desk, length):
        assert "too long" in unchanged(desk, *CONVERT, "a" * length + ".onnx")

    def test_no_name_at_all(self, desk):
        assert "-o" in unchanged(desk, *CONVERT, "")

    def test_a_folder_that_may_not_be_written_to(self, desk, monkeypatch):
        def mkstemp(*_: object, **__: object) -> tuple[int, str]:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
        said = unchanged(desk, *CONVERT, "out.onnx")
        assert "out.onnx" in said
        assert "Permission denied" in said

    def test_a_read_only_folder_is_told_before_any_work(self, desk, monkeypatch):
        monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
        assert "read-only" in unchanged(desk, *CONVERT, "out.onnx")
        assert "read-only" in unchanged(desk, "bench", "lost.onnx", "-o", "report.xml")

    @pytest.mark.parametrize("replaces", [False, True])
    @pytest.mark.parametrize("step", ["write", "fsync", "rename"])
    def test_a_full_disk(self, desk, monkeypatch, step, replaces):
        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        if replaces:
            (desk.folder / "out.onnx").write_bytes(b"precious")
        before = desk.files()
        if step == "write":
            fill_the_disk(monkeypatch)
        elif step == "fsync":
            monkeypatch.setattr(os, "fsync", full)
        else:
            monkeypatch.setattr(Path, "replace", full)
        answer = desk(*CONVERT, "out.onnx", *(["--force"] if replaces else []))
        said = refused(answer, 4)
        assert "out.onnx" in said
        assert "No space left" in said
        assert answer.out == ""
        assert desk.files() == before

    def test_an_interruption_while_writing(self, desk, monkeypatch):
        def stopped(*_: object) -> None:
            raise KeyboardInterrupt

        before = desk.files()
        monkeypatch.setattr(os, "fsync", stopped)
        assert desk(*CONVERT, "out.onnx").code == 130
        assert desk.files() == before

    def test_a_bug_while_writing(self, desk, monkeypatch):
        def broken(*_: object) -> None:
            raise ZeroDivisionError

        before = desk.files()
        monkeypatch.setattr(os, "fsync", broken)
        assert desk(*CONVERT, "out.onnx").code == 70
        assert desk.files() == before

    def test_a_page_that_cannot_be_shown_is_no_reason_to_lose_the_names(self, desk):
        text = CLASSIFIER.replace("first", "block_0_").replace("second", "block_1_")
        model = nets.network(text)
        for node in model.graph.node:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    names[index] = name.replace("block_0_", "net[/x]/0").replace("block_1_", "a[b]")
        onnx.save(model, desk.folder / "odd.onnx")
        answer = desk("convert", "odd.onnx", "-o", "out.onnx", "--groups", 4, "--data", "fit.npz")
        assert (answer.code, answer.err.count("Traceback")) == (0, 0)
        assert "net[/x]/0" in answer.out
        assert "a[b]" in answer.out


def fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next temporary file hold 100 bytes, then none."""
    fdopen = os.fdopen

    def limited(handle: int, mode: str = "r", *rest: object, **more: object) -> object:
        file = fdopen(handle, mode, *rest, **more)
        if "w" not in mode:
            return file
        write = file.write

        def some(content: bytes) -> int:
            write(content[:100])
            file.flush()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return _Limited(file, some)

    monkeypatch.setattr(os, "fdopen", limited)


class _Limited:
    """A file whose `write` is another one."""

    def __init__(self, file: object, write: Callable[[bytes], int]) -> None:
        self._file, self.write = file, write

    def __enter__(self) -> _Limited:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def test_an_answer_that_is_refused_would_be_noticed():
    with pytest.raises(AssertionError):
        refused(Answer(2, "", "error: one\nerror: two\n"))
    with pytest.raises(AssertionError):
        refused(Answer(70, "", "error: one\n"))
