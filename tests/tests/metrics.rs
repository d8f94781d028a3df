//! The metrics of a real daemon: on its control socket, on a port of the loopback, and as the files that are made for
//! them ask for. Needs root.

use std::fs;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use enforcer_lab::caller::Caller;
use enforcer_lab::daemon::wait_until;
use enforcer_lab::openmetrics::Metrics;
use enforcer_lab::operated::{GROUP, Operated, ask};
use enforcer_lab::{nobody, world};
use serde_json::Value;

const PORT: &str = "127.0.0.1:9464";
const PORT_V6: &str = "[::1]:9464";
const GET: &str = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
const DENIED: &str = "enforcer_denials_total{reason=\"address-not-granted\",verdict=\"denied\"}";

/// Writes the policy, with `enforce` below `[enforce]` and the metrics at `port`.
fn policy(host: &Operated, enforce: &str, port: &str) {
    host.policy_with(world::CONTOSO_POLICY, enforce, &format!("metrics = \"{port}\""));
}

fn status(host: &Operated) -> Value {
    host.status().0
}

/// What is on the socket now.
fn metrics(host: &Operated) -> Metrics {
    parsed(&ask(UnixStream::connect(host.socket()).unwrap(), GET))
}

/// What somebody at the port is answered; an error when there is nobody to answer.
fn ask_port(host: &Operated, port: &str, request: &str) -> io::Result<String> {
    let port: SocketAddr = port.parse().unwrap();
    let stream = host.lab.client().run(|| TcpStream::connect(port)).unwrap()?;
    Ok(ask(stream, request))
}

fn wait_for_names(host: &Operated) {
    wait_until("names are known", || {
        let metrics = metrics(host);
        metrics.value("enforcer_names{state=\"fresh\"}") >= 2.0
            && metrics.value("enforcer_names{state=\"unasked\"}") == 0.0
    });
}

/// With a socket `s`.
fn caller(host: &Operated) -> Caller {
    let mut caller = host.caller();
    caller.call("socket s inet stream 0").unwrap();
    caller
}

fn deny(caller: &mut Caller, count: usize) {
    for _ in 0..count {
        caller.call("connect s 203.0.114.1:443").unwrap_err();
    }
}

/// The metrics in an answer.
#[track_caller]
fn parsed(answer: &str) -> Metrics {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(kind), "{head}");
    Metrics::parse(body).unwrap_or_else(|why| panic!("{why}\n{body}"))
}

#[test]
fn denials_are_counted_and_no_counter_goes_back_over_reloads_and_restarts() {
    const DENIALS: usize = 40;
    let host = Operated::new("metrics");
    policy(&host, "", PORT);
    let mut daemon = host.start();
    wait_for_names(&host);
    let mut caller = caller(&host);
    deny(&mut caller, DENIALS);
    let first = metrics(&host);
    assert_eq!(first.value(DENIED), DENIALS as f64);
    assert_eq!(first.sum("enforcer_denials_total"), DENIALS as f64);
    assert_eq!(
        first.value("enforcer_events_total{verdict=\"denied\"}"),
        DENIALS as f64
    );
    assert_eq!(first.value("enforcer_enforcing"), 1.0);
    assert_eq!(first.value("enforcer_hook_pinned{hook=\"egress\"}"), 1.0);
    let at_port = |port| ask_port(&host, port, GET);
    wait_until("the port is there", || at_port(PORT).is_ok());
    let ported = parsed(&at_port(PORT).unwrap());
    assert_eq!(ported.names(), first.names());
    assert_eq!(ported.value(DENIED), DENIALS as f64);
    let printed = host.command(&["status", "-o", "openmetrics"]);
    let printed = printed.expect_success("status -o openmetrics");
    assert_eq!(Metrics::parse(&printed.stdout).unwrap().names(), first.names());

    // Tables of another size are new maps, whose counters begin at 0; the port is another one at once.
    policy(&host, "capacity = { ipv6 = 65536 }", PORT_V6);
    host.command(&["reload"]).expect_success("reload");
    assert_eq!(
        status(&host)["denials"]["total"],
        0,
        "the rest of this proves nothing"
    );
    deny(&mut caller, 3);
    let second = metrics(&host);
    assert_eq!(first.gone_back(&second), Vec::<&str>::new());
    assert_eq!(second.value(DENIED), (DENIALS + 3) as f64);
    assert_eq!(second.value("enforcer_reloads_total{outcome=\"applied\"}"), 1.0);
    assert_eq!(second.value("enforcer_table_capacity{family=\"ipv6\"}"), 65536.0);
    wait_until("the other port is there", || at_port(PORT_V6).is_ok());
    parsed(&at_port(PORT_V6).unwrap());
    assert!(at_port(PORT).is_err());

    policy(&host, "capacity = { ipv6 = 1 }", PORT_V6);
    assert_eq!(host.command(&["reload"]).status.code(), Some(1));
    let third = metrics(&host);
    assert_eq!(second.gone_back(&third), Vec::<&str>::new());
    assert_eq!(third.value("enforcer_reloads_total{outcome=\"refused\"}"), 1.0);
    assert_eq!(third.value("enforcer_last_reload_successful"), 0.0);
    assert_eq!(third.value("enforcer_warnings{kind=\"reload-refused\"}"), 1.0);

    // What the kernel counts goes on without a daemon; those of before it had new maps are not in it.
    daemon.kill();
    deny(&mut caller, 4);
    policy(&host, "capacity = { ipv6 = 65536 }", PORT_V6);
    let mut daemon = host.start();
    assert_eq!(metrics(&host).value(DENIED), 7.0);
    assert!(metrics(&host).value("enforcer_start_time_seconds") > third.value("enforcer_start_time_seconds"));
    daemon.kill();
}

