"""A whole `groundglass analyze` beside a Python pipeline on the same CT, in turns: medians, ratios.

  python -m venv V && V/bin/pip install -r bench/requirements.txt     # and what the script itself needs
  V/bin/python bench/compare_analyze.py --groundglass target/release/groundglass --python-script SCRIPT --ct CT.nii.gz \\
      --model lung.safetensors infection.safetensors

--python-script is a program that takes `CT.nii.gz --mode fp32|bf16 --size N --base N` and prints, as its last line, one JSON
object with `seconds` (`import`, `load`, `prepare`, `predict`, `finish`) for preparation, two U-Nets of that base and size, and
masks written. Ours does more: a classifier for slices, measures, attenuation and texture, and the page. The bundles
should have the same base and size; without --model those in the program are taken. Totals are those of the whole process, as the
clock and the system count them. A DICOM folder for --ct needs its NIfTI twin (`groundglass convert`) as --python-ct.
Run it on an otherwise idle machine. --json FILE keeps every single figure.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile, time

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("--groundglass", required=True, help="the program to measure")
a.add_argument("--python-script", required=True, help="the other side")
a.add_argument("--ct", required=True, help="a CT that both read")
a.add_argument("--python-ct", help="the same CT as NIfTI, where --ct is none")
a.add_argument("--model", nargs="+", default=[], help="bundles for our side")
a.add_argument("--mode", choices=["fp32", "bf16"], default="bf16", help="precision of the other side")
a.add_argument("--size", type=int, default=256, help="side of the other side's slices")
a.add_argument("--base", type=int, default=16, help="channels of the other side's networks at their first level")
a.add_argument("--threads", type=int, default=os.cpu_count())
a.add_argument("--rounds", type=int, default=3, help="turns of each side")
a.add_argument("--json", help="file for every single figure")
a = a.parse_args()


def measured(command, env=None):
    """Seconds, peak memory in MB and stdout of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024, text


def ours(threads, more=()):
    with tempfile.TemporaryDirectory() as dir:
        out = os.path.join(dir, "out")
        command = [a.groundglass, "analyze", a.ct, "--out", out, "--quiet", "--threads", str(threads), *more]
        total, peak, _ = measured(command + (["--model", *a.model] if a.model else []))
        with open(os.path.join(out, "timings.json")) as f:
            secs = json.load(f)
        with open(os.path.join(out, "slices.csv")) as f:
            head, *rows = [line.rstrip("\n").split(",") for line in f]
    lungs = [int(row[head.index("lung_voxels")]) for row in rows]
    rest = secs["clean_secs"] + secs["measure_secs"] + secs["write_secs"]
    return dict(total=total, read=secs["read_secs"], prepare=secs["prepare_secs"], predict=secs["predict_secs"], rest=rest, peak_mb=peak,
                slices=len(lungs), without_lung=lungs.count(0))


def theirs():
    env = dict(os.environ, OMP_NUM_THREADS=str(a.threads))
    command = [sys.executable, a.python_script, a.python_ct or a.ct, "--mode", a.mode, "--size", str(a.size), "--base", str(a.base)]
    total, peak, text = measured(command, env)
    secs = json.loads(text.strip().splitlines()[-1])["seconds"]
    return dict(total=total, start=secs["import"], read=secs["load"], prepare=secs["prepare"], predict=secs["predict"], rest=secs["finish"], peak_mb=peak)


SIDES = {
    "groundglass": lambda: ours(a.threads),
    "groundglass, every slice": lambda: ours(a.threads, ["--every-slice"]),
    "groundglass, 1 thread": lambda: ours(1),
    f"Python, {a.mode}": theirs,
}
PYTHON = f"Python, {a.mode}"
KEYS = ["total", "read", "prepare", "predict", "rest", "peak_mb"]
figures = []
for i in range(a.rounds):
    print(f"round {i + 1} of {a.rounds}", file=sys.stderr)
    figures += [dict(side=side, **run()) for side, run in SIDES.items()]
if a.json:
    with open(a.json, "w") as f:
        json.dump(figures, f, indent=1)


def median(side, key):
    return statistics.median(f[key] for f in figures if f["side"] == side)


one = next(f for f in figures if f["side"] == "groundglass")
print(f"{one['slices']} slices, {one['without_lung']} of them without lung; {a.threads} threads; medians of {a.rounds} rounds\n")
print("| | total, s | read | prepare | predict | rest | peak MB |\n|---|---|---|---|---|---|---|")
for side in SIDES:
    print(f"| {side} | " + " | ".join(f"{median(side, k):.{0 if k == 'peak_mb' else 2}f}" for k in KEYS) + " |")
start = median(PYTHON, "start")
print(f"\nOf the Python side's total, {start:.2f} s are its imports.\n")
print("| Python / groundglass | total | total without imports | prepare | peak memory |\n|---|---|---|---|---|")
for side in ["groundglass", "groundglass, every slice"]:
    ratios = [median(PYTHON, "total") / median(side, "total"), (median(PYTHON, "total") - start) / median(side, "total")]
    ratios += [median(PYTHON, k) / median(side, k) for k in ["prepare", "peak_mb"]]
    print(f"| {side} | " + " | ".join(f"{r:.2f}" for r in ratios) + " |")
print(f"\n1 thread / {a.threads} threads of groundglass: {median('groundglass, 1 thread', 'total') / median('groundglass', 'total'):.2f}")
