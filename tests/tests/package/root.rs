//! A root file system to throw away: this machine's own, with everything that is written going into memory.
//!
//! dpkg and its helpers are the real ones. What would reach the machine is not: the service manager is a script that
//! notes what it was asked for, and so is enforcer where it would detach.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use enforcer_lab::{Outcome, run_for};

const LIMIT: Duration = Duration::from_secs(300);

/// Makes the root in a mount namespace of its own, and runs the scene in it. `$1` is a folder to mount over, `$2` the package,
/// `$3` the scene.
const ENTER: &str = r#"
set -e
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" none "$1/root"
mount --bind /dev "$1/root/dev"
cp "$2" "$1/root/package.deb"
exec chroot "$1/root" sh -c "$3"
"#;

/// The stand-ins, and what scenes look with.
const PRELUDE: &str = r#"
set -e
export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
fail() { echo "FAILED: $*"; exit 1; }
stand_in() {
    mkdir -p /usr/local/sbin
    { echo '#!/bin/sh'; echo 'echo "${0##*/} $*" >> /asked'; echo "$2"; } > "/usr/local/sbin/$1"
    chmod 755 "/usr/local/sbin/$1"
}
# What was asked since the last time, a line each.
asked() { cat /asked; : > /asked; }
expect_asked() {
    found=$(asked)
    [ "$found" = "$1" ] || fail "asked for:
$found
instead of:
$1"
}
# Without triggers: rebuilding the index of all manual pages takes longer than all of this.
debian() { dpkg --no-triggers --force-unsafe-io --force-confold "$@" < /dev/null 2>&1; }
state() { dpkg-query -W -f '${db:Status-Status}' enforcer 2>/dev/null || true; }
: > /asked
rm -rf /run/systemd /sys/fs/bpf /etc/enforcer /var/lib/enforcer
mkdir -p /run/systemd/system
stand_in systemctl ''
# What is done to files alone, such as enabling, is done.
sed -i '2i case "$1" in --root=*) exec /usr/bin/systemctl "$@" ;; esac' /usr/local/sbin/systemctl
stand_in deb-systemd-invoke ''
stand_in ischroot 'exit 1'
"#;

/// Plays `scene`, a script, in a root where the package is `/package.deb`.
#[track_caller]
pub(crate) fn play(scene: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = PRELUDE.to_owned();
    writeln!(whole, "{scene}").unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "enter"])
        .args([folder.path(), &package()])
        .arg(whole);
    run_for(command, LIMIT)
        .expect("unshare is missing")
        .expect_success("a scene with the package; it needs root and a kernel with overlayfs")
}

/// The package of the tests, for this machine.
pub(crate) fn package() -> PathBuf {
    let arch = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/package/test")
        .join(format!("enforcer_{}_{arch}.deb", env!("CARGO_PKG_VERSION")));
    assert!(
        file.exists(),
        "the package is not built yet: run `cargo xtask test --only package`, and then this test again"
    );
    file.canonicalize().unwrap()
}
