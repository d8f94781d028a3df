//! Families of metrics and their text.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

/// Before each name.
const PREFIX: &str = "enforcer";

/// All metrics of one moment.
#[derive(Debug, Default)]
pub(super) struct Page(Vec<Family>);

/// The samples of one metric.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    is_counter: bool,
    samples: Vec<(Vec<(&'static str, String)>, Value)>,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl Page {
    /// Adds a family; one without samples is left out.
    pub(super) fn add(&mut self, family: Family) {
        if !family.samples.is_empty() {
            self.0.push(family);
        }
    }

    /// The whole text, with its end.
    pub(super) fn text(self) -> String {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // A string takes everything.
        let _written = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

impl Family {
    /// What goes up and down.
    pub(super) fn gauge(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            unit: None,
            is_counter: false,
            samples: Vec::new(),
        }
    }

    /// What only goes up, as long as the daemon lives. Its name gets `_total` behind it.
    pub(super) fn counter(name: &'static str, help: &'static str) -> Self {
        Self {
            is_counter: true,
            ..Self::gauge(name, help)
        }
    }

    /// The unit, which the name gets behind it.
    pub(super) fn in_unit(self, unit: Unit) -> Self {
        Self {
            unit: Some(unit),
            ..self
        }
    }

    /// The one sample.
    pub(super) fn one(self, value: impl Into<Value>) -> Self {
        self.with(&[], value)
    }

    /// As [`Self::one`], if there is a value.
    pub(super) fn maybe(self, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.one(value),
            None => self,
        }
    }

    /// A sample with these labels, which no other of the family has.
    pub(super) fn with(mut self, labels: &[(&'static str, &str)], value: impl Into<Value>) -> Self {
        let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned()));
        self.samples.push((labels.collect(), value.into()));
        self
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = if self.is_counter {
            MetricType::Counter
        } else {
            MetricType::Gauge
        };
        let mut encoder = encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), kind)?;
        for (labels, value) in &self.samples {
            if labels.is_empty() {
                self.encode_value(&mut encoder, *value)?;
            } else {
                self.encode_value(&mut encoder.encode_family(labels)?, *value)?;
            }
        }
        Ok(())
    }

    fn encode_value(&self, encoder: &mut MetricEncoder<'_>, value: Value) -> fmt::Result {
        const NO_EXEMPLAR: Option<&Exemplar<Vec<(String, String)>, f64>> = None;
        match (self.is_counter, value) {
            (true, Value::Whole(value)) => encoder.encode_counter(&value, NO_EXEMPLAR),
            (true, Value::Real(value)) => encoder.encode_counter(&value, NO_EXEMPLAR),
            (false, Value::Whole(value)) => encoder.encode_gauge(&value),
            (false, Value::Real(value)) => encoder.encode_gauge(&value),
        }
    }
}
