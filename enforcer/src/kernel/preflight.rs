//! What the process and the kernel must be able to do, so that what is missing has a name.

use aya::maps::MapType;
use aya::programs::ProgramType;
use aya::sys::{is_map_supported, is_program_supported};

use super::error::KernelError;

/// Bits of a capability set (Linux `include/uapi/linux/capability.h`).
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
/// Without it the verifier refuses what a processor could be made to speculate on, such as the walk through a hello.
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Checks capabilities first, since without them no feature can be probed.
///
/// # Errors
/// [`KernelError::Privileges`] or [`KernelError::Feature`], the first that is missing.
pub fn check() -> Result<(), KernelError> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|source| KernelError::System {
        action: "reading /proc/self/status",
        source,
    })?;
    let missing = missing_capabilities(effective_capabilities(&status).unwrap_or(0));
    if !missing.is_empty() {
        return Err(KernelError::Privileges {
            missing: missing.join(" and "),
        });
    }
    for (kind, feature) in [
        (ProgramType::CgroupSkb, "cgroup_skb programs (CONFIG_CGROUP_BPF)"),
        (
            ProgramType::CgroupSockAddr,
            "cgroup socket address programs (CONFIG_CGROUP_BPF)",
        ),
    ] {
        // A probe that fails says nothing: the load will tell.
        if matches!(is_program_supported(kind), Ok(false)) {
            return Err(lacks(feature));
        }
    }
    Ok(())
}

/// The kind of map that is missing, of those that not every kernel has. Asked when maps could not be made, and not before: to
/// try a socket storage waits for what all processors are doing (`synchronize_rcu`), as long as much of a start.
pub(super) fn missing_map() -> Option<KernelError> {
    [
        (MapType::RingBuf, "BPF ring buffers (Linux 5.8)"),
        (MapType::SkStorage, "BPF socket storage (Linux 5.2)"),
    ]
    .into_iter()
    .find(|(kind, _)| matches!(is_map_supported(*kind), Ok(false)))
    .map(|(_, feature)| lacks(feature))
}

fn lacks(feature: &'static str) -> KernelError {
    KernelError::Feature {
        feature,
        release: rustix::system::uname().release().to_string_lossy().into_owned(),
    }
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Before Linux 5.8 `CAP_SYS_ADMIN` stood for `CAP_BPF` and `CAP_PERFMON`, and it still includes them.
fn missing_capabilities(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective & (1 << bit) != 0;
    [
        (CAP_BPF, "CAP_BPF"),
        (CAP_PERFMON, "CAP_PERFMON"),
        (CAP_NET_ADMIN, "CAP_NET_ADMIN"),
    ]
    .into_iter()
    .filter(|&(bit, _)| !has(bit) && !has(CAP_SYS_ADMIN))
    .map(|(_, name)| name)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_status() {
        assert_eq!(
            effective_capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n"),
            Some(0x1ff_ffff_ffff)
        );
        assert_eq!(effective_capabilities("Name:\tx\n"), None);
    }

    #[test]
    fn what_is_missing_has_a_name() {
        assert_eq!(
            missing_capabilities(0),
            ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]
        );
        assert_eq!(
            missing_capabilities(1 << CAP_BPF | 1 << CAP_NET_ADMIN),
            ["CAP_PERFMON"]
        );
        let all = 1 << CAP_BPF | 1 << CAP_PERFMON | 1 << CAP_NET_ADMIN;
        assert_eq!(missing_capabilities(all), [""; 0]);
        assert_eq!(missing_capabilities(1 << CAP_SYS_ADMIN), [""; 0]);
    }
}
