//! Loading an object by itself, to see what a kernel's verifier says of programs that are being written.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use aya::programs::{Program, ProgramError, ProgramInfo};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use enforcer::kernel::direct::DirectMaps;
use enforcer_common::abi::{INTERVALS_V4, INTERVALS_V6, PORTS_MAX};
use rustix::io::Errno;

use crate::vectors::PORTS;

/// Loads the programs with `word` in their name, those of packets first, and prints what became of each.
///
/// # Errors
/// When one was refused.
pub(super) fn load(file: &Path, word: &str) -> Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("{} can not be read", file.display()))?;
    let (programs, _direct) = open(&bytes, VerifierLogLevel::DISABLE)?;
    let mut names: Vec<String> = programs.programs().map(|(name, _)| name.to_owned()).collect();
    drop(programs);
    names.retain(|name| name.contains(word));
    names.sort_by_key(|name| (!name.contains("egress"), name.clone()));
    let mut refused = 0;
    for name in &names {
        refused += usize::from(!load_one(&bytes, name)?);
    }
    println!("refused: {refused}");
    ensure!(refused == 0, "{refused} of {} programs were refused", names.len());
    Ok(())
}

/// Loads one program and prints what became of it: whether it was accepted.
fn load_one(bytes: &[u8], name: &str) -> Result<bool> {
    let begin = Instant::now();
    let (mut programs, _direct) = open(bytes, VerifierLogLevel::STATS)?;
    let first = load_into(&mut programs, name);
    let took = begin.elapsed().as_millis();
    let error = match first {
        Ok(info) => {
            let count = info.verified_instruction_count();
            println!(
                "OK {name}: verified {count:?}, jited {} bytes, {took} ms",
                info.size_jitted()
            );
            return Ok(true);
        }
        Err(error) => error,
    };
    println!("REFUSED {name} after {took} ms in two tries");
    print_log(&error);
    // What was too large gives a log as large, again and again until it fits.
    if !is_too_large(&error) {
        let (mut programs, _direct) = open(bytes, VerifierLogLevel::VERBOSE | VerifierLogLevel::STATS)?;
        if let Err(error) = load_into(&mut programs, name) {
            print_log(&error);
        }
    }
    Ok(false)
}

/// The programs are to be loaded while the second is there.
fn open(bytes: &[u8], level: VerifierLogLevel) -> Result<(Ebpf, DirectMaps)> {
    let mut ports = [0_u16; PORTS_MAX];
    ports[..PORTS.len()].copy_from_slice(&PORTS.map(u16::to_be));
    let mut direct = DirectMaps::new(bytes, &ports, [INTERVALS_V4, INTERVALS_V6])?;
    let loaded = EbpfLoader::new()
        .verifier_log_level(level)
        .load(direct.object())
        .context("the object can not be set up")?;
    direct.resolve(&loaded)?;
    Ok((loaded, direct))
}

fn load_into(programs: &mut Ebpf, name: &str) -> Result<ProgramInfo> {
    let program = programs
        .program_mut(name)
        .context("a program that was there is gone")?;
    match program {
        Program::CgroupSkb(program) => program.load()?,
        Program::CgroupSockAddr(program) => program.load()?,
        Program::CgroupSock(program) => program.load()?,
        Program::CgroupSockopt(program) => program.load()?,
        Program::SockOps(program) => program.load()?,
        Program::SchedClassifier(program) => program.load()?,
        _ => bail!("a kind of program that is not loaded here"),
    }
    Ok(program.info()?)
}

fn is_too_large(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<ProgramError>(),
        Some(ProgramError::LoadError { io_error, .. }) if io_error.raw_os_error() == Some(Errno::TOOBIG.raw_os_error())
    )
}

fn print_log(error: &anyhow::Error) {
    if let Some(ProgramError::LoadError {
        io_error,
        verifier_log,
    }) = error.downcast_ref::<ProgramError>()
    {
        println!("LOG {io_error}");
        for line in verifier_log.to_string().lines() {
            println!("LOG {line}");
        }
    } else {
        println!("LOG {error:#}");
    }
}
