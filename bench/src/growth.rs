//! How each figure grows with its size, so that a quadratic can not hide.

use serde::Serialize;

use crate::report::{Figure, Unit};
use crate::statistics;

/// From this exponent on a growth is pointed at: proportional with a little for caches that no longer fit.
pub(crate) const STEEP: f64 = 1.2;
/// The same for what comes on top of a fixed cost, a smaller and so a less certain number.
pub(crate) const STEEP_ON_TOP: f64 = 1.5;
/// Less than this share of the fixed cost can not be told from noise, and counts as that share.
const ON_TOP_LEAST: f64 = 0.1;

/// How one figure grows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Growth {
    pub(crate) section: u8,
    pub(crate) what: String,
    pub(crate) subject: String,
    /// Smallest and largest size.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// The exponent of the power that fits best: 0 does not grow, 1 in proportion, 2 with the square.
    pub(crate) exponent: f64,
    /// The same without what the smallest size takes already: a fixed cost would hide how the rest grows. `None` with fewer
    /// than three sizes, and where next to nothing comes on top in any.
    pub(crate) on_top: Option<f64>,
}

impl Growth {
    /// Whether somebody should look at it.
    pub(crate) fn is_steep(&self) -> bool {
        self.exponent > STEEP || self.on_top.is_some_and(|exponent| exponent > STEEP_ON_TOP)
    }
}

/// The exponent of what comes on top of the smallest of several sizes.
fn on_top(points: &[(f64, f64)]) -> Option<f64> {
    let smallest = points.iter().min_by(|one, other| one.0.total_cmp(&other.0))?;
    let least = smallest.1 * ON_TOP_LEAST;
    let above: Vec<(f64, f64)> = points
        .iter()
        .filter(|point| point.0 > smallest.0)
        .map(|&(size, value)| (size, (value - smallest.1).max(least)))
        .collect();
    if above.iter().all(|(_, value)| *value <= least) {
        return None;
    }
    statistics::exponent(&above)
}

/// The growth of every figure that was measured in two sizes or more.
pub(crate) fn of(figures: &[Figure]) -> Vec<Growth> {
    let mut found: Vec<Growth> = Vec::new();
    for figure in figures {
        let is_known = found.iter().any(|growth| {
            growth.section == figure.section && growth.what == figure.what && growth.subject == figure.subject
        });
        // Shares and rates are ratios already.
        if is_known || !matches!(figure.unit, Unit::Nanoseconds | Unit::Bytes | Unit::Count) {
            continue;
        }
        let same = figures.iter().filter(|other| {
            other.section == figure.section && other.what == figure.what && other.subject == figure.subject
        });
        let sizes: Vec<(u64, f64)> = same
            .filter_map(|other| Some((other.size?, other.median()?)))
            .collect();
        let points: Vec<(f64, f64)> = sizes
            .iter()
            .map(|&(size, value)| (statistics::of_u64(size), value))
            .collect();
        let (Some(exponent), Some(from), Some(to)) = (
            statistics::exponent(&points),
            sizes.iter().map(|(size, _)| *size).min(),
            sizes.iter().map(|(size, _)| *size).max(),
        ) else {
            continue;
        };
        found.push(Growth {
            section: figure.section,
            what: figure.what.clone(),
            subject: figure.subject.clone(),
            from,
            to,
            exponent,
            on_top: on_top(&points),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_is_pointed_at_and_a_proportion_is_not() {
        let figure = |subject: &str, size: u64, value: f64| {
            Figure::new(3, "replace", subject, Some(size), Unit::Nanoseconds).with([value])
        };
        let figures = [
            figure("good", 100, 10.0),
            figure("good", 10_000, 1000.0),
            figure("bad", 100, 10.0),
            figure("bad", 10_000, 100_000.0),
            figure("alone", 100, 10.0),
        ];
        let growth = of(&figures);
        let told: Vec<_> = growth
            .iter()
            .map(|one| (one.subject.as_str(), one.is_steep()))
            .collect();
        assert_eq!(told, [("good", false), ("bad", true)]);
        assert_eq!((growth[0].from, growth[0].to), (100, 10_000));
    }
    #[test]
    fn a_square_can_not_hide_behind_a_fixed_cost() {
        let figures = |square: f64, linear: f64| {
            [100_u32, 10_000, 100_000].map(|size| {
                let count = f64::from(size);
                let value = 300e3 + linear * count + square * count * count;
                Figure::new(3, "replace", "one", Some(u64::from(size)), Unit::Nanoseconds).with([value])
            })
        };
        let told = |square, linear| {
            let [growth] = of(&figures(square, linear)).try_into().expect("one subject");
            (growth.is_steep(), growth.on_top.map(|exponent| exponent.round()))
        };
        assert_eq!(told(0.001, 0.0), (true, Some(2.0)));
        assert_eq!(
            told(0.0001, 0.0),
            (true, Some(2.0)),
            "nothing to be seen at the size between"
        );
        assert_eq!(told(0.0, 20.0), (false, Some(1.0)));
        assert_eq!(told(0.0, 0.1), (false, None), "noise is not raised to a power");
    }
}
