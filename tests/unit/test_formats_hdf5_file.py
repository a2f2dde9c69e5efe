"""What HDF5 can do beyond holding arrays: numbers from elsewhere, links, filters, names in pieces, bombs."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from conftest import Layer, random_layers, write_keras_h5
from keras_files import Change, changed, refused
from netproof.formats.keras import hdf5 as hdf5_file
from netproof.formats.keras.read import read_keras_h5

if TYPE_CHECKING:
    import h5py

KERNEL, BIAS = "dense_0/dense_0/kernel:0", "dense_0/dense_0/bias:0"


@pytest.fixture
def layers() -> list[Layer]:
    return random_layers((4, 5, 3), seed=3)


@pytest.fixture
def good(tmp_path: Path, layers: list[Layer]) -> Path:
    return write_keras_h5(tmp_path / "good.h5", layers)


# -- numbers that lie elsewhere


def external_storage(file: h5py.File) -> None:
    del file[KERNEL]
    raw = Path(file.filename).with_name("elsewhere.bin")
    raw.write_bytes(np.ones((4, 5), "f4").tobytes())
    file.create_dataset(KERNEL, (4, 5), "f4", external=[(str(raw), 0, 80)])


def virtual(file: h5py.File) -> None:
    import h5py

    del file[KERNEL]
    layout = h5py.VirtualLayout((4, 5), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (4, 5))
    file.create_virtual_dataset(KERNEL, layout)


def virtual_without_end(file: h5py.File) -> None:
    """Its shape is that of files which have to be opened to be told."""
    import h5py

    del file[KERNEL]
    space = h5py.h5s.create_simple((0, 5), (h5py.h5s.UNLIMITED, 5))
    source = h5py.h5s.create_simple((0, 5), (h5py.h5s.UNLIMITED, 5))
    for one in (space, source):
        one.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (1, 5), (1, 5))
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_virtual(space, b"elsewhere.h5", b"x", source)
    h5py.h5d.create(file["dense_0/dense_0"].id, b"kernel:0", h5py.h5t.IEEE_F32LE, space, plist)


def soft(name: str, target: str) -> Change:
    def change(file: h5py.File) -> None:
        import h5py

        if name in file:
            del file[name]
        file[name] = h5py.SoftLink(target)

    return change


def to_another_file(file: h5py.File) -> None:
    import h5py

    del file["dense_1"]
    file["dense_1"] = h5py.ExternalLink("elsewhere.h5", "/dense_1")


def same_object(name: str, other: str) -> Change:
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = file[other]

    return change


def named_type(file: h5py.File) -> None:
    file["dense_0/type"] = np.dtype("f4")


def of_named_type(file: h5py.File) -> None:
    import h5py

    del file[KERNEL]
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.commit(file.id, b"kind")
    space = h5py.h5s.create_simple((4, 5))
    made = h5py.h5d.create(file["dense_0/dense_0"].id, b"kernel:0", kind, space)
    h5py.Dataset(made)[...] = np.ones((4, 5))
    del file["kind"]  # the type stays, for the dataset has it


def references(file: h5py.File) -> None:
    import h5py

    del file[KERNEL]
    made = file.create_dataset(KERNEL, (4, 5), h5py.ref_dtype)
    made[...] = file.ref


def odd_float(file: h5py.File) -> None:
    import h5py

    del file[KERNEL]
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(31, 23, 8, 0, 23)
    kind.set_ebias(120)
    made = h5py.h5d.create(file["dense_0/dense_0"].id, b"kernel:0", kind, h5py.h5s.create_simple((4, 5)))
    h5py.Dataset(made)[...] = np.ones((4, 5), "f4")


def replaced(name: str, data: Any, **options: Any) -> Change:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, data=data, **options)

    return change


def group_of_no_layer(file: h5py.File) -> None:
    file.create_group("top_level_model_weights").attrs["weight_names"] = ["scale"]


def parts(file: h5py.File) -> None:
    file.create_group("dense_0/inner").attrs["layer_names0"] = ["x"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (external_storage, f"'{KERNEL}' keeps its numbers in other files"),
        (virtual, f"'{KERNEL}' is put together from other datasets (a virtual dataset)"),
        (virtual_without_end, f"'{KERNEL}' is put together from other datasets (a virtual dataset)"),
        (soft(KERNEL, "/dense_1"), f"'{KERNEL}' is a link elsewhere in the file"),
        (soft("dense_1", "/dense_1"), "'dense_1' is a link elsewhere in the file"),
        (soft("beside", "/nowhere"), "'beside' is a link elsewhere in the file"),
        (to_another_file, "'dense_1' is a link to another file"),
        (same_object("dense_1", "dense_0"), "'dense_1' is the same object as 'dense_0'"),
        (same_object(BIAS, "dense_1/dense_1/bias:0"), "is the same object as"),
        (same_object("dense_0/circle", "dense_0"), "'dense_0/circle' is the same object as 'dense_0'"),
        (same_object("dense_0/circle", "/"), "'dense_0/circle' is the same object as '/'"),
        (named_type, "'dense_0/type' is a named type"),
        (of_named_type, "layer 'dense_0': its kernel is of a named type"),
        (references, "layer 'dense_0': its kernel is object, not floating point"),
        (odd_float, "layer 'dense_0': its kernel is of a floating-point type other than IEEE's"),
        (replaced(KERNEL, np.ones((4, 5), np.longdouble)), "of a floating-point type other than IEEE's"),
        (replaced(KERNEL, np.ones((4, 5), "f4"), compression="lzf"), "its kernel is stored by the filter 32000 'lzf'"),
        (replaced(KERNEL, np.ones((4, 5), "f4"), scaleoffset=2), "its kernel is stored by the filter 6 'scaleoffset'"),
        (replaced("dense_0/extra", np.ones(3)), "which none of its layers names"),
        (replaced("dense_0/dense_0/extra", np.ones(3)), "holds 'dense_0/dense_0/extra', which none of its layers names"),
        (replaced("dense_9/kernel:0", np.ones((3, 3))), "holds 'dense_9/kernel:0', which none of its layers names"),
        (group_of_no_layer, "'top_level_model_weights' names weights, and is none of the layers"),
        (parts, "'dense_0/inner' lists layers of its own"),
    ],
)  # fmt: skip
def test_refused(good: Path, change: Change, problem: str) -> None:
    def made(file: h5py.File) -> None:
        # What `replaced` deletes has to be there.
        for name in ("dense_0/extra", "dense_0/dense_0/extra", "dense_9/kernel:0"):
            if problem.endswith("none of its layers names"):
                file[name] = 0.0
        change(file)
        for name in ("dense_0/extra", "dense_0/dense_0/extra", "dense_9/kernel:0"):
            if name in file and file[name].shape == ():
                del file[name]

    refused(changed(good, made), problem)


def test_links_in_groups_of_the_newer_kind(good: Path) -> None:
    import h5py

    with h5py.File(good, "r+", libver="latest") as file:
        file.create_group("new_style")["beside"] = h5py.SoftLink("/nowhere-at-all")
    refused(good, "'new_style/beside' is a link elsewhere in the file")


def test_nothing_is_opened_that_the_file_points_to(good: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not even where what it points to is there, and in order."""
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    other = write_keras_h5(tmp_path / "elsewhere.h5", random_layers((4, 5, 3), seed=4))
    (tmp_path / "deep" / "elsewhere.h5").write_bytes(other.read_bytes())
    refused(changed(good, to_another_file), "is a link to another file")


