//! Links that somebody takes away, and hooks that can not be attached.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::process::Command;

use enforcer::kernel::{Damage, KernelError, LinkFound, Was};
use enforcer_common::table::Generation;
use enforcer_lab::Cgroup;
use enforcer_lab::mounts::{set_read_only_here, with_own_mounts};

use crate::bench::{Bench, HOOKS, link_of};

#[test]
fn what_somebody_takes_away_is_noticed_and_put_back() {
    let mut bench = Bench::new();
    let mut enforcement = bench.enforce();
    assert_eq!(bench.damages(&enforcement), []);
    for name in HOOKS {
        let status = Command::new("bpftool")
            .args(["link", "detach", "pinned"])
            .arg(bench.pin(name))
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(bench.damages(&enforcement), [Damage::Detached(name)]);
        bench.repair(&mut enforcement);
        assert_eq!(bench.damages(&enforcement), []);
        bench.is_enforced();

        fs::remove_file(bench.pin(name)).unwrap();
        assert_eq!(bench.damages(&enforcement), [Damage::Pin(name)]);
        bench.is_enforced();
        bench.repair(&mut enforcement);
        assert_eq!(bench.damages(&enforcement), []);
    }
    fs::remove_dir_all(bench.instance.pins()).unwrap();
    assert!(bench.damages(&enforcement).len() > HOOKS.len());
    bench.is_enforced();
    bench.repair(&mut enforcement);
    assert_eq!(bench.damages(&enforcement), []);
    drop(enforcement);
    bench.is_enforced();
    let (next, found) = bench.load();
    assert_eq!(found.policy, Was::Taken);
    assert_eq!(next.generation(), Generation(1));
}

#[test]
fn hooks_that_can_not_all_be_attached_go_on_with_their_old_programs() {
    let mut bench = Bench::new();
    drop(bench.enforce());
    let of = |bench: &Bench| ["egress", "connect4", "connect6"].map(|name| link_of(&bench.pin(name)));
    let before = of(&bench);
    // Nothing can be pinned in the place of a folder, so a new link is of no use there.
    fs::remove_file(bench.pin("sendmsg4")).unwrap();
    fs::create_dir(bench.pin("sendmsg4")).unwrap();
    fs::create_dir(bench.pin("sendmsg4").join("in-the-way")).unwrap();
    let (mut next, found) = bench.load_for(&[8443]);
    assert_eq!(found.policy, Was::Taken);
    let folder = File::open(bench.cgroup.path()).unwrap();
    let failed = next.attach(folder.as_fd(), bench.cgroup.path()).unwrap_err();
    assert!(
        matches!(
            failed,
            KernelError::Attach {
                program: "enforcer_sendmsg4",
                ..
            }
        ),
        "{failed}"
    );
    assert_eq!(of(&bench), before, "the same links, with the same programs");
    bench.is_enforced();
    drop(next);
    bench.is_enforced();

    // Where the old programs are gone, that is said, and those that could be brought back are.
    let folders = fs::read_dir(bench.instance.pins())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    for programs in folders.filter(|path| path.to_string_lossy().contains("/programs-")) {
        fs::remove_file(programs.join("enforcer_connect4")).unwrap();
    }
    let (mut next, _) = bench.load();
    let failed = next.attach(folder.as_fd(), bench.cgroup.path()).unwrap_err();
    let KernelError::HalfAttached { left, source } = &failed else {
        panic!("{failed}");
    };
    assert_eq!(left[..], ["connect4"]);
    let source = source.to_string();
    assert!(
        source.contains("`enforcer_sendmsg4` could not be attached"),
        "{source}"
    );
    let now = of(&bench);
    assert_eq!((&now[0], &now[2]), (&before[0], &before[2]));
    assert_ne!(now[1], before[1]);
    bench.is_enforced();
    drop(next);

    // The next start finds its way.
    fs::remove_dir_all(bench.pin("sendmsg4")).unwrap();
    let (mut next, _) = bench.load();
    let found = bench.attach(&mut next);
    assert_eq!(
        found
            .iter()
            .filter(|found| **found == LinkFound::Replaced)
            .count(),
        4
    );
    assert_eq!(bench.damages(&next), []);
    bench.is_enforced();
}

/// A unit may make it so (`ProtectKernelTunables=`). What judges there is found and could be replaced, and nothing be kept.
#[test]
fn a_file_system_that_became_read_only_leaves_the_old_programs() {
    let mut bench = Bench::new();
    drop(bench.enforce());
    let before = HOOKS.map(|name| link_of(&bench.pin(name)));
    let failed = with_own_mounts(|| {
        let pins = bench.instance.pins();
        set_read_only_here(pins.ancestors().nth(2).unwrap())?;
        let (mut next, found) = bench.load_for(&[8443]);
        assert_eq!(found.policy, Was::Taken);
        let folder = File::open(bench.cgroup.path())?;
        Ok(next.attach(folder.as_fd(), bench.cgroup.path()).unwrap_err())
    });
    let failed = failed.unwrap();
    assert!(matches!(failed, KernelError::Pins { .. }), "{failed}");
    assert_eq!(HOOKS.map(|name| link_of(&bench.pin(name))), before);
    bench.is_enforced();
    let (mut next, _) = bench.load();
    assert_eq!(bench.attach(&mut next), [LinkFound::Replaced; 5]);
    bench.is_enforced();
}

/// A link that was made anew is taken away again, and the one that it was to replace comes back.
#[test]
fn a_cgroup_that_can_not_be_attached_as_a_whole_is_not_at_all() {
    let mut bench = Bench::new();
    drop(bench.enforce());
    let before = HOOKS.map(|name| link_of(&bench.pin(name)));
    let other = Cgroup::new("pins-other").unwrap();
    fs::remove_file(bench.pin("sendmsg6")).unwrap();
    fs::create_dir(bench.pin("sendmsg6")).unwrap();
    fs::create_dir(bench.pin("sendmsg6").join("in-the-way")).unwrap();
    let (mut next, _) = bench.load();
    let folder = File::open(other.path()).unwrap();
    let failed = next.attach(folder.as_fd(), other.path()).unwrap_err();
    assert!(matches!(failed, KernelError::Attach { .. }), "{failed}");
    for (name, before) in HOOKS.iter().zip(&before).take(4) {
        assert_eq!(&link_of(&bench.pin(name)), before, "{name}");
    }
    bench.is_enforced();
    let attached = Command::new("bpftool")
        .args(["-j", "cgroup", "show"])
        .arg(other.path())
        .output()
        .unwrap();
    let attached = String::from_utf8_lossy(&attached.stdout);
    assert!(!attached.contains("enforcer"), "{attached}");
}
