//! What a load begins with, begun before.

use std::thread::{self, JoinHandle};

use aya::EbpfLoader;

/// A loader that is being made. aya reads the types of the running kernel for each, although these programs refer to none of
/// them: a few megabytes, which take as long as a good part of the verifier's work. A start has other things to read
/// meanwhile.
#[derive(Debug)]
pub struct Ahead(Option<JoinHandle<EbpfLoader<'static>>>);

impl Ahead {
    /// Begins to make one, in a thread where there can be one.
    #[must_use]
    pub fn start() -> Self {
        let thread = thread::Builder::new().name("loading".to_owned());
        Self(thread.spawn(EbpfLoader::new).ok())
    }

    /// Waits for it.
    pub(super) fn loader(self) -> EbpfLoader<'static> {
        let made = self.0.and_then(|making| making.join().ok());
        made.unwrap_or_default()
    }
}
