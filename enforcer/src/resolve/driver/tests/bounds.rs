//! How long it takes, how much it does at a time, and that it sleeps in between.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use super::super::super::Family;
use super::super::super::answer::DnsName;
use super::super::super::failover::{Ask, Asking};
use super::super::*;
use super::{LIMIT, QUICK, World, config, held, pass, questions};

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
