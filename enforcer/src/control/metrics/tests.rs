//! The text against the rules of OpenMetrics, and its numbers against the view.

use std::collections::BTreeMap;
use std::time::Duration;

use enforcer_common::Reason;

use super::*;
use crate::control::history::tests::at;
use crate::control::model::Kept;
use crate::control::samples;
use crate::control::status;
use crate::control::view::{Metered, Reloads, Told};
use crate::kernel::counters::{Count, Counters};

fn text_of(change: impl FnOnce(&mut View)) -> String {
    let now = samples::now();
    let mut view = samples::view(now);
    let count = Count {
        denied: 8,
        audit: 5,
        suppressed: 1,
    };
    let totals = Counters::of(&[(Reason::AddressNotGranted, count)]);
    view.metered = Metered {
        told: Told { denied: 3, audit: 0 },
        reloads: Reloads {
            applied: 2,
            refused: 1,
            last: Some(at(420)),
        },
        spans_v6: 5,
        totals,
        ..Metered::default()
    };
    change(&mut view);
    let kept = Kept {
        entries: 3,
        forgotten: 1,
        granted_entries: 2,
        granted_forgotten: 0,
    };
    let status = status::of(&view, kept, Duration::from_secs(3), now);
    let usage = Usage {
        processor: Duration::from_millis(1250),
        resident_bytes: Some(4096),
    };
    page(&view, &status, now, usage)
}

/// Every sample, by its name and labels.
fn samples_of(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn the_numbers_are_those_of_the_view() {
    let text = text_of(|_| {});
    let samples = samples_of(&text);
    for (series, value) in [
        ("enforcer_enforcing", 1.0),
        ("enforcer_policy_generation", 12.0),
        ("enforcer_grants{family=\"ipv4\"}", 12.0),
        ("enforcer_grants{family=\"ipv6\"}", 5.0),
        ("enforcer_names{state=\"fresh\"}", 2.0),
        ("enforcer_names{state=\"stale\"}", 1.0),
        ("enforcer_names{state=\"unasked\"}", 1.0),
        ("enforcer_names{state=\"failed\"}", 1.0),
        (
            "enforcer_denials_total{reason=\"address-not-granted\",verdict=\"denied\"}",
            3.0,
        ),
        (
            "enforcer_denials_total{reason=\"address-not-granted\",verdict=\"audit\"}",
            5.0,
        ),
        (
            "enforcer_denials_suppressed_total{reason=\"address-not-granted\"}",
            1.0,
        ),
        ("enforcer_events_total{verdict=\"denied\"}", 3.0),
        ("enforcer_events_total{verdict=\"audit\"}", 0.0),
        ("enforcer_history_entries", 3.0),
        ("enforcer_history_forgotten_total", 1.0),
        ("enforcer_hook_attached{hook=\"egress\"}", 1.0),
        ("enforcer_hook_pinned{hook=\"sendmsg6\"}", 0.0),
        ("enforcer_upstream_good{server=\"192.0.2.53:53\"}", 1.0),
        (
            "enforcer_upstream_good{server=\"tls://192.0.2.54:853#dns.example.com\"}",
            0.0,
        ),
        ("enforcer_warnings{kind=\"tampered\"}", 1.0),
        ("enforcer_warnings{kind=\"held\"}", 0.0),
        ("enforcer_warnings{kind=\"risk-accepted\"}", 1.0),
        ("enforcer_reloads_total{outcome=\"applied\"}", 2.0),
        ("enforcer_reloads_total{outcome=\"refused\"}", 1.0),
        ("enforcer_last_reload_successful", 0.0),
        ("enforcer_run_loop_silence_seconds", 3.0),
        ("enforcer_revert_remaining_seconds", 300.0),
        ("enforcer_process_cpu_seconds_total", 1.25),
        ("enforcer_process_resident_memory_bytes", 4096.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}\n{text}");
    }
    let oldest = samples["enforcer_oldest_answer_age_seconds"];
    assert_eq!(
        Some(&oldest),
        samples.get("enforcer_name_answer_age_seconds{name=\"contoso.eastus.data.azurecr.io\"}")
    );
    assert!(oldest >= 7200.0, "{oldest}");
    let applied = samples["enforcer_policy_applied_timestamp_seconds"];
    let started = samples["enforcer_start_time_seconds"];
    assert!((applied - started - 420.0).abs() < 0.001, "{text}");
}

#[test]
fn what_is_unknown_has_no_sample_and_no_head() {
    let text = text_of(|view| {
        view.applied = None;
        view.findings.revert = None;
        view.answers = std::sync::Arc::default();
    });
    for name in [
        "policy_applied_timestamp",
        "revert_remaining",
        "oldest_answer_age",
        "name_answer_age",
    ] {
        assert!(!text.contains(name), "{name}: {text}");
    }
    assert!(text.ends_with("\n# EOF\n"));
}

#[test]
fn series_are_bounded_whatever_is_configured() {
    let text = text_of(|view| {
        let one = std::sync::Arc::clone(view.answers.names.iter().next().unwrap());
        let names: Vec<_> = (0..1000)
            .map(|at| crate::resolve::NameSnapshot {
                name: crate::names::ServerName::parse(&format!("n{at}.example.com")).unwrap(),
                ..(*one).clone()
            })
            .collect();
        view.answers = std::sync::Arc::new(crate::resolve::Snapshot { names: names.into() });
        view.upstreams = vec![view.upstreams[0].clone(); 1];
        for at in 0..100 {
            view.upstreams.push(crate::resolve::health::Standing {
                label: format!("\"{at}\\\n"),
                aside: None,
            });
        }
    });
    let samples = samples_of(&text);
    assert!(text.contains("server=\"\\\"0\\\\\\n\""), "{text}");
    assert!(samples.len() < 400, "{}", samples.len());
    assert_eq!(samples["enforcer_names{state=\"fresh\"}"], 1000.0);
}

#[test]
fn every_kind_of_warning_has_a_word_of_its_own() {
    let words: std::collections::BTreeSet<_> = WarningKind::ALL.iter().map(|kind| kind.word()).collect();
    assert_eq!(words.len(), WarningKind::ALL.len());
    assert!(!words.contains(""));
}