# -- names in pieces


def pieces(holder: str, attribute: str, *names: list[str], first: int = 0) -> Change:
    def change(file: h5py.File) -> None:
        attributes = file[holder].attrs if holder else file.attrs
        del attributes[attribute]
        for number, some in enumerate(names, first):
            attributes[f"{attribute}{number}"] = np.array(some, "S")

    return change


def test_names_in_pieces_are_read_as_keras_does(good: Path, tmp_path: Path, layers: list[Layer]) -> None:
    whole = read_keras_h5(good)
    changed(good, pieces("", "layer_names", ["dense_0"], ["dense_1"]))
    changed(good, pieces("dense_0", "weight_names", ["dense_0/kernel:0"], ["dense_0/bias:0"]))
    again = read_keras_h5(good)
    assert len(again.graph.nodes) == len(whole.graph.nodes)
    for left, right in zip(again.graph.nodes, whole.graph.nodes, strict=True):
        for (_, a), (_, b) in zip(left.operator.parameters(), right.operator.parameters(), strict=True):
            assert a.equal(b)


def test_eleven_pieces_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    sizes = list(range(3, 16))
    path = write_keras_h5(tmp_path / "deep.h5", random_layers(sizes, seed=1))
    changed(path, pieces("", "layer_names", *([f"dense_{number}"] for number in range(12))))
    shapes = [node.shape[0] for node in read_keras_h5(path).graph.nodes[1::2]]
    assert shapes == sizes[1:]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (pieces("", "layer_names", ["dense_0"], first=1), "has the attribute 'layer_names1' and not all"),
        (pieces("dense_0", "weight_names", ["a"], ["b"], first=2), "has the attribute 'weight_names3' and not all"),
        (pieces("", "layer_names"), "has no attribute 'layer_names'"),
        (pieces("dense_0", "weight_names", ["dense_0/kernel:0"]), "not a kernel and a bias"),
    ],
)
def test_pieces_that_are_missing(good: Path, change: Change, problem: str) -> None:
    refused(changed(good, change), problem)


