//! Errors of the kernel's side as the user is told of them: with what to do.

use crate::cli::Failure;
use crate::kernel::{CgroupError, KernelError};

pub(super) fn of_kernel(error: KernelError) -> anyhow::Error {
    let hint = error.hint();
    Failure::new("the kernel can not enforce the policy", hint, error).into()
}

pub(super) fn of_cgroup(error: CgroupError) -> anyhow::Error {
    let hint = error.hint();
    Failure::new("there is no cgroup to enforce on", hint, error).into()
}
