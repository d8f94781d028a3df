//! Saves that tell their number everywhere, in sizes that go up and down.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};
use enforcer::names::ServerName;
use enforcer::resolve::saved::{SavedAddress, SavedAge, SavedFamily, SavedName};
use enforcer::resolve::{DnsName, SavedAnswers};
use enforcer::state::answers::Save;
use enforcer::state::{Moment, SavedConfiguration};

/// Names of a save: up to some 20 KiB of them.
fn names(number: u32) -> u32 {
    1 + number.wrapping_mul(7919) % 60
}

/// The save of this number.
///
/// # Panics
/// Never: the names are valid.
#[must_use]
pub fn save(number: u32, moment: Moment) -> Save {
    let family = || SavedFamily {
        age: Some(SavedAge {
            ms: 0,
            is_lower_bound: false,
        }),
        chain: vec![DnsName::new(&format!("end{number}.test"))],
        addresses: vec![SavedAddress {
            address: Ipv4Addr::from(number).into(),
            ttl_left_ms: 0,
            grace_left_ms: None,
        }],
    };
    let name = |place: u32| SavedName {
        name: ServerName::parse(&format!("n{place}.test")).expect("a valid name"),
        v4: family(),
        v6: family(),
    };
    Save {
        number: number.into(),
        moment,
        answers: SavedAnswers {
            names: (0..names(number)).map(name).collect(),
        },
    }
}

/// The configuration of this number.
#[must_use]
pub fn configuration(number: u32) -> SavedConfiguration {
    SavedConfiguration {
        path: format!("{number}.toml").into(),
        text: format!("# {number}\n").repeat(names(number) as usize * 20),
        files: [("a.json".into(), number.to_string().into())].into(),
    }
}

/// The number of a save that was read.
///
/// # Errors
/// It is not whole.
pub fn number(answers: &SavedAnswers) -> Result<u32> {
    let number = match answers.names.first().and_then(|name| name.v4.addresses.first()) {
        Some(SavedAddress {
            address: IpAddr::V4(address),
            ..
        }) => u32::from(*address),
        _ => 0,
    };
    ensure!(
        answers.names.len() == names(number) as usize,
        "save {number} has {} names",
        answers.names.len()
    );
    let end = DnsName::new(&format!("end{number}.test"));
    for family in answers.names.iter().flat_map(|name| [&name.v4, &name.v6]) {
        ensure!(
            family.chain == [end.clone()],
            "save {number} is mixed: {family:?}"
        );
    }
    Ok(number)
}
