"""Slices of "Finding Lungs in CT Data" that show next to no dense lung, as a data set with blank infection masks.

The infection network in the box learns from them what lungs in HU look like where nothing is infected, and gets lesions of
other sets laid into them (`infection.augment.lesion_mix`). The set is of 2017, before COVID-19, but not all of its lungs are
healthy: a slice is taken where, after a median over 7 x 7 pixels, at most 3 % of the inner lung (eroded by 4 pixels) is more than
150 HU denser than the lung's median. Cases that validate or test in the split are left out.

    python3 bench/healthy_slices.py DATA/lungs2d split.toml OUT     (numpy, scipy, nibabel; Python 3.11)
"""

import csv
import sys
import tomllib
from pathlib import Path

import nibabel
import numpy
from scipy import ndimage

MEDIAN_PIXELS = 7
EROSION_PIXELS = 4
DENSER_HU = 150
MOST_DENSE_SHARE = 0.03
# The files state no geometry that can be right. Rows run to the back; what matters is that slices stand upright.
AFFINE = numpy.array([[-1.5, 0, 0, 192], [0, -1.5, 0, 192], [0, 0, 5, 0], [0, 0, 0, 1]], float)


def dense_share(ct, lung):
    inner = ndimage.binary_erosion(lung, iterations=EROSION_PIXELS)
    smooth = ndimage.median_filter(ct, size=MEDIAN_PIXELS)
    return (smooth[inner] > numpy.median(ct[lung]) + DENSER_HU).mean()


def main(source, split, out):
    source, out = Path(source), Path(out)
    held_out = {c["case"] for c in tomllib.loads(Path(split).read_text())["case"] if c.get("part") != "train"}
    folders = ["ct_scans", "lung_mask", "infection_mask"]
    for folder in folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
    rows = []
    for file in sorted(p.name for p in (source / "ct").iterdir()):
        if file.split(".")[0] in held_out:
            continue
        ct = numpy.squeeze(nibabel.load(source / "ct" / file).get_fdata()).astype(numpy.int16)
        lung = numpy.squeeze(nibabel.load(source / "lung_mask" / file).get_fdata()) > 0
        if not dense_share(ct, lung) <= MOST_DENSE_SHARE:  # nor where there is no inner lung
            continue
        for folder, pixels in zip(folders, (ct, lung.astype(numpy.uint8), numpy.zeros(ct.shape, numpy.uint8))):
            nibabel.save(nibabel.Nifti1Image(pixels[:, :, None], AFFINE), out / folder / file)
        rows.append([f"{folder}/{file}" for folder in folders] + [file.split("_Z")[0]])
    with open(out / "metadata.csv", "w", newline="") as table:
        csv.writer(table).writerows([["ct_scan", "lung_mask", "infection_mask", "patient"], *rows])
    print(f"{len(rows)} slices")


if __name__ == "__main__":
    main(*sys.argv[1:])