#[test]
fn the_port_has_the_metrics_and_nothing_else() {
    let host = Operated::new("metrics");
    policy(&host, "", PORT);
    let mut daemon = host.start();
    wait_until("the port is there", || ask_port(&host, PORT, GET).is_ok());
    for (request, status, word) in [
        ("GET /metrics?x=y HTTP/1.1\r\n\r\n", "200", "# EOF"),
        ("HEAD /metrics HTTP/1.1\r\n\r\n", "200", "openmetrics-text"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405", "allow: GET, HEAD"),
        ("GET / HTTP/1.1\r\n\r\n", "404", "/metrics is all"),
        ("GET /v1/status HTTP/1.1\r\n\r\n", "404", "/metrics is all"),
        ("GET /v1/events HTTP/1.1\r\n\r\n", "404", "/metrics is all"),
        (
            "GET /v1/explain?target=x HTTP/1.1\r\n\r\n",
            "404",
            "/metrics is all",
        ),
        ("POST /v1/reload HTTP/1.1\r\n\r\n", "404", "/metrics is all"),
        ("garbage\r\n\r\n", "400", "HTTP/1.1"),
    ] {
        let answer = ask_port(&host, PORT, request).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
        assert!(answer.contains(word), "{request}: {answer}");
        if request.starts_with("HEAD") {
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        }
    }
    assert_eq!(
        metrics(&host).value("enforcer_reloads_total{outcome=\"applied\"}"),
        0.0
    );
    // The socket asks who it is, here as everywhere.
    let socket = host.socket();
    let (stranger, reader) = (socket.clone(), socket);
    let refused = nobody::run(&[], move || ask(UnixStream::connect(stranger).unwrap(), GET));
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    parsed(&nobody::run(&[GROUP], move || {
        ask(UnixStream::connect(reader).unwrap(), GET)
    }));
    daemon.kill();
}

#[test]
fn a_port_that_is_taken_keeps_nothing_from_being_enforced() {
    let host = Operated::new("metrics");
    let taken = host
        .lab
        .client()
        .run(|| TcpListener::bind(PORT))
        .unwrap()
        .unwrap();
    policy(&host, "", PORT);
    let mut daemon = host.start();
    let trouble = "there are no metrics: 127.0.0.1:9464 can not be listened at";
    wait_until("it is told", || daemon.told(trouble) == 1);
    let mut caller = caller(&host);
    deny(&mut caller, 1);
    assert_eq!(metrics(&host).value(DENIED), 1.0);
    wait_until("status says so", || {
        let status = status(&host);
        let warnings = status["warnings"].as_array().unwrap();
        warnings.iter().any(|warning| {
            let text = warning["text"].as_str().unwrap();
            warning["kind"] == "control" && text.contains("nobody can connect to the port of the metrics")
        })
    });
    assert_eq!(status(&host)["state"], "enforcing");
    drop(taken);
    daemon.wait_for("metrics are at http://127.0.0.1:9464/metrics");
    parsed(&ask_port(&host, PORT, GET).unwrap());
    assert_eq!(metrics(&host).value("enforcer_warnings{kind=\"control\"}"), 0.0);
    daemon.kill();
}

#[test]
fn hostile_clients_of_the_port_disturb_neither_the_daemon_nor_enforcement() {
    let host = Operated::new("metrics");
    policy(&host, "", PORT);
    let mut daemon = host.start();
    wait_until("the port is there", || ask_port(&host, PORT, GET).is_ok());
    let stop = AtomicBool::new(false);
    let granted = world::CONTOSO_ADDRESSES[0];
    std::thread::scope(|scope| {
        let siege = scope.spawn(|| host.lab.client().run(|| besiege(&stop)).unwrap());
        let mut caller = caller(&host);
        for round in 0..20 {
            let metrics = metrics(&host);
            assert!(
                metrics.value("enforcer_run_loop_silence_seconds") < 20.0,
                "round {round}"
            );
            deny(&mut caller, 1);
            caller.call(&format!("socket g{round} inet stream 0")).unwrap();
            caller.call(&format!("connect g{round} {granted}:443")).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(siege.join().unwrap() > 100, "it was hardly a siege");
    });
    assert_eq!(metrics(&host).value(DENIED), 20.0);
    host.command(&["reload"]).expect_success("reload");
    // Those who came are gone within the time that a head may take.
    wait_until("the port answers again", || {
        ask_port(&host, PORT, GET).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
    });
    assert_eq!(daemon.told("ERROR"), 0);
    daemon.kill();
}

/// Connects hundreds at a time, with garbage, halves, silence and questions whose answers nobody reads; how often.
fn besiege(stop: &AtomicBool) -> usize {
    let (mut count, huge) = (0, "x".repeat(100_000));
    let mut crowd = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(PORT) else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        let words = match count % 6 {
            0 => "",
            1 => "GET /met",
            2 => "\0\u{1}\r\n\r\n",
            3 => "GET /v1/events?follow=true HTTP/1.1\r\n\r\n",
            4 => GET,
            _ => &huge,
        };
        stream.set_write_timeout(Some(Duration::from_millis(10))).unwrap();
        let _refused = stream.write_all(words.as_bytes());
        crowd.push(stream);
        count += 1;
        if crowd.len() > 200 {
            crowd.clear();
        }
    }
    count
}

/// Every selector of a metric in `text`: its name, and the labels that it asks for.
fn selectors(text: &str) -> Vec<(String, Vec<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = text.match_indices("enforcer_").map(|(at, _)| at);
    let starts = starts.filter(|at| !text[..*at].ends_with(is_name));
    let selector = |at: usize| {
        let rest = &text[at..];
        let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
        let braces = rest[name.len()..]
            .strip_prefix('{')
            .and_then(|rest| rest.split('}').next());
        let labels = braces
            .unwrap_or_default()
            .split(',')
            .filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.chars().take_while(|c| is_name(*c)).collect());
        (name, labels.collect())
    };
    starts.map(selector).collect()
}

