"""What a model is fed: every kind of data source, and what is said of those that do not fit."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gconvtool.errors import InputError, MissingError
from gconvtool.facts import Input
from gconvtool.runtime import inputs
from gconvtool.runtime.inputs import Batch, Data, ImageOptions

MAPS = (Input("image", "float32", ("N", 3, 4, 4)),)
TWO = (Input("left", "float32", ("N", 2)), Input("right", "int64", ("N", 3)))
GREY = (Input("image", "float32", ("N", 1, 4, 6)),)
COLOUR = (Input("image", "float32", ("N", 3, 4, 6)),)
LAST = (Input("image", "float32", ("N", 4, 6, 3)),)
RATED = (Input("rate", "int64", ()), Input("sound", "float32", ("N", 4)))
OPEN = (Input("image", "float32", ("N", 3, "H", "W")),)


def maps(count: int = 5, seed: int = 0) -> np.ndarray:
    """Samples for MAPS."""
    return np.random.default_rng(seed).standard_normal((count, 3, 4, 4)).astype(np.float32)


def saved(path: Path, **arrays: object) -> str:
    """An .npz with these arrays."""
    np.savez(path, **arrays)
    return str(path)


def objection(source: object, wanted: tuple[Input, ...] = MAPS, *options: ImageOptions) -> str:
    """What is said against a source: one line that names it."""
    with pytest.raises(InputError) as caught:
        inputs.load(str(source), wanted, *options)
    said = str(caught.value)
    assert "\n" not in said
    return said


class TestArrays:
    def test_an_npz_goes_by_the_names_of_the_inputs(self, tmp_path):
        left, right = np.ones((4, 2), np.float32), np.arange(12).reshape(4, 3)
        data = inputs.load(saved(tmp_path / "d.npz", right=right, left=left), TWO)
        assert list(data.feeds) == ["left", "right"]
        np.testing.assert_array_equal(data.feeds["left"], left)
        np.testing.assert_array_equal(data.feeds["right"], right)
        assert len(data) == 4
        assert data.source == str(tmp_path / "d.npz")
        assert data.labels is None
        assert data.target is None

    def test_a_compressed_npz_is_one(self, tmp_path):
        np.savez_compressed(tmp_path / "d.npz", image=maps())
        data = inputs.load(str(tmp_path / "d.npz"), MAPS)
        np.testing.assert_array_equal(data.feeds["image"], maps())

    def test_an_npy_is_for_the_only_input(self, tmp_path):
        np.save(tmp_path / "d.npy", maps())
        data = inputs.load(str(tmp_path / "d.npy"), MAPS)
        np.testing.assert_array_equal(data.feeds["image"], maps())
        said = objection(tmp_path / "d.npy", TWO)
        assert "left, right" in said
        assert ".npz" in said

    @pytest.mark.parametrize("kind", ["npz", "npy", "mixed"])
    def test_a_folder_is_joined_in_the_order_of_its_names(self, tmp_path, kind):
        for index in (2, 0, 1):
            if kind == "npy" or (kind == "mixed" and index == 1):
                np.save(tmp_path / f"{index}.npy", maps(2, index))
            else:
                np.savez(tmp_path / f"{index}.npz", image=maps(2, index))
        (tmp_path / "notes.txt").write_text("not data")
        data = inputs.load(str(tmp_path), MAPS)
        expected = np.concatenate([maps(2, index) for index in range(3)])
        np.testing.assert_array_equal(data.feeds["image"], expected)

    def test_labels_and_targets_come_along(self, tmp_path):
        labels, target = np.arange(5, dtype=np.uint8), np.ones((5, 7))
        source = saved(tmp_path / "d.npz", image=maps(), labels=labels, target=target)
        data = inputs.load(source, MAPS)
        np.testing.assert_array_equal(data.labels, labels)
        np.testing.assert_array_equal(data.target, target)
        some = data.take(slice(1, 3))
        assert len(some) == 2
        np.testing.assert_array_equal(some.labels, [1, 2])
        assert some.target.shape == (2, 7)

    @pytest.mark.parametrize("name", ["labels", "target"])
    def test_an_input_may_be_called_like_an_extra(self, tmp_path, name):
        wanted = (Input(name, "float32", ("N", 2)),)
        source = saved(tmp_path / "d.npz", **{name: np.ones((4, 2), np.float32)})
        data = inputs.load(source, wanted)
        np.testing.assert_array_equal(data.feeds[name], np.ones((4, 2)))
        assert data.labels is None
        assert data.target is None

    def test_a_fixed_batch_is_no_limit_to_the_samples(self, tmp_path):
        fixed = (Input("image", "float32", (1, 3, 4, 4)),)
        assert len(inputs.load(saved(tmp_path / "d.npz", image=maps(7)), fixed)) == 7

    def test_an_input_of_unknown_rank_takes_any_shape(self, tmp_path):
        free = (Input("image", "float32", None),)
        assert len(inputs.load(saved(tmp_path / "d.npz", image=maps()), free)) == 5


class TestTypes:
    @pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "bool", "float16", "float64"])
    def test_integers_and_other_floats_become_the_inputs_type(self, tmp_path, dtype):
        numbers = np.arange(5 * 48).reshape(5, 3, 4, 4) % 2
        source = saved(tmp_path / "d.npz", image=numbers.astype(dtype))
        feed = inputs.load(source, MAPS).feeds["image"]
        assert feed.dtype == np.float32
        np.testing.assert_array_equal(feed, numbers)

    @pytest.mark.parametrize("dtype", ["complex64", "U3", "M8[s]"])
    def test_what_is_no_number_is_refused(self, tmp_path, dtype):
        source = saved(tmp_path / "d.npz", image=np.zeros((5, 3, 4, 4), dtype))
        assert "float32" in objection(source)

    def test_objects_are_never_unpickled(self, tmp_path):
        source = saved(tmp_path / "d.npz", image=np.array([Path("x")], dtype=object))
        assert source in objection(source)

    def test_floats_do_not_become_integers(self, tmp_path):
        wanted = (Input("ids", "int64", ("N", 2)),)
        said = objection(saved(tmp_path / "d.npz", ids=np.full((3, 2), 0.5)), wanted)
        assert "float64" in said
        assert "int64" in said

    @pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
    def test_numbers_that_are_none_are_refused(self, tmp_path, odd):
        image = maps()
        image[3, 1, 2, 0] = odd
        image[4, 0, 0, 0] = odd
        said = objection(saved(tmp_path / "d.npz", image=image))
        assert "image holds NaN or infinite numbers, first in sample 3 " in said

    def test_floats_that_do_not_fit_are_refused(self, tmp_path):
        source = saved(tmp_path / "d.npz", image=np.full((5, 3, 4, 4), 1e300))
        assert "float32" in objection(source)

    def test_integers_that_do_not_fit_are_refused(self, tmp_path):
        wanted = (Input("ids", "uint8", ("N", 2)),)
        for number in (256, -1):
            source = saved(tmp_path / "d.npz", ids=np.full((3, 2), number))
            assert "uint8" in objection(source, wanted)


class TestRefusals:
    def test_a_missing_array_is_told_with_what_is_there(self, tmp_path):
        said = objection(saved(tmp_path / "d.npz", picture=maps(), labels=np.arange(5)))
        assert [word in said for word in ("image", "picture", "labels")] == [True] * 3

    def test_an_array_too_many_is_told_with_the_inputs(self, tmp_path):
        said = objection(saved(tmp_path / "d.npz", image=maps(), mask=maps()))
        assert "mask" in said
        assert "image" in said

    @pytest.mark.parametrize("shape", [(5, 2, 4, 4), (3, 4, 4), (5, 3, 4, 4, 1), (5, 48)])
    def test_another_shape_is_told_with_the_wanted_one(self, tmp_path, shape):
        said = objection(saved(tmp_path / "d.npz", image=np.zeros(shape, np.float32)))
        assert "×".join(map(str, shape)) in said
        assert "N×3×4×4" in said

    def test_a_single_number_is_no_sample(self, tmp_path):
        assert "image" in objection(saved(tmp_path / "d.npz", image=np.float32(3)))
        np.save(tmp_path / "d.npy", np.float32(3))
        assert "image" in objection(tmp_path / "d.npy", (Input("image", "float32", None),))

    def test_no_samples_are_no_data(self, tmp_path):
        assert "no samples" in objection(saved(tmp_path / "d.npz", image=maps(0)))

    def test_nothing_is_no_data(self, tmp_path):
        assert "image" in objection(saved(tmp_path / "d.npz"))

    def test_arrays_of_different_lengths_are_told(self, tmp_path):
        said = objection(saved(tmp_path / "d.npz", image=maps(5), labels=np.arange(4)))
        assert "5" in said
        assert "4" in said

    @pytest.mark.parametrize(
        "labels", [np.arange(5.0), np.zeros((5, 1), int), np.array(list("abcde")), np.ones(5, bool)]
    )
    def test_labels_are_one_class_number_a_sample(self, tmp_path, labels):
        assert "labels" in objection(saved(tmp_path / "d.npz", image=maps(), labels=labels))

    def test_labels_below_zero_are_no_classes(self, tmp_path):
        source = saved(tmp_path / "d.npz", image=maps(), labels=np.array([0, 1, -1, 2, 3]))
        assert "labels" in objection(source)

    @pytest.mark.parametrize(
        "target", [np.array(list("abcde")), np.full(5, 1j), np.full((5, 2), np.nan)]
    )
    def test_targets_are_finite_numbers(self, tmp_path, target):
        assert "target" in objection(saved(tmp_path / "d.npz", image=maps(), target=target))

    @pytest.mark.parametrize("name", ["d.npz", "d.npy"])
    @pytest.mark.parametrize(
        "content", [b"", b"no such thing", b"PK\x03\x04", b"\x93NUMPY\x01\x00"]
    )
    def test_a_file_that_is_not_what_its_name_says(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        assert name in objection(tmp_path / name)

    def test_an_archive_of_other_things_is_no_npz(self, tmp_path):
        for member in ("image", "image.txt"):
            with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
                archive.writestr(member, "text")
            assert "d.npz" in objection(tmp_path / "d.npz")

    @pytest.mark.parametrize("name", ["d.csv", "d.onnx", "d"])
    def test_another_kind_of_file_is_told_what_goes(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"1,2,3")
        said = objection(tmp_path / name)
        assert ".npz" in said
        assert ".npy" in said

    def test_what_is_not_there_is_told(self, tmp_path):
        assert "no such" in objection(tmp_path / "d.npz")

    def test_an_empty_folder_is_told_what_goes(self, tmp_path):
        assert ".npz" in objection(tmp_path)

    def test_files_of_a_folder_must_hold_the_same_arrays(self, tmp_path):
        saved(tmp_path / "a.npz", image=maps())
        saved(tmp_path / "b.npz", image=maps(), labels=np.arange(5))
        assert "same arrays" in objection(tmp_path)

    def test_files_of_a_folder_must_fit_together(self, tmp_path):
        saved(tmp_path / "a.npz", image=maps())
        saved(tmp_path / "b.npz", image=maps()[:, :2])
        assert str(tmp_path) in objection(tmp_path)

    @pytest.mark.parametrize("rate", [16000, [16000], [16000] * 5])
    def test_a_scalar_is_one_number_for_all_samples(self, tmp_path, rate):
        data = inputs.load(saved(tmp_path / "d.npz", rate=rate, sound=np.ones((5, 4))), RATED)
        assert len(data) == 5
        for part in (data, data.take(slice(2)), *(Data("", b) for b in data.batches(Batch(2)))):
            assert part.feeds["rate"].shape == ()
            assert part.feeds["rate"] == 16000
        assert [len(batch["sound"]) for batch in data.batches(Batch(2))] == [2, 2, 1]
        assert inputs.shapes(data.feeds, 3) == {"rate": (), "sound": (3, 4)}

    def test_a_scalar_may_be_in_every_file_of_a_folder(self, tmp_path):
        for name in ("a.npz", "b.npz"):
            saved(tmp_path / name, rate=8000, sound=np.ones((5, 4)))
        data = inputs.load(str(tmp_path), RATED)
        assert (len(data), data.feeds["rate"]) == (10, 8000)
        saved(tmp_path / "c.npz", rate=16000, sound=np.ones((5, 4)))
        assert "one number for all samples" in objection(tmp_path, RATED)

    def test_samples_cannot_be_one_number(self, tmp_path):
        path = saved(tmp_path / "d.npz", rate=1, sound=3.0)
        assert "sound is a single number" in objection(path, RATED)


def archive(compressed: bool) -> bytes:
    """The bytes of an .npz."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, image=np.ones((5, 3, 4, 4), "f4"))
    return buffer.getvalue()


