//! `[resolver]`: whom to ask, and within which limits.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Section;
use super::problem::quote;
use super::report::Report;
use super::upstream;
use super::{Resolver, Upstream, duration};

/// Most upstreams: each costs its time-out when it is dead.
const SERVERS_MAX: usize = 8;

const MINUTE_SECS: u64 = 60;
const HOUR_SECS: u64 = 60 * MINUTE_SECS;
const WEEK_SECS: u64 = 7 * 24 * HOUR_SECS;

const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(MINUTE_SECS);
/// A TTL of 0 would mean asking all the time.
const TTL_MIN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(HOUR_SECS);
/// RFC 8767 section 4 recommends to believe no TTL of more than a week.
const TTL_MAX: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(WEEK_SECS);
const GRACE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(WEEK_SECS);

const ADDRESSES_MAX: RangeInclusive<u32> = 1..=1024;
const CHAIN_MAX: RangeInclusive<u32> = 1..=32;
const CONCURRENCY: RangeInclusive<u32> = 1..=256;

pub(super) fn lower(section: &Section<'_>, report: &mut Report) -> Resolver {
    let default = Resolver::default();
    let ttl_min = duration::read(section, "ttl_min", TTL_MIN, report);
    let ttl_max = duration::read(section, "ttl_max", TTL_MAX, report);
    let resolver = Resolver {
        servers: servers(section, report).unwrap_or_default(),
        timeout: duration::read(section, "timeout", TIMEOUT, report).unwrap_or(default.timeout),
        ttl_min: ttl_min.unwrap_or(default.ttl_min),
        ttl_max: ttl_max.unwrap_or(default.ttl_max),
        grace: duration::read(section, "grace", GRACE, report).unwrap_or(default.grace),
        addresses_max: limit(
            section,
            "addresses_max",
            ADDRESSES_MAX,
            default.addresses_max,
            report,
        ),
        chain_max: limit(section, "chain_max", CHAIN_MAX, default.chain_max, report),
        concurrency: limit(section, "concurrency", CONCURRENCY, default.concurrency, report),
    };
    if resolver.ttl_min > resolver.ttl_max {
        // Points at the one that was written; at the second where both were.
        let key = if ttl_max.is_some() { "ttl_max" } else { "ttl_min" };
        let span = section
            .get(key)
            .map_or(section.span.clone(), |value| value.span());
        let shown = |duration, written: Option<Duration>| {
            let unless_written = if written.is_some() { "" } else { ", the default" };
            format!("{}{unless_written}", duration::show(duration))
        };
        let message = format!(
            "`ttl_min` ({}) is more than `ttl_max` ({})",
            shown(resolver.ttl_min, ttl_min),
            shown(resolver.ttl_max, ttl_max)
        );
        let problem = report.error(&span, message);
        report.push(problem.hint("TTLs are taken as at least `ttl_min` and at most `ttl_max`: set both"));
    }
    resolver
}

fn limit(
    section: &Section<'_>,
    key: &str,
    range: RangeInclusive<u32>,
    default: usize,
    report: &mut Report,
) -> usize {
    section
        .integer(key, range, report)
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(default)
}

fn servers(section: &Section<'_>, report: &mut Report) -> Option<Vec<Upstream>> {
    let texts = section.texts("servers", "[\"192.0.2.1\"]", report)?;
    if section
        .get("servers")
        .and_then(|value| value.get_ref().as_array())
        .is_some_and(|items| items.is_empty())
    {
        let problem = report.error(&section.key_span("servers"), "`servers` is an empty list");
        report.push(problem.hint("take the key away to use the name servers of the system"));
    }
    if texts.len() > SERVERS_MAX {
        let span = section.key_span("servers");
        let problem = report.error(
            &span,
            format!(
                "{} name servers are listed, {SERVERS_MAX} are the most",
                texts.len()
            ),
        );
        report.push(problem.hint("keep the nearest ones"));
    }
    let mut servers: Vec<Upstream> = Vec::new();
    let mut seen: HashSet<Upstream> = HashSet::new();
    for text in texts {
        match upstream::parse(text.value) {
            Ok(server) if !seen.insert(server.clone()) => {
                let problem = report.error(
                    &text.span,
                    format!("the server {} stands twice", quote(text.value)),
                );
                report.push(problem.hint("take one of the two away"));
            }
            Ok(server) => servers.push(server),
            Err(error) => {
                let problem = report.error(&text.span, error.to_string());
                report.push(problem.hint(error.hint()));
            }
        }
    }
    Some(servers)
}
