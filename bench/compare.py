"""Our speed beside PyTorch's, on one machine, in one run: both sides in turns, medians, ratios.

  python -m venv V && V/bin/pip install -r bench/requirements.txt
  V/bin/python bench/compare.py --groundglass target/release/groundglass --torch-script torch_unet.py

--torch-script is a program that takes `--mode fp32|bf16 --threads N --only train|predict` and prints, as its last line, one
JSON object with `train_step_ms`, `predict_slice_ms` and `peak_rss_mb`, for the network and sizes of `groundglass bench`.
Run it on an otherwise idle machine. Prints the table of BENCHMARKS.md; --json FILE keeps every single figure.
"""
import argparse, json, os, platform, statistics, subprocess, sys

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("--groundglass", required=True, help="the program to measure")
a.add_argument("--torch-script", required=True, help="the other side")
a.add_argument("--modes", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"],
               help="precisions of the other side; bf16 takes minutes a step on a processor that lacks it")
a.add_argument("--threads", type=int, default=os.cpu_count())
a.add_argument("--rounds", type=int, default=3, help="turns of each side")
a.add_argument("--repeats", type=int, default=12, help="steps behind each median of our side")
a.add_argument("--burn", action="store_true", help="measure Burn's CPU backend too")
a.add_argument("--json", help="file for every single figure")
a = a.parse_args()


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}")
    return done.stdout


def ours():
    command = [a.groundglass, "bench", "--json", "--quiet", "--no-kernels"]
    command += ["--threads", str(a.threads), "--repeats", str(a.repeats)]
    answer = json.loads(run(command + (["--burn"] if a.burn else [])))
    return answer, {("burn " if r["engine"].startswith("burn") else "") + r["precision"]: r for r in answer["rows"]}


def theirs(mode):
    row = {}
    for part in ["train", "predict"]:
        text = run([sys.executable, a.torch_script, "--mode", mode, "--threads", str(a.threads), "--only", part])
        found = json.loads(text.strip().splitlines()[-1])
        row["engine"] = found.get("engine", "torch")
        key = {"train": "train_step_ms", "predict": "predict_slice_ms"}[part]
        row[key] = found[key]
        row[f"{part}_peak_rss_mb"] = found["peak_rss_mb"]
    return row


figures, answer = [], None
for i in range(a.rounds):
    print(f"round {i + 1} of {a.rounds}", file=sys.stderr)
    answer, rows = ours()
    figures += [dict(row, side="groundglass", precision=p) for p, row in rows.items()]
    figures += [dict(side="torch", precision=mode, **theirs(mode)) for mode in a.modes]
if a.json:
    with open(a.json, "w") as f:
        json.dump(figures, f, indent=1)


def median(side, precision, key):
    values = [f[key] for f in figures if f["side"] == side and f["precision"] == precision and f.get(key) is not None]
    return statistics.median(values) if values else None


KEYS = ["train_step_ms", "predict_slice_ms", "train_peak_rss_mb", "predict_peak_rss_mb"]
print(f"{answer['processor'] or platform.processor()}, {answer['instruction_set']}, {a.threads} threads; groundglass "
      f"{answer['program']['version']} ({answer['program']['commit']}); medians of {a.rounds} rounds\n")
print("| engine | precision | training step, ms | predict, ms per slice | peak MB, train / predict |\n|---|---|---|---|---|")
for side, precision in dict.fromkeys((f["side"], f["precision"]) for f in figures):
    engine = next(f["engine"] for f in figures if (f["side"], f["precision"]) == (side, precision))
    train, predict, mb_train, mb_predict = (median(side, precision, k) for k in KEYS)
    train, mb_train = "-" if train is None else f"{train:.1f}", "-" if mb_train is None else mb_train
    print(f"| {engine} | {precision} | {train} | {predict:.1f} | {mb_train} / {mb_predict} |")
print("\n| torch / groundglass | training step | predict | peak memory, train | peak memory, predict |\n|---|---|---|---|---|")
for precision in dict.fromkeys(f["precision"] for f in figures if f["side"] == "groundglass"):
    for other in a.modes:
        pairs = [(median("torch", other, k), median("groundglass", precision, k)) for k in KEYS]
        cells = [f"{t / g:.2f}" if t and g else "-" for t, g in pairs]
        print(f"| torch {other} / ours {precision} | " + " | ".join(cells) + " |")
