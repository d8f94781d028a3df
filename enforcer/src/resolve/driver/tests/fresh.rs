//! Answers that come, change and go while it runs.

use std::sync::atomic::Ordering;

use super::super::*;
use super::{LIMIT, World, config, held, pass, questions};

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
