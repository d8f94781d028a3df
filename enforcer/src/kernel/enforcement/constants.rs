//! What is fixed when the programs are loaded.

use enforcer_common::abi::PORTS_MAX;

use super::super::error::KernelError;
use crate::config::Capacity;

/// What the programs hold that does not change after they are loaded.
#[derive(Debug)]
pub(super) struct Constants {
    /// Closed by a zero, which therefore can not be one.
    pub(super) ports: [u16; PORTS_MAX],
    /// Intervals of a half: of IPv4, of IPv6.
    pub(super) capacity: [u32; 2],
}

impl Constants {
    pub(super) fn new(ports: &[u16], capacity: Capacity) -> Result<Self, KernelError> {
        if ports.is_empty() || ports.len() > PORTS_MAX || ports.contains(&0) {
            return Err(KernelError::Ports {
                ports: ports.to_vec(),
                max: PORTS_MAX,
            });
        }
        let mut constants = Self {
            ports: [0; PORTS_MAX],
            capacity: [capacity.ipv4(), capacity.ipv6()],
        };
        for (constant, port) in constants.ports.iter_mut().zip(ports) {
            // As packets have them.
            *constant = port.to_be();
        }
        Ok(constants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_would_not_be_filtered_is_refused() {
        let constants = |ports: &[u16]| Constants::new(ports, Capacity::default()).map(|new| new.ports);
        let full: Vec<u16> = (1..=16).collect();
        assert_eq!(constants(&full).unwrap().map(u16::from_be).as_slice(), full);
        assert_eq!(constants(&[443]).unwrap()[..2], [443_u16.to_be(), 0]);
        for wrong in [vec![], (1..=17).collect(), vec![443, 0, 8443]] {
            assert!(
                matches!(constants(&wrong), Err(KernelError::Ports { ports, .. }) if ports == wrong),
                "{wrong:?}"
            );
        }
    }
}
