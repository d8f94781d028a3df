//! A span of time in words, as coarse as a person reads it.

use std::fmt;
use std::time::Duration;

/// A duration in its largest unit or two: `9 s`, `3 min`, `2 h 5 min`, `4 d`.
#[derive(Clone, Copy, Debug)]
pub struct Elapsed(pub Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours) = (seconds / 60, seconds / 3600);
        match (seconds, minutes % 60) {
            (0..60, _) => write!(out, "{seconds} s"),
            (60..3600, _) => write!(out, "{minutes} min"),
            (3600..86_400, 0) => write!(out, "{hours} h"),
            (3600..86_400, minutes) => write!(out, "{hours} h {minutes} min"),
            _ => write!(out, "{} d", hours / 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_their_largest_unit() {
        let shown = |seconds| Elapsed(Duration::from_secs(seconds)).to_string();
        assert_eq!(
            [0, 59, 60, 3599, 3600, 7500, 86_400, 400_000].map(shown),
            ["0 s", "59 s", "1 min", "59 min", "1 h", "2 h 5 min", "1 d", "4 d"]
        );
    }
}
