//! What the commands need to know about where they run: folders, the user, the compiler.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::failure::Failure;
use crate::shell;

/// The machine and the checkout that a command works on.
pub(crate) struct Machine {
    /// The workspace's folder.
    pub(crate) root: PathBuf,
    /// Where the set-up puts its own tools: `target/tools`, so that removing `target` removes them.
    pub(crate) tools: PathBuf,
    /// Whether this process is root.
    pub(crate) is_root: bool,
    /// `release:` of `rustc -vV`, such as `1.95.0`.
    pub(crate) rust_release: String,
    /// `host:` of `rustc -vV`, such as `x86_64-unknown-linux-gnu`.
    pub(crate) rust_host: String,
}

impl Machine {
    /// Looks at the machine; asks only the compiler, and only for its version.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask is not a folder of the workspace")?
            .to_path_buf();
        let version =
            shell::capture(Command::new("rustc").arg("-vV").current_dir(&root)).context(Failure::new(
                "the Rust compiler cannot be asked for its version",
                "install Rust with rustup, then: rustup toolchain install 1.95.0",
            ))?;
        let field = |name: &str| {
            version
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::to_owned)
                .ok_or_else(|| anyhow!("`rustc -vV` does not tell its {name}"))
        };
        Ok(Self {
            tools: root.join("target/tools"),
            is_root: fs::metadata("/proc/self").context("/proc is not mounted")?.uid() == 0,
            rust_release: field("release")?,
            rust_host: field("host")?,
            root,
        })
    }

    /// The cargo that runs this command.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        command
    }

    /// `program`, run by root: as it is, or through sudo.
    ///
    /// # Errors
    /// When this process is not root and there is no sudo. `by_hand` is the command for the hint.
    pub(crate) fn as_root(&self, program: impl AsRef<Path>, by_hand: &str) -> Result<Command> {
        let program = program.as_ref();
        if self.is_root {
            return Ok(Command::new(program));
        }
        let Some(sudo) = find_program("sudo") else {
            return Err(Failure::new(
                format!("`{by_hand}` needs root, and sudo is not installed"),
                format!("as root, run: {by_hand}"),
            )
            .into());
        };
        let mut command = Command::new(sudo);
        command.arg("--").arg(program);
        Ok(command)
    }
}

/// Where `name` is, in `PATH` or in the system folders that the `PATH` of an ordinary user leaves out.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
}

/// Whether `file` is a file that can be run.
pub(crate) fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}
