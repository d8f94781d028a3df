//! The archive that a kernel unpacks into its first file system (`newc`, Linux
//! `Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::collections::BTreeSet;
use std::path::{Component, Path};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
/// Every part begins at a multiple of this.
const ALIGNMENT: usize = 4;

/// An archive that is being written. Folders come by themselves.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    entries: u32,
}

impl Archive {
    /// Adds a file that can be executed, at an absolute path.
    pub(super) fn file(&mut self, path: &Path, content: &[u8]) {
        let path = self.parents(path);
        self.entry(&path, PROGRAM, content);
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &Path, target: &str) {
        let path = self.parents(path);
        self.entry(&path, LINK, target.as_bytes());
    }

    /// Adds an empty folder.
    pub(super) fn folder(&mut self, path: &Path) {
        self.parents(&path.join("x"));
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    /// Adds the folders above `path` that are not there yet, and gives the path as the archive writes it.
    fn parents(&mut self, path: &Path) -> String {
        let names: Vec<String> = path
            .components()
            .filter_map(|part| match part {
                Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
                _ => None,
            })
            .collect();
        for end in 1..names.len() {
            let folder = names[..end].join("/");
            if self.folders.insert(folder.clone()) {
                self.entry(&folder, DIRECTORY, &[]);
            }
        }
        names.join("/")
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        // Inode, mode, user, group, links, time, size, and four device numbers, length of the name, and a checksum.
        let size = content.len();
        let fields = [
            self.entries as usize,
            mode as usize,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            path.len() + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_once_and_before_what_is_in_them() {
        let mut archive = Archive::default();
        archive.file(Path::new("/bin/one"), b"12345");
        archive.link(Path::new("/bin/two"), "one");
        archive.folder(Path::new("/proc"));
        let bytes = archive.finish();
        assert_eq!(bytes.len() % ALIGNMENT, 0);
        let text = String::from_utf8_lossy(&bytes);
        let at = |name: &str| text.find(name).unwrap();
        assert!(at("bin\0") < at("bin/one\0") && at("bin/one\0") < at("bin/two\0"));
        assert_eq!(text.matches("bin\0").count(), 1);
        assert!(at("bin/two\0") < at("proc\0") && at("proc\0") < at("TRAILER!!!\0"));
    }

    #[test]
    fn the_header_is_the_one_that_the_kernel_reads() {
        let mut archive = Archive::default();
        archive.file(Path::new("/a"), b"12345");
        let bytes = archive.finish();
        let header = std::str::from_utf8(&bytes[..110]).unwrap();
        assert_eq!(&header[..6], "070701");
        assert_eq!(&header[6 + 8..6 + 16], "000081ed");
        assert_eq!(&header[6 + 6 * 8..6 + 7 * 8], "00000005");
        assert_eq!(&header[6 + 11 * 8..6 + 12 * 8], "00000002");
        // The header and the name are 112 bytes, the content begins there and is padded to 8.
        assert_eq!(&bytes[110..120], b"a\x0012345\0\0\0");
    }
}
