"""Golden sets of gg-imaging: OpenCV, SciPy, scikit-learn and scikit-image on synthetic pictures.

Run by hand from the workspace's root, with the versions in golden/requirements.txt:

    python golden/scripts/imaging.py
"""

from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage
from safetensors.numpy import save_file
from skimage import measure
from sklearn.cluster import KMeans

OUT = Path(__file__).resolve().parents[1] / "imaging"


def picture(h, w, seed):
    """Smooth blobs, edges and noise, as a slice of a CT has."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(h, w)), max(1.0, min(h, w) / 10), mode="wrap")
    smooth = (smooth - smooth.min()) / max(np.ptp(smooth), 1e-9)
    grey = 255 * smooth + rng.normal(scale=6, size=(h, w))
    grey[: h // 5] = 3
    return np.clip(grey, 0, 255).astype(np.uint8)


def window():
    rng = np.random.default_rng(1)
    hu = np.concatenate([rng.normal(-500, 500, 4000), [-3024, 3071, -1350, 150]]).astype(np.float32)
    scaled = (hu.astype(np.float64) - hu.min()) / (float(hu.max()) - float(hu.min()))
    return {"hu": hu, "min_max": (scaled * 255).astype(np.uint8)}


def clahe():
    arrays = {}
    sizes = [(64, 64), (65, 64), (64, 67), (61, 83), (96, 40), (128, 96), (7, 5), (1, 40), (37, 1)]
    for i, (h, w) in enumerate(sizes):
        src = picture(h, w, 10 + i)
        arrays[f"src_{i}"] = src
        for clip in (0, 3, 7, 40):
            for ty, tx in ((8, 8), (4, 6)):
                equaliser = cv2.createCLAHE(clipLimit=float(clip), tileGridSize=(tx, ty))
                arrays[f"out_{i}_{clip}_{ty}_{tx}"] = equaliser.apply(src)
    return arrays


def resize():
    arrays = {}
    cases = [
        (64, 64, 32, 32), (64, 96, 16, 32), (60, 90, 20, 30), (61, 83, 32, 32), (100, 77, 64, 64), (50, 41, 49, 40),
        (97, 64, 31, 64), (128, 128, 127, 3), (90, 30, 30, 30),
    ]
    for i, (h, w, oh, ow) in enumerate(cases):
        src = picture(h, w, 50 + i)
        arrays[f"shrink_src_{i}"] = src
        arrays[f"shrink_area_{i}"] = cv2.resize(src, (ow, oh), interpolation=cv2.INTER_AREA)
        arrays[f"shrink_linear_{i}"] = cv2.resize(src, (ow, oh), interpolation=cv2.INTER_LINEAR)
        arrays[f"shrink_linear_f32_{i}"] = cv2.resize(src.astype(np.float32), (ow, oh), interpolation=cv2.INTER_LINEAR)
    cases = [(32, 32, 64, 64), (31, 40, 93, 120), (33, 29, 64, 64), (17, 50, 40, 51), (1, 5, 7, 9), (40, 20, 64, 20)]
    for i, (h, w, oh, ow) in enumerate(cases):
        src = picture(h, w, 80 + i)
        arrays[f"grow_src_{i}"] = src
        arrays[f"grow_linear_{i}"] = cv2.resize(src, (ow, oh), interpolation=cv2.INTER_LINEAR)
        arrays[f"grow_linear_f32_{i}"] = cv2.resize(src.astype(np.float32), (ow, oh), interpolation=cv2.INTER_LINEAR)
    return arrays


def morphology():
    arrays = {}
    for i, (h, w) in enumerate([(40, 50), (23, 31), (5, 60), (9, 6)]):
        mask = picture(h, w, 100 + i) > 110
        arrays[f"mask_{i}"] = mask.astype(np.uint8)
        for eh, ew in ((3, 3), (8, 8), (2, 2), (4, 3), (1, 6), (10, 12)):
            element = np.ones((eh, ew), bool)
            arrays[f"erosion_{i}_{eh}_{ew}"] = ndimage.binary_erosion(mask, element).astype(np.uint8)
            arrays[f"dilation_{i}_{eh}_{ew}"] = ndimage.binary_dilation(mask, element).astype(np.uint8)
        arrays[f"filled_{i}"] = ndimage.binary_fill_holes(mask).astype(np.uint8)
    return arrays


def label():
    rng = np.random.default_rng(7)
    arrays = {}
    for i, shape in enumerate([(1, 40, 50), (12, 20, 24), (6, 1, 30), (9, 9, 1)]):
        mask = rng.random(shape) < (0.55, 0.28, 0.5, 0.4)[i]
        arrays[f"mask_{i}"] = mask.astype(np.uint8)
        for reach in (1, 2, 3):
            element = ndimage.generate_binary_structure(3, reach)
            arrays[f"label_{i}_{reach}"] = ndimage.label(mask, element)[0].astype(np.int32)
    return arrays


def edt():
    rng = np.random.default_rng(8)
    arrays = {}
    for i, (shape, spacing) in enumerate([((1, 30, 40), (1, 1, 1)), ((12, 18, 20), (1, 1, 1)), ((10, 14, 16), (2.5, 0.7, 0.8))]):
        mask = ndimage.gaussian_filter(rng.normal(size=shape), 2) > -0.06
        arrays[f"mask_{i}"] = mask.astype(np.uint8)
        arrays[f"spacing_{i}"] = np.array(spacing, np.float64)
        arrays[f"distance_{i}"] = ndimage.distance_transform_edt(mask, sampling=spacing)
    return arrays


def kmeans():
    rng = np.random.default_rng(9)
    arrays = {}
    for i, (a, b) in enumerate([(-1.0, 1.0), (-0.3, 0.4), (0.0, 5.0)]):
        values = np.concatenate([rng.normal(a, 0.5, 700), rng.normal(b, 0.8, 500)]).astype(np.float32)
        start = np.array([values.min(), values.max()], np.float32)
        fit = KMeans(2, init=start.astype(np.float64)[:, None], n_init=1, tol=0).fit(values.astype(np.float64)[:, None])
        arrays[f"values_{i}"] = values
        arrays[f"start_{i}"] = start
        arrays[f"centres_{i}"] = fit.cluster_centers_[:, 0]
    for i in range(3):
        grey = picture(60, 60, 120 + i)
        fit = KMeans(2, n_init=30, tol=0, random_state=0).fit(grey.astype(np.float64).reshape(-1, 1))
        arrays[f"grey_{i}"] = grey
        arrays[f"grey_centres_{i}"] = np.sort(fit.cluster_centers_[:, 0])
        arrays[f"grey_inertia_{i}"] = np.array([fit.inertia_])
    return arrays


def chest(h, w, seed):
    """A body with two lungs, a table and noise, as 8-bit grey."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:h, :w] / np.array([h, w]).reshape(2, 1, 1)
    inside = lambda cy, cx, ry, rx: ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1
    grey = np.full((h, w), 15.0)
    grey[inside(0.5, 0.5, 0.4, 0.46)] = 180
    dy = rng.uniform(-0.03, 0.03)
    grey[inside(0.48 + dy, 0.3, 0.26, 0.13)] = 45
    grey[inside(0.5, 0.69, 0.24, 0.14)] = 45
    grey[inside(0.3, 0.5, 0.03, 0.03)] = 12
    grey[int(0.95 * h) : int(0.96 * h)] = 150
    return np.clip(grey + rng.normal(scale=12, size=(h, w)), 0, 255).astype(np.uint8)


