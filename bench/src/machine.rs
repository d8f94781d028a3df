//! Where a run took place: figures without it can not be compared with anything.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// The machine, its kernel, and the versions of what was compared.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) architecture: String,
    /// `net.core.bpf_jit_enable`: 1 where programs are compiled, and `bpf_jit_harden` beside it.
    pub(crate) jit: String,
    pub(crate) enforcer: String,
    pub(crate) nft: String,
    pub(crate) ipset: String,
    pub(crate) iptables: String,
    /// When it began, seconds since 1970.
    pub(crate) began: u64,
}

impl Machine {
    /// This one. What can not be found out is said to be unknown.
    pub(crate) fn find() -> Self {
        let uname = rustix::system::uname();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            cpu: field(&cpuinfo, "model name")
                .or_else(|| field(&cpuinfo, "CPU part"))
                .unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: field(&meminfo, "MemTotal")
                .and_then(|value| value.split(' ').next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib * 1024),
            kernel: uname.release().to_string_lossy().into_owned(),
            architecture: uname.machine().to_string_lossy().into_owned(),
            jit: jit(),
            enforcer: env!("CARGO_PKG_VERSION").to_owned(),
            nft: version("nft"),
            ipset: version("ipset"),
            iptables: version("iptables"),
            began: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        }
    }

    /// One line for the table.
    pub(crate) fn line(&self) -> String {
        format!(
            "{}, {} cores, {:.0} GiB, Linux {} {}, JIT {}, {}, {}",
            self.cpu,
            self.cores,
            crate::statistics::of_u64(self.memory_bytes) / (1024.0 * 1024.0 * 1024.0),
            self.kernel,
            self.architecture,
            self.jit,
            self.nft,
            self.ipset
        )
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// The first value of a field in the style of /proc.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn jit() -> String {
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/net/core/{name}"));
    let enabled = match read("bpf_jit_enable").as_deref().map(str::trim) {
        Ok("0") => "off",
        Ok(_) => "on",
        Err(_) => return unknown(),
    };
    match read("bpf_jit_harden").as_deref().map(str::trim) {
        Ok("0") => enabled.to_owned(),
        Ok(level) => format!("{enabled}, hardened ({level})"),
        Err(_) => enabled.to_owned(),
    }
}

/// The first line of what a program says of itself.
fn version(program: &str) -> String {
    Command::new(program)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| {
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().next().map(str::trim).map(str::to_owned)
        })
        .filter(|line| !line.is_empty())
        .unwrap_or_else(|| format!("{program} is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_proc_writes_them() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2.0\nMemTotal:       24683892 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("A CPU @ 2.0"));
        assert_eq!(field(text, "MemTotal").as_deref(), Some("24683892 kB"));
        assert_eq!(field(text, "flags"), None);
    }
}
