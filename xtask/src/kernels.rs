//! The kernels for `cargo xtask vm`: which ones, and where in `target/tools` they lie.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::machine::Machine;

/// A kernel that the enforcer is tried on.
pub(crate) struct Kernel {
    /// What users call it: its version up to the second number, or `newest`.
    pub(crate) name: &'static str,
    /// The suites of Debian that may carry it; of all that they carry, the newest is taken.
    pub(crate) suites: &'static [&'static str],
    /// How many processors its machine has. One kernel runs with one alone, where a writer of policies is interrupted
    /// anywhere, and whoever reads them as well.
    pub(crate) processors: u32,
}

/// Oldest first: the oldest that has what the enforcer needs, and those that Debian has kept alive since.
pub(crate) const KERNELS: [Kernel; 4] = [
    Kernel {
        name: "5.10",
        suites: &["bullseye"],
        processors: 2,
    },
    Kernel {
        name: "6.1",
        suites: &["bookworm"],
        processors: 1,
    },
    Kernel {
        name: "6.12",
        suites: &["trixie"],
        processors: 2,
    },
    Kernel {
        name: "newest",
        suites: &["trixie-backports", "forky", "sid"],
        processors: 2,
    },
];

/// A kernel as it lies on the disk.
pub(crate) struct Unpacked {
    /// Such as `5.10.0-32-cloud-amd64`.
    pub(crate) release: String,
    /// The image that boots.
    pub(crate) image: PathBuf,
    /// The folder with its modules, in folders of folders.
    pub(crate) modules: PathBuf,
}

impl Kernel {
    /// Where the set-up unpacks its packages.
    pub(crate) fn folder(&self, machine: &Machine) -> PathBuf {
        machine.tools.join("kernels").join(self.name)
    }

    /// What is there.
    ///
    /// # Errors
    /// When something of it is missing.
    pub(crate) fn unpacked(&self, machine: &Machine) -> Result<Unpacked> {
        let folder = self.folder(machine);
        // Since trixie the packages have no more /lib.
        let releases = ["lib/modules", "usr/lib/modules"]
            .iter()
            .find_map(|place| fs::read_dir(folder.join(place)).ok())
            .with_context(|| format!("{} has no modules of a kernel", folder.display()))?;
        let modules = releases
            .filter_map(|entry| Some(entry.ok()?.path()))
            .next()
            .with_context(|| format!("{} has no modules of a kernel", folder.display()))?;
        let release = modules
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        // The image lies beside the modules since 6.19.
        let image = [
            folder.join("boot").join(format!("vmlinuz-{release}")),
            modules.join("vmlinuz"),
        ]
        .into_iter()
        .find(|file| file.exists())
        .with_context(|| format!("{} has no image of {release}", folder.display()))?;
        Ok(Unpacked {
            release,
            image,
            modules,
        })
    }
}

impl Unpacked {
    /// The file of a module; `None` when it is part of the image.
    ///
    /// # Errors
    /// When the kernel has no such module.
    pub(crate) fn module(&self, name: &str) -> Result<Option<PathBuf>> {
        if let Some(file) = find_module(&self.modules.join("kernel"), name)? {
            return Ok(Some(file));
        }
        let built_in = fs::read_to_string(self.modules.join("modules.builtin")).unwrap_or_default();
        let file = format!("/{name}.ko");
        ensure!(
            built_in.lines().any(|line| line.ends_with(&file)),
            "the kernel {} has no module {name}",
            self.release
        );
        Ok(None)
    }
}

/// Looks for `<name>.ko`, compressed or not, below `folder`.
fn find_module(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = find_module(&path, name)? {
                return Ok(Some(found));
            }
        } else if let Some((stem, _)) = path.file_name().and_then(|file| file.to_str()?.split_once(".ko"))
            && stem == name
        {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_found_by_its_whole_name() {
        let folder = std::env::temp_dir().join(format!("enforcer-modules-{}", std::process::id()));
        let deep = folder.join("kernel/drivers/net");
        fs::create_dir_all(&deep).unwrap();
        for file in ["kernel/drivers/net/veth.ko.xz", "kernel/drivers/net/tun.ko"] {
            fs::write(folder.join(file), "").unwrap();
        }
        fs::write(folder.join("modules.builtin"), "kernel/net/ipv6/ipv6.ko\n").unwrap();
        let kernel = Unpacked {
            release: "1.0".to_owned(),
            image: PathBuf::new(),
            modules: folder.clone(),
        };
        assert_eq!(kernel.module("veth").unwrap(), Some(deep.join("veth.ko.xz")));
        assert_eq!(kernel.module("tun").unwrap(), Some(deep.join("tun.ko")));
        assert_eq!(kernel.module("ipv6").unwrap(), None);
        assert!(kernel.module("vet").is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
