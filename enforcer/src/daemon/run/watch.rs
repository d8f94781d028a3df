//! The files that the configuration in force refers to: a change of theirs is applied, without a reload.
//!
//! The configuration itself is not looked after: it is edited, and applied when its user says so. What it refers to is
//! fetched and replaced by programs, whole. A file that can not be used leaves the policy as it is, and is told once.
//!
//! inotify(7) watches folders, since files are replaced by renaming: that of the file, and those of every symbolic link on
//! the way to it (a ConfigMap of Kubernetes swaps the link `..data`). What is read from a folder is only that something
//! happened in it; whether a file is another one its [`Stamp`] tells, after the folder has been quiet for a moment. The
//! daemon's look at itself does the same every few seconds, for what inotify does not see: network file systems, folders
//! that are not there yet. What could not be used is tried again though nothing has happened to it, ever more seldom: the
//! reason may have been one that passes, such as descriptors or memory that were used up.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::{Errno, read};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::reload::{Cause, Reload};
use super::{Daemon, FIRST_ANSWERS};
use crate::config_file::{Stamp, Stamps};
use crate::daemon::log::kind;
use crate::daemon::policy::Policy;
use crate::state::configuration::Recorded;

/// How long nothing must have happened before files are read: whoever replaces several does it one after another.
const QUIET: Duration = Duration::from_millis(200);
/// A folder that is never quiet is looked at all the same.
const QUIET_MAX: Duration = Duration::from_secs(2);
/// How long after a file could not be used it is tried again; each time twice as long.
const RETRY: Duration = Duration::from_secs(5);
/// The longest of these pauses.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Most symbolic links on the way to a file, as the kernel follows them (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// What tells that a file was replaced, or written to the end. Not each write: who reads meanwhile reads a part.
const EVENTS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Files that are looked after.
#[derive(Debug)]
pub(super) struct Watch {
    /// `None` when the kernel gives none: they are looked at every few seconds then.
    notify: Option<AsyncFd<OwnedFd>>,
    /// The watches that were made, by the kernel's numbers.
    watches: BTreeSet<i32>,
    stamps: Stamps,
    /// Since when something has been happening, and when it counts as over.
    settling: Option<(Instant, Instant)>,
    retry: Option<Retry>,
    /// Why what was tried last could not be used; empty once it could.
    why: String,
}

/// Files that could not be used.
#[derive(Debug)]
struct Retry {
    files: BTreeSet<PathBuf>,
    at: Instant,
    pause: Duration,
}

impl Watch {
    /// Looks after files from now on, which were as `stamps` say.
    pub(super) fn new(stamps: Stamps) -> Self {
        let made = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        // SAFETY: an `OwnedFd` is open as long as it lives and never becomes another one, and nothing here replaces it.
        let register = |notify| unsafe { AsyncFd::register_with_interest(notify, Interest::READABLE) };
        let notify = made
            .map_err(std::io::Error::from)
            .and_then(|notify| register(notify).map_err(std::io::Error::from));
        let mut watch = Self {
            notify: notify
                .inspect_err(|failed| {
                    warn!("changes of files are seen within seconds, not at once: {failed}")
                })
                .ok(),
            watches: BTreeSet::new(),
            stamps: Stamps::new(),
            settling: None,
            retry: None,
            why: String::new(),
        };
        watch.follow(stamps);
        watch
    }

    /// Looks after these files instead.
    pub(super) fn follow(&mut self, stamps: Stamps) {
        self.stamps = stamps;
        self.retry = None;
        self.why.clear();
        self.arm();
        self.look();
    }

    /// The files that were taken last could not be used. Whether that is to be told, and not known already.
    fn could_not_use(&mut self, files: BTreeSet<PathBuf>, why: String) -> bool {
        let is_news = why != self.why;
        let pause = match &self.retry {
            Some(retry) if !is_news => (retry.pause * 2).min(RETRY_MAX),
            _ => RETRY,
        };
        let at = Instant::now() + pause;
        self.retry = Some(Retry { files, at, pause });
        self.why = why;
        is_news
    }

    /// Whether a file is another one than before, for what the kernel does not tell.
    pub(super) fn look(&mut self) {
        if self.settling.is_none() && self.has_changed() {
            let now = Instant::now();
            self.settling = Some((now, now + QUIET));
        }
    }

