//! What samples amount to. Pure.

/// The value below which the share `at` (0 to 1) of the samples lies, between neighbours in proportion; `None` without
/// samples.
pub(crate) fn quantile(samples: &[f64], at: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let position = at.clamp(0.0, 1.0) * as_float(last);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the last position"
    )]
    let below = position.floor() as usize;
    let (low, high) = (sorted.get(below)?, sorted.get((below + 1).min(last))?);
    Some(low + (high - low) * (position - position.floor()))
}

/// The median; `None` without samples.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    quantile(samples, 0.5)
}

/// The exponent `b` of `y = a * x^b` that fits the points best: least squares on logarithms. `None` for fewer than two
/// different sizes, and where a value is not above zero.
pub(crate) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    if points.iter().any(|&(x, y)| x <= 0.0 || y <= 0.0) {
        return None;
    }
    let logs: Vec<(f64, f64)> = points.iter().map(|&(x, y)| (x.ln(), y.ln())).collect();
    let count = as_float(logs.len());
    let mean_x = logs.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = logs.iter().map(|(_, y)| y).sum::<f64>() / count;
    let spread: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let together: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (spread > 0.0).then(|| together / spread)
}

/// A count as a number that can be divided.
pub(crate) fn as_float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// A number of the kernel, which has no more than the 53 bits that a float holds exactly.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds and bytes, below 2^53")]
pub(crate) fn of_u64(value: u64) -> f64 {
    value as f64
}

/// Nanoseconds.
pub(crate) fn nanoseconds(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_samples() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let hundred: Vec<f64> = (1..=101).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.99), Some(100.0));
        assert_eq!(quantile(&hundred, 1.0), Some(101.0));
    }

    #[test]
    fn the_exponent_of_a_power_is_found() {
        let at = |power: f64| [10.0, 1000.0, 100_000.0].map(|x: f64| (x, 3.0 * x.powf(power)));
        for power in [0.0, 1.0, 2.0, 0.5] {
            let found = exponent(&at(power)).unwrap();
            assert!((found - power).abs() < 1e-9, "{power}: {found}");
        }
        assert_eq!(exponent(&[(10.0, 1.0), (10.0, 2.0)]), None);
        assert_eq!(exponent(&[(10.0, 0.0), (100.0, 2.0)]), None);
        assert_eq!(exponent(&[]), None);
    }
}
