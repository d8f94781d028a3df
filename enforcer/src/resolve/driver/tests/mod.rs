use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use super::super::answer::{Answer, AskError, DnsName, Record, RecordData};
use super::super::failover::{Ask, Asking};
use super::super::{Age, Family, Sanity, Standing, schedule};
use super::*;
use crate::names::ServerName;

/// An upstream in simulated time: every name has the addresses it was given, IPv6 has none; a name without any is dead.
#[derive(Default)]
struct World {
    /// The address and TTL of each name.
    answers: Mutex<HashMap<String, (&'static str, u32)>>,
    asked: AtomicUsize,
    asked_v4: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

/// How long a good answer takes.
const QUICK: Duration = Duration::from_millis(20);
/// How long a dead name takes.
const TIMEOUT: Duration = Duration::from_secs(3);

impl World {
    fn new(names: &[(&str, &'static str, u32)]) -> Arc<Self> {
        let world = Arc::new(Self::default());
        for (name, address, ttl) in names {
            world.says(name, address, *ttl);
        }
        world
    }

    fn says(&self, name: &str, address: &'static str, ttl: u32) {
        self.answers
            .lock()
            .unwrap()
            .insert(name.to_owned(), (address, ttl));
    }

    fn dies(&self, name: &str) {
        self.answers.lock().unwrap().remove(name);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn failover(self: &Arc<Self>) -> Failover {
        Failover::new(vec![Box::new(self.clone())], &config())
    }
}

impl Ask for Arc<World> {
    fn label(&self) -> &'static str {
        "world"
    }

    fn ask<'a>(&'a self, name: &'a DnsName, family: Family) -> Asking<'a> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.asked_v4
                .fetch_add(usize::from(family == Family::V4), Ordering::Relaxed);
            let now = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_under_way.fetch_max(now, Ordering::Relaxed);
            let known = self.answers.lock().unwrap().get(name.as_str()).copied();
            tokio::time::sleep(if known.is_some() { QUICK } else { TIMEOUT }).await;
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            let Some((address, ttl)) = known else {
                return Err(AskError::Silent { after: TIMEOUT });
            };
            if family == Family::V6 {
                return Ok(Answer {
                    negative_ttl: Some(Duration::from_secs(ttl.into())),
                    ..Answer::default()
                });
            }
            Ok(Answer {
                records: vec![Record {
                    owner: name.clone(),
                    ttl,
                    data: RecordData::Address(address.parse().unwrap()),
                }],
                ..Answer::default()
            })
        })
    }
}

fn config() -> config::Resolver {
    config::Resolver {
        servers: vec![],
        timeout: TIMEOUT,
        ttl_min: Duration::from_secs(5),
        ttl_max: Duration::from_secs(3600),
        grace: Duration::from_secs(600),
        addresses_max: 8,
        chain_max: 4,
        concurrency: 4,
    }
}

fn questions(names: &[&str]) -> Vec<Question> {
    names
        .iter()
        .map(|name| Question {
            name: ServerName::parse(name).unwrap(),
            private_link: vec![],
            sanity: Sanity::default(),
        })
        .collect()
}

/// The addresses of a name, those that are retired with an `r`.
fn held(snapshot: &Snapshot, name: &str) -> Vec<String> {
    let found = snapshot.names.iter().find(|known| known.name.as_str() == name);
    found
        .map(|known| {
            known
                .addresses
                .iter()
                .map(|known| match known.standing {
                    Standing::Current => known.address.to_string(),
                    Standing::Retired { .. } => format!("{} r", known.address),
                })
                .collect()
        })
        .unwrap_or_default()
}

const LIMIT: Duration = Duration::from_secs(10);

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn addresses_are_kept_fresh_and_rotation_is_followed() {
    let world = World::new(&[("a.test", "198.51.100.1", 60)]);
    let service = Service::start(questions(&["a.test"]), &config(), world.failover());
    let snapshots = service.snapshots();
    assert!(!snapshots.borrow().is_settled());
    let settled = service.settled(LIMIT).await;
    assert_eq!(held(&settled, "a.test"), ["198.51.100.1"]);
    assert_eq!(settled.names[0].v6, FamilyState::Empty);

    world.says("a.test", "198.51.100.2", 60);
    pass(60).await;
    assert_eq!(
        held(&snapshots.borrow(), "a.test"),
        ["198.51.100.1 r", "198.51.100.2"]
    );
    pass(600).await;
    assert_eq!(held(&snapshots.borrow(), "a.test"), ["198.51.100.2"]);
    service.stop().await;
    let asked = world.asked();
    pass(1000).await;
    assert_eq!(world.asked(), asked, "stopped is stopped");
    assert_eq!(held(&snapshots.borrow(), "a.test"), ["198.51.100.2"]);
}

#[tokio::test(start_paused = true)]
async fn a_grace_period_ends_without_any_question() {
    let world = World::new(&[("a.test", "198.51.100.1", 5)]);
    let mut config = config();
    config.grace = Duration::from_secs(20);
    let service = Service::start(questions(&["a.test"]), &config, world.failover());
    service.settled(LIMIT).await;
    world.says("a.test", "198.51.100.2", 3600);
    pass(6).await;
    let mut snapshots = service.snapshots();
    assert_eq!(
        held(&snapshots.borrow_and_update(), "a.test"),
        ["198.51.100.1 r", "198.51.100.2"]
    );
    let before = tokio::time::Instant::now();
    let gone = snapshots.wait_for(|snapshot| held(snapshot, "a.test") == ["198.51.100.2"]);
    gone.await.unwrap();
    let waited = before.elapsed();
    assert!(
        waited > Duration::from_secs(15) && waited < Duration::from_secs(20),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_dies_stays_and_says_so() {
    let world = World::new(&[("a.test", "198.51.100.1", 60), ("b.test", "198.51.100.2", 60)]);
    let service = Service::start(questions(&["a.test", "b.test"]), &config(), world.failover());
    service.settled(LIMIT).await;
    world.dies("a.test");
    pass(24 * 3600).await;
    let snapshot = service.snapshots().borrow().clone();
    assert_eq!(held(&snapshot, "a.test"), ["198.51.100.1"]);
    let FamilyState::Stale { answered, error } = &snapshot.names[0].v4 else {
        panic!("{:?}", snapshot.names[0].v4);
    };
    assert!(
        answered.age(Instant::now()).duration < Duration::from_secs(60),
        "in real time it was just now"
    );
    assert!(answered.age(now()).duration > Duration::from_secs(24 * 3600 - 60));
    assert_eq!(error, "world: no answer within 3 s");
    assert_eq!(snapshot.names[1].v4, FamilyState::Fresh);
    assert!(snapshot.names[1].addresses[0].expires > now());

    world.says("a.test", "198.51.100.3", 60);
    pass(90).await;
    let snapshot = service.snapshots().borrow().clone();
    assert_eq!(held(&snapshot, "a.test"), ["198.51.100.1 r", "198.51.100.3"]);
    assert_eq!(snapshot.names[0].v4, FamilyState::Fresh);
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_what_stays() {
    let world = World::new(&[("a.test", "198.51.100.1", 3600), ("b.test", "198.51.100.2", 3600)]);
    let service = Service::start(questions(&["a.test"]), &config(), world.failover());
    service.settled(LIMIT).await;
    assert_eq!(world.asked(), 2);

    let other = World::new(&[("b.test", "198.51.100.9", 3600)]);
    service
        .reload(questions(&["b.test", "a.test"]), &config(), other.failover())
        .await;
    let at_once = service.snapshots().borrow().clone();
    assert_eq!(at_once.names[0].v4, FamilyState::Unasked);
    assert_eq!(held(&at_once, "a.test"), ["198.51.100.1"]);
    let settled = service.settled(LIMIT).await;
    assert_eq!(held(&settled, "b.test"), ["198.51.100.9"]);
    assert_eq!(
        (world.asked(), other.asked()),
        (2, 2),
        "what is known is not asked again"
    );

    service
        .reload(questions(&["b.test"]), &config(), other.failover())
        .await;
    assert_eq!(service.snapshots().borrow().names.len(), 1);

    // An answer that comes after its name has gone changes nothing.
    service
        .reload(questions(&["dead.test"]), &config(), other.failover())
        .await;
    pass(1).await;
    service
        .reload(questions(&["b.test"]), &config(), other.failover())
        .await;
    pass(10).await;
    assert_eq!(held(&service.snapshots().borrow(), "b.test"), ["198.51.100.9"]);
}

#[tokio::test(start_paused = true)]
async fn other_upstreams_are_asked_at_once_for_what_failed() {
    let nobody = Failover::new(Vec::new(), &config());
    let service = Service::start(questions(&["a.test"]), &config(), nobody);
    // Long enough for the back-off to reach its end.
    pass(3600).await;
    assert!(matches!(
        service.snapshots().borrow().names[0].v4,
        FamilyState::Failed { .. }
    ));
    let world = World::new(&[("a.test", "198.51.100.1", 3600)]);
    service
        .reload(questions(&["a.test"]), &config(), world.failover())
        .await;
    pass(1).await;
    assert_eq!(held(&service.snapshots().borrow(), "a.test"), ["198.51.100.1"]);
    let asked = world.asked();
    service
        .reload(questions(&["a.test"]), &config(), world.failover())
        .await;
    pass(1).await;
    assert_eq!(world.asked(), asked, "the same upstreams are no reason to ask");
}

#[tokio::test(start_paused = true)]
async fn once_ends_at_its_limit_and_tells_what_is_missing() {
    let world = World::new(&[("a.test", "198.51.100.1", 60)]);
    let mut names = vec!["a.test".to_owned()];
    names.extend((0..20).map(|number| format!("dead{number}.test")));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let before = tokio::time::Instant::now();
    let snapshot = resolve_once(
        questions(&names),
        &config(),
        world.failover(),
        Duration::from_secs(7),
    )
    .await;
    assert_eq!(before.elapsed(), Duration::from_secs(7));
    assert!(snapshot.is_settled());
    assert_eq!(held(&snapshot, "a.test"), ["198.51.100.1"]);
    let error = |index: usize| match &snapshot.names[index].v4 {
        FamilyState::Failed { error } => error.clone(),
        other => panic!("{other:?}"),
    };
    let errors: Vec<String> = (1..=20).map(error).collect();
    assert!(errors.contains(&"world: no answer within 3 s".to_owned()));
    assert!(errors.contains(&"no answer within the time limit of 7 s".to_owned()));
    assert_eq!(world.most_under_way.load(Ordering::Relaxed), config().concurrency);
    let asked = world.asked();
    pass(100).await;
    assert_eq!(world.asked(), asked);
}

#[tokio::test(start_paused = true)]
async fn once_ends_as_soon_as_all_is_known() {
    let world = World::new(&[("a.test", "198.51.100.1", 60)]);
    let before = tokio::time::Instant::now();
    resolve_once(questions(&["a.test"]), &config(), world.failover(), LIMIT).await;
    assert!(before.elapsed() < 2 * QUICK, "{:?}", before.elapsed());
    let snapshot = resolve_once(vec![], &config(), world.failover(), LIMIT).await;
    assert_eq!(snapshot, Snapshot::default());
}

#[tokio::test(start_paused = true)]
async fn thousands_of_names_within_the_concurrency_and_few_snapshots() {
    let names: Vec<String> = (0..2000).map(|number| format!("n{number}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(
        &names
            .iter()
            .map(|name| (*name, "198.51.100.1", 300))
            .collect::<Vec<_>>(),
    );
    let service = Service::start(questions(&names), &config(), world.failover());
    let mut snapshots = service.snapshots();
    let counter = tokio::spawn(async move {
        let mut count = 0_u32;
        while snapshots.changed().await.is_ok() {
            count += 1;
        }
        count
    });
    let before = tokio::time::Instant::now();
    let settled = service.settled(Duration::from_secs(3600)).await;
    assert!(settled.names.iter().all(|name| name.v4 == FamilyState::Fresh));
    let took = before.elapsed();
    assert_eq!(world.most_under_way.load(Ordering::Relaxed), config().concurrency);
    service.stop().await;
    let published = counter.await.unwrap();
    assert!(
        f64::from(published) <= took.as_secs_f64() / PUBLISH_INTERVAL_MIN.as_secs_f64() + 2.0,
        "{published} snapshots in {took:?}"
    );
}

/// What is left of a service after `restart`: everything it knew, aged by it.
fn saved(service: &Service, restart: Age) -> SavedAnswers {
    SavedAnswers::of(&service.snapshots().borrow(), now()).aged(restart)
}

fn age(snapshot: &Snapshot) -> Age {
    let answered = snapshot.names[0].good_v4.answered.unwrap();
    answered.age(now())
}

#[tokio::test(start_paused = true)]
async fn restored_names_are_there_at_once_and_asked_for_at_once() {
    let world = World::new(&[("a.test", "198.51.100.1", 60)]);
    let service = Service::start(questions(&["a.test"]), &config(), world.failover());
    service.settled(LIMIT).await;
    let saved = saved(&service, Age::at_least(Duration::from_secs(100)));
    service.stop().await;

    world.says("a.test", "198.51.100.2", 60);
    let asked = world.asked();
    let names = questions(&["b.test", "a.test"]);
    let service = Service::start_from(names, &config(), world.failover(), &saved);
    let at_once = service.snapshots().borrow().clone();
    assert_eq!(held(&at_once, "a.test"), ["198.51.100.1"]);
    assert!(!at_once.is_settled());
    let settled = service.settled(LIMIT).await;
    assert_eq!(held(&settled, "a.test"), ["198.51.100.1 r", "198.51.100.2"]);
    assert_eq!(settled.names[1].v4, FamilyState::Fresh);
    assert_eq!(settled.names[1].v6, FamilyState::Empty);
    assert!(settled.is_settled());
    assert_eq!(world.asked() - asked, 4, "each once");
    pass(601).await;
    assert_eq!(held(&service.snapshots().borrow(), "a.test"), ["198.51.100.2"]);
}

#[tokio::test(start_paused = true)]
async fn a_restored_name_that_is_not_answered_in_time_is_stale() {
    let world = World::new(&[("a.test", "198.51.100.1", 60)]);
    let service = Service::start(questions(&["a.test"]), &config(), world.failover());
    service.settled(LIMIT).await;
    let saved = saved(&service, Age::default());
    service.stop().await;

    world.dies("a.test");
    let service = Service::start_from(questions(&["a.test"]), &config(), world.failover(), &saved);
    let snapshot = service.settled(Duration::from_secs(1)).await;
    assert!(matches!(
        &snapshot.names[0].v4,
        FamilyState::Stale { error, .. } if error == "no answer within the time limit of 1 s"
    ));
    assert_eq!(held(&snapshot, "a.test"), ["198.51.100.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_dead_for_days_and_restarts_meanwhile_lose_no_address_and_ages_grow() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let world = World::new(&[("a.test", "198.51.100.1", 60)]);
    let mut service = Service::start(questions(&["a.test"]), &config(), world.failover());
    service.settled(LIMIT).await;
    world.dies("a.test");
    let mut known = age(&service.snapshots().borrow());
    for (day, restart) in [
        (1, Age::exact(Duration::from_secs(3))),
        (2, Age::at_least(Duration::from_secs(40))),
        (3, Age::exact(Duration::from_secs(3))),
    ] {
        tokio::time::sleep(DAY).await;
        let snapshot = service.snapshots().borrow().clone();
        assert_eq!(held(&snapshot, "a.test"), ["198.51.100.1"], "day {day}");
        assert!(
            matches!(snapshot.names[0].v4, FamilyState::Stale { .. }),
            "day {day}"
        );
        known = known.plus(Age::exact(DAY));
        assert_eq!(age(&snapshot), known, "day {day}");
        let saved = saved(&service, restart);
        service.stop().await;
        service = Service::start_from(questions(&["a.test"]), &config(), world.failover(), &saved);
        known = known.plus(restart);
    }
    assert!(known.is_lower_bound, "a reboot was among them");
    world.says("a.test", "198.51.100.1", 60);
    let settled = service.settled(LIMIT).await;
    assert_eq!(settled.names[0].v4, FamilyState::Fresh);
    assert!(age(&settled).duration < Duration::from_secs(1));
    assert!(!age(&settled).is_lower_bound);
}

/// An upstream with a bug.
struct Panics;

impl Ask for Panics {
    fn label(&self) -> &'static str {
        "panics"
    }

    fn ask<'a>(&'a self, _: &'a DnsName, _: Family) -> Asking<'a> {
        Box::pin(async { panic!("a bug (expected in this test)") })
    }
}

#[tokio::test(start_paused = true)]
async fn a_bug_in_an_upstream_is_a_failure_of_its_question_only() {
    let failover = Failover::new(vec![Box::new(Panics)], &config());
    let service = Service::start(questions(&["a.test"]), &config(), failover);
    let snapshot = service.settled(LIMIT).await;
    assert!(
        matches!(&snapshot.names[0].v4, FamilyState::Failed { error } if error.contains("internal error"))
    );
    let world = World::new(&[("a.test", "198.51.100.1", 60)]);
    service
        .reload(questions(&["a.test"]), &config(), world.failover())
        .await;
    pass(10).await;
    assert_eq!(held(&service.snapshots().borrow(), "a.test"), ["198.51.100.1"]);
}

/// Counts how often a task is woken.
struct Counted<F> {
    inner: Pin<Box<F>>,
    polls: Arc<AtomicUsize>,
}

impl<F: Future<Output = ()>> Future for Counted<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.inner.as_mut().poll(context)
    }
}

#[tokio::test(start_paused = true)]
async fn between_questions_the_task_sleeps() {
    let names = ["a.test", "b.test", "c.test"];
    let world = World::new(&names.map(|name| (name, "198.51.100.1", 3600)));
    let order = Order::new(questions(&names), &config(), world.failover());
    let book = Book::new(order.questions.clone(), order.limits);
    let (tell, mut snapshots) = watch::channel(Arc::new(book.snapshot()));
    let (_orders, receive) = mpsc::channel(1);
    let driver = Driver::new(order, book, tell, fastrand::Rng::with_seed(1));
    let polls = Arc::new(AtomicUsize::new(0));
    let task = Counted {
        inner: Box::pin(driver.run(receive)),
        polls: polls.clone(),
    };
    let task = tokio::spawn(task);
    snapshots
        .wait_for(|snapshot| snapshot.is_settled())
        .await
        .unwrap();
    pass(1).await;
    let (settled, asked) = (polls.load(Ordering::Relaxed), world.asked());
    // No IPv4 question is due before 0.7 of the TTL. That there is no IPv6 address is asked for again every few minutes.
    pass(2500).await;
    let woken = polls.load(Ordering::Relaxed) - settled;
    let asked = world.asked() - asked;
    assert_eq!(world.asked_v4.load(Ordering::Relaxed), names.len());
    assert!(asked <= 2500 / 200 * names.len(), "{asked} questions");
    // For each question when it is due and when it is answered, and for the end of each grace period.
    let most = 2 * asked + 2500 / 600;
    assert!(woken <= most, "woken {woken} times by {asked} questions");
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_no_answer() {
    let world = World::new(&[]);
    let service = Service::start(questions(&["dead.test"]), &config(), world.failover());
    pass(1).await;
    assert_eq!(world.asked(), 2, "both families are under way");
    let before = tokio::time::Instant::now();
    service.stop().await;
    assert_eq!(before.elapsed(), Duration::ZERO);

    let service = Service::start(questions(&["dead.test"]), &config(), world.failover());
    pass(1).await;
    let asked = world.asked();
    drop(service);
    pass(1000).await;
    assert_eq!(world.asked(), asked, "dropped is stopped");
}

#[tokio::test(start_paused = true)]
async fn ttls_of_nothing_and_of_years_are_asked_for_at_a_sane_pace() {
    for (ttl, fewest, most) in [
        // Taken as `ttl_min`, 5 s, and asked again after 3.5 to 4.5 s.
        (0, 3600 / 5, 3600 / 3),
        // RFC 2181 section 8: the most significant bit makes it 0.
        (u32::MAX, 3600 / 5, 3600 / 3),
        // Taken as `ttl_max`, one hour.
        (i32::MAX.unsigned_abs(), 1, 3),
    ] {
        let world = World::new(&[("a.test", "198.51.100.1", ttl)]);
        let service = Service::start(questions(&["a.test"]), &config(), world.failover());
        pass(3600).await;
        // Negative answers are not above their own limit, so that only the IPv4 questions tell.
        let asked = world.asked_v4.load(Ordering::Relaxed);
        assert!((fewest..=most).contains(&asked), "TTL {ttl}: {asked}");
        service.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn when_everything_is_dead_for_days_nothing_is_lost_and_all_comes_back() {
    let names: Vec<String> = (0..12).map(|number| format!("n{number}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&[]);
    for name in &names {
        world.says(name, "198.51.100.1", 60);
    }
    let service = Service::start(questions(&names), &config(), world.failover());
    service.settled(Duration::from_secs(60)).await;
    for name in &names {
        world.dies(name);
    }
    pass(2 * 24 * 3600).await;
    let snapshot = service.snapshots().borrow().clone();
    for name in &names {
        assert_eq!(held(&snapshot, name), ["198.51.100.1"], "{name}");
    }
    for name in &names {
        world.says(name, "198.51.100.2", 60);
    }
    // The longest back-off, spread by its jitter, and the questions that were under way or waiting for a place.
    let longest = schedule::RETRY_MAX.mul_f64(1.0 + schedule::RETRY_JITTER) + 4 * TIMEOUT;
    tokio::time::sleep(longest).await;
    let snapshot = service.snapshots().borrow().clone();
    for (name, known) in names.iter().zip(snapshot.names.iter()) {
        assert_eq!(known.v4, FamilyState::Fresh, "{name}");
        assert_eq!(
            held(&snapshot, name),
            ["198.51.100.1 r", "198.51.100.2"],
            "{name}"
        );
    }
    service.stop().await;
}