    /// Waits until a file has changed and nothing happens any more, or one is to be tried again. Safe to cancel.
    pub(super) async fn changed(&mut self) {
        loop {
            let Some((since, until)) = self.settling else {
                tokio::select! {
                    () = self.happens() => {
                        let now = Instant::now();
                        self.settling = Some((now, now + QUIET));
                    }
                    () = self.retries() => {
                        // Whoever can not take them now is told again.
                        if let Some(retry) = &mut self.retry {
                            retry.at = Instant::now() + retry.pause;
                        }
                        return;
                    }
                }
                continue;
            };
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(until) => {
                    self.settling = None;
                    self.arm();
                    if self.has_changed() {
                        return;
                    }
                }
                () = self.happens() => {
                    let until = (Instant::now() + QUIET).min(since + QUIET_MAX);
                    self.settling = Some((since, until));
                }
            }
        }
    }

    /// Waits until files are to be tried again. Safe to cancel.
    async fn retries(&self) {
        match &self.retry {
            Some(retry) => tokio::time::sleep_until(retry.at).await,
            None => std::future::pending().await,
        }
    }

    /// The files that have changed, which count as known from here on, and those that could not be used before.
    fn take_changed(&mut self) -> BTreeSet<PathBuf> {
        let retried = self.retry.as_ref().map(|retry| retry.files.clone());
        let mut changed = retried.unwrap_or_default();
        for (path, stamp) in &mut self.stamps {
            let now = Stamp::of(path);
            if *stamp != now {
                *stamp = now;
                changed.insert(path.clone());
            }
        }
        changed
    }

    fn has_changed(&self) -> bool {
        self.stamps.iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }

    /// Waits until something happens in a folder. Safe to cancel.
    async fn happens(&self) {
        let Some(notify) = &self.notify else {
            return std::future::pending().await;
        };
        loop {
            let Ok(mut ready) = notify.readable().await else {
                return std::future::pending().await;
            };
            let mut events = [0; 4096];
            match read(notify.get_ref(), &mut events) {
                Ok(_) => return,
                Err(Errno::INTR) => {}
                Err(_) => ready.clear_ready(),
            }
        }
    }

    /// Watches the folders of now. A folder that is watched already is not watched twice.
    fn arm(&mut self) {
        let Some(notify) = &self.notify else { return };
        let folders: BTreeSet<PathBuf> = self.stamps.keys().flat_map(|path| folders_of(path)).collect();
        let mut watches = BTreeSet::new();
        for folder in &folders {
            // One that is not there is found by the look that comes every few seconds.
            watches.extend(inotify::add_watch(notify.get_ref(), folder, EVENTS));
        }
        for watch in self.watches.difference(&watches) {
            // It is gone already when its folder is.
            let _gone = inotify::remove_watch(notify.get_ref(), *watch);
        }
        self.watches = watches;
    }
}

/// The folders in which something happens when `path` comes to lead to another file: its own, and that of each symbolic
/// link on the way.
fn folders_of(path: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut links = 0;
    let mut done = PathBuf::new();
    let mut rest: Vec<OsString> = words(path);
    while let Some(word) = rest.pop() {
        let here = done.join(&word);
        match std::fs::read_link(&here) {
            Ok(target) if links < LINKS_MAX => {
                links += 1;
                folders.push(or_here(&done));
                if target.is_absolute() {
                    done = PathBuf::new();
                }
                rest.extend(words(&target));
            }
            _ => {
                if rest.is_empty() {
                    folders.push(or_here(&done));
                }
                done = here;
            }
        }
    }
    folders
}

/// The components, the last one first.
fn words(path: &Path) -> Vec<OsString> {
    let components = path.components().filter(|part| *part != Component::CurDir);
    components.rev().map(|part| part.as_os_str().to_owned()).collect()
}

fn or_here(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        path.to_owned()
    }
}

impl Daemon {
    /// Reads what the configuration in force refers to as it is now. What can not be used changes nothing.
    pub(super) async fn start_change(&mut self) {
        // A reload has just read them, and what is held is waiting for answers: it is looked at again in a moment.
        if self.reload.is_some() || self.holds {
            return;
        }
        let files = self.watch.take_changed();
        let changed: Vec<String> = files.iter().map(|path| format!("`{}`", path.display())).collect();
        let changed = changed.join(", ");
        let (problems, outcome) = Policy::load_again(&self.file, &self.text);
        let (policy, recorded) = match outcome {
            Ok(read) => read,
            Err(failed) => {
                let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
                if self
                    .watch
                    .could_not_use(files, format!("{failed:#}\n{}", words.join("\n")))
                {
                    error!(
                        name: kind::RELOAD,
                        outcome = "refused",
                        "{changed} changed and can not be used ({failed:#}): what was there before stays in force"
                    );
                    words.iter().for_each(|problem| error!("{problem}"));
                    self.control.count_reload(false);
                }
                return;
            }
        };
        problems.iter().for_each(|problem| warn!("{problem}"));
        if let Err(failed) = self.answers.switch(&policy, Some(&self.policy)).await {
            if self.watch.could_not_use(files, format!("{failed:#}")) {
                error!(
                    name: kind::RELOAD,
                    outcome = "refused",
                    "{changed} changed and can not be used ({failed:#}): what was there before stays in force"
                );
                self.control.count_reload(false);
            }
            return;
        }
        info!("{changed} changed: it is applied");
        self.reload = Some(Reload {
            policy,
            recorded,
            problems,
            deadline: Instant::now() + FIRST_ANSWERS,
            cause: Cause::File,
        });
    }

