//! A first start in two steps, and one from a table that was saved.

use std::fs::{self};
use std::sync::Arc;

use enforcer::config::Capacity;
use enforcer::kernel::{Ahead, Enforcement, Image, KernelError, LinkFound, Pins, Was, pins};
use enforcer_lab::vectors::{PORTS, policy};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::bench::{Bench, ENFORCE, FOREIGN, HOOKS};

impl Bench {
    /// In force, with what egress goes on with still to be loaded.
    fn enforce_first(&self) -> Enforcement {
        let pins = Arc::new(Pins::open(self.instance.name()).unwrap());
        let (mut first, found) =
            Enforcement::load_first(&PORTS, Capacity::default(), &pins, Ahead::start()).unwrap();
        assert_eq!((found.policy, found.flows), (Was::Missing, Was::Missing));
        first.publish(&policy().unwrap(), ENFORCE);
        assert_eq!(self.attach(&mut first), [LinkFound::Missing; 5]);
        first
    }

    /// Nothing judges, and the next start finds nothing.
    #[track_caller]
    fn is_as_before(&mut self) {
        self.connect(FOREIGN).expect("nothing is denied");
        for name in HOOKS {
            assert!(!self.pin(name).exists(), "{name} is pinned");
        }
        drop(self.enforce());
        self.is_enforced();
    }
}

#[test]
fn nothing_is_pinned_before_all_is_loaded() {
    let mut bench = Bench::new();
    let mut first = bench.enforce_first();
    assert!(bench.connect(FOREIGN).unwrap_err().contains("not permitted"));
    for name in HOOKS {
        assert!(!bench.pin(name).exists(), "{name} is pinned");
    }
    let seen = bench.loaded().expect("who looks from outside sees the policy");
    first.load_rest().unwrap();
    assert_eq!(bench.damages(&first), []);
    assert_eq!(bench.loaded(), Some(seen));
    bench.is_enforced();
    drop(first);
    bench.is_enforced();
    // What is pinned by now is replaced as a whole.
    let pins = Arc::new(Pins::open(bench.instance.name()).unwrap());
    let (mut next, found) =
        Enforcement::load_first(&PORTS, Capacity::default(), &pins, Ahead::start()).unwrap();
    assert_eq!((found.policy, found.flows), (Was::Taken, Was::Taken));
    assert_eq!(bench.attach(&mut next), [LinkFound::Replaced; 5]);
    next.load_rest().unwrap();
    assert_eq!(bench.damages(&next), []);
    bench.is_enforced();
}

#[test]
fn a_table_that_is_put_back_is_enforced_as_it_was() {
    let mut bench = Bench::new();
    let before = bench.enforce();
    let image = Image::from_bytes(&before.image().unwrap().unwrap().to_bytes()).unwrap();
    let expected = before.policy().unwrap().unwrap();
    drop(before);
    let open = || Arc::new(Pins::open(bench.instance.name()).unwrap());
    // Not where there is a policy already.
    let (mut next, _) = Enforcement::load_first(&PORTS, image.capacity(), &open(), Ahead::start()).unwrap();
    assert!(!next.is_unfinished());
    assert!(matches!(next.put_back(&image), Err(KernelError::Map { .. })));
    assert_eq!(next.policy().unwrap().unwrap(), expected);
    drop(next);
    let pins = Pins::open_existing(bench.instance.name()).unwrap().unwrap();
    pins.remove().unwrap();
    assert!(!pins::is_anything_pinned(bench.instance.name()));

    // Nor in tables of another size, which stay without any.
    let pins = open();
    let other = Capacity::new(2 * Capacity::IPV4_STEP, Capacity::IPV6_STEP).unwrap();
    let (mut next, _) = Enforcement::load_first(&PORTS, other, &pins, Ahead::start()).unwrap();
    assert!(matches!(next.put_back(&image), Err(KernelError::Map { .. })));
    assert_eq!(next.policy().unwrap(), None);
    drop(next);
    assert!(!pins::is_anything_pinned(bench.instance.name()));

    let (mut next, _) = Enforcement::load_first(&PORTS, image.capacity(), &pins, Ahead::start()).unwrap();
    assert!(next.is_unfinished());
    next.put_back(&image).unwrap();
    let found = next.policy().unwrap().unwrap();
    assert_eq!(
        (found.settings, &found.ranges, &found.names),
        (expected.settings, &expected.ranges, &expected.names)
    );
    bench.attach(&mut next);
    let refused = bench.connect(FOREIGN).expect_err("a foreign address is denied");
    assert!(refused.contains("not permitted"), "{refused}");
    next.verify_rest().unwrap();
    assert!(next.is_unfinished() && !bench.pin("egress").exists());
    next.load_rest().unwrap();
    assert!(!next.is_unfinished() && pins::is_anything_pinned(bench.instance.name()));
    bench.is_enforced();
    // Another one goes on from there as ever.
    let generation = next.generation();
    assert!(next.publish(&policy().unwrap(), ENFORCE) > generation);
    bench.is_enforced();
}

#[test]
fn a_first_step_alone_leaves_nothing() {
    let mut bench = Bench::new();
    let first = bench.enforce_first();
    drop(first);
    bench.is_as_before();
}

#[test]
fn a_second_step_that_fails_takes_the_first_one_back() {
    let mut bench = Bench::new();
    let mut first = bench.enforce_first();
    fs::remove_dir_all(bench.instance.pins()).unwrap();
    let failed = first.load_rest().expect_err("there is no place for the pins");
    assert!(matches!(failed, KernelError::Pins { .. }), "{failed}");
    bench.connect(FOREIGN).expect("nothing is denied");
    drop(first);
    bench.is_as_before();
}

/// Without this capability the verifier takes the hooks, and none of what reads a hello.
#[test]
fn a_program_of_the_second_step_that_is_refused_takes_all_back() {
    let mut bench = Bench::new();
    let mut first = bench.enforce_first();
    let failed = std::thread::scope(|scope| {
        let refused = scope.spawn(|| {
            let mut sets = capabilities(None).unwrap();
            for capability in [CapabilitySet::PERFMON, CapabilitySet::SYS_ADMIN] {
                sets.effective.remove(capability);
            }
            set_capabilities(None, sets).unwrap();
            first.load_rest().expect_err("it is refused")
        });
        refused.join().unwrap()
    });
    assert!(matches!(failed, KernelError::Load { .. }), "{failed}");
    // Also while somebody still holds it.
    bench.connect(FOREIGN).expect("nothing is denied");
    assert!(!pins::is_anything_pinned(bench.instance.name()));
    drop(first);
    bench.is_as_before();
}
