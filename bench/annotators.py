"""How far two annotators of the same scans agree: `covid20` and `medseg` hold four patients each, outlined by different people.

Each slice of covid20 is found again in the medseg volume by correlation, over all turns and mirrors; medseg is brought to its grid.

    python3 bench/annotators.py DATA/covid20 DATA/medseg     (numpy, nibabel, pillow; Python 3.11)
"""

import csv
import sys
from pathlib import Path

import nibabel
import numpy
from PIL import Image

SIDE = 256
# Correlation looks at every fourth pixel.
STEP = 4


def picture(path):
    return numpy.array(Image.open(path).convert("L"), numpy.float32)


def on_grid(volume):
    planes = (volume[:, :, z].astype(numpy.float32) for z in range(volume.shape[2]))
    return numpy.stack([numpy.array(Image.fromarray(p).resize((SIDE, SIDE), Image.BILINEAR)) for p in planes])


def postures(volume):
    for turned in (volume, volume.transpose(0, 2, 1)):
        for y in (1, -1):
            for x in (1, -1):
                yield turned[:, ::y, ::x]


def normalised(volume):
    flat = volume[:, ::STEP, ::STEP].reshape(len(volume), -1)
    flat = flat - flat.mean(1, keepdims=True)
    return flat / (numpy.linalg.norm(flat, axis=1, keepdims=True) + 1e-6)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def main(covid20, medseg):
    covid20, medseg = Path(covid20), Path(medseg)
    with open(covid20 / "slices.csv") as table:
        rows = list(csv.DictReader(table))
    print(f"{'volume':<26}{'slices':>7}{'infection':>11}{'lung':>8}{'percent of lung':>18}")
    for file in sorted((medseg / "ct_scans").iterdir()):
        files = [r["file"] for r in rows if r["volume"] == file.name.split(".")[0]]
        ct, infection, lung = (
            numpy.stack([picture(covid20 / kind / f) for f in files]) for kind in ("ct", "infection_mask", "lung_mask")
        )
        infection, lung = infection > 0, lung > 0
        theirs = [
            on_grid(nibabel.load(medseg / kind / file.name).get_fdata())
            for kind in ("ct_scans", "infection_mask", "lung_mask")
        ]
        best = (-1.0,)
        for their_ct, their_infection, their_lung in zip(*map(postures, theirs)):
            found = normalised(ct) @ normalised(their_ct).T
            if found.max(1).mean() > best[0]:
                slices = found.argmax(1)
                best = found.max(1).mean(), their_infection[slices] > 0.5, their_lung[slices] > 0.5
        _, their_infection, their_lung = best
        percent = [100 * (i & l).sum() / l.sum() for i, l in ((infection, lung), (their_infection, their_lung))]
        print(
            f"{file.name.split('.')[0]:<26}{len(files):>7}{dice(infection, their_infection):>11.3f}"
            f"{dice(lung, their_lung):>8.3f}{percent[0]:>9.1f}{percent[1]:>9.1f}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