    /// Looks after what a configuration refers to that has come into force.
    pub(super) fn look_after_files(&mut self, recorded: Recorded) {
        self.text = recorded.saved.text.clone();
        self.watch.follow(recorded.stamps);
        if let Some(kept) = &self.kept {
            kept.save_configuration(recorded.saved);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with `name` in it, which is looked after.
    fn watched(name: &str) -> (tempfile::TempDir, PathBuf, Watch) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let watch = {
            if !path.exists() {
                fs::write(&path, "old").unwrap();
            }
            Watch::new([(path.clone(), Stamp::of(&path))].into())
        };
        (folder, path, watch)
    }

    /// Whether the kernel has told something that is not looked at yet.
    async fn is_told(watch: &Watch) -> bool {
        tokio::time::timeout(Duration::from_secs(60), watch.happens())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn a_file_that_is_renamed_over_another_is_seen() {
        let (folder, path, mut watch) = watched("tags.json");
        let new = folder.path().join("new");
        fs::write(&new, "new").unwrap();
        fs::rename(&new, &path).unwrap();
        watch.changed().await;
        assert_eq!(watch.take_changed(), [path.clone()].into());
        assert!(watch.take_changed().is_empty(), "told once");
        fs::remove_file(&path).unwrap();
        watch.changed().await;
        assert_eq!(watch.take_changed(), [path.clone()].into());
        fs::write(&path, "back").unwrap();
        watch.changed().await;
        assert_eq!(watch.take_changed(), [path].into());
    }

    #[tokio::test]
    async fn what_happens_beside_a_file_is_no_change() {
        let (folder, path, mut watch) = watched("tags.json");
        fs::write(folder.path().join("other"), "x").unwrap();
        assert!(is_told(&watch).await, "by the folder");
        assert!(watch.take_changed().is_empty());
        fs::write(&path, "other").unwrap();
        watch.changed().await;
        assert_eq!(watch.take_changed(), [path].into());
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_used_is_tried_again_and_told_once() {
        let (_folder, path, mut watch) = watched("tags.json");
        fs::write(&path, "other").unwrap();
        watch.changed().await;
        let files = watch.take_changed();
        assert_eq!(files, [path].into());
        let mut pauses = Vec::new();
        let why = || "too many open files".to_owned();
        for round in 0..9 {
            assert_eq!(watch.could_not_use(files.clone(), why()), round == 0);
            let begin = Instant::now();
            watch.changed().await;
            pauses.push(begin.elapsed().as_secs());
            assert_eq!(watch.take_changed(), files);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert!(watch.could_not_use(files.clone(), "another reason".to_owned()));
        let begin = Instant::now();
        watch.changed().await;
        assert_eq!(begin.elapsed().as_secs(), RETRY.as_secs());
        // Once they are used there is nothing to try again.
        watch.follow(files.iter().map(|file| (file.clone(), Stamp::of(file))).collect());
        let changed = tokio::time::timeout(RETRY_MAX * 2, watch.changed()).await;
        assert!(changed.is_err() && watch.take_changed().is_empty());
    }

    #[tokio::test]
    async fn the_swap_of_a_link_to_its_folder_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("tags.json"), version).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/tags.json", at("tags.json")).unwrap();
        let path = at("tags.json");
        let mut watch = Watch::new([(path.clone(), Stamp::of(&path))].into());
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        watch.changed().await;
        assert_eq!(watch.take_changed(), [path.clone()].into());
        // Its new folder is watched as well.
        fs::write(at("..2").join("tags.json"), "again").unwrap();
        watch.changed().await;
        assert_eq!(watch.take_changed(), [path].into());
    }

    #[tokio::test]
    async fn a_change_that_nobody_tells_is_found_by_looking() {
        let (_folder, path, mut watch) = watched("tags.json");
        watch.notify = None;
        watch.look();
        assert!(watch.settling.is_none());
        fs::write(&path, "other").unwrap();
        watch.look();
        watch.changed().await;
        assert_eq!(watch.take_changed(), [path].into());
    }

    #[test]
    fn every_link_on_the_way_has_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("v1/deep")).unwrap();
        fs::create_dir(root.join("etc")).unwrap();
        symlink("v1", root.join("current")).unwrap();
        symlink(root.join("current/deep/tags.json"), root.join("etc/tags.json")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let found: BTreeSet<PathBuf> = folders_of(&root.join("etc/tags.json")).into_iter().collect();
        assert_eq!(
            found,
            [root.join("etc"), root.clone(), root.join("v1/deep")].into()
        );
        assert!(folders_of(&root.join("loop")).len() <= LINKS_MAX + 1);
        assert_eq!(folders_of(Path::new("tags.json")), [PathBuf::from(".")]);
    }
}
