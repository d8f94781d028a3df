//! What dpkg and apt are told of the package.

use super::{Arch, VERSION};

/// The control file. `Installed-Size` is in KiB.
pub(super) fn control(arch: Arch, depends: &str, size_bytes: u64) -> String {
    format!(
        "Package: enforcer\n\
         Version: {VERSION}\n\
         Architecture: {}\n\
         Maintainer: The enforcer authors <enforcer@localhost.invalid>\n\
         Installed-Size: {}\n\
         Depends: {depends}, init-system-helpers (>= 1.54)\n\
         Recommends: ca-certificates, systemd (>= 252)\n\
         Section: net\n\
         Priority: optional\n\
         Description: client firewall for container registries, on the host itself\n \
         A policy of names (this registry, its data endpoints, that host) becomes kernel\n \
         programs on cgroup v2: every packet to port 443 from a process on the host,\n \
         containers included, is judged before it leaves, together with the server name\n \
         of its TLS session. What no rule grants is dropped, and reported.\n \
         .\n \
         The service starts in audit mode: it reports what it would deny.\n",
        arch.debian(),
        size_bytes.div_ceil(1024),
    )
}

/// The copyright file: `template` with the licence in place of its mark, as the format wants a text to be indented.
pub(super) fn copyright(template: &str, licence: &str) -> String {
    let text: Vec<String> = licence
        .trim()
        .lines()
        .map(|line| {
            if line.trim().is_empty() {
                " .".to_owned()
            } else {
                format!(" {line}")
            }
        })
        .collect();
    template.replace("@MIT@", &text.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_file_is_one_paragraph() {
        let control = control(Arch::Arm64, "libc6 (>= 2.34)", 1025);
        assert!(control.contains("\nArchitecture: arm64\n"));
        assert!(control.contains("\nInstalled-Size: 2\n"));
        assert!(control.contains("\nDepends: libc6 (>= 2.34), init-system-helpers"));
        assert!(!control.contains("\n\n"), "{control}");
        let description = control.split("Description:").nth(1).unwrap_or_default();
        assert!(
            description.lines().skip(1).all(|line| line.starts_with(' ')),
            "{description}"
        );
    }

    #[test]
    fn a_licence_is_indented_and_its_empty_lines_are_dots() {
        assert_eq!(copyright("a\n@MIT@\nb", "x\n\ny\n"), "a\n x\n .\n y\nb");
    }
}
