//! What a virtual machine finds when it starts: busybox, `ip`, the enforcer, the guest program, and their libraries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::archive::Archive;
use crate::failure::Failure;
use crate::kernels::Unpacked;
use crate::machine::{Machine, find_program};

/// What the lab needs of the kernel beyond its image.
const MODULES: [&str; 2] = ["veth", "tun"];
/// What the enforcer ends sessions with, what is needed by others first. The guest program loads them, once it has seen
/// what the enforcer says without.
const ENDING: [&str; 2] = ["inet_diag", "tcp_diag"];

/// The folders that `init` mounts on, and where programs write.
const FOLDERS: [&str; 7] = ["/proc", "/sys", "/dev", "/run", "/tmp", "/etc", "/root"];

/// The archive for one kernel.
pub(super) fn archive(machine: &Machine, kernel: &Unpacked) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    FOLDERS
        .iter()
        .for_each(|folder| archive.folder(Path::new(folder)));
    let mut files = vec![
        (
            PathBuf::from("/bin/busybox"),
            program("busybox", "busybox-static")?,
        ),
        (PathBuf::from("/bin/ip"), program("ip", "iproute2")?),
    ];
    for name in ["enforcer", "guest"] {
        files.push((
            Path::new("/bin").join(name),
            machine.root.join("target/debug").join(name),
        ));
    }
    let mut libraries: Vec<PathBuf> = Vec::new();
    for (_, file) in &files {
        libraries.extend(libraries_of(file)?);
    }
    libraries.sort();
    libraries.dedup();
    files.extend(libraries.into_iter().map(|library| (library.clone(), library)));
    for (path, file) in files {
        archive.file(&path, &read(&file)?);
    }
    archive.link(Path::new("/bin/sh"), "busybox");
    let modules = add_modules(&mut archive, kernel, &MODULES)?;
    let ending = add_modules(&mut archive, kernel, &ENDING)?;
    archive.file(Path::new("/init"), init(&modules, &ending).as_bytes());
    Ok(archive.finish())
}

/// Adds those of the modules that are not part of the image: their files, in the order of the names.
pub(super) fn add_modules(archive: &mut Archive, kernel: &Unpacked, names: &[&str]) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for name in names {
        if let Some(file) = kernel.module(name)? {
            let path = Path::new("/modules").join(file.file_name().context("a module without a name")?);
            archive.file(&path, &read(&file)?);
            files.push(path.display().to_string());
        }
    }
    Ok(files)
}

/// The first process: prepares what a booted machine has, and turns it off when the guest program is done.
fn init(modules: &[String], ending: &[String]) -> String {
    format!(
        "#!/bin/sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
busybox mount -t tmpfs run /run
busybox mount -t cgroup2 cgroup /sys/fs/cgroup
busybox mount -t bpf bpf /sys/fs/bpf
for module in {modules}; do
    busybox insmod $module || echo \"@vm failed the module $module can not be loaded\"
done
echo 1 > /proc/sys/net/core/bpf_jit_enable
ip link set lo up
guest run {ending}
busybox poweroff -f
",
        modules = modules.join(" "),
        ending = ending.join(" ")
    )
}

/// A program of this machine, and the package that has it.
pub(super) fn program(name: &str, package: &str) -> Result<PathBuf> {
    find_program(name).with_context(|| {
        Failure::new(
            format!("`{name}` is missing"),
            format!("`cargo xtask setup` installs {package}"),
        )
    })
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// The libraries that `program` is linked with, its loader among them, as the loader itself finds them.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .context("`ldd` cannot be started")?;
    let (answer, words) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if words.contains("not a dynamic executable") || answer.contains("statically linked") {
        return Ok(Vec::new());
    }
    if !output.status.success() || answer.contains("not found") {
        bail!(
            "the libraries of {} are not there: {answer}{words}",
            program.display()
        );
    }
    Ok(parse_ldd(&answer))
}

/// Lines are `name => /path (0x…)`, `/path (0x…)`, or a name alone for what the kernel provides.
fn parse_ldd(answer: &str) -> Vec<PathBuf> {
    answer
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let answer = "\tlinux-vdso.so.1 (0x00007ffe)\n\
                      \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f2b)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f2c)\n";
        assert_eq!(
            parse_ldd(answer),
            ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from)
        );
    }
}
