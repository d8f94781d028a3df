//! What the lab makes on the machine, and how it goes away: on drop, on a panic, on a signal, or at the next start.
//!
//! Everything carries `enf-<pid>-` in its name. It is written down before it is made and struck out after it is gone,
//! so that a signal at any moment finds all of it; undoing what is not there does nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::{cgroup, instance, namespace};

/// What every name of the lab begins with.
const PREFIX: &str = "enf-";
/// How often a cgroup's removal is tried while its processes are dying, and how long to wait between.
const RMDIR_TRIES: usize = 400;
const RMDIR_PAUSE: Duration = Duration::from_millis(5);

/// Something that the lab made on the machine.
#[derive(Clone)]
pub(crate) enum Made {
    /// A network namespace, by name; the processes in it go with it.
    Namespace(String),
    /// A name of a network namespace that was there before.
    Name(String),
    /// A cgroup and those below it; the processes in them go as well.
    Cgroup(PathBuf),
    /// A folder and what is in it.
    Folder(PathBuf),
}

static MADE: Mutex<BTreeMap<u64, Made>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Undoes what was made when it is dropped.
pub(crate) struct Guard(u64);

impl Guard {
    /// Writes `made` down; to be called before it is made.
    ///
    /// # Errors
    /// When signals cannot be listened to.
    pub(crate) fn new(made: Made) -> Result<Self> {
        watch_signals()?;
        let key = NEXT.fetch_add(1, Ordering::Relaxed);
        list().insert(key, made);
        Ok(Self(key))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let made = list().get(&self.0).cloned();
        if let Some(made) = made {
            undo(&made);
        }
        list().remove(&self.0);
    }
}

/// A name that no other thing of any lab on this machine has: `enf-<pid>-<number>-<label>`.
pub(crate) fn unique_name(label: &str) -> String {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{}-{number}-{label}", std::process::id())
}

/// A fresh folder for the lab's files.
pub(crate) fn folder(label: &str) -> Result<(PathBuf, Guard)> {
    let path = std::env::temp_dir().join(unique_name(label));
    let guard = Guard::new(Made::Folder(path.clone()))?;
    fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    Ok((path, guard))
}

/// A fresh folder for files; dropping it removes it with all that is in it.
pub struct Folder {
    path: PathBuf,
    _guard: Guard,
}

impl Folder {
    /// Makes one whose name ends in `label`.
    ///
    /// # Errors
    /// When it can not be made.
    pub fn new(label: &str) -> Result<Self> {
        folder(label).map(|(path, guard)| Self { path, _guard: guard })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes what labs left behind whose process is gone: those that were killed before they could clean up.
pub fn sweep() {
    let mut leftovers = Vec::new();
    for name in orphans_in(Path::new(namespace::FOLDER)) {
        leftovers.push(Made::Namespace(name));
    }
    if let Ok(root) = cgroup::root() {
        leftovers.extend(orphans_in(&root).map(|name| Made::Cgroup(root.join(name))));
    }
    let temporary = std::env::temp_dir();
    leftovers.extend(orphans_in(&temporary).map(|name| Made::Folder(temporary.join(name))));
    // A folder of pins is removed like any other, and what was attached ends with it.
    let pins = Path::new(instance::PINS);
    leftovers.extend(orphans_in(pins).map(|name| Made::Folder(pins.join(name))));
    leftovers.iter().for_each(undo);
}

/// The names in `folder` that a dead process made.
fn orphans_in(folder: &Path) -> impl Iterator<Item = String> + use<> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| owner(name).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()))
}

/// The process that a name of the lab tells.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

fn list() -> MutexGuard<'static, BTreeMap<u64, Made>> {
    MADE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Undoes everything, the last first. What is made meanwhile waits for the list, which is never given back.
fn undo_everything() -> MutexGuard<'static, BTreeMap<u64, Made>> {
    let list = list();
    list.values().rev().for_each(undo);
    list
}

/// Makes it go away. Failures are not told: there is nobody who could do better, and the next sweep tries again.
fn undo(made: &Made) {
    match made {
        Made::Namespace(name) => {
            for pid in namespace::processes_in(name) {
                kill(pid);
            }
            delete_name(name);
        }
        Made::Name(name) => delete_name(name),
        Made::Cgroup(path) => remove_cgroup(path),
        Made::Folder(path) => {
            let _gone = fs::remove_dir_all(path);
        }
    }
}

/// Takes the name of a network namespace away; the namespace goes when nobody is in it.
fn delete_name(name: &str) {
    let _gone = Command::new("ip")
        .args(["netns", "delete", name])
        .stderr(Stdio::null())
        .status();
}

fn kill(pid: Pid) {
    // The threads of a lab are in its namespaces, too.
    if pid != rustix::process::getpid() {
        let _dead = kill_process(pid, Signal::KILL);
    }
}

/// Ends the processes in a cgroup and removes it with those below, deepest first.
fn remove_cgroup(path: &Path) {
    if !path.exists() {
        return;
    }
    // Since 5.14; kernels without it are served by the list of processes.
    let _all_killed = fs::write(path.join("cgroup.kill"), "1");
    for child in fs::read_dir(path).into_iter().flatten().filter_map(Result::ok) {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&child.path());
        }
    }
    for _ in 0..RMDIR_TRIES {
        if fs::remove_dir(path).is_ok() || !path.exists() {
            return;
        }
        for pid in cgroup::processes_in(path) {
            kill(pid);
        }
        std::thread::sleep(RMDIR_PAUSE);
    }
}

/// Starts the thread that cleans up on SIGINT, SIGTERM and SIGHUP and then ends the process as the signal would.
fn watch_signals() -> Result<()> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    STARTED
        .get_or_init(|| start_watching().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
        .context("signals cannot be listened to, so nothing would be cleaned up after Ctrl-C")
}

fn start_watching() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _context = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        )
    };
    std::thread::Builder::new()
        .name("clean-up".to_owned())
        .spawn(move || {
            let number = runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt(),
                    _ = terminate.recv() => SignalKind::terminate(),
                    _ = hangup.recv() => SignalKind::hangup(),
                }
            });
            let _list = undo_everything();
            // What a shell reports for a process that died of the signal.
            std::process::exit(128 + number.as_raw_value());
        })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_process() {
        assert_eq!(owner(&unique_name("client")), Some(std::process::id()));
        assert_eq!(owner("enf-17-3-client"), Some(17));
        assert_eq!(owner("enforcer-17"), None);
        assert_eq!(owner("enf-x-1"), None);
    }

    #[test]
    fn a_folder_goes_with_its_guard() {
        let (path, guard) = folder("self").unwrap();
        fs::write(path.join("file"), "x").unwrap();
        drop(guard);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_dead_process_left_is_swept_and_the_rest_is_not() {
        // Process ids stay below 2^22 on Linux, so this one is never alive.
        let dead = std::env::temp_dir().join("enf-4194999-0-left");
        fs::create_dir_all(dead.join("deep")).unwrap();
        let (alive, _guard) = folder("alive").unwrap();
        sweep();
        assert!(!dead.exists());
        assert!(alive.exists());
    }
}
