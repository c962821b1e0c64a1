"""JPEG-LS codestreams of CharLS and what CharLS reads from them: depths, patterns, errors and thresholds.

Needs CharLS 2 as a shared library (Debian: libcharls2). Writes golden/io/jls.safetensors:
  stream.NAME  the codestream
  pixels.NAME  [y, x], int32
"""

import ctypes
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

charls = ctypes.CDLL("libcharls.so.2")
rng = np.random.default_rng(20200417)
out = {}


class FrameInfo(ctypes.Structure):
    _fields_ = [("width", ctypes.c_uint32), ("height", ctypes.c_uint32), ("bits", ctypes.c_int32), ("components", ctypes.c_int32)]


class Preset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("max_val", "t1", "t2", "t3", "reset")]


def call(name, *arguments):
    code = getattr(charls, name)(*arguments)
    assert code == 0, (name, code)


def encode(image, bits, near, preset):
    """`image`: [y, x], whole numbers below 2^bits."""
    kind = np.uint8 if bits <= 8 else np.uint16
    pixels = np.ascontiguousarray(image, kind)
    charls.charls_jpegls_encoder_create.restype = ctypes.c_void_p
    coder = ctypes.c_void_p(charls.charls_jpegls_encoder_create())
    call("charls_jpegls_encoder_set_frame_info", coder, ctypes.byref(FrameInfo(image.shape[1], image.shape[0], bits, 1)))
    call("charls_jpegls_encoder_set_near_lossless", coder, near)
    if preset:
        call("charls_jpegls_encoder_set_preset_coding_parameters", coder, ctypes.byref(Preset(*preset)))
    space = ctypes.create_string_buffer(pixels.nbytes * 4 + 1024)
    call("charls_jpegls_encoder_set_destination_buffer", coder, space, ctypes.c_size_t(len(space)))
    call("charls_jpegls_encoder_encode_from_buffer", coder, pixels.ctypes.data_as(ctypes.c_void_p),
         ctypes.c_size_t(pixels.nbytes), ctypes.c_uint32(0))
    written = ctypes.c_size_t()
    call("charls_jpegls_encoder_get_bytes_written", coder, ctypes.byref(written))
    charls.charls_jpegls_encoder_destroy(coder)
    return space.raw[: written.value]


def decode(stream, shape, bits):
    pixels = np.zeros(shape, np.uint8 if bits <= 8 else np.uint16)
    charls.charls_jpegls_decoder_create.restype = ctypes.c_void_p
    coder = ctypes.c_void_p(charls.charls_jpegls_decoder_create())
    call("charls_jpegls_decoder_set_source_buffer", coder, stream, ctypes.c_size_t(len(stream)))
    call("charls_jpegls_decoder_read_header", coder)
    call("charls_jpegls_decoder_decode_to_buffer", coder, pixels.ctypes.data_as(ctypes.c_void_p),
         ctypes.c_size_t(pixels.nbytes), ctypes.c_uint32(0))
    charls.charls_jpegls_decoder_destroy(coder)
    return pixels


def pattern(kind, bits, shape):
    top = (1 << bits) - 1
    y, x = np.mgrid[: shape[0], : shape[1]]
    if kind == "noise":
        return rng.integers(0, top + 1, shape)
    if kind == "flat":
        return np.full(shape, top // 3)
    if kind == "extremes":  # every error as large as errors get
        return np.where((x + y) % 2 == 0, 0, top) if bits > 2 else (x * y) % (top + 1)
    if kind == "runs":  # stretches of one value with rare steps
        return np.cumsum(rng.random(shape) < 0.04, axis=1) * max(1, top // 11) % (top + 1)
    body = ((y / shape[0] - 0.5) ** 2 + (x / shape[1] - 0.5) ** 2 < 0.2) * (0.3 + 0.4 * np.sin(x / 5) ** 2)
    noise = rng.normal(0, 0.01, shape) * (body > 0)  # air of one value round a body with noise
    return np.clip((body + noise) * top, 0, top).astype(int)


def add(name, image, bits, near=0, preset=None):
    stream = encode(image, bits, near, preset)
    pixels = decode(stream, image.shape, bits)
    assert np.abs(pixels.astype(int) - image).max() <= near, name
    assert preset is None or b"\xff\xf8" in stream, name
    out[f"stream.{name}"] = np.frombuffer(stream, np.uint8)
    out[f"pixels.{name}"] = pixels.astype(np.int32)


KINDS = ["noise", "flat", "extremes", "runs", "body"]
for bits in range(2, 17):
    for kind in KINDS if bits in (2, 8, 12, 16) else ["noise", "body"]:
        add(f"{kind}_{bits}", pattern(kind, bits, (19, 23)), bits)
for near in (1, 2, 3, 10, 100, 255):
    for bits in (8, 12, 16):
        for kind in ("noise", "runs", "body"):
            if near <= ((1 << bits) - 1) // 2:
                add(f"{kind}_{bits}_near_{near}", pattern(kind, bits, (17, 31)), bits, near)
for near in (1, 3):
    add(f"body_3_near_{near}", pattern("body", 3, (17, 31)), 3, near)
    add(f"noise_6_near_{near}", pattern("noise", 6, (17, 31)), 6, near)
for shape in [(1, 1), (1, 40), (40, 1), (2, 2), (3, 300), (90, 70)]:
    for kind in ("runs", "body"):
        add(f"{kind}_12_of_{shape[0]}_x_{shape[1]}", pattern(kind, 12, shape), 12)
add("empty_12_of_3_x_4000", np.zeros((3, 4000), int), 12)
for number, preset in enumerate([(4095, 5, 9, 40, 3), (4095, 18, 67, 276, 63), (4095, 100, 100, 4095, 255), (4095, 3, 300, 1000, 31),
                                 (0, 0, 0, 0, 10), (4095, 1, 1, 1, 4000)]):
    for kind in ("noise", "runs", "body"):
        image = pattern(kind, 12, (30, 41))
        add(f"{kind}_preset_{number}", np.minimum(image, preset[0] or 4095), 12, preset=preset)
add("body_preset_near", pattern("body", 12, (30, 41)), 12, near=2, preset=(4095, 12, 40, 90, 20))

path = Path(__file__).resolve().parents[1] / "io/jls.safetensors"
save_file(out, path)
print(len(out) // 2, "codestreams,", path.stat().st_size, "bytes")
