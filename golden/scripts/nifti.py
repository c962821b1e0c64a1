"""NIfTI-1 files of every real type, byte order, scaling, form and unit, some of NIfTI-2, and what nibabel reads from them.

Writes golden/io/nifti.safetensors:
  file.NAME    the bytes of the file
  data.NAME    nibabel's get_fdata(), as float32, in [z, y, x]
  affine.NAME  3 x 4, voxel to LPS+ mm (nibabel's affine is RAS+ in the file's unit); absent where no form is coded
  write.N.*    an affine (LPS+ mm) and the header fields nibabel's set_qform makes of it
"""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import from_matvec
from nibabel.eulerangles import euler2mat
from safetensors.numpy import save_file

SHAPE = (5, 4, 3)  # x, y, z
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
MM = {"unknown": 1.0, "meter": 1000.0, "mm": 1.0, "micron": 0.001}
rng = np.random.default_rng(20200417)
out = {}


def values(dtype):
    dtype = np.dtype(dtype)
    n = int(np.prod(SHAPE))
    if dtype.kind == "f":
        return (rng.normal(-300, 500, n)).astype(dtype)
    info = np.iinfo(dtype)
    low, high = max(info.min, -1100), min(info.max, 3000)
    v = rng.integers(low, high, n, endpoint=True).astype(dtype)
    v[:2] = info.min, info.max  # the extremes too
    return v


def add(name, dtype="i2", endian="<", slope=np.nan, inter=np.nan, dim=SHAPE, zooms=(0.75, 1.5, 2.5),
        sform=None, scode=0, qform=None, qcode=0, unit="mm", gap=b"", edit=None, edition=1):
    header = (nib.Nifti1Header, nib.Nifti2Header)[edition - 1](endianness=endian)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(endian))
    header.set_data_shape(dim)
    header.set_zooms((tuple(zooms) + (1.0,) * 4)[: len(dim)])
    header.set_xyzt_units(unit)
    if qform is not None:
        header.set_qform(qform, code=qcode)
    if sform is not None:
        header.set_sform(sform, code=scode)
    header["qform_code"], header["sform_code"] = qcode, scode
    header["scl_slope"], header["scl_inter"] = slope, inter
    header["magic"] = b"n+%d" % edition
    header["vox_offset"] = len(header.binaryblock) + 4 + len(gap)
    if edit:
        edit(header)
    data = values(dtype)[: int(np.prod(dim))]
    raw = header.binaryblock + b"\0\0\0\0" + gap + data.astype(np.dtype(dtype).newbyteorder(endian)).tobytes()
    image = (nib.Nifti1Image, nib.Nifti2Image)[edition - 1].from_bytes(raw)
    read = image.get_fdata()
    read = read.reshape((tuple(read.shape) + (1,))[:3]).T
    with np.errstate(over="ignore"):
        out[f"data.{name}"] = np.ascontiguousarray(read.astype(np.float32))
    out[f"file.{name}"] = np.frombuffer(raw, np.uint8).copy()
    h = image.header
    if h["qform_code"] > 0 or h["sform_code"] > 0:
        affine = LPS @ image.affine
        affine[:3] *= MM[h.get_xyzt_units()[0]]
        out[f"affine.{name}"] = affine[:3].copy()


oblique = from_matvec(euler2mat(0.3, -0.2, 0.1) @ np.diag([0.75, 1.5, 2.5]), [-120.5, 80.25, 33.0])
mirrored = from_matvec(euler2mat(-0.4, 0.1, 0.2) @ np.diag([0.75, 1.5, -2.5]), [10.0, -20.0, 300.0])
sheared = from_matvec(np.array([[0.75, 0.1, 0.0], [0.0, 1.5, 0.3], [0.0, 0.0, 2.5]]), [1.0, 2.0, 3.0])
half_turn = from_matvec(np.diag([-0.75, -1.5, 2.5]), [90.0, 110.0, -50.0])
other_half_turn = from_matvec(np.diag([0.75, -1.5, -2.5]), [90.0, 110.0, -50.0])
sagittal = from_matvec(np.array([[0, 0, 2.5], [0.75, 0, 0], [0, -1.5, 0]]), [5.0, 6.0, 7.0])

