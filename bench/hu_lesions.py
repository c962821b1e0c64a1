"""HU slices with lesions whose outlines are known, to check an infection network where no real ones are.

Lesions of `medseg` patients (grey pictures of a lung window) are laid into slices of "Finding Lungs in CT Data" (HU) that validate
in a split, so that no network of that split was trained on either: each slice comes once as it is (blank mask) and once with the lesions
of one slice, scaled to the lungs' box, in HU such that healthy lung matches healthy lung and soft tissue soft tissue (whatever window
the grey picture has), with a seam of one pixel.

    python3 bench/hu_lesions.py DATA/lungs2d DATA/medseg split.toml FOLD OUT     (numpy, scipy, nibabel, pillow; Python 3.11)

writes a data set for `groundglass evaluate`, with the lesions of the patients that FOLD tests.
"""

import csv
import sys
import tomllib
from pathlib import Path

import nibabel
import numpy
from PIL import Image
from scipy import ndimage

from healthy_slices import AFFINE

SEED = 1
# Fat and muscle, outside the lungs; in grey, whiter than any lung and not cut off.
SOFT_HU = (-200, 200)
SOFT_GREY = (170, 255)
FEWEST_SOURCE_PIXELS = 150
FEWEST_LAID_PIXELS = 100
TRIES = 20
SEAM_PIXELS = 1
FOLDERS = ["ct_scans", "lung_mask", "infection_mask"]


def load(path):
    return numpy.squeeze(nibabel.load(path).get_fdata())


def sources(medseg, patients):
    """CT, infection and lung of each slice with enough infection."""
    with open(medseg / "metadata.csv") as table:
        for row in csv.DictReader(table):
            if row["patient"] not in patients:
                continue
            ct, lung, infection = (load(medseg / row[k]) for k in ("ct_scan", "lung_mask", "infection_mask"))
            for z in range(ct.shape[2]):
                if (infection[:, :, z] > 0).sum() > FEWEST_SOURCE_PIXELS:
                    yield ct[:, :, z], infection[:, :, z] > 0, lung[:, :, z] > 0


def between(values, limits):
    """Median of the values between two limits."""
    return numpy.median(values[(values > limits[0]) & (values < limits[1])])


def box(mask):
    x, y = numpy.where(mask)
    return slice(x.min(), x.max() + 1), slice(y.min(), y.max() + 1)


def transplant(ct, lung, source, mirrored):
    grey, lesions, healthy = source[0], source[1], source[2] & ~source[1]
    onto, cut = box(lung), box(source[2])
    shape = lung[onto].shape

    def scaled(values):
        picture = Image.fromarray(values[cut].astype(numpy.float32))
        values = numpy.array(picture.resize(shape[::-1], Image.BILINEAR))
        return values[::-1] if mirrored else values

    region = numpy.zeros_like(lung)
    region[onto] = scaled(lesions) > 0.5
    region &= lung
    hu = numpy.zeros_like(ct)
    if not ((grey[~source[2]] > SOFT_GREY[0]) & (grey[~source[2]] < SOFT_GREY[1])).any() or not healthy.any():
        return ct, region & False
    soft, white = between(ct[~lung], SOFT_HU), between(grey[~source[2]], SOFT_GREY)
    dark, air = numpy.median(grey[healthy]), numpy.median(ct[lung])
    hu[onto] = (scaled(grey) - dark) * (soft - air) / (white - dark) + air
    share = ndimage.gaussian_filter(region.astype(numpy.float32), SEAM_PIXELS)
    return ct * (1 - share) + hu * share, region


def main(lungs2d, medseg, split, fold, out):
    lungs2d, medseg, out = Path(lungs2d), Path(medseg), Path(out)
    cases = tomllib.loads(Path(split).read_text())["case"]
    tested = {c["patient"] for c in cases if c.get("fold") == int(fold)}
    slices = list(sources(medseg, tested))
    if not slices:
        sys.exit(f"no medseg patient is tested in fold {fold}")
    rng = numpy.random.default_rng(SEED)
    for folder in FOLDERS:
        (out / folder).mkdir(parents=True, exist_ok=True)
    rows = []
    for name in (c["case"] for c in cases if c.get("part") == "val"):
        file = f"{name}.nii.gz"
        if not (lungs2d / "ct" / file).exists():
            continue
        ct, lung = load(lungs2d / "ct" / file).astype(numpy.float32), load(lungs2d / "lung_mask" / file) > 0
        for _ in range(TRIES):
            laid, region = transplant(ct, lung, slices[rng.integers(len(slices))], rng.random() < 0.5)
            if region.sum() > FEWEST_LAID_PIXELS:
                break
        else:
            continue
        for kind, (pixels, infection) in {"without": (ct, region & False), "with": (laid, region)}.items():
            planes = pixels.round().astype(numpy.int16), lung.astype(numpy.uint8), infection.astype(numpy.uint8)
            for folder, plane in zip(FOLDERS, planes):
                nibabel.save(nibabel.Nifti1Image(plane[:, :, None], AFFINE), out / folder / f"{name}_{kind}.nii.gz")
            rows.append([f"{folder}/{name}_{kind}.nii.gz" for folder in FOLDERS] + [name])
    with open(out / "metadata.csv", "w", newline="") as table:
        csv.writer(table).writerows([["ct_scan", "lung_mask", "infection_mask", "patient"], *rows])
    print(f"{len(rows)} slices, lesions of {len(slices)} slices of {len(tested)} patients")


if __name__ == "__main__":
    main(*sys.argv[1:])
