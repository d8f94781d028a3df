//! Each client, by a short and clean line: what it gets with and without an enforcer.

use crate::client::{Client, Subject};
use crate::host::{Asked, Host};
use crate::table;

/// Asks by one client after the other with `ask`, and fails with all that is wrong: one run tells of every client.
#[track_caller]
pub(crate) fn one_by_one(ask: impl Fn(&Client) -> Vec<Complaint>) {
    expect_none(&table::ALL.iter().flat_map(ask).collect::<Vec<_>>());
}

/// The same by all clients at a time, which then share what the servers saw: for what is mostly waiting.
#[track_caller]
pub(crate) fn all_at_once(ask: impl Fn(&Client) -> Vec<Complaint> + Sync) {
    let complaints: Vec<Complaint> = std::thread::scope(|scope| {
        let asking: Vec<_> = table::ALL
            .iter()
            .map(|client| scope.spawn(|| ask(client)))
            .collect();
        let asked = asking.into_iter().map(|client| client.join());
        asked
            .flat_map(|complaints| complaints.expect("no client panics"))
            .collect()
    });
    expect_none(&complaints);
}

#[track_caller]
fn expect_none(complaints: &[Complaint]) {
    assert!(
        complaints.is_empty(),
        "{} times something is wrong\n\n{}",
        complaints.len(),
        complaints.join("\n\n")
    );
}

/// What is wrong when a client asked once, with all that came of it.
pub(crate) type Complaint = String;

/// A complaint when one of `checks`, each with what it means that it does not hold, does not hold.
pub(crate) fn complain(client: &Client, asked: &Asked, checks: &[(bool, &str)]) -> Option<Complaint> {
    let failed = checks.iter().filter(|(holds, _)| !holds);
    let failed: Vec<&str> = failed.map(|&(_, what)| what).collect();
    (!failed.is_empty()).then(|| {
        format!(
            "{}: {}\n{}\nreport: {}\nvisits: {:?}",
            client.name,
            failed.join("; "),
            asked.outcome,
            asked.report,
            asked.visits
        )
    })
}

/// Asks for the granted name under the policy: everything is answered, and nothing is denied.
pub(crate) fn granted(host: &Host, client: &Client) -> (Asked, Option<Complaint>) {
    let (subject, name) = (client.asks_for, client.asks_for.granted());
    let asked = host.ask_judged(client, name);
    let is_answered = subject.is_answered(host, name, &asked.outcome);
    let checks = [
        (asked.outcome.success(), "it fails under a granted name"),
        (
            is_answered,
            "it does not get what it asks for under a granted name",
        ),
        (!asked.hellos(name).is_empty(), "no server saw the granted name"),
        (asked.report["denied"] == 0, "something granted is denied"),
    ];
    let complaint = complain(client, &asked, &checks);
    (asked, complaint)
}

/// Asks for the foreign name under the policy: it fails, nobody hears of it, and the report tells.
pub(crate) fn foreign(host: &Host, client: &Client) -> (Asked, Option<Complaint>) {
    let (subject, name) = (client.asks_for, client.asks_for.foreign());
    let asked = host.ask_judged(client, name);
    let succeeds = client.status_tells && asked.outcome.success();
    let is_heard = subject.is_heard(host, name, &asked.outcome);
    let arrives = asked.visits_to(name).next().is_some();
    let denials = asked.denials_of(name);
    let is_told = !denials.is_empty()
        && denials
            .iter()
            .all(|denial| denial["reason"] == "name-not-granted");
    let checks = [
        (!asked.outcome.timed_out, "it hangs under a foreign name"),
        (!succeeds, "it succeeds under a foreign name"),
        (!is_heard, "it gets an answer under a foreign name"),
        (!arrives, "the foreign name reached a server"),
        (is_told, "the report does not tell of the foreign name"),
    ];
    let complaint = complain(client, &asked, &checks);
    (asked, complaint)
}

#[test]
fn without_an_enforcer_every_client_reaches_every_name() {
    let host = Host::new();
    one_by_one(|client| {
        let names = [client.asks_for.granted(), client.asks_for.foreign()];
        let complaints = names.into_iter().filter_map(|name| {
            let asked = host.ask(client, name);
            let answered = client.asks_for.is_answered(&host, name, &asked.outcome);
            let hellos = asked.hellos(name);
            let sizes: Vec<usize> = hellos.iter().map(|visit| visit.hello_bytes).collect();
            let as_expected = sizes.iter().all(|size| client.hello_bytes.contains(size));
            println!("{:<18} {name:<22} {sizes:?} bytes", client.name);
            let asked_twice = asked.visits_to(name).any(|visit| visit.second_hello);
            let checks = [
                (answered, "it gets no answer"),
                (
                    asked_twice == client.is_asked_twice,
                    "the number of its hellos is another",
                ),
                (!sizes.is_empty() && as_expected, "its hello has another size"),
            ];
            complain(client, &asked, &checks)
        });
        complaints.collect()
    });
}

#[test]
fn every_client_reaches_a_granted_name_over_one_connection() {
    let host = Host::new();
    one_by_one(|client| {
        let (asked, complaint) = granted(&host, client);
        let mut complaints = Vec::from_iter(complaint);
        if let Subject::Sentence { requests, .. } = client.asks_for {
            let name = client.asks_for.granted();
            let hellos = asked.hellos(name).len();
            let made = asked.visits_to(name).count() - hellos;
            // A browser may open a connection ahead of its needs.
            let checks = [
                (made >= requests, "requests are missing"),
                (
                    hellos == 1 || !client.status_tells,
                    "it needs several connections",
                ),
            ];
            complaints.extend(complain(client, &asked, &checks));
        }
        complaints
    });
}

#[test]
fn no_client_reaches_another_name_on_the_same_address() {
    let host = Host::new();
    one_by_one(|client| {
        let (asked, complaint) = foreign(&host, client);
        let took = asked.outcome.took.as_millis();
        println!("{:<18} ended after {took} ms", client.name);
        Vec::from_iter(complaint)
    });
}

#[test]
fn audit_mode_lets_a_foreign_name_through_and_tells_what_it_would_have_denied() {
    let host = Host::new();
    one_by_one(|client| {
        // The verdict is the same code for all; two show the way from the kernel to the report.
        if !["curl", "rustls"].contains(&client.name) {
            return Vec::new();
        }
        let name = client.asks_for.foreign();
        let asked = host.judge("audit.toml", &(client.command)(&host, name));
        let denials = asked.denials_of(name);
        let told = denials
            .iter()
            .any(|denial| denial["reason"] == "name-not-granted");
        let answered = client.asks_for.is_answered(&host, name, &asked.outcome);
        let checks = [
            (answered, "audit mode does not let it through"),
            (told, "the report does not tell of the foreign name"),
        ];
        Vec::from_iter(complain(client, &asked, &checks))
    });
}
