//! The first lines: how the instance is, how much is denied, and what somebody should know.

use std::time::Duration;

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::model::{Data, Model};
use super::super::text::{counted, shown};
use super::{BOLD, REVERSED, Theme};
use crate::control::history::Moment;
use crate::control::model::{Names, State, Status};
use crate::elapsed::Elapsed;

pub(super) fn lines(model: &Model, now: Moment, theme: Theme) -> Vec<Line<'static>> {
    let (data, at) = model.picture(now);
    let status = data.status.as_ref().map(|(came, status)| (*came, status));
    let mut lines = vec![
        headline(model, status, now, at, theme),
        policy(status, at),
        denials(data),
    ];
    lines.extend(complaints(model, now, theme));
    if let Some((_, status)) = status
        && let Some(worst) = status.warnings.first()
    {
        let count = counted(status.warnings.len() as u64, "warning");
        lines.push(Line::from(vec![
            Span::styled(format!("! {count} (w): "), theme.careful()),
            Span::raw(shown(&worst.text)),
        ]));
    }
    lines
}

/// `seconds` of when the status came, at `at`.
fn since(seconds: u64, came: Moment, at: Moment) -> Elapsed {
    Elapsed(Duration::from_secs(seconds) + at.monotonic.saturating_sub(came.monotonic))
}

fn headline(
    model: &Model,
    status: Option<(Moment, &Status)>,
    now: Moment,
    at: Moment,
    theme: Theme,
) -> Line<'static> {
    let mut spans = vec![
        Span::raw(format!("{}  ", now.wall.strftime("%H:%M:%SZ"))),
        Span::styled(format!("{}  ", model.instance()), BOLD),
    ];
    if let Some((paused, entries)) = model.paused() {
        let since = Elapsed(now.monotonic.saturating_sub(paused.monotonic));
        let entries = counted(entries, "event");
        spans.insert(
            0,
            Span::styled(format!("PAUSED for {since}, {entries} since "), REVERSED),
        );
        spans.insert(1, Span::raw(" "));
    }
    match status {
        None => spans.push(Span::raw("nothing is known yet")),
        Some((came, status)) => spans.extend(state(status, came, at, theme)),
    }
    Line::from(spans)
}

fn state(status: &Status, came: Moment, at: Moment, theme: Theme) -> Vec<Span<'static>> {
    let (style, words): (Style, String) = match (status.state, &status.why) {
        (State::Enforcing, _) => (theme.good().patch(BOLD), "ENFORCING".into()),
        (State::Auditing, _) => (theme.careful(), "AUDITING, nothing is dropped".into()),
        (State::NotEnforcing, None) => (theme.bad(), "NOT ENFORCING".into()),
        (State::NotEnforcing, Some(why)) => (theme.bad(), format!("NOT ENFORCING: {}", shown(why))),
    };
    let mut spans = vec![Span::styled(words, style)];
    if let Some(attached) = &status.attached {
        if let Some(seconds) = attached.since_s {
            spans.push(Span::raw(format!(", attached for {}", since(seconds, came, at))));
        }
        if let Some(cgroup) = &attached.cgroup {
            spans.push(Span::raw(format!(" to {}", shown(cgroup))));
        }
    }
    spans
}

fn policy(status: Option<(Moment, &Status)>, at: Moment) -> Line<'static> {
    let Some((came, status)) = status else {
        return Line::default();
    };
    let mut words = Vec::new();
    words.extend(status.policy.as_ref().map(|policy| {
        let applied = policy
            .applied_s
            .map(|ago| format!(" for {}", since(ago, came, at)));
        format!("generation {}{}", policy.generation, applied.unwrap_or_default())
    }));
    words.extend(status.names.as_ref().map(|names| {
        let Names {
            fresh, stale, failed, ..
        } = names;
        format!("names: {fresh} fresh, {stale} stale, {failed} failed")
    }));
    if let Some(policy) = &status.policy {
        words.extend(policy.spans.map(|spans| counted(spans, "span")));
        words.extend(policy.granted_names.map(|names| counted(names, "server name")));
    }
    Line::raw(words.join("  "))
}

fn denials(data: &Data) -> Line<'static> {
    let mut spans = Vec::new();
    let denials = data
        .status
        .as_ref()
        .and_then(|(_, status)| status.denials.as_ref());
    match denials {
        Some(denials) => {
            let rate = data.rate().map(|rate| format!("{rate:.1}/s, "));
            spans.push(Span::styled("denials: ", BOLD));
            spans.push(Span::raw(format!(
                "{}{} in all",
                rate.unwrap_or_default(),
                denials.total
            )));
            if denials.suppressed > 0 {
                spans.push(Span::raw(format!(", {} without an event", denials.suppressed)));
            }
        }
        None => spans.push(Span::raw("denials: not known")),
    }
    let granted = data
        .status
        .as_ref()
        .and_then(|(_, status)| status.granted.as_ref());
    if let Some(granted) = granted {
        spans.push(Span::raw(format!("  granted: {}", granted.total)));
    }
    if data.missed > 0 {
        spans.push(Span::styled(format!("  missed: {}", data.missed), BOLD));
    }
    Line::from(spans)
}

/// Who does not answer.
fn complaints(model: &Model, now: Moment, theme: Theme) -> Vec<Line<'static>> {
    let ago = |since: Moment| Elapsed(now.monotonic.saturating_sub(since.monotonic));
    let daemon = model
        .lost_status()
        .map(|lost| format!("! as it was {} ago: {}", ago(lost.since), lost.why));
    let events = model.lost_events().map(|lost| {
        format!(
            "! no events for {}, they are asked for again: {}",
            ago(lost.since),
            lost.why
        )
    });
    let complaints = daemon.into_iter().chain(events);
    complaints
        .map(|complaint| Line::from(Span::styled(complaint, theme.bad())))
        .collect()
}
