//! A small writer of graphs: bars on a logarithmic scale, to be read on light and dark pages alike. Pure.

use std::fmt::Write as _;

use crate::report::grouped;

/// Width of the picture, and of the columns in it: labels, bars, values.
const WIDTH: f64 = 760.0;
const LABELS: f64 = 230.0;
const VALUES: f64 = 100.0;
/// Heights of the heading, of a bar with its gap, and of the foot.
const HEAD: f64 = 58.0;
const ROW: f64 = 28.0;
const BAR: f64 = 18.0;
const FOOT: f64 = 34.0;

/// Colours by role, dark on light and light on dark; the background is drawn, so that they never meet another page's.
const STYLE: &str = "\
.back{fill:#ffffff;stroke:#d0d7de}.text{fill:#1f2328}.dim{fill:#59636e}.line{stroke:#d0d7de}\
.ours{fill:#0969da}.other{fill:#9198a1}.floor{fill:#c5ccd3}\
@media(prefers-color-scheme:dark){.back{fill:#0d1117;stroke:#3d444d}.text{fill:#f0f6fc}.dim{fill:#9198a1}\
.line{stroke:#3d444d}.ours{fill:#4493f8}.other{fill:#6e7681}.floor{fill:#454c54}}\
text{font:13px system-ui,sans-serif}.title{font-size:15px;font-weight:600}";

/// Whose a bar is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// The enforcer's.
    Ours,
    /// What it is compared with.
    Other,
    /// What nothing can be below.
    Floor,
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    /// The value as it is written beside the bar.
    pub(crate) shown: String,
    pub(crate) role: Role,
}

/// A picture of bars.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bars {
    /// The name of its file, without an ending.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    /// What is measured, in which unit, on which scale.
    pub(crate) subtitle: String,
    pub(crate) bars: Vec<Bar>,
}

impl Bars {
    /// The name of its file.
    pub(crate) fn file_name(&self) -> String {
        format!("{}.svg", self.name)
    }

    /// The same in words, for those who do not see it.
    pub(crate) fn words(&self) -> String {
        let bars: Vec<String> = self
            .bars
            .iter()
            .map(|bar| format!("{} {}", bar.label, bar.shown))
            .collect();
        format!("{}: {}", self.title, bars.join(", "))
    }

    /// The picture.
    pub(crate) fn svg(&self) -> String {
        let mut out = String::new();
        let rows = crate::statistics::as_float(self.bars.len());
        let height = HEAD + rows * ROW + FOOT;
        let (low, high) = decades(self.bars.iter().map(|bar| bar.value));
        let room = WIDTH - LABELS - VALUES;
        let place = |value: f64| {
            let share = (value.max(low).log10() - low.log10()) / (high.log10() - low.log10());
            share.clamp(0.0, 1.0) * room
        };
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" width=\"{WIDTH:.0}\" \
             height=\"{height:.0}\" role=\"img\" aria-labelledby=\"title words\">\n\
             <title id=\"title\">{}</title>\n<desc id=\"words\">{}</desc>\n<style>{STYLE}</style>\n\
             <rect class=\"back\" x=\"0.5\" y=\"0.5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"6\"/>\n\
             <text class=\"text title\" x=\"16\" y=\"26\">{}</text>\n<text class=\"dim\" x=\"16\" y=\"45\">{}</text>",
            escape(&self.title),
            escape(&self.words()),
            WIDTH - 1.0,
            height - 1.0,
            escape(&self.title),
            escape(&self.subtitle)
        );
        let bottom = HEAD + rows * ROW;
        let mut mark = low;
        while mark <= high * 1.001 {
            let x = LABELS + place(mark);
            let _ = writeln!(
                out,
                "<line class=\"line\" x1=\"{x:.1}\" y1=\"{HEAD:.0}\" x2=\"{x:.1}\" y2=\"{bottom:.0}\"/>\
                 <text class=\"dim\" x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                mark_label(mark)
            );
            mark *= 10.0;
        }
        let mut top = HEAD + (ROW - BAR) / 2.0;
        for bar in &self.bars {
            // A value at the lower end is there all the same.
            let length = place(bar.value).max(2.0);
            let class = match bar.role {
                Role::Ours => "ours",
                Role::Other => "other",
                Role::Floor => "floor",
            };
            let _ = writeln!(
                out,
                "<text class=\"text\" x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
                 <rect class=\"{class}\" x=\"{LABELS:.0}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{BAR:.0}\" rx=\"2\"/>\
                 <text class=\"text\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LABELS - 10.0,
                top + 13.5,
                escape(&bar.label),
                LABELS + length + 8.0,
                top + 13.5,
                escape(&bar.shown)
            );
            top += ROW;
        }
        out.push_str("</svg>\n");
        out
    }
}

/// The powers of ten around the values; a decade at least.
fn decades(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.filter(|value| *value > 0.0).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    if !low.is_finite() {
        return (1.0, 10.0);
    }
    // The shortest bar shall have a length.
    let mut floor = 10_f64.powf(low.log10().floor());
    if low < floor * 1.5 {
        floor /= 10.0;
    }
    let ceiling = 10_f64.powf(high.log10().ceil());
    (floor, ceiling.max(floor * 10.0))
}

/// Marks are plain numbers, since the unit is in the subtitle.
fn mark_label(mark: f64) -> String {
    if mark < 1000.0 {
        return format!("{mark}");
    }
    grouped(&format!("{mark:.0}"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars() -> Bars {
        let bar = |label: &str, value, role| Bar {
            label: label.to_owned(),
            value,
            shown: format!("{value} ms"),
            role,
        };
        Bars {
            name: "replace",
            title: "Replacing 100,000 <prefixes>".to_owned(),
            subtitle: "milliseconds, logarithmic".to_owned(),
            bars: vec![bar("enforcer", 1.5, Role::Ours), bar("nft", 1500.0, Role::Other)],
        }
    }

    #[test]
    fn a_picture_says_in_words_what_it_shows() {
        let svg = bars().svg();
        assert!(svg.contains("role=\"img\""));
        assert!(svg.contains(
            "<desc id=\"words\">Replacing 100,000 &lt;prefixes&gt;: enforcer 1.5 ms, nft 1500 ms</desc>"
        ));
        assert!(svg.contains("prefers-color-scheme:dark"));
        assert!(!svg.contains("<prefixes>"));
        assert_eq!(svg.matches("<rect").count(), 3);
    }

    #[test]
    fn bars_are_as_long_as_their_logarithms() {
        let svg = bars().svg();
        let lengths: Vec<f64> = svg
            .lines()
            .filter(|line| line.contains("class=\"ours\"") || line.contains("class=\"other\""))
            .map(|line| {
                let rest = line.split("width=\"").nth(1).unwrap();
                rest.split('"').next().unwrap().parse().unwrap()
            })
            .collect();
        // From 1 to 10,000: each factor of 10 is a quarter.
        let expected = [1.5_f64, 1500.0].map(|value| value.log10() / 4.0 * (WIDTH - LABELS - VALUES));
        for (length, expected) in lengths.iter().zip(expected) {
            assert!((length - expected).abs() < 0.1, "{lengths:?} {expected}");
        }
    }

    #[test]
    fn scales_are_whole_decades() {
        assert_eq!(decades([2.0, 30.0].into_iter()), (1.0, 100.0));
        assert_eq!(decades([10.0, 1000.0].into_iter()), (1.0, 1000.0));
        assert_eq!(decades(std::iter::empty()), (1.0, 10.0));
        assert_eq!(mark_label(1e6), "1,000,000");
        assert_eq!(mark_label(0.1), "0.1");
    }
}
