//! The way of a configuration from its text to the kernel, as the daemon goes it: parsed, checked, expanded, published.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use enforcer::config::{self, Files};
use enforcer::endpoints;
use enforcer::policy::grants;
use enforcer::resolve::Snapshot;

use crate::policy::{PORT, Policy};
use crate::prefixes::Prefixes;

/// Bytes of a configuration that are read from a disk at most.
const CONFIGURATION_MAX: usize = 1 << 20;

/// A configuration, and the one file that it may refer to, in memory: no disk is part of the time.
pub(super) struct Text {
    configuration: String,
    file: Arc<str>,
}

impl Text {
    /// One rule that lists all prefixes; `None` where such a configuration is larger than those that are read.
    pub(super) fn list(prefixes: &Prefixes) -> Option<Self> {
        let mut configuration = "mode = \"enforce\"\n[[allow]]\nprefix = [\n".to_owned();
        for net in &prefixes.list {
            let _ = writeln!(configuration, "  \"{net}\",");
        }
        configuration.push_str("]\n");
        (configuration.len() < CONFIGURATION_MAX).then(|| Self {
            configuration,
            file: "".into(),
        })
    }

    /// One rule with a service tag that stands for all prefixes, in the form in which tags are published.
    pub(super) fn service_tags(prefixes: &Prefixes) -> Self {
        let configuration = "mode = \"enforce\"\n[[allow]]\nservice_tag = \"Bench\"\nfile = \"tags.json\"\n\
                             accept_exfiltration_risk = \"it is measured\"\n";
        Self {
            configuration: configuration.to_owned(),
            file: prefixes.service_tags("Bench").into(),
        }
    }

    /// The file that it refers to.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Puts it into force; how long that took.
    ///
    /// # Errors
    /// When it has errors.
    pub(super) fn apply(&self, policy: &mut Policy) -> Result<Duration> {
        let begin = Instant::now();
        let parsed = config::parse(Path::new("bench.toml"), &self.configuration, self);
        let config = parsed.config.with_context(|| {
            let problem = parsed.problems.first().map(|problem| problem.message.clone());
            format!(
                "the configuration of the bench has errors: {}",
                problem.unwrap_or_default()
            )
        })?;
        let endpoints = endpoints::expand(&config);
        let grants = grants::grants(&endpoints, &Snapshot::default(), &[], &[PORT]);
        policy.replace(&grants)?;
        Ok(begin.elapsed())
    }
}

impl Files for Text {
    fn read(&self, _path: &Path, _bytes_max: u64) -> Result<Arc<str>, String> {
        Ok(Arc::clone(&self.file))
    }
}
