//! Compiles a crate of kernel programs and tells the crate that is being built where the object lies. Build scripts include
//! this file.
//!
//! The object is built by the pinned stable compiler with `RUSTC_BOOTSTRAP`, for this one build alone: `core` for the
//! BPF target has to be compiled from source, and the linker is `bpf-linker`, which `cargo xtask setup` puts into
//! the target folder.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const HINT: &str = "run `cargo xtask setup`, which installs what the kernel programs are built with";

/// A crate of kernel programs.
pub(crate) struct Programs<'a> {
    /// Its name, which is that of its object as well.
    pub(crate) package: &'a str,
    /// The folders and files that it is made of, from the root of the workspace on.
    pub(crate) sources: &'a [&'a str],
    /// The environment variable that gets the object's path, for the compiler.
    pub(crate) variable: &'a str,
}

/// Builds `programs` for the crate whose build script calls. An error becomes one of the build.
pub(crate) fn make(programs: &Programs<'_>) {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let workspace = manifest
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned();
    for place in programs
        .sources
        .iter()
        .chain(&["enforcer-common/src", "Cargo.lock"])
    {
        println!("cargo::rerun-if-changed={}", workspace.join(place).display());
    }
    println!("cargo::rerun-if-env-changed=ENFORCER_BPF_LINKER");
    match build(&workspace, programs.package) {
        Ok(object) => println!("cargo::rustc-env={}={}", programs.variable, object.display()),
        Err(error) => println!("cargo::error=the kernel programs can not be built: {error}"),
    }
}

fn build(workspace: &Path, package: &str) -> Result<PathBuf, String> {
    let linker = linker(workspace)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    // <target>/<profile>/build/<package>/out: one folder for all profiles, since the programs are the same for all.
    let target = out.ancestors().nth(4).unwrap_or(&out).join("ebpf");
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    let endian = if env::var("CARGO_CFG_TARGET_ENDIAN").is_ok_and(|endian| endian == "big") {
        "bpfeb"
    } else {
        "bpfel"
    };
    let triple = format!("{endian}-unknown-none");
    let mut flags = vec![
        format!("--cfg=bpf_target_arch=\"{architecture}\""),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        // 32-bit registers and jumps: every kernel with ring buffers has them (Linux 5.1).
        "-Ctarget-cpu=v3".to_owned(),
        format!("-Clinker={}", linker.display()),
    ];
    flags.extend(remapped(workspace));
    let flags = flags.join("\x1f");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo
        .current_dir(workspace)
        .args([
            "build",
            "--quiet",
            "--package",
            package,
            "--release",
            "--locked",
            "-Z",
            "build-std=core",
        ])
        .args(["--target", &triple])
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags);
    // What cargo and clippy set for the build of the host must not reach the build for the kernel.
    for variable in [
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CLIPPY_ARGS",
        "RUSTFLAGS",
    ] {
        cargo.env_remove(variable);
    }
    let output = cargo
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if !output.status.success() {
        return Err(explain(&String::from_utf8_lossy(&output.stderr)));
    }
    let object = out.join(package).with_extension("o");
    let built = target.join(&triple).join("release").join(package);
    std::fs::copy(&built, &object)
        .map_err(|error| format!("{} can not be copied: {error}", built.display()))?;
    Ok(object)
}

/// Flags that give the folders of this machine names that are the same everywhere: debug information is full of paths, and
/// the same sources are to give the same object wherever they lie.
fn remapped(workspace: &Path) -> Vec<String> {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let sysroot = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--print", "sysroot"])
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    let core = sysroot.map(|sysroot| Path::new(sysroot.trim()).join("lib/rustlib/src/rust"));
    // Where the source of `core` is a link, the compiler may tell either path.
    let linked = core.as_ref().and_then(|core| std::fs::canonicalize(core).ok());
    let folders = [
        (Some(workspace.to_owned()), "/usr/src/enforcer"),
        (cargo_home, "/usr/src/cargo"),
        (core, "/usr/src/rust"),
        (linked, "/usr/src/rust"),
    ];
    folders
        .into_iter()
        .filter_map(|(from, to)| Some(format!("--remap-path-prefix={}={to}", from?.display())))
        .collect()
}

/// Where bpf-linker lies: the variable, the set-up's folder, the search path.
fn linker(workspace: &Path) -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("ENFORCER_BPF_LINKER") {
        return Ok(PathBuf::from(path));
    }
    let own = workspace.join("target/tools/bin/bpf-linker");
    println!("cargo::rerun-if-changed={}", own.display());
    if own.exists() {
        return Ok(own);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join("bpf-linker"))
        .find(|candidate| candidate.exists())
        .ok_or_else(|| format!("bpf-linker is missing: {HINT}"))
}

/// The compiler's words, and the set-up where that is what is missing.
fn explain(stderr: &str) -> String {
    if stderr.contains("rust-src") {
        return format!("the source of `core` is missing: {HINT}");
    }
    // cargo shows one line a directive.
    stderr
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect::<Vec<_>>()
        .join("\ncargo::error=")
}