def plain() -> bytes:
    """The bytes of an .npy."""
    buffer = io.BytesIO()
    np.save(buffer, np.ones((5, 3, 4, 4), "f4"))
    return buffer.getvalue()


WHOLE = {"stored.npz": archive(False), "deflated.npz": archive(True), "plain.npy": plain()}
PLACES = st.integers(0, 10**6)


def outcome(path: Path) -> Data | str:
    """The data of a file, or what is said against it."""
    try:
        return inputs.load(str(path), MAPS)
    except InputError as error:
        return str(error)


@given(name=st.sampled_from(sorted(WHOLE)), place=PLACES, mask=st.integers(1, 255))
def test_a_damaged_byte_is_refused_or_does_no_harm(tmp_path_factory, name, place, mask):
    content = bytearray(WHOLE[name])
    content[place % len(content)] ^= mask
    path = tmp_path_factory.getbasetemp() / f"damaged-{name}"
    path.write_bytes(content)
    answer = outcome(path)
    if isinstance(answer, str):
        assert str(path) in answer
    else:
        assert answer.feeds["image"].shape == (len(answer), 3, 4, 4)


@given(name=st.sampled_from(sorted(WHOLE)), place=PLACES)
def test_a_file_that_was_cut_off_is_refused(tmp_path_factory, name, place):
    path = tmp_path_factory.getbasetemp() / f"cut-{name}"
    path.write_bytes(WHOLE[name][: place % len(WHOLE[name])])
    assert path.name in objection(path)


