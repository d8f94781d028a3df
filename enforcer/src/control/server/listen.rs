//! The socket itself: bound in place of a dead one, bound again when somebody takes it away, and guarded at the door.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{error, info};

use super::routes::canned;
use super::serve;
use super::slots::{Slot, Slots};
use crate::control::access::{Peer, Rights};
use crate::control::view::Board;
use crate::state::folders::RUNTIME_DEFAULT;

/// How often it is tried to make a socket where that was not possible.
pub(super) const RETRY: Duration = Duration::from_secs(5);
/// How long, after no descriptor was left for a connection, the next one waits.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// How long somebody who is turned away has to hear it.
const FAREWELL: Duration = Duration::from_secs(1);
/// What he may send meanwhile, unread.
const FAREWELL_BYTES_MAX: u64 = 64 << 10;

/// Where the socket is, and whether it still is there.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// The inode number of the socket; 0 while there is none.
    inode: AtomicU64,
    /// Told when it is gone.
    gone: Notify,
}

impl Place {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            inode: AtomicU64::new(0),
            gone: Notify::new(),
        }
    }

    /// Has the socket made again when something else, or nothing, is in its place.
    pub(super) fn look(&self) {
        if self.is_gone() {
            self.gone.notify_one();
        }
    }

    fn is_gone(&self) -> bool {
        let inode = self.inode.load(Ordering::Acquire);
        inode != 0 && !is_at(&self.path, inode)
    }

    /// Comes to an end once somebody has seen that the socket is gone.
    async fn gone(&self) {
        loop {
            self.gone.notified().await;
            // What was seen may have been of the socket before.
            if self.is_gone() {
                return;
            }
        }
    }
}

/// Listens until it is stopped.
pub(super) async fn listen(place: &Place, board: &Arc<Board>, mut stop: watch::Receiver<bool>) {
    let path = &place.path;
    let slots = Slots::default();
    let mut told = None;
    while !*stop.borrow() {
        let listener = match bind(path) {
            Ok(listener) => listener,
            Err(failed) => {
                let failed = failed.to_string();
                if told.as_ref() != Some(&failed) {
                    error!(
                        "the control socket {} can not be made ({failed}): `enforcer status` and its kin get no answer; \
                         enforcement does not depend on it, and it is tried again",
                        path.display()
                    );
                    told = Some(failed);
                }
                tokio::select! {
                    () = sleep(RETRY) => continue,
                    _ = stop.changed() => break,
                }
            }
        };
        if told.take().is_some() {
            info!("the control socket {} is there", path.display());
        }
        place.inode.store(listener.inode, Ordering::Release);
        tokio::select! {
            () = accept(&listener.socket, board, &slots) => {}
            () = place.gone() => error!(
                "somebody took the control socket {} away; it is made again", path.display()
            ),
            _ = stop.changed() => {}
        }
        place.inode.store(0, Ordering::Release);
        if is_at(path, listener.inode) {
            // A file that stays leads nowhere, and the next daemon replaces it.
            let _removed = fs::remove_file(path);
        }
    }
}

struct Bound {
    socket: UnixListener,
    inode: u64,
}

/// Makes the socket under another name and puts it into its place: who connects meets the old one or the new one.
fn bind(path: &Path) -> io::Result<Bound> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    open_folder(folder)?;
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = std::os::unix::net::UnixListener::bind(&new)?;
    socket.set_nonblocking(true)?;
    // Everybody may connect and is asked who he is: whom the mode kept out would not know why.
    fs::set_permissions(&new, fs::Permissions::from_mode(0o666))?;
    let inode = fs::symlink_metadata(&new)?.ino();
    fs::rename(&new, path)?;
    Ok(Bound {
        socket: UnixListener::from_std(socket)?,
        inode,
    })
}

/// Lets everybody through the folders to the socket, and nobody see what else is in them.
fn open_folder(folder: &Path) -> io::Result<()> {
    let passable = || fs::Permissions::from_mode(0o711);
    fs::DirBuilder::new().recursive(true).mode(0o711).create(folder)?;
    fs::set_permissions(folder, passable())?;
    match folder.parent() {
        // A folder that the service manager made has the mode that its unit says.
        Some(outer) if outer == Path::new(RUNTIME_DEFAULT) => fs::set_permissions(outer, passable()),
        _ => Ok(()),
    }
}

fn is_at(path: &Path, inode: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.ino() == inode)
}

/// Meets whoever comes.
async fn accept(listener: &UnixListener, board: &Arc<Board>, slots: &Slots) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is left, or no memory; what waits is not lost.
            sleep(PAUSE).await;
            continue;
        };
        meet(stream, board, slots);
    }
}

fn meet(stream: UnixStream, board: &Arc<Board>, slots: &Slots) {
    let Ok(peer) = Peer::of(&stream) else { return };
    let rights = peer.rights(board.group());
    if rights == Rights::None {
        // Without a slot the connection just ends.
        if let Some(slot) = slots.take_stranger() {
            tokio::spawn(turn_away(stream, canned::forbidden(peer.uid), slot));
        }
        return;
    }
    match slots.take(peer.uid) {
        Some(slot) => {
            let board = Arc::clone(board);
            tokio::spawn(async move {
                serve(stream, rights, board).await;
                drop(slot);
            });
        }
        None => {
            if let Some(slot) = slots.take_stranger() {
                tokio::spawn(turn_away(stream, canned::busy(), slot));
            }
        }
    }
}

/// Says why and hangs up. What was sent is taken and not looked at: to close a socket with unread bytes in it would make the
/// other end fail before it has read why.
pub(super) async fn turn_away(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Vec<u8>, slot: Slot) {
    let farewell = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        let mut unread = stream.take(FAREWELL_BYTES_MAX);
        tokio::io::copy(&mut unread, &mut tokio::io::sink()).await
    };
    let _gone = timeout(FAREWELL, farewell).await;
    drop(slot);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_everybody_may_connect() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("host").join("control");
        let first = bind(&path).unwrap();
        let second = bind(&path).unwrap();
        assert!(!is_at(&path, first.inode) && is_at(&path, second.inode));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o666, 0o711));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(bind(&path).is_err());
    }
}
