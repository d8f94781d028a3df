use super::*;

const PACE: Pace = Pace {
    ttl_min: Duration::from_secs(5),
    ttl_max: Duration::from_secs(3600),
    concurrency: 8,
};

fn names(count: usize) -> Vec<ServerName> {
    (0..count)
        .map(|number| ServerName::parse(&format!("n{number}.test")).unwrap())
        .collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What one question will take and lead to.
type World<'a> = dyn FnMut(&Key) -> (Duration, Next) + 'a;

/// One question that was asked in the simulation.
struct Asked {
    at: Instant,
    key: Key,
}

/// Runs `schedule` in simulated time from `start` for `long`.
fn simulate(schedule: &mut Schedule, start: Instant, long: Duration, world: &mut World<'_>) -> Vec<Asked> {
    let mut now = start;
    let mut asked = Vec::new();
    let mut under_way: BTreeSet<(Instant, Key)> = BTreeSet::new();
    let mut outcomes: HashMap<Key, Next> = HashMap::new();
    let mut turns = 0_usize;
    while now <= start + long {
        while let Some(key) = schedule.due(now) {
            let (takes, next) = world(&key);
            assert!(
                outcomes.insert(key.clone(), next).is_none(),
                "{key:?} is under way twice"
            );
            under_way.insert((now + takes, key.clone()));
            asked.push(Asked { at: now, key });
        }
        assert!(schedule.running() <= schedule.pace.concurrency);
        assert_eq!(schedule.running(), under_way.len());
        let ends = under_way.first().map(|(time, _)| *time);
        let Some(next) = [ends, schedule.wake()].into_iter().flatten().min() else {
            break;
        };
        assert!(next >= now);
        now = next;
        while under_way.first().is_some_and(|(time, _)| *time <= now) {
            let (_, key) = under_way.pop_first().unwrap();
            let next = outcomes.remove(&key).unwrap();
            schedule.done(&key, next, now);
        }
        turns += 1;
        assert!(
            turns <= 4 * asked.len() + 16,
            "more turns than there is anything to do: a busy loop"
        );
    }
    asked
}

fn scheduled(names: &[ServerName], pace: Pace, start: Instant) -> Schedule {
    let mut schedule = Schedule::new(pace, fastrand::Rng::with_seed(7));
    schedule.set_names(names, pace, start);
    schedule
}

#[test]
fn a_good_answer_is_renewed_before_it_expires() {
    let start = Instant::now();
    for (ttl, clamped) in [(0, 5), (10, 10), (300, 300), (1_000_000, 3600)] {
        let mut schedule = scheduled(&names(1), PACE, start);
        let asked = simulate(&mut schedule, start, seconds(20_000), &mut |_| {
            (Duration::from_millis(20), Next::After { ttl: seconds(ttl) })
        });
        for family in Family::BOTH {
            let times: Vec<Instant> = asked
                .iter()
                .filter(|asked| asked.key.family == family)
                .map(|asked| asked.at)
                .collect();
            assert!(times.len() > 4);
            for pair in times.windows(2) {
                let apart = (pair[1] - pair[0]).as_secs_f64() / f64::from(clamped);
                assert!(
                    (EARLIEST..LATEST + 0.02).contains(&apart),
                    "{apart} of {clamped} s"
                );
            }
        }
    }
}

#[test]
fn thousands_of_names_start_in_order_and_do_not_stay_together() {
    let start = Instant::now();
    let names = names(3000);
    let mut schedule = scheduled(&names, PACE, start);
    let asked = simulate(&mut schedule, start, seconds(1500), &mut |_| {
        (Duration::from_millis(4), Next::After { ttl: seconds(300) })
    });
    // The first round is as fast as the concurrency admits: 6000 questions, 8 at a time, 4 ms each.
    let first: Vec<&Asked> = asked.iter().take(6000).collect();
    assert!(first.last().unwrap().at - start <= seconds(3));
    let distinct: std::collections::HashSet<&Key> = first.iter().map(|asked| &asked.key).collect();
    assert_eq!(distinct.len(), 6000);
    // From then on about 6000 questions in 240 s, and never many at once: without jitter all came within 3 s.
    let mut in_second: HashMap<u64, usize> = HashMap::new();
    for asked in &asked[6000..] {
        *in_second.entry((asked.at - start).as_secs()).or_default() += 1;
    }
    let busiest = in_second.values().max().copied().unwrap();
    assert!(busiest < 300, "{busiest} questions in one second");
}

#[test]
fn dead_names_back_off_and_disturb_nobody() {
    let start = Instant::now();
    let names = names(400);
    // Three of four names are dead: 6 s each until all upstreams were silent.
    let is_dead = |key: &Key| !names[..100].contains(&key.name);
    let mut schedule = scheduled(&names, PACE, start);
    let asked = simulate(&mut schedule, start, seconds(4000), &mut |key| {
        if is_dead(key) {
            (seconds(6), Next::Retry)
        } else {
            (Duration::from_millis(10), Next::After { ttl: seconds(60) })
        }
    });
    // After the first round, which nobody can know to be in vain, the good names are renewed in time.
    let settled = start + seconds(900);
    let mut last: HashMap<&Key, Instant> = HashMap::new();
    for asked in asked.iter().filter(|asked| !is_dead(&asked.key)) {
        if let Some(before) = last.insert(&asked.key, asked.at)
            && before > settled
        {
            assert!(asked.at - before < seconds(60), "{:?}", asked.at - before);
        }
    }
    assert_eq!(last.len(), 200);
    assert!(
        asked
            .iter()
            .any(|asked| asked.at > settled && is_dead(&asked.key))
    );
}

#[test]
fn back_off_grows_to_its_cap_and_ends_with_a_good_answer() {
    let start = Instant::now();
    let mut schedule = scheduled(&names(1), PACE, start);
    let mut failing = true;
    let asked = simulate(&mut schedule, start, seconds(1000), &mut |_| {
        (Duration::ZERO, Next::Retry)
    });
    let times: Vec<Instant> = asked
        .iter()
        .filter(|asked| asked.key.family == Family::V4)
        .map(|asked| asked.at)
        .collect();
    let mut expect = RETRY_MIN.as_secs_f64();
    for pair in times.windows(2) {
        let apart = (pair[1] - pair[0]).as_secs_f64() / expect;
        assert!(
            (1.0 - RETRY_JITTER..=1.0 + RETRY_JITTER).contains(&apart),
            "{apart}"
        );
        expect = (expect * 2.0).min(RETRY_MAX.as_secs_f64());
    }
    assert!(times.len() > 15);

    let from = start + seconds(2000);
    let asked = simulate(&mut schedule, from, seconds(100), &mut |_| {
        let next = if std::mem::take(&mut failing) {
            Next::After { ttl: seconds(5) }
        } else {
            Next::Retry
        };
        (Duration::ZERO, next)
    });
    let healed = &asked[0].key;
    let again: Vec<Instant> = asked
        .iter()
        .filter(|asked| asked.key == *healed)
        .map(|asked| asked.at)
        .collect();
    assert!(again[2] - again[1] < seconds(2), "the back-off starts over");
}

#[test]
fn nothing_there_is_asked_for_again_within_minutes() {
    let start = Instant::now();
    for (ttl, most) in [
        (None, NOTHING_TTL),
        (Some(seconds(86400)), NOTHING_TTL_MAX),
        (Some(seconds(0)), seconds(5)),
    ] {
        let mut schedule = scheduled(&names(1), PACE, start);
        let asked = simulate(&mut schedule, start, seconds(3000), &mut |_| {
            (Duration::ZERO, Next::AfterNothing { ttl })
        });
        let times: Vec<Instant> = asked
            .iter()
            .filter(|asked| asked.key.family == Family::V6)
            .map(|asked| asked.at)
            .collect();
        for pair in times.windows(2) {
            let apart = pair[1] - pair[0];
            assert!(
                apart <= most && apart >= most.mul_f64(EARLIEST * 0.99),
                "{apart:?}"
            );
        }
    }
}

#[test]
fn even_a_senseless_configuration_makes_no_busy_loop() {
    let pace = Pace {
        ttl_min: Duration::ZERO,
        ttl_max: Duration::ZERO,
        concurrency: 1,
    };
    let start = Instant::now();
    let mut schedule = scheduled(&names(1), pace, start);
    let asked = simulate(&mut schedule, start, seconds(10), &mut |_| {
        (Duration::ZERO, Next::After { ttl: seconds(60) })
    });
    assert!(asked.len() <= 2 * 41);
}

#[test]
fn names_come_and_go_while_questions_are_under_way() {
    let start = Instant::now();
    let all = names(3);
    let mut schedule = scheduled(&all[..2], PACE, start);
    let mut under_way = Vec::new();
    while let Some(key) = schedule.due(start) {
        under_way.push(key);
    }
    assert_eq!(under_way.len(), 4);
    assert_eq!(schedule.wake(), None);

    // The first name goes and comes back, the second one goes for good, the third one is new.
    schedule.set_names(&all[2..], PACE, start);
    schedule.set_names([&all[0], &all[2]], PACE, start);
    let now = start + seconds(1);
    let new: Vec<Key> = std::iter::from_fn(|| schedule.due(now)).collect();
    assert!(new.iter().all(|key| key.name == all[2]));
    assert_eq!((new.len(), schedule.running()), (2, 6));
    for key in under_way.iter().chain(&new) {
        schedule.done(key, Next::After { ttl: seconds(10) }, now);
    }
    assert_eq!(schedule.running(), 0);
    let again: Vec<Key> = std::iter::from_fn(|| schedule.due(now + seconds(10))).collect();
    assert_eq!(again.len(), 4);
    assert!(again.iter().all(|key| key.name != all[1]));

    schedule.set_names([], PACE, now);
    assert_eq!(schedule.wake(), None);
}

#[test]
fn a_hurried_name_is_asked_at_once_or_as_soon_as_it_can_be() {
    let start = Instant::now();
    let all = names(2);
    let mut schedule = scheduled(&all, PACE, start);
    let keys: Vec<Key> = std::iter::from_fn(|| schedule.due(start)).collect();
    let hour = Next::After { ttl: seconds(3600) };
    for key in keys.iter().filter(|key| key.name == all[0]) {
        schedule.done(key, hour, start);
    }
    for name in &all {
        schedule.hurry(name, start);
    }
    let hurried: Vec<Key> = std::iter::from_fn(|| schedule.due(start)).collect();
    assert!(hurried.iter().all(|key| key.name == all[0]));
    assert_eq!(hurried.len(), 2);
    for key in keys.iter().filter(|key| key.name == all[1]) {
        schedule.done(key, hour, start);
    }
    let late: Vec<Key> = std::iter::from_fn(|| schedule.due(start)).collect();
    assert!(late.iter().all(|key| key.name == all[1]));
    assert_eq!(late.len(), 2);
}
