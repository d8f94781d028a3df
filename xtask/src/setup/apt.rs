//! apt: installing packages, and fetching one from another suite without touching the system's own state.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};

use crate::machine::{Machine, find_program};
use crate::shell;

/// Lists older than this are asked for again before an installation: mirrors drop superseded packages.
const LISTS_MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// The keyring of Debian's archive, at the place that its package gives it. Without it apt uses what it trusts.
const ARCHIVE_KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];

/// Installs packages, with the lists brought up to date first where they are missing or old.
pub(super) fn install(machine: &Machine, packages: &[&str]) -> Result<()> {
    if lists_are_old() || !packages.iter().all(|package| is_known(package)) {
        update(machine)?;
    }
    let mut command = apt_get(machine, &format!("apt-get install {}", packages.join(" ")))?;
    command
        .args(["install", "-y", "--no-install-recommends"])
        .args(packages);
    shell::run(&mut command)
}

/// Fetches `packages` (names, or `name=version`) with apt's check of their signatures, and unpacks them all to `folder`.
///
/// `options` are those of [`PrivateState::options`], or none for the system's own sources. Needs no root and changes
/// nothing outside of `folder`.
pub(super) fn fetch_and_unpack(
    machine: &Machine,
    options: &[OsString],
    packages: &[&str],
    folder: &Path,
) -> Result<()> {
    ensure!(find_program("apt-get").is_some(), "this machine has no apt-get");
    if options.is_empty() && (lists_are_old() || !packages.iter().all(|package| is_known(package))) {
        update(machine)?;
    }
    let work = Scratch::new(machine, "fetch")?;
    let mut command = Command::new("apt-get");
    // apt cannot hand a folder below /root to its own user; the check of signatures is not affected.
    command
        .args(["-q", "-o", "APT::Sandbox::User="])
        .args(options)
        .arg("download")
        .args(packages);
    shell::run(command.current_dir(&work.0))?;
    let archives: Vec<PathBuf> = fs::read_dir(&work.0)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    ensure!(
        archives.len() == packages.len(),
        "apt-get download left {} packages behind instead of {}",
        archives.len(),
        packages.len()
    );
    let fresh = work.0.join("unpacked");
    for archive in &archives {
        shell::run(Command::new("dpkg-deb").arg("-x").args([archive, &fresh]))?;
    }
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
    }
    // Another set-up may have been quicker; what it made is as good.
    if folder.exists() {
        fs::rename(folder, work.0.join("old"))
            .with_context(|| format!("{} is in the way", folder.display()))?;
    }
    fs::rename(&fresh, folder).with_context(|| format!("{} cannot be put in place", folder.display()))
}

/// Makes `link` lead to `target`, also where another link stands: at no moment there is none.
pub(super) fn replace_link(link: &Path, target: &Path) -> Result<()> {
    let fresh = link.with_extension(format!("{}", std::process::id()));
    let _leftover = fs::remove_file(&fresh);
    std::os::unix::fs::symlink(target, &fresh)
        .and_then(|()| fs::rename(&fresh, link))
        .with_context(|| format!("{} cannot be linked to {}", link.display(), target.display()))
}

/// The mirror of Debian's archive that the machine's own sources name.
pub(super) fn mirror(machine: &Machine) -> Result<String> {
    if let Some(found) = mirror_of_lists()? {
        return Ok(found);
    }
    // Without lists apt does not know whose the sources are.
    update(machine)?;
    mirror_of_lists()?.ok_or_else(|| anyhow!("apt's sources on this machine name no mirror of Debian"))
}

