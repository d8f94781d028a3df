//! nftables and ipset, in namespaces of their own: never the host's firewall.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use enforcer_lab::{Folder, Namespace};

use crate::command::{self, Took};
use crate::prefixes::Prefixes;
use crate::targets::{IPSET, NFT_HASH, NFT_INTERVALS};

/// Somebody with sets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    NftIntervals,
    NftHash,
    Ipset,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::NftIntervals, Self::NftHash, Self::Ipset];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NftIntervals => NFT_INTERVALS,
            Self::NftHash => NFT_HASH,
            Self::Ipset => IPSET,
        }
    }

    /// The text that makes the empty set.
    fn beginning(self, count: usize) -> String {
        match self {
            Self::NftIntervals => {
                "add table ip bench\nadd set ip bench granted { type ipv4_addr; flags interval; }\n"
                    .to_owned()
            }
            Self::NftHash => "add table ip bench\nadd set ip bench granted { type ipv4_addr; }\n".to_owned(),
            Self::Ipset => format!("create granted {}\n", hash_net(count)),
        }
    }

    /// The text that replaces what the set holds.
    fn replacement(self, prefixes: &Prefixes) -> String {
        let mut text = String::new();
        match self {
            Self::NftIntervals | Self::NftHash => {
                text.push_str("flush set ip bench granted\nadd element ip bench granted {\n");
                for net in &prefixes.list {
                    let _ = if self == Self::NftHash {
                        writeln!(text, "{},", net.network())
                    } else {
                        writeln!(text, "{net},")
                    };
                }
                text.push_str("}\n");
            }
            Self::Ipset => {
                let _ = writeln!(text, "create fresh {}", hash_net(prefixes.list.len()));
                for net in &prefixes.list {
                    let _ = writeln!(text, "add fresh {net}");
                }
                text.push_str("swap fresh granted\ndestroy fresh\n");
            }
        }
        text
    }
}

/// Large enough from the start, so that no time goes into growing.
fn hash_net(count: usize) -> String {
    let size = count.next_power_of_two().max(64);
    format!("hash:net hashsize {size} maxelem {}", size * 2)
}

/// A set, and the texts that replace what it holds.
pub(crate) struct Other {
    pub(crate) kind: Kind,
    host: Namespace,
    files: [PathBuf; 2],
    _folder: Folder,
}

impl Other {
    /// With an empty set.
    ///
    /// # Errors
    /// When the program or the kernel's part of it is missing.
    pub(crate) fn new(kind: Kind, policies: &[Prefixes; 2]) -> Result<Self> {
        let host = Namespace::new("replace")?;
        let folder = Folder::new("replace")?;
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
            anyhow::Ok(path)
        };
        let beginning = write("beginning", kind.beginning(policies[0].list.len()))?;
        let files = [
            write("one", kind.replacement(&policies[0]))?,
            write("other", kind.replacement(&policies[1]))?,
        ];
        let other = Self {
            kind,
            host,
            files,
            _folder: folder,
        };
        other.play(&beginning)?;
        Ok(other)
    }

    /// Has the set hold policy `at`.
    ///
    /// # Errors
    /// When that fails.
    pub(crate) fn replace(&self, at: usize) -> Result<Took> {
        self.play(&self.files[at])
    }

    fn play(&self, file: &std::path::Path) -> Result<Took> {
        match self.kind {
            Kind::NftIntervals | Kind::NftHash => {
                command::run(&self.host, "nft", &["-f", &file.to_string_lossy()], None)
            }
            Kind::Ipset => command::run(&self.host, "ipset", &["restore"], Some(file)),
        }
        .with_context(|| format!("{} cannot be replaced", self.kind.name()))
    }
}
