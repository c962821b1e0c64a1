"""Five splits of `covidct`, for the mean of five networks in docs/experiments.md.

  python bench/covidct_fifths.py DATA/covidct/labels.csv OUT

Of the official training part each fifth in turn is `val`, and the rest `train`; the official validation part is `test`
in all five. A fifth is a run of neighbouring pictures of each class, since figures of one paper stand together. Writes
OUT/fifth-0.toml to fifth-4.toml.
"""
import csv, pathlib, sys

labels, out = map(pathlib.Path, sys.argv[1:3])
rows = [(pathlib.Path(r["file"]).stem, r["covid"], r["split"]) for r in csv.DictReader(labels.open())]
fifth = {}
for kind in ("1", "0"):
    names = [name for name, covid, part in rows if covid == kind and part == "train"]
    size, rest = divmod(len(names), 5)
    for i, name in enumerate(names):
        longer = rest * (size + 1)
        fifth[name] = i // (size + 1) if i < longer else rest + (i - longer) // size
out.mkdir(parents=True, exist_ok=True)
for k in range(5):
    lines = ['version = 1', 'kind = "patient"', 'seed = 1', 'folds = 0', 'validation_share = 0.2', '']
    for name, _, part in rows:
        if part not in ("train", "val"):
            sys.exit(f"{labels}: {name} is in the part {part}; right would be train or val")
        part = "test" if part == "val" else "val" if fifth[name] == k else "train"
        lines += ["[[case]]", f'case = "{name}"', f'patient = "{name}"', f'part = "{part}"', ""]
    (out / f"fifth-{k}.toml").write_text("\n".join(lines))