fn mirror_of_lists() -> Result<Option<String>> {
    // apt reads both styles of its sources here, and tells what the signed release files say of themselves.
    let targets = shell::capture(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    Ok(targets
        .lines()
        .find_map(|line| line.strip_prefix("Debian|Debian|"))
        .map(str::to_owned))
}

/// The line of apt's sources for `suite` of `mirror`.
pub(super) fn source(mirror: &str, suite: &str) -> String {
    let keyring = ARCHIVE_KEYRINGS.iter().find(|file| Path::new(file).exists());
    let signed_by = keyring
        .map(|file| format!("[signed-by={file}] "))
        .unwrap_or_default();
    format!("deb {signed_by}{mirror} {suite} main")
}

/// apt's lists of one suite in a folder of their own: the system's stay as they are.
pub(super) struct PrivateState {
    folder: Scratch,
}

impl PrivateState {
    /// Fetches the lists of `suite` from `mirror`.
    pub(super) fn new(machine: &Machine, mirror: &str, suite: &str) -> Result<Self> {
        let folder = Scratch::new(machine, &format!("apt-{suite}"))?;
        for part in ["lists/partial", "cache/archives/partial", "none"] {
            fs::create_dir_all(folder.0.join(part))?;
        }
        fs::write(
            folder.0.join("sources.list"),
            format!("{}\n", source(mirror, suite)),
        )?;
        let state = Self { folder };
        shell::run(
            Command::new("apt-get")
                .arg("-q")
                .args(state.options())
                .args(["update", "--error-on=any"]),
        )?;
        Ok(state)
    }

    /// The options that make apt use this state.
    pub(super) fn options(&self) -> Vec<OsString> {
        let folder = self.folder.0.display();
        [
            format!("Dir::Etc::SourceList={folder}/sources.list"),
            format!("Dir::Etc::SourceParts={folder}/none"),
            format!("Dir::Etc::PreferencesParts={folder}/none"),
            format!("Dir::State::Lists={folder}/lists"),
            format!("Dir::Cache={folder}/cache"),
            "APT::Sandbox::User=".to_owned(),
        ]
        .into_iter()
        .flat_map(|option| ["-o".into(), option.into()])
        .collect()
    }

    /// The versions of `package` in this suite, newest first.
    pub(super) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let table = shell::capture(
            Command::new("apt-cache")
                .args(self.options())
                .args(["madison", package]),
        )?;
        Ok(table
            .lines()
            .filter_map(|line| Some(line.split('|').nth(1)?.trim().to_owned()))
            .collect())
    }

    /// What `package` depends on; of alternatives, each.
    pub(super) fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let list = shell::capture(Command::new("apt-cache").args(self.options()).args([
            "depends",
            "--important",
            package,
        ]))?;
        Ok(list
            .lines()
            .filter_map(|line| Some(line.split_once("Depends: ")?.1.trim().to_owned()))
            .collect())
    }
}

/// A folder in `target/tools` that goes away with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(machine: &Machine, name: &str) -> Result<Self> {
        let folder = machine.tools.join(format!("{name}.{}", std::process::id()));
        let _leftover = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _leftover = fs::remove_dir_all(&self.0);
    }
}

fn update(machine: &Machine) -> Result<()> {
    let mut command = apt_get(machine, "apt-get update")?;
    shell::run(command.arg("update"))
}

/// `apt-get` as root, asking nothing and waiting for another apt instead of failing.
fn apt_get(machine: &Machine, by_hand: &str) -> Result<Command> {
    let mut command = machine.as_root("env", by_hand)?;
    command.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-q",
        "-o",
        "DPkg::Lock::Timeout=300",
    ]);
    Ok(command)
}

fn lists_are_old() -> bool {
    let newest = fs::read_dir("/var/lib/apt/lists")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok())
        .max();
    // A clock that runs behind the files is no reason to fetch.
    newest.is_none_or(|time| {
        SystemTime::now()
            .duration_since(time)
            .is_ok_and(|age| age > LISTS_MAX_AGE)
    })
}

fn is_known(package: &str) -> bool {
    shell::capture(Command::new("apt-cache").args(["madison", package]))
        .is_ok_and(|table| !table.trim().is_empty())
}