for dtype in ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]:
    for endian, word in [("<", "little"), (">", "big")]:
        add(f"{dtype}.{word}.plain", dtype, endian, qform=oblique, qcode=1)
        add(f"{dtype}.{word}.scaled", dtype, endian, slope=1.25, inter=-1024.5, qform=oblique, qcode=1)
add("slope.zero", slope=0.0, inter=7.0, qform=oblique, qcode=1)
add("slope.nan", slope=np.nan, inter=7.0, qform=oblique, qcode=1)
add("slope.infinite", slope=np.inf, inter=7.0, qform=oblique, qcode=1)
add("slope.inter_only", slope=1.0, inter=-1024.0, qform=oblique, qcode=1)
add("slope.negative", slope=-2.0, inter=3.0, qform=oblique, qcode=1)
for unit in MM:
    add(f"unit.{unit}", sform=oblique, scode=1, unit=unit)
for name, affine in [("oblique", oblique), ("mirrored", mirrored), ("sagittal", sagittal), ("half_turn", half_turn),
                     ("other_half_turn", other_half_turn)]:
    for endian, word in [("<", "little"), (">", "big")]:
        add(f"sform.{name}.{word}", endian=endian, sform=affine, scode=2)
        add(f"qform.{name}.{word}", endian=endian, qform=affine, qcode=1)
    add(f"both.{name}", sform=affine, scode=4, qform=affine, qcode=3)
add("sform.sheared", sform=sheared, scode=1)
add("both.disagree", sform=oblique, scode=1, qform=half_turn, qcode=1)
add("both.none", sform=oblique, scode=0, qform=half_turn, qcode=0)
add("qform.qfac_zero", qform=oblique, qcode=1, edit=lambda h: h["pixdim"].__setitem__(0, 0.0))
add("dim.slice", dim=(5, 4), zooms=(0.75, 1.5), sform=oblique, scode=1)
add("dim.singletons", dim=(5, 4, 3, 1, 1), sform=oblique, scode=1)
add("offset.gap", sform=oblique, scode=1, gap=bytes(64))
add("offset.odd_gap", sform=oblique, scode=1, gap=bytes(7))
for endian, word in [("<", "little"), (">", "big")]:
    for dtype in ["u1", "i2", "f4", "f8"]:
        add(f"nifti2.{dtype}.{word}", dtype, endian, slope=1.25, inter=-1024.5, sform=oblique, scode=1, edition=2)
    for name, affine in [("oblique", oblique), ("mirrored", mirrored), ("half_turn", half_turn)]:
        add(f"nifti2.qform.{name}.{word}", endian=endian, qform=affine, qcode=1, edition=2)
    add(f"nifti2.both.{word}", endian=endian, sform=sheared, scode=4, qform=oblique, qcode=3, edition=2)
    add(f"nifti2.none.{word}", endian=endian, unit="micron", edition=2)
    add(f"nifti2.gap.{word}", endian=endian, sform=oblique, scode=1, gap=bytes(71), edition=2)
    add(f"nifti2.slice.{word}", endian=endian, dim=(5, 4), zooms=(0.75, 1.5), sform=oblique, scode=1, edition=2)
for unit in MM:
    add(f"nifti2.unit.{unit}", sform=oblique, scode=1, unit=unit, edition=2)

for i, affine in enumerate([oblique, mirrored, half_turn, other_half_turn, sagittal]):
    header = nib.Nifti1Header()
    header.set_data_shape(SHAPE)
    header.set_qform(affine, code=1)
    out[f"write.{i}.affine"] = (LPS @ affine)[:3].copy()
    out[f"write.{i}.quatern"] = np.array([header[f"quatern_{k}"] for k in "bcd"], np.float32)
    out[f"write.{i}.pixdim"] = header["pixdim"][:4].astype(np.float32)

path = Path(__file__).parents[1] / "io" / "nifti.safetensors"
path.parent.mkdir(exist_ok=True)
save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, path)
print(path.stat().st_size, "bytes,", len(out), "arrays")
