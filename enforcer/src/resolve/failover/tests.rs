use std::collections::HashMap;
use std::sync::Arc;

use super::super::answer::{Record, RecordData};
use super::super::health::REFUSALS_MAX;
use super::*;

/// An upstream that answers out of a table, and counts.
#[derive(Default)]
struct Fake {
    label: String,
    answers: Mutex<HashMap<String, Result<Answer, AskError>>>,
    asked: Mutex<Vec<String>>,
}

impl Fake {
    fn new(label: &str) -> Arc<Self> {
        Arc::new(Self {
            label: label.to_owned(),
            ..Self::default()
        })
    }

    fn says(&self, name: &str, answer: Result<Answer, AskError>) {
        self.answers.lock().unwrap().insert(name.to_owned(), answer);
    }

    fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Ask for Arc<Fake> {
    fn label(&self) -> &str {
        &self.label
    }

    fn ask<'a>(&'a self, name: &'a DnsName, _: Family) -> Asking<'a> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(name.to_string());
            let known = self.answers.lock().unwrap();
            known
                .get(name.as_str())
                .or_else(|| known.get("*"))
                .cloned()
                .unwrap_or_else(|| Err(silent()))
        })
    }
}

fn silent() -> AskError {
    AskError::Silent {
        after: Duration::from_secs(3),
    }
}

fn servfail() -> AskError {
    AskError::Code("SERVFAIL".to_owned())
}

fn records(lines: &[(&str, &str)]) -> Vec<Record> {
    lines
        .iter()
        .map(|(owner, data)| Record {
            owner: DnsName::new(owner),
            ttl: 60,
            data: data
                .parse()
                .map_or_else(|_| RecordData::Alias(DnsName::new(data)), RecordData::Address),
        })
        .collect()
}

fn answer(lines: &[(&str, &str)]) -> Answer {
    Answer {
        records: records(lines),
        ..Answer::default()
    }
}

fn config() -> config::Resolver {
    config::Resolver {
        servers: vec![],
        timeout: Duration::from_secs(3),
        ttl_min: Duration::from_secs(5),
        ttl_max: Duration::from_secs(3600),
        grace: Duration::from_secs(600),
        addresses_max: 8,
        chain_max: 4,
        concurrency: 8,
    }
}

/// Two upstreams, and the failover over them.
struct Bench {
    first: Arc<Fake>,
    second: Arc<Fake>,
    failover: Failover,
}

impl Bench {
    fn new() -> Self {
        let (first, second) = (Fake::new("first"), Fake::new("second"));
        let upstreams: Vec<Box<dyn Ask>> = vec![Box::new(first.clone()), Box::new(second.clone())];
        Self {
            first,
            second,
            failover: Failover::new(upstreams, &config()),
        }
    }

    async fn resolve(&self, name: &str) -> Result<Vec<String>, ResolveError> {
        let name = ServerName::parse(name).unwrap();
        self.failover
            .resolve(&name, Family::V4)
            .await
            .map(|settled| match settled {
                Settled::Addresses { addresses, .. } => addresses.iter().map(ToString::to_string).collect(),
                Settled::Nothing { missing, .. } => vec![format!("missing: {missing}")],
            })
    }

