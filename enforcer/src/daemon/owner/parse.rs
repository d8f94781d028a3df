//! From the path of a cgroup to who is behind it. Pure, and total: what is not known is left out.
//!
//! The forms are those of systemd (systemd.slice(5), systemd.scope(5)), of the container engines' cgroup drivers
//! (`systemd` and `cgroupfs`), and of the kubelet (pkg/kubelet/cm/cgroup_manager_linux.go).

use crate::control::model::{Container, Owner};
use crate::daemon::attempt::printable;

/// An id of a container has so many hexadecimal digits.
const ID_DIGITS: usize = 64;

/// What units of systemd end in, as far as they have processes.
const UNITS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

/// How the scope of a container begins, and who makes it so. Beside `libpod` and `crio` there are scopes of their
/// monitors, which are not in the container.
const SCOPES: [(&str, &str); 6] = [
    ("docker-", "docker"),
    ("libpod-", "podman"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
    ("containerd-", "containerd"),
];

/// Whose the cgroup at this path is; the path begins at the root of the hierarchy.
#[must_use]
pub fn of_path(path: &str) -> Owner {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let inside = parts.iter().enumerate().find_map(|(at, part)| {
        let before = &parts[..at];
        container(before, part).map(|container| (at, container))
    });
    // Behind the cgroup of a container are those of its own manager.
    let of_host = match &inside {
        Some((at, _)) => &parts[..=*at],
        None => &parts[..],
    };
    let manager = of_host
        .iter()
        .position(|part| part.starts_with("user@") && part.ends_with(".service"));
    let (of_system, of_user) = match manager {
        Some(at) => (&of_host[..=at], &of_host[at + 1..]),
        None => (of_host, &of_host[of_host.len()..]),
    };
    Owner {
        cgroup: Some(printable(path)),
        unit: unit(of_system),
        user_unit: unit(of_user),
        container: inside.map(|(_, container)| container),
        pod: of_host.iter().find_map(|part| pod(part)),
    }
}

/// The unit: the first that is no slice, otherwise the innermost slice.
fn unit(parts: &[&str]) -> Option<String> {
    let is_unit = |part: &&&str| UNITS.iter().any(|ending| part.ends_with(ending));
    let slice = || parts.iter().rev().find(|part| part.ends_with(".slice"));
    let part = parts.iter().find(is_unit).or_else(slice)?;
    // systemd puts a `_` before what could be mistaken for a file of the kernel.
    Some(printable(part.strip_prefix('_').unwrap_or(part)))
}

/// The container whose cgroup is `part`, below `before`.
fn container(before: &[&str], part: &str) -> Option<Container> {
    let of = |runtime: &str, id: &str| {
        Some(Container {
            runtime: runtime.to_owned(),
            id: printable(id),
        })
    };
    let parent = before.last().copied().unwrap_or_default();
    if let Some(scope) = part.strip_suffix(".scope") {
        return SCOPES.iter().find_map(|(prefix, runtime)| {
            let id = scope.strip_prefix(prefix).filter(|id| is_id(id))?;
            of(runtime, id)
        });
    }
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return of("lxc", name);
    }
    if parent == "lxc" && before.len() == 1 {
        return of("lxc", part);
    }
    if let Some(id) = part.strip_prefix("libpod-").filter(|id| is_id(id)) {
        return of("podman", id);
    }
    if !is_id(part) {
        return None;
    }
    match parent {
        "docker" => of("docker", part),
        _ if pod(parent).is_some() => of("kubernetes", part),
        // containerd's own client: the namespace, then the container.
        _ if before.len() == 1 => of("containerd", part),
        _ => None,
    }
}

/// The uid of the pod whose cgroup this is: `pod<uid>`, or `kubepods-burstable-pod<uid with _>.slice`.
fn pod(part: &str) -> Option<String> {
    let uid = match part.strip_suffix(".slice") {
        Some(slice) if slice.starts_with("kubepods") => slice.rsplit_once("-pod")?.1.replace('_', "-"),
        Some(_) => return None,
        None => part.strip_prefix("pod")?.to_owned(),
    };
    let is_uid = uid.len() >= 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_uid.then_some(uid)
}

fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
