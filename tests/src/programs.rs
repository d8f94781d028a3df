//! Where the programs are that the lab runs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The enforcer that belongs to the running test or demo: from the same build.
///
/// # Errors
/// When it has not been built.
pub fn enforcer_program() -> Result<PathBuf> {
    built("enforcer", "cargo build -p enforcer")
}

/// The lab's own client for what no common program does: one connect or one datagram, and what came of it.
///
/// # Errors
/// When it has not been built.
pub fn probe_program() -> Result<PathBuf> {
    built("probe", "cargo build -p enforcer-lab")
}

/// The lab's own client with rustls and a post-quantum hello.
///
/// # Errors
/// When it has not been built.
pub fn tls_program() -> Result<PathBuf> {
    built("tls", "cargo build -p enforcer-lab")
}

/// A skopeo whose Go sends post-quantum hellos (1.24 and later), as the set-up unpacks it.
///
/// # Errors
/// When the set-up has not run.
pub fn new_skopeo_program() -> Result<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/new-skopeo");
    if !program.exists() {
        bail!("a skopeo of Go 1.24 or later is missing; `cargo xtask setup` fetches it");
    }
    Ok(program)
}

/// The process that makes the socket calls of a test; see [`crate::caller`].
///
/// # Errors
/// When it has not been built.
pub(crate) fn caller_program() -> Result<PathBuf> {
    built("caller", "cargo build -p enforcer-lab")
}

/// The load of the fault table; see [`crate::load`].
///
/// # Errors
/// When it has not been built.
pub(crate) fn load_program() -> Result<PathBuf> {
    built("load", "cargo build -p enforcer-lab")
}

/// The real registry, as the set-up unpacks it.
pub(crate) fn docker_registry_program() -> Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/docker-registry");
    std::iter::once(own)
        .chain(["/usr/bin/docker-registry", "/usr/local/bin/docker-registry"].map(PathBuf::from))
        .find(|program| program.exists())
        .context("docker-registry is missing; `cargo xtask setup` fetches it")
}

fn built(name: &str, by: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program does not know where it is")?;
    // Tests lie in `deps`, programs one folder above.
    let found = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    match found {
        Some(program) => Ok(program),
        None => bail!(
            "the program `{name}` is not beside {}; `{by}` builds it",
            own.display()
        ),
    }
}