def picture(
    path: Path, size: tuple[int, int] = (6, 4), mode: str = "RGB", seed: int = 0
) -> np.ndarray:
    """An image file of width × height random pixels; returns them as height × width × channels."""
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), np.uint8)
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode=None).save(path)
    return pixels


class TestImages:
    def test_pixels_come_channels_first_in_the_order_of_the_names(self, tmp_path):
        pixels = [picture(tmp_path / f"{name}.png", seed=i) for i, name in enumerate("abc")]
        data = inputs.load(str(tmp_path), COLOUR)
        assert data.feeds["image"].dtype == np.float32
        np.testing.assert_array_equal(data.feeds["image"], np.transpose(pixels, (0, 3, 1, 2)))

    def test_pixels_come_channels_last_where_the_model_wants_them_so(self, tmp_path):
        pixels = picture(tmp_path / "a.bmp")
        np.testing.assert_array_equal(inputs.load(str(tmp_path), LAST).feeds["image"][0], pixels)

    def test_the_layout_can_be_told(self, tmp_path):
        picture(tmp_path / "a.png", (3, 3))
        cube = (Input("image", "float32", ("N", 3, 3, 3)),)
        first, last = (
            inputs.load(str(tmp_path), cube, ImageOptions(layout=layout)).feeds["image"][0]
            for layout in ("nchw", "nhwc")
        )
        np.testing.assert_array_equal(np.moveaxis(first, 0, -1), last)
        assert not np.array_equal(first, last)

    def test_a_grey_model_sees_grey(self, tmp_path):
        pixels = picture(tmp_path / "a.png", mode="L")
        data = inputs.load(str(tmp_path), GREY)
        np.testing.assert_array_equal(data.feeds["image"][0, 0], pixels[..., 0])

    def test_colours_are_averaged_for_a_grey_model(self, tmp_path):
        pixels = picture(tmp_path / "a.png").astype(float)
        grey = pixels @ [0.299, 0.587, 0.114]
        seen = inputs.load(str(tmp_path), GREY).feeds["image"][0, 0]
        np.testing.assert_allclose(seen, grey, atol=1)

    def test_a_grey_image_fills_all_channels(self, tmp_path):
        pixels = picture(tmp_path / "a.png", mode="L")
        seen = inputs.load(str(tmp_path), COLOUR).feeds["image"][0]
        np.testing.assert_array_equal(seen, np.repeat(np.moveaxis(pixels, -1, 0), 3, axis=0))

    def test_images_are_resized_to_the_models_size(self, tmp_path):
        Image.new("RGB", (31, 17), (10, 20, 30)).save(tmp_path / "a.png")
        seen = inputs.load(str(tmp_path), COLOUR).feeds["image"]
        assert seen.shape == (1, 3, 4, 6)
        np.testing.assert_array_equal(seen[0, :, 2, 3], [10, 20, 30])

    def test_an_open_size_is_that_of_the_images(self, tmp_path):
        for name in "ab":
            picture(tmp_path / f"{name}.png", (7, 5))
        assert inputs.load(str(tmp_path), OPEN).feeds["image"].shape == (2, 3, 5, 7)

    def test_images_of_different_sizes_need_a_fixed_one(self, tmp_path):
        picture(tmp_path / "a.png", (7, 5))
        picture(tmp_path / "b.png", (6, 5))
        assert "different sizes" in objection(tmp_path, OPEN)
        assert len(inputs.load(str(tmp_path), COLOUR)) == 2

    @pytest.mark.parametrize("wanted", [COLOUR, LAST])
    def test_scale_then_mean_then_deviation(self, tmp_path, wanted):
        pixels = picture(tmp_path / "a.png")
        mean, std = (0.4, 0.5, 0.6), (0.1, 0.2, 0.4)
        options = ImageOptions(scale=1 / 255, mean=mean, std=std)
        seen = inputs.load(str(tmp_path), wanted, options).feeds["image"][0]
        expected = (pixels / 255 - mean) / std
        last = seen if wanted is LAST else np.moveaxis(seen, 0, -1)
        np.testing.assert_allclose(last, expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(
        ("wanted", "options"),
        [
            (COLOUR, ImageOptions(mean=(1.0, 2.0))),
            (COLOUR, ImageOptions(std=(1.0, 2.0))),
            (GREY, ImageOptions(mean=(1.0, 2.0, 3.0))),
            (OPEN, ImageOptions(std=(1.0, 2.0, 3.0, 4.0))),
        ],
    )
    def test_numbers_for_other_channels_are_refused(self, tmp_path, wanted, options):
        picture(tmp_path / "a.png")
        assert "channel" in objection(tmp_path, wanted, options)

    @pytest.mark.parametrize("shape", [("N", 3), ("N", 5, 4, 6), None, ("N", "C", "H", "W")])
    def test_a_model_that_takes_no_images_is_told(self, tmp_path, shape):
        picture(tmp_path / "a.png")
        assert "image" in objection(tmp_path, (Input("image", "float32", shape),))

    def test_images_are_for_one_input(self, tmp_path):
        picture(tmp_path / "a.png")
        assert "left, right" in objection(tmp_path, TWO)

    def test_a_file_that_is_no_image_is_named(self, tmp_path):
        (tmp_path / "a.png").write_text("no image")
        assert "a.png" in objection(tmp_path, COLOUR)

    def test_a_folder_called_like_an_image_is_none(self, tmp_path):
        (tmp_path / "a.png").mkdir()
        assert str(tmp_path) in objection(tmp_path, COLOUR)

    def test_without_pillow_it_is_told_what_to_install(self, tmp_path, monkeypatch):
        picture(tmp_path / "a.png")
        monkeypatch.setitem(sys.modules, "PIL", None)
        with pytest.raises(MissingError, match=r'pip install "gconvtool\[images\]"'):
            inputs.load(str(tmp_path), COLOUR)


@given(kind=st.sampled_from(["png", "jpeg", "bmp"]), place=PLACES)
def test_an_image_that_was_cut_off_is_named(tmp_path_factory, kind, place):
    folder = tmp_path_factory.getbasetemp() / f"cut-{kind}"
    folder.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    Image.linear_gradient("L").save(buffer, kind)
    whole = buffer.getvalue()
    path = folder / f"a.{kind}"
    path.write_bytes(whole[: place % (len(whole) - 16)])
    assert path.name in objection(folder, GREY)


READERS = """
import numpy as np
parts = [np.full((2, 3, 4, 4), i, np.float32) for i in range(3)]

class Reader:
    def __init__(self):
        self.rest = iter(parts)
    def get_next(self):
        part = next(self.rest, None)
        return None if part is None else {"image": part}

class Empty:
    def get_next(self):
        return None

class Bare(Reader):
    def get_next(self):
        return next(self.rest, None)

class Ragged(Reader):
    def get_next(self):
        part = super().get_next()
        return part and {"image": [[1.0], [2.0, 3.0]]}

class Numbers(Reader):
    def get_next(self):
        part = super().get_next()
        return part and {"image": 1.0}

class Other(Reader):
    def get_next(self):
        part = super().get_next()
        return part and {"picture": part["image"]}

class Failing:
    def get_next(self):
        raise RuntimeError("no disk\\nat all")

class Leaving:
    def get_next(self):
        raise SystemExit(0)

def make():
    return Reader()

ready = Reader()
number = 3
print("a word on stdout")
"""


class TestReaders:
    @pytest.fixture(autouse=True)
    def module(self, tmp_path, monkeypatch):
        """A module of readers in the working folder, new to this process."""
        (tmp_path / "my_readers.py").write_text(READERS, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        yield
        sys.modules.pop("my_readers", None)

    @pytest.mark.parametrize("name", ["Reader", "make", "ready"])
    def test_a_class_a_function_or_an_object_gives_all_its_parts(self, name):
        data = inputs.load(f"my_readers:{name}", MAPS)
        assert data.source == f"my_readers:{name}"
        np.testing.assert_array_equal(data.feeds["image"][:, 0, 0, 0], [0, 0, 1, 1, 2, 2])

    @pytest.mark.parametrize(
        ("name", "word"),
        [
            ("Empty", "nothing"),
            ("Failing", "no disk"),
            ("Other", "picture"),
            ("number", "get_next"),
            ("gone", "gone"),
            ("Bare", "dict"),
            ("Ragged", "image"),
            ("Numbers", "my_readers:Numbers"),
            ("Leaving", "SystemExit"),
            ("", "module:object"),
        ],
    )
    def test_what_goes_wrong_is_told(self, name, word):
        source = f"my_readers:{name}"
        said = objection(source)
        assert said.startswith(source)
        assert word in said

    def test_a_module_that_is_not_there_is_told(self):
        assert "no_such_module" in objection("no_such_module:Reader")

    def test_the_search_path_is_as_it_was(self):
        before = list(sys.path)
        inputs.load("my_readers:Reader", MAPS)
        objection("my_readers:gone")
        assert sys.path == before

    def test_what_a_reader_prints_stays_off_stdout(self, capfd):
        inputs.load("my_readers:Reader", MAPS)
        assert capfd.readouterr().out == ""

    def test_a_file_goes_before_a_module(self, tmp_path):
        np.savez(tmp_path / "my_readers:Reader.npz", image=maps())
        data = inputs.load("my_readers:Reader.npz", MAPS)
        np.testing.assert_array_equal(data.feeds["image"], maps())


@given(count=st.integers(2, 60), samples=st.integers(2, 80), seed=st.integers(0, 9))
def test_a_sample_is_fitted_to_or_judged_by_but_never_both(count, samples, seed):
    data = Data("d", {"x": np.arange(count)}, labels=np.arange(count))
    parts = inputs.split(data, samples, seed)
    fit, held, rest = (
        set(p.feeds["x"].tolist()) for p in (parts.fit, parts.held_out, parts.unused)
    )
    assert fit | held | rest == set(range(count))
    assert len(fit) + len(held) + len(rest) == count
    assert fit
    assert held
    assert len(fit) + len(held) == min(count, samples)
    assert len(held) == max(1, min(count, samples) // 5)
    for part in (parts.fit, parts.held_out, parts.unused):
        np.testing.assert_array_equal(part.feeds["x"], part.labels)


def test_a_split_is_its_seeds():
    data = Data("d", {"x": np.arange(100)})
    draws = [inputs.split(data, 50, seed).fit.feeds["x"].tolist() for seed in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]


@given(count=st.integers(1, 40), size=st.integers(1, 12), fixed=st.booleans())
def test_batches_are_the_samples_in_order(count, size, fixed):
    data = Data("d", {"x": np.arange(count), "y": -np.arange(count)})
    batches = list(data.batches(Batch(size, fixed)))
    joined = np.concatenate([np.empty(0, int), *(batch["x"] for batch in batches)])
    np.testing.assert_array_equal(joined, np.arange(count - count % size if fixed else count))
    assert all(np.array_equal(batch["x"], -batch["y"]) for batch in batches)
    lengths = [len(batch["x"]) for batch in batches]
    assert all(length == size for length in lengths[: None if fixed else -1])


@pytest.mark.parametrize(
    ("shapes", "batch"),
    [
        ([("N", 3, 4, 4)], Batch(32)),
        ([(None, 3, 4, 4)], Batch(32)),
        ([None], Batch(32)),
        ([(1, 3, 4, 4)], Batch(1, fixed=True)),
        ([(4, 3), (4, 2)], Batch(4, fixed=True)),
    ],
)
def test_the_batch_is_the_models_or_the_wanted_one(shapes, batch):
    assert inputs.batch([Input("x", "float32", shape) for shape in shapes], 32) == batch


class TestRandom:
    def test_floats_are_normal_and_truths_and_wide_integers_zero_or_one(self):
        feeds = inputs.random((*TWO, Input("flag", "bool", ("N",))), {}, 4000, seed=1).feeds
        assert feeds["left"].shape == (4000, 2)
        assert feeds["left"].dtype == np.float32
        assert abs(feeds["left"].mean()) < 0.05
        assert abs(feeds["left"].std() - 1) < 0.05
        assert feeds["right"].dtype == np.int64
        assert set(np.unique(feeds["right"])) == {0, 1}
        assert feeds["flag"].shape == (4000,)
        assert feeds["flag"].dtype == np.bool_
        assert 0.4 < feeds["flag"].mean() < 0.6

    @pytest.mark.parametrize(("dtype", "least", "most"), [("uint8", 0, 255), ("int8", -128, 127)])
    def test_bytes_take_all_values(self, dtype, least, most):
        drawn = inputs.random((Input("x", dtype, ("N", 8)),), {}, 4000, seed=1).feeds["x"]
        assert drawn.dtype == dtype
        assert (drawn.min(), drawn.max()) == (least, most)
        assert len(np.unique(drawn)) == 256

    @pytest.mark.parametrize("dtype", ["bool", "uint8", "int64"])
    def test_a_scalar_is_one_and_not_a_sample_each(self, dtype):
        wanted = (Input("flag", dtype, ()), Input("factor", "float32", ()), *MAPS)
        data = inputs.random(wanted, {}, 3, seed=0)
        assert len(data) == 3
        assert data.feeds["flag"].shape == data.feeds["factor"].shape == ()
        assert (data.feeds["flag"], data.feeds["flag"].dtype) == (1, dtype)
        assert data.feeds["factor"].dtype == np.float32

    def test_the_seed_decides(self):
        draws = [inputs.random(MAPS, {}, 3, seed).feeds["image"] for seed in (1, 1, 2)]
        np.testing.assert_array_equal(draws[0], draws[1])
        assert not np.array_equal(draws[0], draws[2])

    def test_open_dimensions_take_the_sizes_that_are_given(self):
        feeds = inputs.random(OPEN, {"H": 5, "W": 7, "N": 99}, 2, seed=0).feeds
        assert feeds["image"].shape == (2, 3, 5, 7)

    def test_a_dimension_that_stays_open_is_told(self):
        with pytest.raises(InputError, match=r"W.*--dim W=SIZE"):
            inputs.random(OPEN, {"H": 5}, 2, seed=0)

    def test_an_unknown_rank_is_told(self):
        with pytest.raises(InputError, match=r"--data"):
            inputs.random((Input("x", "float32", None),), {}, 2, seed=0)
