"""Small synthetic DICOM series in many encodings, and what pydicom reads from them.

Writes crates/gg-io/tests/dicom_fixtures/NAME/*.dcm (names shuffled on purpose; of an enhanced object one file) and golden/io/dicom.safetensors with,
for each NAME, NAME/hu [z, y, x] in order along the normal, NAME/positions [z, 3] and NAME/normal [3].
"""

import io
import shutil
from pathlib import Path

import jpeg_ls
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_rescale
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "crates/gg-io/tests/dicom_fixtures"
SHAPE = (5, 16, 20)
SHUFFLED = ["c", "a", "e", "b", "d"]


def phantom(seed):
    """Stored values 0..4095: a body with two dark lungs and noise."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1], 0 : SHAPE[2]]
    body = ((y - 8) / 7.5) ** 2 + ((x - 10) / 9.5) ** 2 < 1
    lungs = ((y - 8) / 4.5) ** 2 + ((np.abs(x - 10) - 4.5) / 3.0) ** 2 < 1
    values = np.where(body, 1064, 24)
    values = np.where(lungs, 180 + 10 * z, values)
    return np.clip(values + rng.integers(-20, 21, SHAPE), 0, 4095).astype(np.int32)


def jpeg_lossless(image, bits, predictor):
    """JPEG process 14 (T.81 annex H): one component, Huffman table with all 17 categories at 5 bits each."""
    height, width = image.shape
    image = image.astype(np.int64) & ((1 << bits) - 1)
    out = bytearray(b"\xff\xd8")
    out += b"\xff\xc3" + (11).to_bytes(2, "big") + bytes([bits]) + height.to_bytes(2, "big") + width.to_bytes(2, "big")
    out += bytes([1, 1, 0x11, 0])
    counts = [0] * 16
    counts[4] = 17
    out += b"\xff\xc4" + (2 + 17 + 17).to_bytes(2, "big") + bytes([0]) + bytes(counts) + bytes(range(17))
    out += b"\xff\xda" + (8).to_bytes(2, "big") + bytes([1, 1, 0, predictor, 0, 0])
    stream = []
    for r in range(height):
        for c in range(width):
            left = image[r, c - 1] if c else None
            above = image[r - 1, c] if r else None
            if left is None and above is None:
                guess = 1 << (bits - 1)
            elif above is None:
                guess = left
            elif left is None:
                guess = above
            else:
                corner = image[r - 1, c - 1]
                guess = {1: left, 2: above, 4: left + above - corner, 7: (left + above) >> 1}[predictor]
            difference = int(image[r, c] - guess) & 0xFFFF
            if difference > 32768:
                difference -= 65536
            category = 16 if difference == 32768 else int(abs(difference)).bit_length()
            stream.append(f"{category:05b}")
            if 0 < category < 16:
                stream.append(f"{difference if difference > 0 else difference + (1 << category) - 1:0{category}b}")
    text = "".join(stream)
    text += "1" * (-len(text) % 8)
    for i in range(0, len(text), 8):
        byte = int(text[i : i + 8], 2)
        out.append(byte)
        if byte == 0xFF:
            out.append(0)
    return bytes(out + b"\xff\xd9")


def jpeg_2000(image):
    buffer = io.BytesIO()
    Image.fromarray(image.astype(np.uint16)).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
    return buffer.getvalue()


def jpeg_baseline(image):
    buffer = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def stored_values(number, case):
    """The phantom as the case stores it; a signed case gets its intercept."""
    stored = phantom(number)
    if case.get("signed"):
        stored = stored - 1024
        case.setdefault("intercept", 0)
    return np.clip(stored // 8, 0, 255) if case["bits"] == 8 else stored


def slice_object(name, z, stored, *, syntax, dtype, bits, high_bit=None, signed=False, orientation, step, origin, slope=1,
                 intercept=-1024, padding=None, pixels=None, photometric="MONOCHROME2"):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[name, str(z)])
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = "2.25.1"
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=syntax == ImplicitVRLittleEndian,
                     is_little_endian=syntax != ExplicitVRBigEndian)
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    ds.Modality = "CT"
    ds.PatientName = "SECRET^MARKER"
    ds.PatientID = "SECRETMARKER"
    inner = Dataset()
    inner.CodeMeaning = "SECRETMARKER"
    ds.ProcedureCodeSequence = [inner]  # a sequence to be skipped
    ds.SeriesInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[name])
    ds.StudyInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[name, "study"])
    ds.SeriesNumber = 3
    ds.InstanceNumber = SHAPE[0] - z
    ds.SliceThickness = 9  # a lie
    ds.SpacingBetweenSlices = 8  # another
    ds.ImagePositionPatient = [round(float(v), 4) for v in np.add(origin, np.multiply(step, z))]
    ds.ImageOrientationPatient = orientation
    ds.PixelSpacing = [0.75, 0.5]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = photometric
    ds.Rows, ds.Columns = SHAPE[1:]
    ds.BitsAllocated = np.dtype(dtype).itemsize * 8
    ds.BitsStored = bits
    ds.HighBit = bits - 1 if high_bit is None else high_bit
    ds.PixelRepresentation = int(signed)
    if padding is not None:
        ds.add_new("PixelPaddingValue", "SS" if signed else "US", padding)
    ds.RescaleSlope, ds.RescaleIntercept = slope, intercept
    if pixels is not None:
        ds.PixelData = encapsulate([pixels])
        ds["PixelData"].VR = "OB"
    elif syntax == ExplicitVRBigEndian:
        ds.PixelData = stored.astype(np.dtype(dtype).newbyteorder(">")).tobytes()
        ds["PixelData"].VR = "OW"
    else:
        ds.PixelData = stored.astype(np.dtype(dtype).newbyteorder("<")).tobytes()
        ds["PixelData"].VR = "OW" if ds.BitsAllocated > 8 else "OB"
    return ds


AXIAL = dict(orientation=[1, 0, 0, 0, 1, 0], step=[0, 0, 2.5], origin=[-5, -6, 100])
# Gantry tilted by 20 degrees: the table still moves along z.
TILT = np.deg2rad(20)
TILTED = dict(orientation=[1, 0, 0, 0, round(float(np.cos(TILT)), 6), round(float(-np.sin(TILT)), 6)],
              step=[0, 0, 2.5], origin=[-5, -6, 100])
OBLIQUE = dict(orientation=[0.8, 0.6, 0, 0, 0, -1], step=[-1.2, 1.6, 0], origin=[1, 2, 3])  # about coronal
PRONE = dict(orientation=[1, 0, 0, 0, -1, 0], step=[0, 0, -2.5], origin=[-5, 6, 100])  # the normal points to the feet

CASES = {
    "explicit": dict(syntax=ExplicitVRLittleEndian, dtype="u2", bits=12, **AXIAL),
    "implicit_signed": dict(syntax=ImplicitVRLittleEndian, dtype="i2", bits=16, signed=True, **AXIAL),
    "big_endian": dict(syntax=ExplicitVRBigEndian, dtype="i2", bits=16, signed=True, **AXIAL),
    "deflated": dict(syntax=DeflatedExplicitVRLittleEndian, dtype="u2", bits=12, **AXIAL),
    "rle": dict(syntax=RLELossless, dtype="i2", bits=16, signed=True, **AXIAL),
    "eight_bit": dict(syntax=ExplicitVRLittleEndian, dtype="u1", bits=8, intercept=-900, slope=7.5, **AXIAL),
    "rle_eight_bit": dict(syntax=RLELossless, dtype="u1", bits=8, intercept=-900, slope=7.5, **AXIAL),
    "jpeg_lossless": dict(syntax=JPEGLossless, dtype="u2", bits=12, predictor=4, **AXIAL),
    "jpeg_lossless_sv1_signed": dict(syntax=JPEGLosslessSV1, dtype="i2", bits=16, signed=True, predictor=1, **AXIAL),
    "jpeg_lossless_8_in_16": dict(syntax=JPEGLosslessSV1, dtype="u2", bits=8, predictor=7, **AXIAL),
    "jpeg_2000": dict(syntax=JPEG2000Lossless, dtype="u2", bits=16, **AXIAL),
    "jpeg_baseline": dict(syntax=JPEGBaseline8Bit, dtype="u1", bits=8, intercept=-900, slope=7.5, **AXIAL),
    "tilted": dict(syntax=ExplicitVRLittleEndian, dtype="u2", bits=12, **TILTED),
    "oblique": dict(syntax=ExplicitVRLittleEndian, dtype="u2", bits=12, **OBLIQUE),
    "prone": dict(syntax=ExplicitVRLittleEndian, dtype="u2", bits=12, **PRONE),
    "slope_per_slice": dict(syntax=ExplicitVRLittleEndian, dtype="u2", bits=12, per_slice=True, **AXIAL),
}


# Begun at another number, so that those below keep their phantoms.
JPEG_LS = {
    "jpeg_ls": dict(syntax=JPEGLSLossless, dtype="u2", bits=12, **AXIAL),
    "jpeg_ls_signed": dict(syntax=JPEGLSLossless, dtype="i2", bits=16, signed=True, **AXIAL),
    "jpeg_ls_signed_12": dict(syntax=JPEGLSLossless, dtype="i2", bits=12, signed=True, **AXIAL),
    "jpeg_ls_eight_bit": dict(syntax=JPEGLSLossless, dtype="u1", bits=8, intercept=-900, slope=7.5, **AXIAL),
    "jpeg_ls_near": dict(syntax=JPEGLSNearLossless, dtype="u2", bits=12, near=3, **AXIAL),
}

# Enhanced CT: all slices as the frames of one object, in this order.
ORDER = [3, 0, 4, 1, 2]
ENHANCED = {
    "enhanced": dict(syntax=ExplicitVRLittleEndian, dtype="u2", bits=12, **AXIAL),
    "enhanced_implicit": dict(syntax=ImplicitVRLittleEndian, dtype="i2", bits=16, signed=True, **AXIAL),
    "enhanced_big_endian": dict(syntax=ExplicitVRBigEndian, dtype="i2", bits=16, signed=True, **AXIAL),
    "enhanced_eight_bit": dict(syntax=ExplicitVRLittleEndian, dtype="u1", bits=8, intercept=-900, slope=7.5, **AXIAL),
    "enhanced_per_frame": dict(syntax=ExplicitVRLittleEndian, dtype="u2", bits=12, per_frame=True, undefined=True, **TILTED),
    "enhanced_rle": dict(syntax=RLELossless, dtype="u2", bits=16, undefined=True, **AXIAL),
    "enhanced_fragments": dict(syntax=JPEGLosslessSV1, dtype="u2", bits=12, **AXIAL),
    "enhanced_legacy": dict(syntax=JPEG2000Lossless, dtype="u2", bits=16, legacy=True, **AXIAL),
}


def of(**values):
    """A sequence of one item."""
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return [item]


def enhanced_object(name, case, stored):
    case = dict(case)
    per_frame, undefined, legacy = (case.pop(k, False) for k in ("per_frame", "undefined", "legacy"))
    syntax, compressed = case["syntax"], case["syntax"] in (RLELossless, JPEGLosslessSV1, JPEG2000Lossless)
    ds = slice_object(name, 0, stored[ORDER[0]], **(case | (dict(syntax=ExplicitVRLittleEndian) if compressed else {})))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = (
        LegacyConvertedEnhancedCTImageStorage if legacy else EnhancedCTImageStorage)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(ds, tag)
    ds.NumberOfFrames = len(ORDER)
    shared, frames = Dataset(), [Dataset() for _ in ORDER]
    frame_type = of(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], VolumeBasedCalculationTechnique="NONE")
    slope, intercept = case.get("slope", 1), case.get("intercept", -1024)
    groups = {
        "PixelMeasuresSequence": lambda i, z: of(PixelSpacing=[0.75, 0.5], SliceThickness=9, SpacingBetweenSlices=8),
        "PlaneOrientationSequence": lambda i, z: of(ImageOrientationPatient=case["orientation"]),
        "PixelValueTransformationSequence": lambda i, z: of(
            RescaleSlope=slope + (z / 4 if per_frame else 0), RescaleIntercept=intercept - (z if per_frame else 0),
            RescaleType="HU"),
    }
    if not legacy:
        groups["CTImageFrameTypeSequence"] = lambda i, z: frame_type
    for group, make in groups.items():
        if per_frame:
            for i, z in enumerate(ORDER):
                setattr(frames[i], group, make(i, z))
        else:
            setattr(shared, group, make(0, 0))
    # What a converter leaves over, and what must not be taken for the frame's own.
    trap = of(ImagePositionPatient=[1, 2, 3], PixelSpacing=[9, 9], RescaleSlope=7, PatientName="SECRET^MARKER")
    for i, z in enumerate(ORDER):
        frames[i].FrameContentSequence = of(StackID="1", InStackPositionNumber=z + 1, DimensionIndexValues=[1, z + 1])
        frames[i].DerivationImageSequence = of(SourceImageSequence=trap, PatientName="SECRET^MARKER")
        frames[i].UnassignedPerFrameConvertedAttributesSequence = trap
        position = [round(float(v), 4) for v in np.add(case["origin"], np.multiply(case["step"], z))]
        frames[i].PlanePositionSequence = of(ImagePositionPatient=position)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], frames
    if undefined:
        for element in ds.iterall():
            if element.VR == "SQ":
                element.is_undefined_length = True
                for item in element.value:
                    item.is_undefined_length_sequence_item = True
    images = [stored[z] for z in ORDER]
    if syntax == RLELossless:
        ds.PixelData = np.stack(images).astype("<u2").tobytes()
        ds.compress(RLELossless, generate_instance_uid=False)
    elif compressed:
        coded = [jpeg_lossless(i, case["bits"], 1) if syntax == JPEGLosslessSV1 else jpeg_2000(i) for i in images]
        two = 2 if name == "enhanced_fragments" else 1
        ds.PixelData = encapsulate(coded, fragments_per_frame=two, has_bot=two == 2)
        ds["PixelData"].VR = "OB"
        ds.file_meta.TransferSyntaxUID = syntax
    else:
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        ds.PixelData = np.stack(images).astype(np.dtype(case["dtype"]).newbyteorder(order)).tobytes()
        ds["PixelData"].VR = "OB" if case["dtype"] == "u1" else "OW"
    return ds


def add_enhanced(name, case, number, arrays):
    stored = stored_values(number, case)
    folder = FIXTURES / name
    folder.mkdir(parents=True)
    enhanced_object(name, case, stored).save_as(folder / "a.dcm", enforce_file_format=True)
    ds = pydicom.dcmread(folder / "a.dcm")
    group = lambda i, name: getattr(ds.PerFrameFunctionalGroupsSequence[i], name, None) or getattr(
        ds.SharedFunctionalGroupsSequence[0], name)
    u, v = np.array(group(0, "PlaneOrientationSequence")[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(u, v)
    place = lambda i: np.array(group(i, "PlanePositionSequence")[0].ImagePositionPatient, float)
    order = sorted(range(len(ORDER)), key=lambda i: float(np.dot(place(i), normal)))
    arrays[f"{name}/hu"] = np.stack(
        [apply_rescale(ds.pixel_array[i], group(i, "PixelValueTransformationSequence")[0]) for i in order]).astype(np.float32)
    arrays[f"{name}/positions"] = np.stack([place(i) for i in order])
    arrays[f"{name}/normal"] = normal
    transform = lambda z: (case.get("slope", 1) + (z / 4 if case.get("per_frame") else 0),
                           case.get("intercept", -1024) - (z if case.get("per_frame") else 0))
    truth = np.stack([stored[z] * transform(z)[0] + transform(z)[1] for z in range(SHAPE[0])])
    assert np.array_equal(arrays[f"{name}/hu"], truth.astype(np.float32)), name


def main():
    shutil.rmtree(FIXTURES, ignore_errors=True)
    arrays = {}
    for number, (name, case) in [*enumerate(CASES.items()), *enumerate(JPEG_LS.items(), 100)]:
        case = dict(case)
        predictor, per_slice, near = case.pop("predictor", None), case.pop("per_slice", False), case.pop("near", 0)
        stored = stored_values(number, case)
        folder = FIXTURES / name
        folder.mkdir(parents=True)
        for z in range(SHAPE[0]):
            if per_slice:
                case.update(slope=1 + z / 4, intercept=-1000 - z)
            pixels = None
            if case["syntax"] in (JPEGLossless, JPEGLosslessSV1):
                pixels = jpeg_lossless(stored[z], case["bits"], predictor)
            elif case["syntax"] == JPEG2000Lossless:
                pixels = jpeg_2000(stored[z])
            elif name in JPEG_LS:
                samples = (stored[z] & ((1 << case["bits"]) - 1)).astype("u1" if case["bits"] == 8 else "u2")
                pixels = bytes(jpeg_ls.encode_buffer(samples.tobytes(), *SHAPE[1:], 1, case["bits"], lossy_error=near))
            elif case["syntax"] == JPEGBaseline8Bit:
                pixels = jpeg_baseline(stored[z])
            ds = slice_object(name, z, stored[z], pixels=pixels, **case) if case["syntax"] != RLELossless else None
            if ds is None:
                ds = slice_object(name, z, stored[z], **(case | dict(syntax=ExplicitVRLittleEndian)))
                ds.compress(RLELossless, generate_instance_uid=False)
            ds.save_as(folder / f"{SHUFFLED[z]}.dcm", enforce_file_format=True)
        read = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
        u, v = np.array(read[0].ImageOrientationPatient, float).reshape(2, 3)
        normal = np.cross(u, v)
        read.sort(key=lambda ds: float(np.dot(np.array(ds.ImagePositionPatient, float), normal)))
        if name == "jpeg_lossless_8_in_16":  # pydicom 3.0.2 refuses it; the truth is what was encoded
            hu = stored + case.get("intercept", -1024)
        else:
            hu = np.stack([apply_rescale(ds.pixel_array, ds) for ds in read])
        lossless = case["syntax"] not in (JPEGBaseline8Bit, JPEGLSNearLossless)
        if lossless and not per_slice:
            assert np.array_equal(hu, stored * case.get("slope", 1.0) + case.get("intercept", -1024)) or name == "prone", name
        arrays[f"{name}/hu"] = hu.astype(np.float32)
        arrays[f"{name}/positions"] = np.array([ds.ImagePositionPatient for ds in read], np.float64)
        arrays[f"{name}/normal"] = normal
    for number, (name, case) in enumerate(ENHANCED.items()):
        add_enhanced(name, case, len(CASES) + number, arrays)
    out = ROOT / "golden/io/dicom.safetensors"
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, out)


if __name__ == "__main__":
    main()
