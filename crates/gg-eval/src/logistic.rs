//! Logistic regression with an L2 penalty: how attributes of a case move the odds of an outcome.
//!
//! Minimises `sum of log-losses + penalty / 2 * |coefficients|^2`; the intercept is not penalised (scikit-learn's `C`
//! is one over our penalty). Newton's method (iteratively reweighted least squares) with halved steps where a whole one
//! would not lower the objective; sums run in the order of the rows, so that the same rows give the same bytes.
//!
//! Golden set: `eval/logistic` (`LogisticRegression` of scikit-learn).

/// A fitted regression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Logistic {
    /// Log-odds where all attributes are 0.
    pub(crate) intercept: f64,
    /// Change of the log-odds per unit of each attribute.
    pub(crate) coefficients: Vec<f64>,
}

/// Newton steps at most; ten are usual, more where the classes can be separated and next to nothing is asked of the
/// coefficients.
const MOST_STEPS: usize = 100;
/// Relative fall of the objective below which nothing more is to be gained.
const TOLERANCE: f64 = 1e-13;
/// Halvings of a step at most.
const MOST_HALVINGS: usize = 30;

impl Logistic {
    /// Fits rows of attributes to outcomes; `None` where one class is missing or the penalty is not positive.
    ///
    /// # Shape
    /// `rows`: one slice of equally many attributes per case, best standardised, since one penalty holds for all.
    pub(crate) fn fit(rows: &[&[f64]], outcomes: &[bool], penalty: f64) -> Option<Self> {
        let n = rows.len();
        let positive = outcomes.iter().filter(|&&y| y).count();
        if positive == 0 || positive == n || outcomes.len() != n || !penalty.is_finite() || penalty <= 0.0 {
            return None;
        }
        let p = rows[0].len() + 1;
        let share = positive as f64 / n as f64;
        let mut w = vec![0.0; p];
        w[p - 1] = (share / (1.0 - share)).ln();
        let mut value = objective(rows, outcomes, &w, penalty);
        for _ in 0..MOST_STEPS {
            let (gradient, hessian) = derivatives(rows, outcomes, &w, penalty);
            let step = solve(hessian, &gradient)?;
            let mut scale = 1.0;
            let mut better = None;
            for _ in 0..MOST_HALVINGS {
                let moved: Vec<f64> = w.iter().zip(&step).map(|(w, s)| w - scale * s).collect();
                let found = objective(rows, outcomes, &moved, penalty);
                if found <= value {
                    better = Some((moved, found));
                    break;
                }
                scale /= 2.0;
            }
            let Some((moved, found)) = better else { break };
            let fall = value - found;
            (w, value) = (moved, found);
            if fall <= TOLERANCE * value.abs() {
                break;
            }
        }
        let intercept = w.pop()?;
        Some(Self { intercept, coefficients: w })
    }

    /// Log-odds of a case.
    pub(crate) fn log_odds(&self, row: &[f64]) -> f64 {
        self.intercept + self.coefficients.iter().zip(row).map(|(c, v)| c * v).sum::<f64>()
    }

    /// Probability of a case.
    pub(crate) fn probability(&self, row: &[f64]) -> f64 {
        sigmoid(self.log_odds(row))
    }
}

/// The mean probability over all rows where one attribute is set to each value of a grid (Friedman 2001).
pub(crate) fn partial_dependence(
    model: &Logistic,
    rows: &[&[f64]],
    attribute: usize,
    grid: &[f64],
) -> Vec<f64> {
    let Some(&own) = model.coefficients.get(attribute) else { return Vec::new() };
    let without: Vec<f64> = rows.iter().map(|r| model.log_odds(r) - own * r[attribute]).collect();
    let mean =
        |v: &f64| without.iter().map(|z| sigmoid(z + own * v)).sum::<f64>() / without.len().max(1) as f64;
    grid.iter().map(mean).collect()
}

fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

/// `ln(1 + e^z)` without overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// `w`: the coefficients, then the intercept.
fn log_odds(row: &[f64], w: &[f64]) -> f64 {
    row.iter().zip(w).map(|(v, c)| c * v).sum::<f64>() + w[row.len()]
}

fn objective(rows: &[&[f64]], outcomes: &[bool], w: &[f64], penalty: f64) -> f64 {
    let loss = |(row, &y): (&&[f64], &bool)| {
        let z = log_odds(row, w);
        softplus(if y { -z } else { z })
    };
    let squares: f64 = w[..w.len() - 1].iter().map(|c| c * c).sum();
    rows.iter().zip(outcomes).map(loss).sum::<f64>() + 0.5 * penalty * squares
}

