//! Section 3: all prefixes of a policy are replaced by others.
//!
//! Everybody gets the same two policies, in turns, so that each time everything is different. nftables and ipset are
//! programs that read text: their time is that from start to end, of which the part in the kernel is shown too. The
//! enforcer is measured from grants in memory and from text: a file of service tags, or a list in the configuration. What
//! no way of doing it can go below on this machine is measured beside it.

mod floor;
mod others;
mod text;
mod trie;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;

use self::others::{Kind, Other};
use self::text::Text;
use self::trie::Trie;
use crate::policy::Policy;
use crate::prefixes::Prefixes;
use crate::report::{Figure, Report, Unit};
use crate::sizes::Sizes;
use crate::statistics::nanoseconds;
use crate::targets::{ENFORCER, LPM};

const SECTION: u8 = 3;
const PARSED: &str = "from parsed data";
const TEXT: &str = "from text";
const LIST: &str = "from text, listed in the configuration";
const PARSED_FLOOR: &str = "from parsed data, floor: sorted and copied once";
const TEXT_FLOOR: &str = "from text, floor: each byte looked at once";
const STORE: &str = "publishing, nothing to write";
/// With this many samples nobody is waited for any longer than this.
const ENOUGH: usize = 5;
const PATIENCE: Duration = Duration::from_secs(40);
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
    let texts = [Text::service_tags(&policies[0]), Text::service_tags(&policies[1])];
    let lists = Text::list(&policies[0]).zip(Text::list(&policies[1]));
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
    let mut listed = figure(LIST, ENFORCER);
    let mut parsed_floor = figure(PARSED_FLOOR, ENFORCER);
    let mut text_floor = figure(TEXT_FLOOR, ENFORCER);
    let mut half = Vec::new();
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
    let begin = Instant::now();
    for round in 0..=samples {
        if round > ENOUGH && begin.elapsed() > PATIENCE {
            break;
        }
        let at = round % 2;
        let took = policy.replace(&grants[at])?;
        policy.check(probes[at], probes[1 - at])?;
        let from_text = texts[1 - at].apply(&mut policy)?;
        policy.check(probes[1 - at], probes[at])?;
        let mut from_list = None;
        if let Some((one, other)) = &lists {
            from_list = Some([one, other][at].apply(&mut policy)?);
            policy.check(probes[at], probes[1 - at])?;
        }
        let floors = (
            floor::of_parsed(&grants[at], &mut half),
            floor::of_text(texts[at].file()),
        );
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
        parsed_floor.samples.push(nanoseconds(floors.0));
        text_floor.samples.push(nanoseconds(floors.1));
        listed.samples.extend(from_list.map(nanoseconds));
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
    report.add(parsed_floor);
    report.add(with_trie);
    report.add(text);
    report.add(text_floor);
    if !listed.samples.is_empty() {
        report.add(listed);
    }
    whole
        .into_iter()
        .chain(in_kernel)
        .for_each(|figure| report.add(figure));
    Ok(())
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
