//! A reader of the text format of OpenMetrics 1.0 that shares no code with what writes it, and forgives nothing: what it
//! refuses a real one may refuse.
//!
//! Only counters and gauges are known, without timestamps and exemplars.

use std::collections::{BTreeMap, BTreeSet};

/// Metrics of one moment.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Every family by its name, which counters have without `_total`.
    pub families: BTreeMap<String, Family>,
    /// Every sample by its name and labels, as written.
    pub samples: BTreeMap<String, f64>,
}

/// What is said of a family.
#[derive(Debug, Default)]
pub struct Family {
    /// `counter` or `gauge`.
    pub kind: String,
    /// What it is.
    pub help: String,
    /// Its unit; empty for none.
    pub unit: String,
}

impl Metrics {
    /// Reads a whole text.
    ///
    /// # Errors
    /// The line that is not as it must be, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("it does not end in `# EOF`")?;
        let mut metrics = Self::default();
        let mut current = String::new();
        for line in body.split_terminator('\n') {
            metrics
                .line(line, &mut current)
                .map_err(|why| format!("{why}: {line}"))?;
        }
        if !body.ends_with('\n') {
            return Err("the last line has no end".to_owned());
        }
        for (name, family) in &metrics.families {
            if family.kind.is_empty() || family.help.is_empty() {
                return Err(format!("{name} has no type or no help"));
            }
            let suffix = format!("_{}", family.unit);
            if !family.unit.is_empty() && !name.ends_with(&suffix) {
                return Err(format!("{name} does not end in its unit"));
            }
        }
        Ok(metrics)
    }

    fn line(&mut self, line: &str, current: &mut String) -> Result<(), &'static str> {
        let Some(told) = line.strip_prefix("# ") else {
            return self.sample(line, current);
        };
        let mut words = told.splitn(3, ' ');
        let mut word = || words.next().ok_or("something is missing");
        let (what, name, value) = (word()?, word()?, word()?);
        if name != *current {
            if !is_name(name) || self.families.contains_key(name) {
                return Err("no name, or one that was there before");
            }
            name.clone_into(current);
        }
        let family = self.families.entry(name.to_owned()).or_default();
        let field = match what {
            "HELP" => &mut family.help,
            "TYPE" if matches!(value, "counter" | "gauge") => &mut family.kind,
            "UNIT" => &mut family.unit,
            _ => return Err("it is neither of HELP, TYPE and UNIT, or no type that is known"),
        };
        if !field.is_empty() || value.is_empty() {
            return Err("it is told twice, or not at all");
        }
        value.clone_into(field);
        Ok(())
    }

    fn sample(&mut self, line: &str, current: &str) -> Result<(), &'static str> {
        let (series, value) = line.rsplit_once(' ').ok_or("it has no value")?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').ok_or("labels without an end")?),
            None => (series, ""),
        };
        let family = self.families.get(current).ok_or("it is of no family")?;
        let is_counter = family.kind == "counter";
        let expected = if is_counter {
            name.strip_suffix("_total")
        } else {
            Some(name)
        };
        if expected != Some(current) || !is_name(name) {
            return Err("it is not of the family above, or a counter without `_total`");
        }
        if series.contains('{') == labels.is_empty() {
            return Err("empty labels");
        }
        check_labels(labels)?;
        let value: f64 = value.parse().map_err(|_| "its value is no number")?;
        if is_counter && (value < 0.0 || !value.is_finite()) {
            return Err("a counter has such no value");
        }
        match self.samples.insert(series.to_owned(), value) {
            Some(_) => Err("a series that was there before"),
            None => Ok(()),
        }
    }

    /// The value of a series, written as in the text.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    #[must_use]
    pub fn value(&self, series: &str) -> f64 {
        let value = self.samples.get(series);
        *value.unwrap_or_else(|| panic!("there is no {series} among {:#?}", self.samples))
    }

    /// The sum of all series of a name.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        let of_it = |series: &str| series.split('{').next() == Some(name);
        let values = self.samples.iter().filter(|(series, _)| of_it(series));
        values.map(|(_, value)| value).sum()
    }

    /// The names of all samples.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        let names = self.samples.keys().filter_map(|series| series.split('{').next());
        names.collect()
    }

    /// The counters of which `later` has less, or which it has no more.
    #[must_use]
    pub fn gone_back<'a>(&'a self, later: &Self) -> Vec<&'a str> {
        let is_counter = |series: &str| {
            series
                .split('{')
                .next()
                .is_some_and(|name| name.ends_with("_total"))
        };
        let counters = self.samples.iter().filter(|(series, _)| is_counter(series));
        counters
            .filter(|(series, value)| later.samples.get(*series).is_none_or(|later| later < value))
            .map(|(series, _)| series.as_str())
            .collect()
    }
}

