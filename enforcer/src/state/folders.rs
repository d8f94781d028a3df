//! Where an instance keeps its files.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::Instance;

/// Where state is kept that the service manager did not give a folder for.
pub const STATE_DEFAULT: &str = "/var/lib/enforcer";
/// The same for what need not survive a reboot.
pub const RUNTIME_DEFAULT: &str = "/run/enforcer";

/// The folders of one instance. They are made, with mode 0700, when something is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Folders {
    /// Survives a reboot.
    pub state: PathBuf,
    /// Survives a restart of the daemon, not a reboot.
    pub runtime: PathBuf,
}

impl Folders {
    /// Those that systemd gave (`$STATE_DIRECTORY` and `$RUNTIME_DIRECTORY`, systemd.exec(5)), or [`STATE_DEFAULT`] and
    /// [`RUNTIME_DEFAULT`], and in them the one that is named as the instance.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        Self::from_variables(
            std::env::var_os("STATE_DIRECTORY"),
            std::env::var_os("RUNTIME_DIRECTORY"),
            instance,
        )
    }

    /// As [`Self::of`], with the values of the variables.
    #[must_use]
    pub fn from_variables(state: Option<OsString>, runtime: Option<OsString>, instance: &Instance) -> Self {
        let folder = |value: Option<OsString>, default: &str| {
            let given = value.as_deref().and_then(first_path);
            given.unwrap_or(Path::new(default)).join(instance.as_str())
        };
        Self {
            state: folder(state, STATE_DEFAULT),
            runtime: folder(runtime, RUNTIME_DEFAULT),
        }
    }
}

/// The first of the paths, which systemd separates by colons and which are absolute.
fn first_path(value: &OsStr) -> Option<&Path> {
    let first = value.as_bytes().split(|byte| *byte == b':').next()?;
    let path = Path::new(OsStr::from_bytes(first));
    path.is_absolute().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_says_where() {
        let shown = |state: Option<&str>, runtime: Option<&str>| {
            let variable = |value: Option<&str>| value.map(OsString::from);
            let instance = "build".parse().unwrap();
            let folders = Folders::from_variables(variable(state), variable(runtime), &instance);
            [folders.state, folders.runtime].map(|path| path.to_str().unwrap().to_owned())
        };
        let default = ["/var/lib/enforcer/build", "/run/enforcer/build"];
        assert_eq!(shown(None, None), default);
        assert_eq!(shown(Some(""), Some("relative")), default);
        assert_eq!(
            shown(Some("/var/lib/a:/var/lib/b"), Some("/run/a")),
            ["/var/lib/a/build", "/run/a/build"]
        );
    }
}
