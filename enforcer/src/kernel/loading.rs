//! Has the kernel take the programs, as many at a time as there are processors.
//!
//! Nearly all of a start is the verifier's work. It walks through each program by itself, and for who may load programs at
//! all it does so without a lock around it (`bpf_check` in `kernel/bpf/verifier.c`).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::programs::{Program, ProgramError};

use super::error::KernelError;
use super::parts::{EGRESS, HOLD};

/// Loads these programs; how long that took. When the kernel refuses one, none of the others is begun any more, and those
/// that were taken go with `ebpf`.
pub(super) fn load_programs(ebpf: &mut Ebpf, names: &[&'static str]) -> Result<Duration, KernelError> {
    let begin = Instant::now();
    let mut left: Vec<(&'static str, &mut Program)> = Vec::new();
    for (found, program) in ebpf.programs_mut() {
        if let Some(name) = names.iter().find(|name| **name == found) {
            left.push((*name, program));
        }
    }
    // The last is begun with: the verifier takes longest for it.
    left.sort_by_key(|(name, _)| [EGRESS, HOLD].contains(name));
    let threads = thread::available_parallelism().map_or(1, |count| count.get().min(left.len()));
    let left = Mutex::new(left);
    let refused = Mutex::new(None);
    let work = || {
        loop {
            let Some((name, program)) = locked(&left).pop() else {
                return;
            };
            if let Err(error) = load(program) {
                locked(&left).clear();
                locked(&refused).get_or_insert((name, error));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // Where there can be no thread, this one does it all.
            let _ = thread::Builder::new()
                .name("loading".to_owned())
                .spawn_scoped(scope, work);
        }
        work();
    });
    let refused = refused.into_inner().unwrap_or_else(PoisonError::into_inner);
    match refused {
        None => Ok(begin.elapsed()),
        Some((program, error)) => Err(KernelError::Load {
            program,
            source: error.into(),
        }),
    }
}

fn load(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::CgroupSkb(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Nothing under these locks can be left half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