fn is_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':');
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

/// `key="value",...`, each key once.
fn check_labels(mut rest: &str) -> Result<(), &'static str> {
    let mut keys = BTreeSet::new();
    while !rest.is_empty() {
        let (key, value) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(key) || key.starts_with("__") || !keys.insert(key) {
            return Err("no name of a label, or one that was there before");
        }
        let end = end_of_value(value).ok_or("a value of a label without an end")?;
        rest = match value[end + 1..].strip_prefix(',') {
            Some("") => return Err("nothing behind a comma"),
            Some(more) => more,
            None if value.len() == end + 1 => "",
            None => return Err("no comma between labels"),
        };
    }
    Ok(())
}

/// Where the quote is that ends it; only the three escapes are there.
fn end_of_value(value: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in value.char_indices() {
        match (escaped, c) {
            (true, 'n' | '"' | '\\') => escaped = false,
            (true, _) | (false, '\n') => return None,
            (false, '\\') => escaped = true,
            (false, '"') => return Some(at),
            (false, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# HELP a_seconds What.\n# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n";

    #[test]
    fn what_is_right_is_read() {
        let text = format!(
            "{HEAD}a_seconds{{x=\"1\",y=\"\\\"}},\"}} 2.5\n# HELP b B.\n# TYPE b counter\nb_total 7\n# EOF\n"
        );
        let metrics = Metrics::parse(&text).unwrap();
        assert_eq!(metrics.value("b_total"), 7.0);
        assert_eq!(metrics.sum("a_seconds"), 2.5);
        assert_eq!(metrics.names().len(), 2);
        assert!(metrics.gone_back(&metrics).is_empty());
        assert_eq!(metrics.gone_back(&Metrics::default()), ["b_total"]);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for body in [
            "a 1\n",
            "# TYPE a gauge\na 1\n",
            "# HELP a A.\n# TYPE a gauge\na 1\na 1\n",
            "# HELP a A.\n# TYPE a gauge\na 1",
            "# HELP a A.\n# TYPE a gauge\na one\n",
            "# HELP a A.\n# TYPE a gauge\nb 1\n",
            "# HELP a A.\n# TYPE a gauge\na{} 1\n",
            "# HELP a A.\n# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n",
            "# HELP a A.\n# TYPE a gauge\na{x=\"1\"y=\"2\"} 1\n",
            "# HELP a A.\n# TYPE a gauge\na{x=\"1} 1\n",
            "# HELP a A.\n# TYPE a gauge\na{x=\"\\q\"} 1\n",
            "# HELP a A.\n# TYPE a counter\na 1\n",
            "# HELP a A.\n# TYPE a counter\na_total -1\n",
            "# HELP a A.\n# TYPE a histogram\na 1\n",
            "# HELP a A.\n# TYPE a gauge\n# UNIT a seconds\na 1\n",
            "# HELP a A.\n# TYPE a gauge\na 1\n# HELP b B.\n# TYPE b gauge\nb 1\n# HELP a A.\n",
            "\n",
        ] {
            assert!(Metrics::parse(&format!("{body}# EOF\n")).is_err(), "{body}");
        }
        assert!(Metrics::parse("# HELP a A.\n# TYPE a gauge\na 1\n").is_err());
    }
}
