//! What listens where a daemon would, and is none, or one of another version.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Listens where a daemon would, and says `answer` to whoever asks; `None` for one that says nothing.
pub struct Fake {
    stop: Arc<AtomicBool>,
    socket: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Listens at `socket`, in place of whatever is there.
    ///
    /// # Panics
    /// When it can not.
    #[must_use]
    pub fn start(socket: &Path, answer: Option<String>) -> Self {
        fs::create_dir_all(socket.parent().expect("a folder")).expect("it can be made");
        let _old = fs::remove_file(socket);
        let listener = UnixListener::bind(socket).expect("nothing else is there");
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let mut silent = Vec::new();
                while let Ok((stream, _)) = listener.accept() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    match &answer {
                        Some(answer) => say(stream, answer),
                        None => silent.push(stream),
                    }
                }
            })
        };
        Self {
            stop,
            socket: socket.to_owned(),
            thread: Some(thread),
        }
    }
}

fn say(mut stream: UnixStream, answer: &str) {
    let mut request = [0; 4096];
    // Who only looks whether somebody is there says nothing, and may have gone.
    let _asked = stream.read(&mut request);
    let _said = stream.write_all(answer.as_bytes());
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _woken = UnixStream::connect(&self.socket);
        if let Some(thread) = self.thread.take() {
            // It has nothing to panic about, and this may be the end of a test that did.
            let _ended = thread.join();
        }
    }
}

/// An answer of HTTP with `header`, whole lines, and `body`.
#[must_use]
pub fn answer(header: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{header}content-length: {length}\r\n\r\n{body}")
}

/// The header of a daemon that speaks this version of the control socket.
#[must_use]
pub fn version(number: u32) -> String {
    format!("enforcer-control-version: {number}\r\n")
}