fn derivatives(rows: &[&[f64]], outcomes: &[bool], w: &[f64], penalty: f64) -> (Vec<f64>, Vec<Vec<f64>>) {
    let p = w.len();
    let mut gradient = vec![0.0; p];
    let mut hessian = vec![vec![0.0; p]; p];
    for (row, &y) in rows.iter().zip(outcomes) {
        let prob = sigmoid(log_odds(row, w));
        let (off, weight) = (prob - f64::from(u8::from(y)), prob * (1.0 - prob));
        let value = |j: usize| row.get(j).copied().unwrap_or(1.0);
        for (j, (slope, line)) in gradient.iter_mut().zip(&mut hessian).enumerate() {
            *slope += off * value(j);
            line.iter_mut().enumerate().take(j + 1).for_each(|(k, h)| *h += weight * value(j) * value(k));
        }
    }
    for (j, (slope, line)) in gradient.iter_mut().zip(&mut hessian).enumerate().take(p - 1) {
        *slope += penalty * w[j];
        line[j] += penalty;
    }
    (gradient, hessian)
}

/// Solves a symmetric positive system of which the lower half is given, by Cholesky; `None` where it is singular.
fn solve(mut a: Vec<Vec<f64>>, b: &[f64]) -> Option<Vec<f64>> {
    /// Added to the diagonal as a share of it: the intercept's entry falls to nothing where all cases are sure.
    const RIDGE: f64 = 1e-12;
    let n = b.len();
    for j in 0..n {
        a[j][j] *= 1.0 + RIDGE;
        for k in 0..j {
            let s: f64 = (0..k).map(|i| a[j][i] * a[k][i]).sum();
            a[j][k] = (a[j][k] - s) / a[k][k];
        }
        let s: f64 = (0..j).map(|i| a[j][i] * a[j][i]).sum();
        let pivot = a[j][j] - s;
        if !(pivot.is_finite() && pivot > 0.0) {
            return None;
        }
        a[j][j] = pivot.sqrt();
    }
    let mut x = b.to_vec();
    for j in 0..n {
        let s: f64 = (0..j).map(|i| a[j][i] * x[i]).sum();
        x[j] = (x[j] - s) / a[j][j];
    }
    for j in (0..n).rev() {
        let s: f64 = (j + 1..n).map(|i| a[i][j] * x[i]).sum();
        x[j] = (x[j] - s) / a[j][j];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roc_curve;
    use gg_testkit::Golden;

    fn close(found: f64, right: f64) {
        assert!((found - right).abs() < 1e-8 * (1.0 + right.abs()), "{found}, right {right}");
    }

    #[test]
    fn coefficients_and_partial_dependence_equal_scikit_learns() {
        let golden = Golden::open("eval/logistic.safetensors");
        let p = golden.shape("x")[1];
        let x = golden.f64("x");
        let rows: Vec<&[f64]> = x.chunks_exact(p).collect();
        let y: Vec<bool> = golden.u8("y").iter().map(|&v| v != 0).collect();
        for penalty in ["0.1", "1", "10"] {
            let model = Logistic::fit(&rows, &y, penalty.parse().unwrap()).unwrap();
            close(model.intercept, golden.f64(&format!("intercept_{penalty}"))[0]);
            for (found, right) in model.coefficients.iter().zip(golden.f64(&format!("coef_{penalty}"))) {
                close(*found, right);
            }
            let scores: Vec<f32> = rows.iter().map(|r| model.log_odds(r) as f32).collect();
            close(roc_curve(&scores, &y).auroc.unwrap(), golden.f64(&format!("auroc_{penalty}"))[0]);
            if penalty == "1" {
                let grid = golden.f64("pd_grid");
                for j in 0..p {
                    let found = partial_dependence(&model, &rows, j, &grid);
                    for (f, r) in found.iter().zip(golden.f64(&format!("pd_{j}"))) {
                        close(*f, r);
                    }
                }
            }
        }
    }

    #[test]
    fn separable_classes_end_at_finite_coefficients_and_one_class_at_none() {
        let rows: Vec<[f64; 1]> = (-10..=10).filter(|&i| i != 0).map(|i| [f64::from(i)]).collect();
        let rows: Vec<&[f64]> = rows.iter().map(|r| &r[..]).collect();
        let y: Vec<bool> = rows.iter().map(|r| r[0] > 0.0).collect();
        let model = Logistic::fit(&rows, &y, 1e-6).unwrap();
        assert!(model.coefficients[0] > 5.0 && model.coefficients[0].is_finite());
        assert!(model.probability(&[1.0]) > 0.99 && model.probability(&[-1.0]) < 0.01);
        assert_eq!(Logistic::fit(&rows, &vec![true; rows.len()], 1.0), None);
        assert_eq!(Logistic::fit(&[], &[], 1.0), None);
    }
}
