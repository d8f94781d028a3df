//! What the machine starts with: a small first file system that mounts its disks, adds the test's units in `/run`, and
//! hands over to systemd.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::kernels::Unpacked;
use crate::vm::archive::Archive;
use crate::vm::system;

/// What the disks need of the kernel beyond its image, what is needed by others first.
const MODULES: [&str; 6] = [
    "virtio",
    "virtio_ring",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
];

/// The test's units, and what wants them.
const UNITS: [(&str, &str, &str); 3] = [
    (
        "lab-early.service",
        "sysinit.target",
        include_str!("lab-early.service"),
    ),
    (
        "lab-network.service",
        "multi-user.target",
        include_str!("lab-network.service"),
    ),
    (
        "lab-scenario.service",
        "multi-user.target",
        include_str!("lab-scenario.service"),
    ),
];

/// Where the enforcer's unit is changed for the test.
const CHANGE: &str = "enforcer.service.d/lab.conf";

/// The archive.
pub(super) fn archive(kernel: &Unpacked) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["/proc", "/dev", "/disk"] {
        archive.folder(Path::new(folder));
    }
    let busybox = system::program("busybox", "busybox-static")?;
    archive.file(Path::new("/bin/busybox"), &read(&busybox)?);
    archive.link(Path::new("/bin/sh"), "busybox");
    let modules = system::add_modules(&mut archive, kernel, &MODULES)?;
    for (name, _, text) in UNITS {
        archive.file(&Path::new("/units").join(name), text.as_bytes());
    }
    let change = include_str!("enforcer.service.conf");
    archive.file(&Path::new("/units").join(CHANGE), change.as_bytes());
    archive.file(Path::new("/init"), init(&modules).as_bytes());
    Ok(archive.finish())
}

/// The first process, until systemd takes its place.
fn init(modules: &[String]) -> String {
    let wants = UNITS.map(|(name, target, _)| {
        format!(
            "busybox mkdir -p $units/{target}.wants\n\
             busybox ln -s ../{name} $units/{target}.wants/{name}\n"
        )
    });
    format!(
        "#!/bin/sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
for module in {modules}; do
    busybox insmod $module || echo \"@vm failed the module $module can not be loaded\"
done
busybox mount -t ext4 /dev/vda /disk || echo \"@vm failed the disk with Debian can not be mounted\"
busybox mount -t ext4 -o ro /dev/vdb /disk/lab || echo \"@vm failed the disk of the lab can not be mounted\"
busybox mount -t tmpfs -o mode=755 run /disk/run
units=/disk/run/systemd/system
busybox mkdir -p /disk/run/lab $units
busybox cp -r /units/* $units/
{wants}busybox ln -sf /lab/docker-registry /disk/usr/local/bin/docker-registry
busybox umount /proc
exec busybox switch_root /disk /lib/systemd/systemd
",
        modules = modules.join(" "),
        wants = wants.concat(),
    )
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}
