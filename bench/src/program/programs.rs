//! The programs that are run, loaded, and one run of each.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::maps::{Array, HashMap, LpmTrie, lpm_trie};
use aya::programs::{TestRun as _, TestRunOptions};
use enforcer::config::Capacity;
use enforcer::kernel::{Enforcement, Pins, Settings};
use enforcer::policy::table::Table;
use enforcer_lab::Instance;
use rustix::time::{ClockId, clock_gettime};

use super::drawn::Drawn;
use crate::{object, raw};

/// The filtered ports.
pub(super) const PORTS: [u16; 1] = [443];

/// What the names of the benchmark's programs begin with that are run here.
const PROGRAMS: [&str; 6] = [
    "bench_empty",
    "bench_hash",
    "bench_trie",
    "bench_next",
    "bench_enforcer",
    "bench_floor",
];

/// The programs over one set of prefixes.
pub(super) struct Programs {
    ebpf: Ebpf,
    enforcement: Enforcement,
    _instance: Instance,
}

/// Which one is run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Program {
    /// The enforcer's, as it is attached.
    Enforcer,
    /// One of the benchmark's.
    Bench(&'static str),
}

impl Programs {
    /// Loads them, and puts the same into every kind of table.
    pub(super) fn new(drawn: &Drawn) -> Result<Self> {
        let instance = Instance::new("bench")?;
        let pins = Arc::new(Pins::open(instance.name())?);
        let (mut enforcement, _) = Enforcement::load_pinned(&PORTS, Capacity::default(), &pins)?;
        let table = Table::of(&drawn.grants(), &[])?;
        enforcement.publish(&table, Settings::default());
        let mut ebpf = object::load(&instance, &PORTS, &PROGRAMS)?;
        fill(&mut ebpf, drawn)?;
        Ok(Self {
            ebpf,
            enforcement,
            _instance: instance,
        })
    }

    /// Runs a program `count` times over a frame; the nanoseconds that one run took, and whether the packet passed.
    ///
    /// The thread's own processor time, and not the time that went by: others use the machine as well. The kernel's own
    /// figure is of whole nanoseconds, which is too coarse here.
    pub(super) fn run(&mut self, program: Program, frame: &[u8], count: u32) -> Result<(f64, bool)> {
        let begin = thread_time();
        let passed = match program {
            Program::Enforcer => self.enforcement.probe()?.repeat(frame, count)?.0,
            Program::Bench(name) => {
                let mut options = TestRunOptions::new();
                options.data_in = Some(frame);
                options.repeat = count;
                object::program(&mut self.ebpf, name)?
                    .test_run(options)?
                    .return_value
                    == 1
            }
        };
        let took = thread_time().saturating_sub(begin);
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let each = took.as_nanos() as f64 / f64::from(count);
        Ok((each, passed))
    }

    /// Runs of the empty program that the kernel has counted.
    pub(super) fn counted(&mut self) -> Result<u64> {
        let empty = object::program(&mut self.ebpf, "bench_empty")?.fd()?.as_fd();
        Ok(raw::run_time(empty)?.0)
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Fills what is compared with: the trie with the prefixes, the hash with the addresses that are asked for, and the lists.
fn fill(ebpf: &mut Ebpf, drawn: &Drawn) -> Result<()> {
    let missing = |name| format!("there is no map `{name}`");
    let mut trie: LpmTrie<_, u32, u32> =
        LpmTrie::try_from(ebpf.map_mut("TRIE").with_context(|| missing("TRIE"))?)?;
    for net in &drawn.v4 {
        let key = lpm_trie::Key::new(net.prefix_len().into(), net.addr().to_bits().to_be());
        trie.insert(&key, 1, 0)?;
    }
    let mut hash: HashMap<_, u32, u32> =
        HashMap::try_from(ebpf.map_mut("HASH").with_context(|| missing("HASH"))?)?;
    for key in &drawn.asked {
        hash.insert(key.to_bits().to_be(), 1, 0)?;
    }
    let mut keys: Array<_, u32> =
        Array::try_from(ebpf.map_mut("KEYS_V4").with_context(|| missing("KEYS_V4"))?)?;
    for (at, key) in (0..).zip(&drawn.keys_v4) {
        keys.set(at, key.to_bits(), 0)?;
    }
    let mut keys: Array<_, [u64; 2]> =
        Array::try_from(ebpf.map_mut("KEYS_V6").with_context(|| missing("KEYS_V6"))?)?;
    for (at, key) in (0..).zip(&drawn.keys_v6) {
        let bits = key.to_bits();
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        keys.set(at, [(bits >> 64) as u64, bits as u64], 0)?;
    }
    let entries = keys.len();
    if entries as usize != drawn.keys_v6.len() {
        bail!(
            "the list of destinations has {entries} entries, and not {}",
            drawn.keys_v6.len()
        );
    }
    Ok(())
}
