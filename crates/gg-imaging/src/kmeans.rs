//! K-means with two centres on one variable: exact and without a random start.
//!
//! [`kmeans_two`] is Lloyd's iteration from a given start, run until nothing moves, as scikit-learn's `KMeans(n_init=1,
//! tol=0)`. [`kmeans_two_histogram`] finds the best of all splits of 8-bit grey (what many random starts aim at; the
//! same split as Otsu's). Quirk: a cluster that loses all values keeps its centre. Golden set: `imaging/kmeans`.

/// Number of grey levels.
const BINS: usize = 256;
/// Lloyd's iteration on one variable ends long before.
const MOST_ROUNDS: usize = 1000;

/// The two centres that Lloyd's iteration reaches from `start`, in the order of `start`.
///
/// A value as near to one centre as to the other belongs to the first.
pub fn kmeans_two(values: &[f32], start: [f32; 2]) -> [f32; 2] {
    let mut centres = start.map(f64::from);
    for _ in 0..MOST_ROUNDS {
        let mut sums = [0.0f64; 2];
        let mut counts = [0usize; 2];
        for &v in values.iter().filter(|v| v.is_finite()) {
            let v = f64::from(v);
            let nearest = usize::from((v - centres[1]).abs() < (v - centres[0]).abs());
            sums[nearest] += v;
            counts[nearest] += 1;
        }
        let next: [f64; 2] =
            std::array::from_fn(|k| if counts[k] == 0 { centres[k] } else { sums[k] / counts[k] as f64 });
        if next == centres {
            break;
        }
        centres = next;
    }
    centres.map(|c| c as f32)
}

/// The two centres, lower first, whose squared distances to the counted grey values are smallest.
///
/// `None` where fewer than two grey values occur.
pub fn kmeans_two_histogram(counts: &[u32; BINS]) -> Option<[f64; 2]> {
    let total: u64 = counts.iter().map(|&c| u64::from(c)).sum();
    let total_sum: u64 = counts.iter().enumerate().map(|(v, &c)| v as u64 * u64::from(c)).sum();
    let (mut below, mut below_sum) = (0u64, 0u64);
    let mut best: Option<(f64, [f64; 2])> = None;
    for (v, &c) in counts.iter().enumerate() {
        below += u64::from(c);
        below_sum += v as u64 * u64::from(c);
        let above = total - below;
        if below == 0 || above == 0 {
            continue;
        }
        let centres = [below_sum as f64 / below as f64, (total_sum - below_sum) as f64 / above as f64];
        // The sum of squares within is smallest where the one between is largest.
        let between = below as f64 * above as f64 * (centres[1] - centres[0]).powi(2);
        if best.is_none_or(|(b, _)| between > b) {
            best = Some((between, centres));
        }
    }
    best.map(|(_, centres)| centres)
}