/// Every string in a document under one of `keys`.
fn strings<'a>(document: &'a Value, keys: &[&str], into: &mut Vec<&'a str>) {
    match document {
        Value::Object(fields) => {
            for (key, value) in fields {
                into.extend(value.as_str().filter(|_| keys.contains(&key.as_str())));
                strings(value, keys, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| strings(item, keys, into)),
        _ => {}
    }
}

#[test]
fn what_the_dashboard_and_the_alerts_ask_for_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let dashboard: Value = serde_json::from_str(&read("grafana-dashboard.json")).unwrap();
    let mut asked = Vec::new();
    strings(&dashboard, &["expr", "query", "definition"], &mut asked);
    let alerts = read("prometheus-alerts.yaml");
    let rules = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "));
    asked.extend(rules);
    assert!(asked.len() > 30, "{asked:#?}");
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            assert!(expression.contains("instance=~\"$instance\""), "{expression}");
            assert_eq!(target["datasource"]["uid"], "${datasource}");
        }
    }

    let host = Operated::new("metrics");
    policy(&host, "", PORT);
    let mut daemon = host.start();
    wait_for_names(&host);
    let metrics = metrics(&host);
    let manual = fs::read_to_string(folder.join("../docs/control.md")).unwrap();
    for name in metrics.names() {
        assert!(
            manual.contains(&format!("`{name}`")),
            "docs/control.md lacks {name}"
        );
    }
    let labels_of = |name: &str| -> Vec<&str> {
        let of_it = metrics
            .samples
            .keys()
            .filter(|series| series.split('{').next() == Some(name));
        of_it.map(String::as_str).collect()
    };
    // These are labels that a scrape adds.
    const SCRAPED: [&str; 2] = ["instance", "job"];
    for expression in asked {
        for (name, labels) in selectors(expression) {
            let series = labels_of(&name);
            assert!(!series.is_empty(), "there is no {name}: {expression}");
            for label in labels.iter().filter(|label| !SCRAPED.contains(&label.as_str())) {
                let is_there = series
                    .iter()
                    .all(|series| series.contains(&format!("{label}=\"")));
                assert!(is_there, "{name} has no label {label}: {expression}");
            }
        }
    }
    daemon.kill();
}
