//! Answers that outlive restarts, and days in which nobody answers.

use super::super::super::{Age, schedule};
use super::super::*;
use super::{LIMIT, TIMEOUT, World, config, held, pass, questions};

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
