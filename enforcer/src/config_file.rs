//! Reads configurations, and what they refer to, from the file system.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FsWord, OFlags};

use crate::config::{self, Files, Parsed};

/// Most bytes of a configuration.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// `PIPEFS_MAGIC` of include/uapi/linux/magic.h.
const PIPE_FILE_SYSTEM: FsWord = 0x5049_5045;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is none.
    #[error("there is no such file")]
    Missing,
    /// It is a folder.
    #[error("it is a directory")]
    Directory,
    /// It is a pipe, a socket or a device, which may have no end or keep its reader waiting.
    #[error("it is no regular file")]
    NotRegular,
    /// The user may not read it.
    #[error("permission denied")]
    Permission,
    /// It has more bytes than such a file may have.
    #[error("it is larger than {} KiB", .bytes_max / 1024)]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// It starts with the byte order mark of UTF-16.
    #[error("it is UTF-16, not UTF-8")]
    Utf16,
    /// It is not UTF-8.
    #[error("it is not UTF-8 at byte {offset} (line {line})")]
    NotUtf8 {
        /// Offset from 0 of the first byte that is wrong.
        offset: usize,
        /// Its line, from 1.
        line: usize,
    },
    /// Reading failed in another way.
    #[error(transparent)]
    Io(std::io::Error),
}

impl LoadError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing => "check the path",
            Self::Directory => "name the file in it",
            Self::NotRegular => "write it to a file, and name that",
            Self::Permission => "run as a user who may read it",
            Self::TooLarge { .. } => "is this the right file?",
            Self::Utf16 => {
                "convert it, for example with `iconv -f UTF-16 -t UTF-8`; older PowerShells write UTF-16 with `>`"
            }
            Self::NotUtf8 { .. } => "save it as UTF-8",
            Self::Io(_) => "try to read it with `cat`",
        }
    }
}

/// What tells two states of a file apart without reading it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds of the last change of its content, and of the last change at all.
    times: [i64; 4],
}

impl Stamp {
    /// Of the file that `path` leads to now; `None` when it leads nowhere.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::new)
    }

    fn new(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            times: [
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            ],
        }
    }
}

/// Files by their paths, as they were when they were read; `None` for one that could not be opened.
pub type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// The folder of a configuration: what its relative paths are relative to.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    stamps: RefCell<Stamps>,
}

impl Folder {
    /// The folder that `file` is in.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        Self {
            path: file.parent().unwrap_or(Path::new("")).to_owned(),
            stamps: RefCell::default(),
        }
    }

    /// The files that were read.
    #[must_use]
    pub fn into_stamps(self) -> Stamps {
        self.stamps.into_inner()
    }
}

impl Files for Folder {
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Arc<str>, String> {
        let path = self.path.join(path);
        let file = open_regular(&path);
        // Of what is being read, not of what has taken its place meanwhile.
        let metadata = file.as_ref().ok().and_then(|file| file.metadata().ok());
        let stamp = metadata.as_ref().map(Stamp::new);
        self.stamps.borrow_mut().insert(path, stamp);
        file.and_then(|file| read_text(file, bytes_max))
            .map(Arc::from)
            .map_err(|error| match &error {
                LoadError::Utf16 => format!("{error} ({})", error.hint()),
                _ => error.to_string(),
            })
    }
}

/// Reads the configuration at `path`, whatever is wrong with what it says.
///
/// It may be a pipe that somebody holds, as in `enforcer check <(generate)`: whoever names one waits for it. One in a folder
/// may not, since nobody may ever write to it. What a configuration refers to may be no pipe at all, nor may that of a daemon
/// ([`read_regular`]), or a reload could wait for ever.
///
/// # Errors
/// The file itself can not be read.
pub fn load(path: &Path) -> Result<Parsed, LoadError> {
    Ok(config::parse(path, &read(path)?, &Folder::of(path)))
}

fn read(path: &Path) -> Result<String, LoadError> {
    let file = open_at_once(path)?;
    let kind = file.metadata().map_err(from_io)?.file_type();
    if kind.is_fifo() && is_named(&file)? {
        return Err(LoadError::NotRegular);
    }
    // From here on it waits: for whoever writes to the pipe, or types.
    let flags = rustix::fs::fcntl_getfl(&file).map_err(|errno| from_io(errno.into()))?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(|errno| from_io(errno.into()))?;
    read_text(file, FILE_BYTES_MAX)
}

/// Whether a pipe lies in a folder: those of pipe(2) are in a file system of their own.
fn is_named(pipe: &File) -> Result<bool, LoadError> {
    let within = rustix::fs::fstatfs(pipe).map_err(|errno| from_io(errno.into()))?;
    Ok(within.f_type != PIPE_FILE_SYSTEM)
}

/// The text of the configuration at `path`, a regular file: a daemon waits for no writer of a pipe, and reads its file again.
///
/// # Errors
/// The file can not be read, or is none.
pub fn read_regular(path: &Path) -> Result<String, LoadError> {
    read_text(open_regular(path)?, FILE_BYTES_MAX)
}

fn open_regular(path: &Path) -> Result<File, LoadError> {
    let file = open_at_once(path)?;
    let kind = file.metadata().map_err(from_io)?.file_type();
    if kind.is_file() || kind.is_dir() {
        Ok(file)
    } else {
        Err(LoadError::NotRegular)
    }
}

/// Opening a pipe would wait for its writer; without effect on regular files (open(2)).
fn open_at_once(path: &Path) -> Result<File, LoadError> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    options.open(path).map_err(from_io)
}

fn read_text(file: File, bytes_max: u64) -> Result<String, LoadError> {
    let size = file
        .metadata()
        .map_or(0, |metadata| metadata.len())
        .min(bytes_max);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    // One byte more than allowed tells a file that is too large, also one that says nothing of its size.
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(from_io)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > bytes_max) {
        return Err(LoadError::TooLarge { bytes_max });
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(LoadError::Utf16);
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..offset];
        LoadError::NotUtf8 {
            offset,
            line: before.iter().filter(|&&byte| byte == b'\n').count() + 1,
        }
    })
}

fn from_io(error: std::io::Error) -> LoadError {
    match error.kind() {
        ErrorKind::NotFound => LoadError::Missing,
        ErrorKind::IsADirectory => LoadError::Directory,
        ErrorKind::PermissionDenied => LoadError::Permission,
        // A socket (open(2), ENXIO).
        _ if error.raw_os_error() == Some(libc::ENXIO) => LoadError::NotRegular,
        _ => LoadError::Io(error),
    }
}
