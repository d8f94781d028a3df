//! What a load begins with, begun before.

use std::thread::{self, JoinHandle};

use aya::EbpfLoader;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A loader that is being made, or is to be. aya reads the types of the running kernel for each, although these programs refer
/// to none of them: a few megabytes, which take as long as half of the verifier's work.
#[derive(Debug)]
pub struct Ahead(Making);

#[derive(Debug)]
enum Making {
    InThread(Option<JoinHandle<EbpfLoader<'static>>>),
    Made(Box<Loader>),
}

/// One that nothing is known of yet.
struct Loader(EbpfLoader<'static>);

impl std::fmt::Debug for Loader {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Loader")
    }
}

impl Ahead {
    /// Begins to make one, in a thread where there can be one. A start has other things to read meanwhile.
    #[must_use]
    pub fn start() -> Self {
        let thread = thread::Builder::new().name("loading".to_owned());
        Self(Making::InThread(thread.spawn(EbpfLoader::new).ok()))
    }

    /// Makes one at once, without the types, for a process that has no other thread yet; otherwise as [`Self::start`].
    ///
    /// aya has no way to make a loader without them, and goes on when it can not open their file. So for these few
    /// microseconds nothing can be opened in this process, which is why there must be nobody else in it.
    #[must_use]
    pub fn alone() -> Self {
        let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
        let limit = getrlimit(Resource::Nofile);
        let none = Rlimit {
            current: Some(0),
            maximum: limit.maximum,
        };
        if threads != 1 || setrlimit(Resource::Nofile, none).is_err() {
            return Self::start();
        }
        let loader = EbpfLoader::new();
        // It may always be raised again to what it was (getrlimit(2)), and without it nothing here can go on.
        setrlimit(Resource::Nofile, limit).expect("a soft limit may be raised while the hard one stays");
        Self(Making::Made(Box::new(Loader(loader))))
    }

    /// Waits for it.
    pub(super) fn loader(self) -> EbpfLoader<'static> {
        match self.0 {
            Making::Made(loader) => loader.0,
            Making::InThread(thread) => {
                let made = thread.and_then(|making| making.join().ok());
                made.unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test is never alone in its process, so this only shows that others are not disturbed.
    #[test]
    fn beside_other_threads_files_can_be_opened_all_the_time() {
        let limit = getrlimit(Resource::Nofile);
        let ahead = Ahead::alone();
        assert!(matches!(ahead.0, Making::InThread(_)));
        assert_eq!(getrlimit(Resource::Nofile), limit);
        drop(ahead.loader());
    }
}
