//! The kernel programs of the benchmark, loaded with the policy of an enforcer.

use anyhow::{Context as _, Result};
use aya::programs::CgroupSkb;
use aya::{Ebpf, EbpfLoader};
use enforcer::kernel::direct::DirectMaps;
use enforcer_common::abi::{INTERVALS_V4, INTERVALS_V6, PORTS_MAX, VERSION};
use enforcer_lab::Instance;

/// The programs of the benchmark, as the build script made them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("ENFORCER_BENCH_OBJECT"));

/// The maps that hold the policy: the programs of the benchmark work with those of the enforcer.
const SHARED: [&str; 5] = ["HEADER", "INDEX_V4", "TABLE_V4", "INDEX_V6", "TABLE_V6"];

/// Loads the programs whose names begin with one of these, with the maps that an instance of the enforcer has pinned.
///
/// # Errors
/// When the kernel refuses one.
pub(crate) fn load(instance: &Instance, filtered: &[u16], beginnings: &[&str]) -> Result<Ebpf> {
    let maps = instance.pins().join(format!("abi-{VERSION}"));
    let mut ports = [0; PORTS_MAX];
    for (constant, port) in ports.iter_mut().zip(filtered) {
        *constant = port.to_be();
    }
    let mut loader = EbpfLoader::new();
    for name in SHARED {
        loader.map_pin_path(name, maps.join(name));
    }
    let mut direct = DirectMaps::new(OBJECT, &ports, [INTERVALS_V4, INTERVALS_V6])?;
    let mut ebpf = loader
        .load(direct.object())
        .context("the programs of the benchmark do not load")?;
    direct.resolve(&ebpf)?;
    let names: Vec<_> = ebpf
        .programs()
        .map(|(name, _)| name.to_owned())
        .filter(|name| beginnings.iter().any(|beginning| name.starts_with(beginning)))
        .collect();
    for name in names {
        program(&mut ebpf, &name)?
            .load()
            .with_context(|| format!("the kernel refuses `{name}`"))?;
    }
    Ok(ebpf)
}

/// One of the programs.
///
/// # Errors
/// When there is none of that name.
pub(crate) fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut CgroupSkb> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("there is no program `{name}`"))?;
    Ok(program.try_into()?)
}
