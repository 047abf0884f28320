//! From metrics to the points of a curve.

use crate::metrics::Metric;

/// A place of a curve: the step and the loss.
pub type Point = (f64, f64);

/// The losses that a logarithmic axis can show, those that are finite and above 0, in pieces: where one of another kind
/// lies between them, the curve is interrupted. `loss` is `None` where nothing was measured.
pub fn pieces(metrics: &[Metric], loss: impl Fn(&Metric) -> Option<f32>) -> Vec<Vec<Point>> {
    let measured = metrics.iter().filter_map(|metric| loss(metric).map(|loss| (metric.step as f64, f64::from(loss))));
    let measured: Vec<Point> = measured.collect();
    let drawable = |point: &Point| point.1.is_finite() && point.1 > 0.0;
    measured.split(|point| !drawable(point)).filter(|piece| !piece.is_empty()).map(<[Point]>::to_vec).collect()
}

/// The mean of the logarithms over a fiftieth of the points to either side, for a batch is a small sample. At the start,
/// where the loss falls steeply, both sides are cut alike, or the curve would lag behind.
pub fn smooth(points: &[Point]) -> Vec<Point> {
    let mut sums = vec![0.0];
    sums.extend(points.iter().scan(0.0, |sum, (_, loss)| {
        *sum += loss.ln();
        Some(*sum)
    }));
    let mean = |i: usize| {
        let half = (points.len() / 50).min(i);
        let (first, end) = (i - half, (i + half + 1).min(points.len()));
        f64::exp((sums[end] - sums[first]) / (end - first) as f64)
    };
    points.iter().enumerate().map(|(i, point)| (point.0, mean(i))).collect()
}

/// Of the points that share one of `columns` columns up to the step `last`, at most four: the first, the lowest, the
/// highest and the last. It looks the same, and no spike is lost.
pub fn thin(points: &[Point], last: f64, columns: usize) -> Vec<Point> {
    let column = |point: &Point| (point.0 / last * columns as f64) as usize;
    let mut kept = Vec::new();
    for shared in points.chunk_by(|a, b| column(a) == column(b)) {
        let by_loss = |i: &usize, j: &usize| shared[*i].1.total_cmp(&shared[*j].1);
        let lowest = (0..shared.len()).min_by(by_loss).unwrap_or(0);
        let highest = (0..shared.len()).max_by(by_loss).unwrap_or(0);
        let mut indices = [0, lowest, highest, shared.len() - 1];
        indices.sort_unstable();
        kept.extend(indices.chunk_by(|i, j| i == j).map(|same| shared[same[0]]));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_keeps_a_constant_and_the_steps() {
        let points: Vec<_> = (0..200).map(|i| (i as f64, 2.0)).collect();
        assert!(smooth(&points).iter().zip(&points).all(|(a, b)| a.0 == b.0 && (a.1 - 2.0).abs() < 1e-12));
        let zigzag: Vec<_> = (0..200).map(|i| (i as f64, if i % 2 == 0 { 1.0 } else { 4.0 })).collect();
        let smoothed = smooth(&zigzag);
        assert_eq!(smoothed[0].1, 1.0, "the first point has no one to be averaged with");
        for (step, loss) in &smoothed[4..] {
            assert!((1.6..2.4).contains(loss), "near 2, the middle of 1 and 4 in ratios: {loss} at {step}");
        }
    }

    #[test]
    fn a_long_run_is_thinned_and_keeps_its_spikes() {
        let mut points: Vec<Point> = (0..=100_000).map(|i| (f64::from(i), 2.0)).collect();
        (points[51_234].1, points[51_236].1) = (9.0, 0.5);
        let thinned = thin(&points, 100_000.0, 700);
        assert!((700..=4 * 701).contains(&thinned.len()), "{}", thinned.len());
        assert!([(0.0, 2.0), (51_234.0, 9.0), (51_236.0, 0.5), (100_000.0, 2.0)].iter().all(|p| thinned.contains(p)));
        assert!(thinned.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(thin(&points[..200], 200.0, 700), points[..200], "what has room stays");
        assert!(thin(&[], 1.0, 700).is_empty());
    }
}