def test_a_mixture_of_both_forms(good: Path) -> None:
    def change(file: h5py.File) -> None:
        file["dense_1"].attrs["weight_names0"] = np.array(["x"], "S")

    refused(changed(good, change), "has names both in the attribute 'weight_names' and in 'weight_names0'")


def test_layers_listed_in_two_places(good: Path) -> None:
    def change(file: h5py.File) -> None:
        file.create_group("model_weights").attrs["layer_names"] = np.array(["a"], "S")

    refused(changed(good, change), "lists layers both at its top and under 'model_weights'")


def test_a_whole_model_may_hold_its_optimizer_and_nothing_else(good: Path, tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as model, h5py.File(good, "r") as file:
        file.copy("/", model, "model_weights")
        model["optimizer_weights/iteration"] = np.arange(3)
        model["model_weights"].create_group("top_level_model_weights").attrs["weight_names"] = np.array([])
    assert read_keras_h5(path).outputs == 3
    with h5py.File(path, "r+") as model:
        model["other"] = np.arange(3)
    refused(path, "holds 'other' beside its weights")


@pytest.mark.parametrize("name", ["activation", "softmax", "max_pooling2d", "lambda_1", "re_lu", "dropouts", "tanh"])
def test_a_layer_without_weights_that_nothing_explains(good: Path, name: str) -> None:
    def change(file: h5py.File) -> None:
        file.create_group(name)
        file.attrs["layer_names"] = np.array(["dense_0", "dense_1", name], "S")

    refused(changed(good, change), f"its layer '{name}' has no weights, and nothing says what it does")


def test_layers_without_weights_that_do_nothing(good: Path) -> None:
    def change(file: h5py.File) -> None:
        names = ["input_1", "flatten", "dense_0", "re_lu_1", "dropout_3", "dense_1", "dropout"]
        for name in names:
            file.require_group(name)
        file.attrs["layer_names"] = np.array(names, "S")

    assert read_keras_h5(changed(good, change)).outputs == 3


# -- sizes


@pytest.mark.parametrize("what", ["one", "many"])
def test_weights_beyond_the_size_of_their_file(tmp_path: Path, what: str) -> None:
    import h5py

    extent = 2200 if what == "one" else 1100
    with h5py.File(tmp_path / "big.h5", "w") as file:
        names = [f"d{number}" for number in range(1 if what == "one" else 4)]
        file.attrs["layer_names"] = names
        for name in names:
            group = file.create_group(name)
            group.attrs["weight_names"] = ["k", "b"]
            group.create_dataset("k", (extent, extent), "f4", data=np.zeros((extent, extent), "f4"), compression="gzip")
            group.create_dataset("b", data=np.zeros(extent, "f4"))
    refused(tmp_path / "big.h5", f"layer '{names[-1]}' claims {extent**2} weights, in a file of")


def chunk(file: h5py.File, stored: bytes, mask: int = 0) -> None:
    file[KERNEL].id.write_direct_chunk((0, 0), stored, mask)


@pytest.mark.parametrize("unpacked", [0, 79, 81, 1 << 24])
def test_a_piece_that_unpacks_to_another_length(good: Path, unpacked: int) -> None:
    changed(good, replaced(KERNEL, np.ones((4, 5), "f4"), compression="gzip", chunks=(4, 5)))
    read_keras_h5(good)
    changed(good, lambda file: chunk(file, zlib.compress(bytes(unpacked))))
    refused(good, "layer 'dense_0': its kernel has a piece that is not 80 bytes")


@pytest.mark.parametrize("stored", [b"no stream", zlib.compress(bytes(80))[:-5]])
def test_a_piece_that_is_no_stream(good: Path, stored: bytes) -> None:
    changed(good, replaced(KERNEL, np.ones((4, 5), "f4"), compression="gzip", chunks=(4, 5)))
    changed(good, lambda file: chunk(file, stored))
    refused(good, "its kernel ")


def test_a_piece_whose_filters_were_left_out(good: Path) -> None:
    changed(good, replaced(KERNEL, np.ones((4, 5), "f4"), compression="gzip", chunks=(4, 5)))
    changed(good, lambda file: chunk(file, np.ones((4, 5), "f4").tobytes(), mask=1))
    refused(good, "has a piece that is not 80 bytes")


def test_pieces_beyond_any_need(good: Path) -> None:
    def change(file: h5py.File) -> None:
        del file[KERNEL]
        made = file.create_dataset(KERNEL, (4, 5), "f4", maxshape=(None, None), chunks=(1 << 12, 1 << 11))
        assert made.id.get_num_chunks() == 0

    refused(changed(good, change), f"its kernel claims pieces of {1 << 23} numbers")


def test_checksums_and_shuffling_are_undone(good: Path, layers: list[Layer]) -> None:
    before = read_keras_h5(good).graph.nodes[1].operator.parameters()
    for options in ({"fletcher32": True}, {"shuffle": True}, {"compression": 9, "fletcher32": True, "shuffle": True}):
        changed(good, replaced(KERNEL, layers[0][0], chunks=(3, 2), **options))
        after = read_keras_h5(good).graph.nodes[1].operator.parameters()
        assert all(a.equal(b) for (_, a), (_, b) in zip(before, after, strict=True))


def test_filters_twice(good: Path) -> None:
    import h5py

    def change(file: h5py.File) -> None:
        del file[KERNEL]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4, 5))
        plist.set_deflate(9)
        plist.set_deflate(9)
        space = h5py.h5s.create_simple((4, 5))
        made = h5py.h5d.create(file["dense_0/dense_0"].id, b"kernel:0", h5py.h5t.IEEE_F32LE, space, plist)
        h5py.Dataset(made)[...] = np.ones((4, 5))

    refused(changed(good, change), "its kernel is stored by filters in an unusual order")


@pytest.mark.parametrize("dtype", ["S40000", "str"])
def test_names_that_would_fill_the_memory(good: Path, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    import h5py

    def change(file: h5py.File) -> None:
        kind = h5py.string_dtype() if dtype == "str" else dtype
        file["dense_0"].attrs.create("weight_names", np.array(["x" * 40000], object), dtype=kind)

    changed(good, change)
    refused(good, "is named and not there")
    monkeypatch.setattr(hdf5_file, "_LARGEST_ATTRIBUTE", 39999)
    # The longest string in the file may be any of its strings.
    refused(good, "its attribute 'layer_names' claims 2" if dtype == "str" else "its attribute 'weight_names' claims 1")


def test_more_objects_than_a_network_has(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_file, "_MOST_OBJECTS", 9)
    read_keras_h5(good)
    monkeypatch.setattr(hdf5_file, "_MOST_OBJECTS", 8)
    refused(good, "holds more than 8 groups and datasets")
