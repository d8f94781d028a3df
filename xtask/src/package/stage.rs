//! What is in the package: one list of files with their place and mode, written into a folder that dpkg-deb packs.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::build::Built;
use super::{Arch, control};
use crate::machine::Machine;
use crate::shell;

const PLAIN: u32 = 0o644;
const PROGRAM: u32 = 0o755;

/// The configuration that the administrator owns from the first installation on.
pub(super) const CONFFILES: [&str; 1] = ["/etc/enforcer/enforcer.toml"];

/// The scripts that dpkg runs.
pub(super) const SCRIPTS: [&str; 3] = ["postinst", "postrm", "prerm"];

/// Files of the repository that are installed as they are.
const COPIES: [(&str, &str); 9] = [
    (
        "config/systemd/enforcer.service",
        "lib/systemd/system/enforcer.service",
    ),
    ("config/enforcer.toml", "etc/enforcer/enforcer.toml"),
    (
        "config/build-agent.toml",
        "usr/share/doc/enforcer/examples/build-agent.toml",
    ),
    (
        "config/iot-edge.toml",
        "usr/share/doc/enforcer/examples/iot-edge.toml",
    ),
    ("config/learn.toml", "usr/share/doc/enforcer/examples/learn.toml"),
    (
        "config/systemd/containers.conf",
        "usr/share/doc/enforcer/examples/containers.conf",
    ),
    (
        "config/grafana-dashboard.json",
        "usr/share/doc/enforcer/examples/grafana-dashboard.json",
    ),
    (
        "config/prometheus-alerts.yaml",
        "usr/share/doc/enforcer/examples/prometheus-alerts.yaml",
    ),
    ("README.md", "usr/share/doc/enforcer/README.md"),
];

/// Where each shell looks for completions.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/enforcer"),
    ("zsh", "usr/share/zsh/vendor-completions/_enforcer"),
    ("fish", "usr/share/fish/vendor_completions.d/enforcer.fish"),
];

/// A file of the package.
pub(super) struct Staged {
    /// Its path without the leading slash.
    pub(super) path: String,
    pub(super) mode: u32,
}

/// Writes the files and the control files into `tree`, and gives the list of the former.
pub(super) fn run(machine: &Machine, arch: Arch, built: &Built, tree: &Path) -> Result<Vec<Staged>> {
    let _leftover = fs::remove_dir_all(tree);
    fs::create_dir_all(tree).with_context(|| format!("{} cannot be made", tree.display()))?;
    let mut files = Vec::new();
    let mut put = |path: &str, mode: u32, bytes: &[u8]| -> Result<()> {
        write(tree, path, mode, bytes)?;
        files.push(Staged {
            path: path.to_owned(),
            mode,
        });
        Ok(())
    };
    let read = |path: &str| {
        let file = machine.root.join(path);
        fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))
    };
    let program =
        fs::read(&built.program).with_context(|| format!("{} cannot be read", built.program.display()))?;
    put("usr/bin/enforcer", PROGRAM, &program)?;
    for (from, to) in COPIES {
        put(to, PLAIN, &read(from)?)?;
    }
    for (name, text) in pages(built, &tree.join("man"))? {
        let section = name.rsplit('.').next().unwrap_or("1");
        let place = format!("usr/share/man/man{section}/{name}.gz");
        put(&place, PLAIN, &gzip(&text)?)?;
    }
    for (name, place) in COMPLETIONS {
        let script = shell::capture(Command::new(&built.runs_here).args(["completion", name]))?;
        put(place, PLAIN, script.as_bytes())?;
    }
    put(
        "usr/share/doc/enforcer/changelog.gz",
        PLAIN,
        &gzip(&read("CHANGELOG.md")?)?,
    )?;
    let copyright = control::copyright(
        &String::from_utf8(read("config/debian/copyright")?)?,
        &String::from_utf8(read("LICENSE-MIT")?)?,
    );
    put("usr/share/doc/enforcer/copyright", PLAIN, copyright.as_bytes())?;
    put(
        "usr/share/doc/enforcer/libraries",
        PLAIN,
        built.libraries.as_bytes(),
    )?;

    let size_bytes: u64 = files
        .iter()
        .map(|file| fs::metadata(tree.join(&file.path)).map(|about| about.len()))
        .sum::<std::io::Result<u64>>()?;
    let sums = sums(tree, &files)?;
    let conffiles: String = CONFFILES.iter().map(|file| format!("{file}\n")).collect();
    write(
        tree,
        "DEBIAN/control",
        PLAIN,
        control::control(arch, &built.depends, size_bytes).as_bytes(),
    )?;
    write(tree, "DEBIAN/conffiles", PLAIN, conffiles.as_bytes())?;
    write(tree, "DEBIAN/md5sums", PLAIN, sums.as_bytes())?;
    for script in SCRIPTS {
        let text = read(&format!("config/debian/{script}"))?;
        write(tree, &format!("DEBIAN/{script}"), PROGRAM, &text)?;
    }
    Ok(files)
}

/// Writes one file, and its folders with the mode that folders of a package have, whatever the umask.
fn write(tree: &Path, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    let file = tree.join(path);
    let folders: Vec<&Path> = file
        .ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(tree))
        .collect();
    for folder in folders.iter().rev() {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    fs::write(&file, bytes).with_context(|| format!("{} cannot be written", file.display()))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// The manual pages, by name. They are written into `folder`, which is gone afterwards.
fn pages(built: &Built, folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    shell::capture(Command::new(&built.runs_here).args(["man", "--out"]).arg(folder))?;
    let mut pages = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        pages.push((name, fs::read(entry.path())?));
    }
    fs::remove_dir_all(folder)?;
    ensure!(!pages.is_empty(), "enforcer has written no manual page");
    pages.sort();
    Ok(pages)
}

/// As `gzip -9n` does it: without a name and a time.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new("gzip")
        .args(["-9n", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("gzip cannot be started")?;
    let mut stdin = child.stdin.take().context("gzip has no input")?;
    let bytes = bytes.to_vec();
    // Written beside the reading, since a pipe holds no more than 64 KiB.
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output()?;
    let written = writer.join();
    if !output.status.success() || !matches!(written, Ok(Ok(()))) {
        bail!("gzip failed ({})", output.status);
    }
    Ok(output.stdout)
}

/// What `dpkg --verify` compares with: every file but those of the administrator.
fn sums(tree: &Path, files: &[Staged]) -> Result<String> {
    let mut paths: Vec<&str> = files
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| {
            !CONFFILES
                .iter()
                .any(|conffile| conffile.strip_prefix('/') == Some(path))
        })
        .collect();
    paths.sort_unstable();
    shell::capture(Command::new("md5sum").args(paths).current_dir(tree))
}