    fn asked(&self) -> (usize, usize) {
        (self.first.take_asked().len(), self.second.take_asked().len())
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_one_is_asked_on_every_kind_of_failure() {
    let failures = [
        silent(),
        servfail(),
        AskError::Unreachable("connection refused".to_owned()),
        AskError::Garbage("no header".to_owned()),
        AskError::Referral,
    ];
    for failure in failures {
        let bench = Bench::new();
        bench.first.says("a.test", Err(failure));
        bench
            .second
            .says("a.test", Ok(answer(&[("a.test", "198.51.100.1")])));
        assert_eq!(bench.resolve("a.test").await.unwrap(), ["198.51.100.1"]);
        assert_eq!(bench.asked(), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn no_such_name_is_an_answer() {
    let bench = Bench::new();
    bench.first.says(
        "a.test",
        Ok(Answer {
            missing: true,
            ..Answer::default()
        }),
    );
    bench.first.says("b.test", Ok(Answer::default()));
    assert_eq!(bench.resolve("a.test").await.unwrap(), ["missing: true"]);
    assert_eq!(bench.resolve("b.test").await.unwrap(), ["missing: false"]);
    assert_eq!(bench.asked(), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dead_upstream_is_put_aside_and_comes_back() {
    let bench = Bench::new();
    let good = || Ok(answer(&[("a.test", "198.51.100.1")]));
    bench.second.says("a.test", good());
    bench.resolve("a.test").await.unwrap();
    assert_eq!(bench.asked(), (1, 1));
    bench.resolve("a.test").await.unwrap();
    assert_eq!(bench.asked(), (0, 1), "aside");
    bench.first.says("a.test", good());
    tokio::time::advance(super::super::health::ASIDE_MIN).await;
    bench.resolve("a.test").await.unwrap();
    bench.resolve("a.test").await.unwrap();
    assert_eq!(bench.asked(), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dead_name_blames_no_upstream() {
    let bench = Bench::new();
    let good = || Ok(answer(&[("good.test", "198.51.100.1")]));
    bench.first.says("good.test", good());
    bench.second.says("good.test", good());
    for _ in 0..10 {
        let error = bench.resolve("dead.test").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "first: no answer within 3 s; second: no answer within 3 s"
        );
        bench.asked();
        bench.resolve("good.test").await.unwrap();
        assert_eq!(bench.asked(), (1, 0));
    }
    // Nor does one that only the first upstream refuses, as long as others go well.
    bench.first.says("picky.test", Err(servfail()));
    bench
        .second
        .says("picky.test", Ok(answer(&[("picky.test", "198.51.100.2")])));
    for _ in 0..2 * REFUSALS_MAX {
        bench.resolve("picky.test").await.unwrap();
        bench.asked();
        bench.resolve("good.test").await.unwrap();
        assert_eq!(bench.asked(), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stops_at_a_cname_is_followed() {
    let bench = Bench::new();
    bench.first.says(
        "a.test",
        Ok(answer(&[("a.test", "b.test"), ("evil.test", "203.0.113.66")])),
    );
    bench.first.says("b.test", Ok(answer(&[("b.test", "c.test")])));
    bench.first.says(
        "c.test",
        Ok(answer(&[
            ("c.test", "198.51.100.1"),
            ("evil.test", "203.0.113.66"),
        ])),
    );
    assert_eq!(bench.resolve("a.test").await.unwrap(), ["198.51.100.1"]);
    assert_eq!(bench.first.take_asked(), ["a.test", "b.test", "c.test"]);

    // "Nothing there" with an SOA record is the end of it.
    let mut end = answer(&[("a.test", "b.test")]);
    end.negative_ttl = Some(Duration::from_secs(30));
    bench.first.says("a.test", Ok(end));
    assert_eq!(bench.resolve("a.test").await.unwrap(), ["missing: false"]);
    assert_eq!(bench.first.take_asked(), ["a.test"]);
}

#[tokio::test(start_paused = true)]
async fn contradictory_and_oversized_answers_are_errors() {
    let bench = Bench::new();
    let circle = answer(&[("a.test", "b.test"), ("b.test", "a.test")]);
    bench.first.says("a.test", Ok(circle.clone()));
    bench.second.says("a.test", Ok(circle));
    let error = bench.resolve("a.test").await.unwrap_err().to_string();
    assert!(error.contains("comes back to a.test"), "{error}");

    let flood: Vec<String> = (0..100).map(|host| format!("198.51.100.{host}")).collect();
    let flood: Vec<(&str, &str)> = flood.iter().map(|address| ("b.test", address.as_str())).collect();
    bench.first.says("b.test", Ok(answer(&flood)));
    bench
        .second
        .says("b.test", Ok(answer(&[("b.test", "198.51.100.1")])));
    assert_eq!(bench.resolve("b.test").await.unwrap(), ["198.51.100.1"]);

    // A chain that is a little longer with each answer ends as well.
    let letters: Vec<String> = ('a'..='z').map(|letter| format!("{letter}.long.test")).collect();
    for pair in letters.windows(2) {
        let link = answer(&[(&pair[0], &pair[1])]);
        bench.first.says(&pair[0], Ok(link.clone()));
        bench.second.says(&pair[0], Ok(link));
    }
    let error = bench.resolve("a.long.test").await.unwrap_err().to_string();
    assert!(error.contains("more than 4 links"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn without_upstreams_that_is_the_error() {
    let failover = Failover::new(vec![], &config());
    let name = ServerName::parse("a.test").unwrap();
    let error = failover.resolve(&name, Family::V6).await.unwrap_err();
    assert_eq!(error.to_string(), "no name server is configured");
}
