"""TinyImageNet's archive, folders of images, IDX pairs: good ones, and every way they can be bad."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest

from conftest import write_idx
from image_archives import encoded, random_images, tiny_imagenet_members, zip_file
from netproof.errors import FormatError, InputError
from netproof.formats.images.archives import tiny_imagenet
from netproof.formats.images.archives.tiny_imagenet import read_tiny_imagenet
from netproof.formats.images.decode import decode_image
from netproof.formats.images.folder import read_image_folder
from netproof.formats.images.pictures import read_pictures
from netproof.formats.images.sources import read_image_set

CLASSES = ["n02000002", "n01000001"]
LARGE = random_images(5, (3, 64, 64))


def members():
    """Images as PNG, which decoding gives back as they are (the published ones are JPEG)."""
    files = [encoded(image) for image in LARGE]
    return tiny_imagenet_members(
        CLASSES,
        {"n01000001/n01000001_0.JPEG": files[0], "n02000002/n02000002_0.JPEG": files[1]},
        {
            "val_2.JPEG": ("n01000001", files[2]),
            "val_10.JPEG": ("n01000001", files[3]),
            "val_0.JPEG": ("n02000002", files[4]),
        },
    )


def changed(path, **changes):
    content = members()
    for name, data in changes.items():
        (key,) = [key for key in content if name in key.replace(".", "_")]
        del content[key]
        if data is not None:
            content[key] = data
    return zip_file(path / "tiny-imagenet-200.zip", content)


def test_validation_images_come_by_class_and_by_name(tmp_path):
    found = read_tiny_imagenet(changed(tmp_path), check=False)
    assert found.classes == ("n01000001", "n02000002")
    # As text, val_10 comes before val_2.
    assert found.labels.tolist() == [0, 0, 1]
    assert np.array_equal(found.images, LARGE[[3, 2, 4], :, 4:60, 4:60])


def test_training_images_and_other_crops(tmp_path):
    found = read_tiny_imagenet(changed(tmp_path), "train", crop=64, check=False)
    assert found.labels.tolist() == [0, 1] and np.array_equal(found.images, LARGE[:2])
    for crop in (0, 65, -1):
        with pytest.raises(InputError, match="no centre"):
            read_tiny_imagenet(changed(tmp_path), crop=crop, check=False)


def test_jpeg_files_are_read(tmp_path):
    smooth = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None] * 3, (3, 64, 64))
    path = changed(tmp_path, val_0_JPEG=encoded(np.ascontiguousarray(smooth), "JPEG"))
    found = read_tiny_imagenet(path, check=False)
    assert np.abs(found.images[2].astype(int) - smooth[:, 4:60, 4:60]).max() <= 4


def test_the_published_hash_is_asked_for(tmp_path):
    with pytest.raises(FormatError, match="not that of the published TinyImageNet archive"):
        read_tiny_imagenet(changed(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wnids": None}, "no member tiny-imagenet-200/wnids.txt"),
        ({"wnids": b""}, "no list of different WordNet ids"),
        ({"wnids": b"n01000001\nn01000001\n"}, "no list of different"),
        ({"wnids": b"../../etc\n"}, "no list of different"),
        ({"annotations": b"val_0.JPEG\tn09999999\t0\n"}, "line 1 of its val_annotations.txt"),
        ({"annotations": b"../../val_0.JPEG\tn01000001\t0\n"}, "line 1 of its val_annotations.txt"),
        ({"annotations": b"val_0.JPEG\tn01000001\nval_0.JPEG\tn01000001\n"}, "an image twice"),
        ({"annotations": b""}, "has no val images"),
        ({"annotations": b"val_10.JPEG\tn01000001\n"}, "does not list 'tiny-imagenet-200/val/images/val_"),
        ({"val_10": None}, "no member tiny-imagenet-200/val/images/val_10.JPEG"),
        ({"val_10": b"text"}, "val_10.JPEG: is no image"),
        ({"val_10": encoded(LARGE[0])[:3000]}, "val_10.JPEG: is a damaged image"),
        ({"val_10": encoded(LARGE[0][:, :32])}, "is an image of 64x32 pixels, not 64x64"),
        ({"val_10": encoded(LARGE[0]) + bytes(1 << 19)}, "val_10.JPEG is larger than"),
    ],
)
def test_wrong_contents_are_refused(tmp_path, changes, message):
    with pytest.raises(FormatError, match=message):
        read_tiny_imagenet(changed(tmp_path, **changes), check=False)


def test_a_class_without_training_images_is_named(tmp_path):
    with pytest.raises(FormatError, match="no images of class n02000002"):
        read_tiny_imagenet(changed(tmp_path, n02000002_0=None), "train", check=False)


def test_an_image_that_claims_an_enormous_size_is_refused(tmp_path):
    data = bytearray(encoded(LARGE[0]))
    for size in (3000, 20_000, 1 << 30):
        data[16:24] = struct.pack(">II", size, size)
        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
        with pytest.raises(FormatError, match=r"val_10.JPEG: is an image of|val_10.JPEG: is a damaged"):
            read_tiny_imagenet(changed(tmp_path, val_10=bytes(data)), check=False)


def test_damaged_and_foreign_archives_are_refused(tmp_path, monkeypatch):
    path = changed(tmp_path)
    data = path.read_bytes()
    for keep in (0, 3, 100, len(data) // 2, len(data) - 30):
        path.write_bytes(data[:keep])
        with pytest.raises(FormatError, match="truncated or damaged"):
            read_tiny_imagenet(path, check=False)
    middle = bytearray(data)
    middle[len(data) // 4 : len(data) // 4 + 2000] = bytes(2000)
    path.write_bytes(bytes(middle))
    with pytest.raises(FormatError):
        read_tiny_imagenet(path, "train", crop=64, check=False)
        read_tiny_imagenet(path, check=False)
    for check in (True, False):
        with pytest.raises(FormatError, match="no such TinyImageNet archive"):
            read_tiny_imagenet(tmp_path / "none.zip", check=check)
        with pytest.raises(FormatError, match="is a folder"):
            read_tiny_imagenet(tmp_path, check=check)
    path.write_bytes(data)
    monkeypatch.setattr(tiny_imagenet, "_MOST_MEMBERS", 3)
    with pytest.raises(FormatError, match="more than 3 members"):
        read_tiny_imagenet(path, check=False)


def test_bombs_are_not_unpacked(tmp_path):
    path = tmp_path / "tiny-imagenet-200.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny-imagenet-200/wnids.txt", bytes(1 << 25))
    with pytest.raises(FormatError, match=r"wnids.txt is larger than"):
        read_tiny_imagenet(path, check=False)


def folder(path, **files):
    """``class_0="..."``-like: ``cat_a=image`` is ``cat/a.png``."""
    for name, image in files.items():
        label, _, file = name.partition("_")
        (path / label).mkdir(parents=True, exist_ok=True)
        (path / label / f"{file}.png").write_bytes(encoded(image))
    return path


def test_a_folder_of_images_is_read(tmp_path):
    from PIL import Image

    path = folder(tmp_path, dog_b=LARGE[0], dog_a=LARGE[1], cat_x=LARGE[2])
    (path / "cat" / "notes.txt").write_text("no image")
    (path / ".hidden").mkdir()
    found = read_image_folder(path)
    assert found.classes == ("cat", "dog") and found.labels.tolist() == [0, 1, 1]
    assert np.array_equal(found.images, LARGE[[2, 1, 0]])
    assert np.array_equal(read_image_set(path, crop=32).images, LARGE[[2, 1, 0], :, 16:48, 16:48])
    with pytest.raises(FormatError, match="has colours, and what is asked for is one channel"):
        read_image_folder(path, channels=1)
    for image in path.glob("*/*.png"):
        Image.fromarray(np.repeat(np.array(Image.open(image))[..., :1], 3, 2)).save(image)
    assert np.array_equal(read_image_folder(path, channels=1).images, LARGE[[2, 1, 0], :1])


def test_listed_classes_give_the_order_and_must_be_there(tmp_path):
    path = folder(tmp_path, dog_a=LARGE[1], cat_x=LARGE[2], left_out=LARGE[0])
    (path / "classes.txt").write_text("dog\ncat\n")
    found = read_image_folder(path)
    assert found.classes == ("dog", "cat") and np.array_equal(found.images, LARGE[[1, 2]])
    for text, message in (
        ("dog\ncow\n", "cow: the folder of this class is missing"),
        ("dog\ndog\n", "one twice"),
        ("", "lists no class"),
        ("../x\n", "no name of a folder"),
        ("..\n", "no name of a folder"),
    ):
        (path / "classes.txt").write_text(text)
        with pytest.raises(FormatError, match=message):
            read_image_folder(path)


def test_labels_of_a_folder_need_one_order_of_its_files(tmp_path):
    """``10.png`` comes before ``2.png`` by name, and whoever numbered them has the labels the other way round."""
    (tmp_path / "labels.txt").write_text("2\n1\n")
    for names, clear in (
        (("2", "10"), False),
        (("a2b7", "a10b0"), False),
        (("02", "10"), True),
        (("img-10", "img2"), True),
        (("b2", "a10"), True),
        (("x1y10", "x1y9"), False),
    ):
        path = tmp_path / "-".join(names)
        path.mkdir()
        for name, image in zip(names, LARGE[:2], strict=True):
            (path / f"{name}.png").write_bytes(encoded(image))
        assert read_pictures(path).labels is None
        if clear:
            assert read_pictures(path, tmp_path / "labels.txt").labels.tolist() == [2, 1]
        else:
            with pytest.raises(FormatError, match="by their names, and behind it by their numbers: labels could be"):
                read_pictures(path, tmp_path / "labels.txt")


def test_bad_folders_are_refused(tmp_path):
    with pytest.raises(FormatError, match="no such folder"):
        read_image_folder(tmp_path / "none")
    with pytest.raises(FormatError, match="has no folder in it"):
        read_image_folder(tmp_path)
    path = folder(tmp_path, dog_a=LARGE[1], cat_x=LARGE[2][:, :40])
    with pytest.raises(FormatError, match=r"a.png: is 64x64 pixels, the images before it are 64x40"):
        read_image_folder(path)
    with pytest.raises(InputError, match="no centre of 48x48"):
        read_image_folder(path, crop=48)
    assert read_image_folder(path, crop=40).images.shape == (2, 3, 40, 40)
    (path / "dog" / "b.png").write_bytes(b"GIF89a")
    with pytest.raises(FormatError, match=r"b.png: is no image"):
        read_image_folder(path, crop=40)
    (path / "empty").mkdir()
    (path / "dog" / "b.png").unlink()
    with pytest.raises(FormatError, match="empty: has no images of its class"):
        read_image_folder(path, crop=40)
    with pytest.raises(FormatError, match="is a file, not a folder"):
        read_image_folder(path / "dog" / "a.png")


def test_idx_images_need_their_labels(tmp_path):
    images = write_idx(tmp_path / "images", random_images(4, (5, 6)))
    labels = write_idx(tmp_path / "labels", np.array([0, 2, 1, 2], np.uint8))
    found = read_image_set(images, labels)
    assert found.images.shape == (4, 1, 5, 6) and found.classes == ("0", "1", "2")
    with pytest.raises(InputError, match="without labels"):
        read_image_set(images)
    with pytest.raises(InputError, match="fewer: holds 3 labels for the 4 images in"):
        read_image_set(images, write_idx(tmp_path / "fewer", np.zeros(3, np.uint8)))
    for path in (changed(tmp_path), tmp_path):
        with pytest.raises(InputError, match="has labels of its own"):
            read_image_set(path, labels)
    with pytest.raises(InputError, match="give train or test"):
        read_image_set(images, labels, split="val")
    with pytest.raises(FormatError, match="no such"):
        read_image_set(tmp_path / "none", labels)
    assert read_image_set(changed(tmp_path), check=False).images.shape == (3, 3, 56, 56)
    assert read_image_set(changed(tmp_path), split="train", check=False).images.shape == (2, 3, 56, 56)


def _png_of_16_bits(image):
    """A PNG in colour, whose channels Pillow would cut to 8 bits unasked."""
    rows = b"".join(b"\0" + np.repeat(row.astype(">u2") * 257, 3).tobytes() for row in image)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", *image.shape[::-1], 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_images_that_programs_read_differently_are_refused():
    from PIL import Image

    levels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    image = Image.fromarray(levels)

    def saved(made, form="PNG", **options):
        stream = io.BytesIO()
        made.save(stream, form, **options)
        return stream.getvalue()

    turned = image.getexif()
    turned[0x0112] = 6
    veiled = Image.fromarray(np.dstack([levels, np.where(levels > 9, 255, 7).astype(np.uint8)]), "LA")
    wide = (levels.astype(">u2") * 257).tobytes()
    for data, message in (
        (saved(Image.fromarray(levels.astype(np.uint16) * 257)), "more than 8 bits"),
        (_png_of_16_bits(levels), "more than 8 bits"),
        (b"P5 # deep\n8 8 65535\n" + wide, "more than 8 bits"),
        (b"P6\n8 8\n65535\n" + wide * 3, "more than 8 bits"),
        (saved(image.convert("CMYK"), "JPEG"), "is in CMYK"),
        (saved(image, save_all=True, append_images=[image.rotate(90)]), "several frames"),
        (saved(image, "JPEG", exif=turned), "orientation 6"),
        (saved(veiled), "transparent in places"),
        (saved(image.convert("P"), transparency=0), "transparent in places"),
    ):
        with pytest.raises(FormatError, match=message):
            decode_image("image", data)
    for data in (
        saved(image),
        saved(image.convert("P")),
        saved(image.convert("LA")),
        saved(image.convert("RGBA")),
        b"P5 # plain\n8 8 255\n" + levels.tobytes(),
    ):
        assert np.array_equal(decode_image("image", data, channels=1), levels[None])


def test_folders_of_numbers_are_classes_where_their_order_says_so(tmp_path):
    for name, classes, labels in (("few", ("0", "1", "2"), [0, 1, 2]), ("padded", ("00", "01", "02"), [0, 1, 2])):
        path = folder(tmp_path / name, **{f"{one}_a": image for one, image in zip(classes, LARGE, strict=False)})
        assert read_image_set(path).labels.tolist() == labels
    for name, numbers in (("many", [0, 1, 2, 10]), ("from 1", [1, 2]), ("some", [3, 7])):
        path = folder(tmp_path / name, **{f"{one}_a": LARGE[0] for one in numbers})
        with pytest.raises(FormatError, match="called by numbers that are not those of classes in order"):
            read_image_set(path)
        (path / "classes.txt").write_text("".join(f"{one}\n" for one in numbers))
        assert read_image_set(path).labels.tolist() == list(range(len(numbers)))