def roi():
    """The paper's box, step by step, from SciPy, scikit-learn and scikit-image."""
    arrays = {}
    for i, (h, w) in enumerate([(128, 128), (150, 131), (97, 160)]):
        grey = chest(h, w, 200 + i)
        z = (grey - grey.mean()) / grey.std()
        middle = z[int(h * 0.2) : int(h * 0.8), int(w * 0.2) : int(w * 0.8)]
        fit = KMeans(2, n_init=10, tol=0, random_state=0).fit(middle.reshape(-1, 1))
        air = z < fit.cluster_centers_.mean()
        eroded = ndimage.binary_erosion(air, np.ones((3, 3)))
        dilated = ndimage.binary_dilation(eroded, np.ones((8, 8)))
        good = []
        for region in measure.regionprops(measure.label(dilated)):
            y0, x0, y1, x1 = region.bbox
            if y1 - y0 <= 0.9 * h and x1 - x0 <= 0.9 * w and y0 >= 0.05 * h and y1 <= 0.99 * h:
                good.append(region.bbox)
        good = np.array(good)
        arrays[f"grey_{i}"] = grey
        arrays[f"air_{i}"] = air.astype(np.uint8)
        arrays[f"dilated_{i}"] = dilated.astype(np.uint8)
        arrays[f"box_{i}"] = np.array([*good[:, :2].min(0), *good[:, 2:].max(0)], np.int32)
    return arrays


def main():
    OUT.mkdir(exist_ok=True)
    for make in (window, clahe, resize, morphology, label, edt, kmeans, roi):
        arrays = {name: np.ascontiguousarray(a) for name, a in make().items()}
        path = OUT / f"{make.__name__}.safetensors"
        save_file(arrays, path)
        path.chmod(0o644)


if __name__ == "__main__":
    main()
