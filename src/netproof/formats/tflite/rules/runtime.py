"""The runtimes whose integers are known, by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from netproof.errors import InputError
from netproof.formats.tflite.rules import pairs, products, softmax, tables

#: the rule of a .tflite file where none is named: what the device computes
DEFAULT = "tflm"
_SIGNED = frozenset((one, other) for one in ("INT8", "INT16") for other in ("INT8", "INT16"))
_BYTES = frozenset((one, other) for one in ("INT8", "UINT8") for other in ("INT8", "UINT8"))


@dataclass(frozen=True)
class Runtime:
    """What a runtime computes.

    Attributes
    ----------
    name, title : for the command line, and in words
    source : where its rule is from, and with which versions it was compared
    convolution, dense, dense_per_channel : the rounding of sums of products; ``dense`` is FULLY_CONNECTED's
    convolution_of_bytes : of convolutions of uint8, None where it is ``convolution``
    add, subtract, multiply : of two values
    rescale : QUANTIZE of codes to codes of the same type; of another one all take :func:`pairs.rescaled_in_fixed_point`
    average : MEAN over the places of an image, None where its integers are not known
    logistic, tanh : tables of LOGISTIC and TANH
    softmax : of a final SOFTMAX
    limit : the codes at which fused activations clamp; RELU6 by itself and AVERAGE_POOL_2D take halves away from 0 in all
    alternative : another rounding that builds of it have for FULLY_CONNECTED of one scale, None where there is none
    wide, wide_dense : the rounding of sums of products of 16-bit codes; the second is FULLY_CONNECTED's
    kinds : element types of activations with which it computes
    conversions : from which of them to which QUANTIZE brings codes
    same_kind_only : whether QUANTIZE between types is known only where int8 and uint8 stand for the same numbers
    largest_scale : products with a scale of this or more are refused: the runtime computes them by another kernel, or not
    shifts_powers : whether sums of 16-bit codes have another kernel where all scales are powers of two
    delegated : whether operators go to a delegate that declines some of them (:mod:`rules.delegated`)
    pair_scales, product_scales, rescalings : the ratios of scales within which ``add`` and ``subtract`` hold (an operand's
        to the result's), ``multiply`` (the operands' product to it), and ``rescale``
    """

    name: str
    title: str
    source: str
    convolution: products.Rounding
    dense: products.Rounding
    dense_per_channel: products.Rounding
    add: pairs.Pairwise
    subtract: pairs.Pairwise
    multiply: pairs.Pairwise
    rescale: pairs.Rescaling
    average: products.Averaging | None
    logistic: tables.Table
    tanh: tables.Table
    softmax: softmax.Softmax
    limit: products.Limit = products.limit_away
    alternative: products.Rounding | None = None
    convolution_of_bytes: products.Rounding | None = None
    wide: products.Rounding = products.rounded_by_15_bits
    wide_dense: products.Rounding = products.rounded_by_15_bits
    kinds: tuple[str, ...] = ("INT8", "INT16")
    conversions: frozenset[tuple[str, str]] = _SIGNED | {("UINT8", "INT8"), ("INT8", "UINT8")}
    same_kind_only: bool = False
    largest_scale: float = 2.0**20
    shifts_powers: bool = False
    delegated: bool = False
    pair_scales: tuple[float, float] = (0.0, 2.0**16)
    product_scales: tuple[float, float] = (0.0, 2.0**14)
    rescalings: tuple[float, float] = (0.0, 2.0**16)


_TFLM = Runtime(
    "tflm",
    "TensorFlow Lite Micro, and CMSIS-NN as it is built by default",
    "tflite-micro 0.dev20261023, reference kernels",
    products.twice_rounded,
    products.twice_rounded,
    products.twice_rounded,
    pairs.added_in_fixed_point,
    pairs.subtracted_in_fixed_point,
    pairs.multiplied_in_fixed_point,
    pairs.rescaled_in_fixed_point,
    products.averaged_in_fixed_point,
    tables.logistic_in_fixed_point,
    tables.tanh_in_fixed_point,
    softmax.softmax_in_fixed_point,
    alternative=products.twice_rounded_by_single,
)
_RUNTIMES = (
    _TFLM,
    replace(
        _TFLM,
        name="tflm-single-product",
        title="TensorFlow Lite Micro of builds that take the first product of scales in float32",
        source="sources of tflite-micro, August 2026",
        dense=products.twice_rounded_by_single,
        alternative=products.twice_rounded,
    ),
    Runtime(
        "xnnpack",
        "LiteRT with its default delegate XNNPACK, on PCs and 64-bit ARM",
        "ai-edge-litert 2.3.0, default resolver",
        products.halves_even_in_single,
        products.halves_even_in_single,
        products.halves_even_in_single,
        pairs.added_by_weights,
        pairs.subtracted_by_weights,
        pairs.multiplied_in_single,
        pairs.rescaled_by_256ths,
        None,
        tables.logistic_rounded,
        tables.tanh_rounded,
        softmax.softmax_by_table,
        limit=products.limit_even,
        kinds=("INT8", "UINT8"),
        conversions=_BYTES,
        same_kind_only=True,
        largest_scale=256.0,
        delegated=True,
        pair_scales=(2.0**-10, 2.0**8),
        product_scales=(2.0**-16, 2.0**8),
        rescalings=(2.0**-8, 2.0**7),
    ),
    replace(
        _TFLM,
        name="litert-ref",
        title="LiteRT with its reference kernels",
        source="ai-edge-litert 2.3.0, BUILTIN_REF",
        convolution_of_bytes=products.twice_rounded_by_single,
        dense=products.halves_away_in_double,
        dense_per_channel=products.halves_away_in_double,
        multiply=pairs.multiplied_by_single,
        logistic=tables.logistic_rounded,
        tanh=tables.tanh_rounded,
        alternative=None,
        wide_dense=products.halves_away_in_double,
        kinds=("INT8", "UINT8", "INT16"),
        shifts_powers=True,
        conversions=_SIGNED | _BYTES | {("UINT8", "INT16")},
    ),
)
RUNTIMES = {runtime.name: runtime for runtime in _RUNTIMES}


def runtime_of(name: str | None) -> Runtime:
    """The runtime of a name, the default one where there is none; raises :class:`InputError`."""
    found = RUNTIMES.get(DEFAULT if name is None else name)
    if found is None:
        raise InputError("runtime", f"'{str(name)[:40]}' is none that is known", f"give {', '.join(RUNTIMES)}")
    return found
