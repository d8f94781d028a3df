//! Section 3: all prefixes of a policy are replaced by others.
//!
//! Everybody gets the same two policies, in turns, so that each time everything is different. nftables and ipset are
//! programs that read text: their time is that from start to end, of which the part in the kernel is shown too. The
//! enforcer is measured from grants in memory and from the text of a configuration.

mod others;
mod trie;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use enforcer::config::{self, Files};
use enforcer::endpoints;
use enforcer::policy::grants;
use enforcer::resolve::Snapshot;

use self::others::{Kind, Other};
use self::trie::Trie;
use crate::policy::{PORT, Policy};
use crate::prefixes::Prefixes;
use crate::report::{Figure, Report, Unit};
use crate::sizes::Sizes;
use crate::statistics::nanoseconds;
use crate::targets::{ENFORCER, LPM};

const SECTION: u8 = 3;
const PARSED: &str = "from parsed data";
const TEXT: &str = "from text";
const STORE: &str = "publishing, nothing to write";
/// How often nothing is published.
const STORES: usize = 1000;
const IN_KERNEL: &str = "from text, in the kernel";

/// Adds the figures.
///
/// # Errors
/// When somebody's policy can not be replaced.
pub(crate) fn run(report: &mut Report, sizes: &Sizes) -> Result<()> {
    report.note(
        "replacing: `nft -f` and `ipset restore` start, read text and end; the hash set of nftables holds single addresses, \
         for it can not hold prefixes; ipset fills a second set and swaps",
    );
    for &size in &sizes.prefixes {
        of_size(report, size, sizes.samples)?;
    }
    Ok(())
}

fn of_size(report: &mut Report, size: u32, samples: usize) -> Result<()> {
    let policies = [Prefixes::new(size, 1), Prefixes::new(size, 2)];
    let grants = [policies[0].grants(), policies[1].grants()];
    let texts = [configuration(&policies[0]), configuration(&policies[1])];
    // Something that only the one policy grants, for each.
    let probes = [only_in(&policies, 0), only_in(&policies, 1)];
    let mut policy = Policy::load()?;
    let mut trie = Trie::new(&policies)?;
    let mut others = Vec::new();
    for kind in Kind::ALL {
        others.push(Other::new(kind, &policies)?);
    }
    let size = Some(u64::from(size));
    let figure = |what, subject| Figure::new(SECTION, what, subject, size, Unit::Nanoseconds);
    let mut parsed = figure(PARSED, ENFORCER);
    let mut text = figure(TEXT, ENFORCER);
    let mut with_trie = figure(PARSED, LPM);
    let mut whole: Vec<Figure> = others
        .iter()
        .map(|other| figure(TEXT, other.kind.name()))
        .collect();
    let mut in_kernel: Vec<Figure> = others
        .iter()
        .map(|other| figure(IN_KERNEL, other.kind.name()))
        .collect();

    // One before the first sample, which would otherwise find an empty table.
    for round in 0..=samples {
        let at = round % 2;
        let took = policy.replace(&grants[at])?;
        policy.check(probes[at], probes[1 - at])?;
        let from_text = from_text(&mut policy, &texts[1 - at])?;
        policy.check(probes[1 - at], probes[at])?;
        let trie_took = trie.replace(at)?;
        let mut took_others = Vec::new();
        for other in &others {
            took_others.push(other.replace(at)?);
        }
        if round == 0 {
            continue;
        }
        parsed.samples.push(nanoseconds(took));
        text.samples.push(nanoseconds(from_text));
        with_trie.samples.push(nanoseconds(trie_took));
        for (at, took) in took_others.into_iter().enumerate() {
            whole[at].samples.push(nanoseconds(took.whole));
            in_kernel[at].samples.push(nanoseconds(took.in_kernel));
        }
    }
    // Twice before the first sample, so that both halves hold the same.
    policy.publish();
    policy.publish();
    let mut store = figure(STORE, ENFORCER);
    store
        .samples
        .extend((0..STORES).map(|_| nanoseconds(policy.publish())));
    report.add(store);
    report.add(parsed);
    report.add(with_trie);
    report.add(text);
    whole
        .into_iter()
        .chain(in_kernel)
        .for_each(|figure| report.add(figure));
    Ok(())
}

/// The way of a configuration from its text to the kernel, as the daemon goes it.
fn from_text(policy: &mut Policy, text: &str) -> Result<Duration> {
    let begin = Instant::now();
    let parsed = config::parse(Path::new("bench.toml"), text, &NoFiles);
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

/// The configuration refers to none.
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, path: &Path, _bytes_max: u64) -> Result<Arc<str>, String> {
        Err(format!("{} does not exist", path.display()))
    }
}

/// One rule with all prefixes.
fn configuration(prefixes: &Prefixes) -> String {
    let mut text = "mode = \"enforce\"\n[[allow]]\nprefix = [\n".to_owned();
    for net in &prefixes.list {
        let _ = writeln!(text, "  \"{net}\",");
    }
    text.push_str("]\n");
    text
}

/// An address of one policy that the other does not grant.
fn only_in(policies: &[Prefixes; 2], at: usize) -> Ipv4Addr {
    policies[at]
        .list
        .iter()
        .map(ipnet::Ipv4Net::network)
        .find(|address| !policies[1 - at].contains(*address))
        .unwrap_or(Ipv4Addr::UNSPECIFIED)
}
