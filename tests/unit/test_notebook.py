"""Results as notebooks show them."""

from __future__ import annotations

import base64
import re
from io import BytesIO

import numpy as np
import torch

import netproof


def images_in(html):
    from PIL import Image

    found = []
    for data in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html):
        with Image.open(BytesIO(base64.b64decode(data))) as image:
            image.load()
            found.append(np.asarray(image))
    return found


def test_a_witness_is_shown_beside_its_image(tiny_data):
    from netproof.formats.images.idx import read_images, read_labels

    index, radius = tiny_data.first("vulnerable")
    image, label = read_images(tiny_data.images)[index], read_labels(tiny_data.labels)[index]
    network = netproof.load(tiny_data.network)
    result = netproof.verify(netproof.robustness(network, image, label, radius, name="<b>this</b>"))
    html = result._repr_html_()
    before, difference, after = images_in(html)
    assert before.shape == after.shape == (2, 2) and difference.shape == (2, 2, 3)
    assert "vulnerable" in html and "&lt;b&gt;this" in html and f"label {label}" in html
    # The pictures are the values, spread over all grey levels.
    values = np.stack([image.reshape(2, 2), result.witness.input.numpy().reshape(2, 2)]).astype(float)
    spread = np.rint((values - values.min()) * 255 / (values.max() - values.min()))
    assert (np.stack([before, after]) == spread).all()
    moved = values[1] != values[0]
    assert (np.array([(pixel != 255).any() for pixel in difference.reshape(-1, 3)]) == moved.reshape(-1)).all()


def test_a_proof_has_its_image_alone_and_what_is_no_image_has_none(tiny_data):
    torch.manual_seed(0)
    colours = netproof.from_torch(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(60, 3)), (1, 3, 4, 5))
    image = torch.rand(3, 4, 5)
    label = int(colours.classify(image.double().reshape(-1)))
    result = netproof.verify(netproof.robustness(colours, image, label, "1/1000000"))
    (shown,) = images_in(result._repr_html_())
    assert result.verdict is netproof.Verdict.UNSAT and shown.shape == (4, 5, 3)
    plain = netproof.from_torch(torch.nn.Linear(5, 2), (1, 5))
    result = netproof.verify(netproof.robustness(plain, torch.rand(5), 0, 1))
    assert not images_in(result._repr_html_()) and result.verdict.for_robustness in result._repr_html_()


def test_of_several_the_queries_are_not_kept(tiny_data):
    network = netproof.load(tiny_data.network)
    query = netproof.robustness(network, [1, 2, 3, 4], 0, 0)
    assert netproof.verify(query).asked is query
    (result,) = netproof.verify([query])
    assert result.asked is None and result._repr_html_() is None


def test_a_radius_is_a_table(tiny_data):
    network = netproof.load(tiny_data.network)
    image = np.array([1, 2, 3, 4])
    found = netproof.largest_radius(network, image, int(network.classify(torch.from_numpy(image).double())))
    html = found._repr_html_()
    assert f'<td style="text-align:left">{found.radius}</td>' in html and "witness at" in html and "exact" in html
    wrong = netproof.largest_radius(network, image, (int(network.classify(torch.from_numpy(image).double())) + 1) % 3)
    assert "the sample itself is not robust" in wrong._repr_html_()
    real = netproof.from_torch(torch.nn.Linear(4, 2), (1, 4))
    point = torch.rand(4)
    near = netproof.largest_radius(real, point, int(real.classify(point.double())))
    assert "<script>" not in near._repr_html_() and near._repr_html_().count("<tr>") >= 4


def test_hostile_names_are_text():
    network = netproof.from_torch(torch.nn.Linear(4, 2), (1, 4))
    name = "</td><script>alert(1)</script>'\"&\x00"
    result = netproof.verify(netproof.robustness(network, torch.zeros(4), 0, "0.1", name=name))
    html = result._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html and "&quot;&amp;" in html
