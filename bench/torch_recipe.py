"""A plain recipe in PyTorch on the folds of `covid20`, as a second opinion on what these data allow.

  python -m venv V && V/bin/pip install -r bench/requirements.txt nibabel pillow && V/bin/python bench/torch_recipe.py DATA --fold 0

DATA holds `covid20/` (with the column `fold` in slices.csv), `medseg/` and `medseg100/`. Trains on the other folds' patients of
both sets and on medseg100; no validation part, masks are cut at one half. Whole slices of 192 x 192, 2-D U-Net of base 16 with batch norm,
batch 8, 0.5 BCE + 0.5 Dice, Adam 1e-3 with a cosine to zero, flips, affine changes, gamma and contrast; bf16 by autocast.
Prints one JSON line per volume of the held-out patients (Dice on the input grid, pooled over its slices) and the means over patients.
"""
import argparse, csv, json, pathlib, time
import nibabel as nib
import numpy as np
import torch, torch.nn as nn, torch.nn.functional as F
from PIL import Image

a = argparse.ArgumentParser()
a.add_argument("data", type=pathlib.Path)
a.add_argument("--fold", type=int, default=0)
a.add_argument("--epochs", type=int, default=16)
a.add_argument("--size", type=int, default=192)
a.add_argument("--lr", type=float, default=1e-3)
a.add_argument("--seed", type=int, default=1)
a.add_argument("--threads", type=int, default=2)
a = a.parse_args()
torch.manual_seed(a.seed); torch.set_num_threads(a.threads)
rng = np.random.default_rng(a.seed)


def small(x, mode):
    return F.interpolate(torch.from_numpy(np.ascontiguousarray(x, np.float32))[None, None], (a.size, a.size), mode=mode)[0, 0]


def png(path):
    return np.asarray(Image.open(path).convert("L"))


train_x, train_y, held_out = [], [], {}
folds = {}
for r in csv.DictReader(open(a.data / "covid20/slices.csv")):
    folds[r["patient"]] = int(r["fold"])
    x = png(a.data / "covid20/ct" / r["file"]) / 255.0
    y = png(a.data / "covid20/infection_mask" / r["file"]) > 0
    if int(r["fold"]) == a.fold:
        held_out.setdefault(("covid20", r["patient"], r["volume"]), []).append((x, y))
    else:
        train_x.append(small(x, "area")); train_y.append(small(y, "area"))
for r in csv.DictReader(open(a.data / "medseg/metadata.csv")):
    x = np.asarray(nib.load(a.data / "medseg" / r["ct_scan"]).dataobj).T / 255.0
    y = np.asarray(nib.load(a.data / "medseg" / r["infection_mask"]).dataobj).T > 0
    if folds[r["patient"]] == a.fold:
        held_out["medseg", r["patient"], r["ct_scan"]] = list(zip(x, y))
    else:
        for p, m in zip(x, y):
            train_x.append(small(p, "area")); train_y.append(small(m, "area"))
for f in sorted((a.data / "medseg100/image").iterdir()):
    train_x.append(small(png(f) / 255.0, "area"))
    train_y.append(small(png(a.data / "medseg100/infection_mask" / f"{f.stem}.png") > 0, "area"))
train_x, train_y = torch.stack(train_x), torch.stack(train_y)


def block(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(),
                         nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())


class UNet(nn.Module):
    def __init__(self, b=16):
        super().__init__()
        c = [b << k for k in range(5)]
        self.down = nn.ModuleList(block(i, o) for i, o in zip([1] + c[:4], c))
        self.up = nn.ModuleList(nn.ConvTranspose2d(c[k + 1], c[k], 2, 2) for k in (3, 2, 1, 0))
        self.dec = nn.ModuleList(block(c[k + 1], c[k]) for k in (3, 2, 1, 0))
        self.out = nn.Conv2d(b, 1, 1)

    def forward(self, x):
        skips = []
        for k, d in enumerate(self.down):
            x = d(x)
            if k < 4:
                skips.append(x); x = F.max_pool2d(x, 2)
        for u, d in zip(self.up, self.dec):
            x = d(torch.cat([skips.pop(), u(x)], 1))
        return self.out(x)[:, 0].float()


def augmented(x, y):
    """Flips, rotation, scale, shear and shift of picture and mask alike; gamma, contrast and brightness of the picture."""
    n = len(x)
    r = lambda lo, hi: torch.from_numpy(rng.uniform(lo, hi, n).astype(np.float32))
    t, s, k = r(-15, 15) * np.pi / 180, r(0.8, 1.2), r(-0.09, 0.09)
    fx, fy = (torch.where(r(0, 1) < p, -1.0, 1.0) for p in (0.5, 0.2))
    rows = [fx * s * t.cos(), fx * s * (k - t.sin()), r(-0.2, 0.2), fy * s * t.sin(), fy * s * t.cos(), r(-0.2, 0.2)]
    grid = F.affine_grid(torch.stack(rows, 1).view(n, 2, 3), (n, 1, a.size, a.size), align_corners=False)
    x, y = (F.grid_sample(v[:, None], grid, align_corners=False)[:, 0] for v in (x, y))
    x = x.clamp(0, 1) ** r(0.6, 1.6)[:, None, None]
    return ((x - 0.5) * r(0.8, 1.25)[:, None, None] + 0.5 + r(-0.1, 0.1)[:, None, None]).clamp(0, 1), y


net = UNet().to(memory_format=torch.channels_last)
steps = len(train_x) // 8
optimiser = torch.optim.Adam(net.parameters(), a.lr)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, a.epochs * steps)
start = time.time()
for epoch in range(a.epochs):
    order = rng.permutation(len(train_x))
    for b in range(steps):
        i = torch.from_numpy(order[8 * b:8 * b + 8])
        x, y = augmented(train_x[i], train_y[i])
        with torch.autocast("cpu", torch.bfloat16):
            z = net(x[:, None].contiguous(memory_format=torch.channels_last))
        p = z.sigmoid()
        loss = 0.5 * F.binary_cross_entropy_with_logits(z, y) + 0.5 * (1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1))
        optimiser.zero_grad(set_to_none=True); loss.backward(); optimiser.step(); schedule.step()
minutes = (time.time() - start) / 60
net.eval()
by_patient = {}
for (data_set, patient, volume), slices in held_out.items():
    tp = found = truth = 0
    for x, y in slices:
        with torch.inference_mode():
            z = net(small(x, "area")[None, None].contiguous(memory_format=torch.channels_last))
            mask = (F.interpolate(z[None], y.shape, mode="bilinear")[0, 0] > 0).numpy()
        tp += (mask & y).sum(); found += mask.sum(); truth += y.sum()
    dice = float(2 * tp / (found + truth))
    by_patient.setdefault((data_set, patient), []).append(dice)
    print(json.dumps(dict(fold=a.fold, data_set=data_set, patient=patient, volume=volume, dice=round(dice, 4))), flush=True)
means = {s: [np.mean(v) for (t, _), v in by_patient.items() if t == s] for s in ("covid20", "medseg")}
print(json.dumps(dict(fold=a.fold, slices=len(train_x), minutes=round(minutes, 1), **{s: round(float(np.mean(v)), 4) for s, v in means.items() if v})))
