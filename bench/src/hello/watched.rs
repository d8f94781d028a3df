//! Cgroups with an egress program on each, and a client in each: the enforcer, and the simplest programs in its place.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::Array;
use enforcer_lab::{Cgroup, Instance, Namespace};

use super::asked::{Asked, NAME};
use super::host::{PORT, at};
use crate::helper::Helper;
use crate::{object, raw};

/// Whose program it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum By {
    /// The enforcer's.
    Enforcer,
    /// The least that a check can be: `bench/programs/src/hellos.rs`.
    Floor,
    /// What calls a check, and nothing of it: that it was checked is noted.
    Call,
    /// The least with what a check owes.
    Owed,
    /// The empty one: what the kernel takes to keep its statistics.
    Empty,
}

impl By {
    /// All of them; the enforcer first.
    pub(super) const ALL: [Self; 5] = [Self::Enforcer, Self::Floor, Self::Call, Self::Owed, Self::Empty];

    /// The benchmark's program, if it is one of those.
    pub(super) const fn program(self) -> Option<&'static str> {
        match self {
            Self::Enforcer => None,
            Self::Floor => Some("bench_hello_entry"),
            Self::Call => Some("bench_hello_entry_nothing"),
            Self::Owed => Some("bench_hello_entry_owed"),
            Self::Empty => Some("bench_empty"),
        }
    }
}

/// What a connection sends behind its hello.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Behind {
    Nothing,
    Record,
}

/// Connections that are made one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connections {
    pub(super) to: Ipv4Addr,
    pub(super) count: u32,
    pub(super) behind: Behind,
    /// What they ask for, of how many names of that kind, and at which of them they begin.
    pub(super) asked: Asked,
    pub(super) of: u32,
    pub(super) first: u32,
}

impl Connections {
    /// With the name that most ask for.
    pub(super) const fn new(to: Ipv4Addr, count: u32, behind: Behind) -> Self {
        Self {
            to,
            count,
            behind,
            asked: Asked::One,
            of: 1,
            first: 0,
        }
    }
}

/// A cgroup with a program on it. What is dropped first comes first.
pub(super) struct Watched {
    client: Helper,
    program: OwnedFd,
    _link: Option<OwnedFd>,
    _cgroup: Option<Cgroup>,
}

/// Runs of a program, and the time of all of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Runs {
    count: u64,
    time: Duration,
}

impl Runs {
    /// All of the time.
    #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
    pub(super) fn nanoseconds(self) -> f64 {
        self.time.as_nanos() as f64
    }

    /// The time of one run.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(super) fn each(self) -> f64 {
        self.nanoseconds() / self.count.max(1) as f64
    }
}

impl Watched {
    /// With the first egress program that is on a cgroup already.
    pub(super) fn by_what_is_there(host: &Namespace, cgroup: &Cgroup) -> Result<Self> {
        let folder = open(cgroup)?;
        let program = raw::egress_program(folder.as_fd()).context("the attached program cannot be found")?;
        Ok(Self {
            client: Helper::start(&["connect"], host, cgroup)?,
            program,
            _link: None,
            _cgroup: None,
        })
    }

    /// The runs while these were made. Statistics must be kept.
    pub(super) fn connections(&mut self, made: &Connections) -> Result<Runs> {
        let Connections {
            to,
            count,
            behind,
            asked,
            of,
            first,
        } = *made;
        let records = u32::from(behind == Behind::Record);
        self.call(&format!(
            "connect {} {count} {records} {} {first} {of}",
            at(to),
            asked.word()
        ))
    }

    /// Opens a connection, which stays open.
    pub(super) fn open(&mut self, to: Ipv4Addr) -> Result<()> {
        self.client.call(&format!("open {}", at(to))).map(drop)
    }

    /// The runs while it sends for so long on its open connection. Statistics must be kept.
    pub(super) fn send(&mut self, milliseconds: u32) -> Result<Runs> {
        self.call(&format!("send {milliseconds}"))
    }

    fn call(&mut self, line: &str) -> Result<Runs> {
        let runs = |watched: &Self| {
            raw::run_time(watched.program.as_fd()).context("the kernel does not tell how long a program ran")
        };
        let (count, time) = runs(self)?;
        self.client.call(line)?;
        let (count_after, time_after) = runs(self)?;
        Ok(Runs {
            count: count_after - count,
            time: time_after.saturating_sub(time),
        })
    }
}

/// The programs of the benchmark, loaded.
pub(super) struct Floors {
    ebpf: Ebpf,
}

impl Floors {
    /// Loads them with the policy of an instance.
    pub(super) fn load(instance: &Instance) -> Result<Self> {
        let mut ebpf = object::load(instance, &[PORT], &["bench_hello", "bench_empty"])?;
        let map = ebpf
            .map_mut("HELLO_NAMES")
            .context("there is no map `HELLO_NAMES`")?;
        let mut names: Array<_, u64> = Array::try_from(map)?;
        names.set(0, 1, 0)?;
        names.set(1, hash(NAME), 0)?;
        let map = ebpf
            .map_mut("HELLO_TEXTS")
            .context("there is no map `HELLO_TEXTS`")?;
        let mut texts: Array<_, [u64; 32]> = Array::try_from(map)?;
        let mut text = [0; 32];
        text.iter_mut().zip(words(NAME)).for_each(|(to, word)| *to = word);
        texts.set(1, text, 0)?;
        Ok(Self { ebpf })
    }

    /// Puts one on a cgroup of its own.
    pub(super) fn watch(&mut self, host: &Namespace, program: &str) -> Result<Watched> {
        let program = object::program(&mut self.ebpf, program)?.fd()?;
        let program = program.as_fd().try_clone_to_owned()?;
        let cgroup = Cgroup::new("hello-floor")?;
        let link = raw::attach(program.as_fd(), raw::EGRESS, open(&cgroup)?.as_fd());
        Ok(Watched {
            client: Helper::start(&["connect"], host, &cgroup)?,
            program,
            _link: Some(link.context("a program of the benchmark cannot be attached")?),
            _cgroup: Some(cgroup),
        })
    }
}

/// The folder of a cgroup.
pub(super) fn open(cgroup: &Cgroup) -> Result<File> {
    File::open(cgroup.path()).context("the cgroup cannot be opened")
}

/// A name as the programs have it.
fn words(name: &str) -> impl Iterator<Item = u64> {
    name.as_bytes().chunks(8).map(|part| {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        u64::from_le_bytes(word)
    })
}

/// As the programs hash it.
fn hash(name: &str) -> u64 {
    words(name).fold(0, |hash: u64, word| {
        (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}
