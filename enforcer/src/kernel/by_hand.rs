//! The kernel's reading of a ClientHello, without a connection: what host and kernel are held against each other with.

use std::os::fd::AsFd as _;

use aya::Ebpf;
use aya::programs::{ProgramFd, SchedClassifier};
use enforcer_common::Reason;
use enforcer_common::abi::hello;
use enforcer_common::flow::Flow;
use enforcer_common::packet::{Address, Segment};

use super::error::KernelError;
use super::mapped::Mapped;
use super::parts::{map_fd, program};
use super::sys;

/// Bytes of a link-layer header, which a test run starts with.
const ETHERNET: u8 = 14;
/// Longest hello that fits a test run, which has one page for the packet and what the kernel puts around it.
pub const LENGTH_MAX: usize = 3_000;

/// What the kernel has read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HelloRead {
    /// A whole ClientHello under this name.
    Whole(Vec<u8>),
    /// A part of one; the name, if it has one by now.
    Part(Option<Vec<u8>>),
    /// None that could be granted.
    Wrong(Reason),
}

/// Runs the parser by hand (`BPF_PROG_TEST_RUN`).
pub struct HelloProbe {
    program: ProgramFd,
    flow: Mapped<Flow>,
}

impl HelloProbe {
    /// Loads the program.
    pub(super) fn load(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        const NAME: &str = "enforcer_hello";
        let refused = |error: aya::programs::ProgramError| KernelError::Load {
            program: NAME,
            source: error.into(),
        };
        let flow = Mapped::new("BY_HAND", map_fd(ebpf, "BY_HAND")?.as_fd(), 1, true)?;
        let classifier: &mut SchedClassifier = program(ebpf, NAME)?;
        classifier.load().map_err(refused)?;
        let program = classifier
            .fd()
            .and_then(|fd| fd.try_clone().map_err(aya::programs::ProgramError::IOError))
            .map_err(refused)?;
        Ok(Self { program, flow })
    }

    /// What the kernel reads in `bytes`, 1 to [`LENGTH_MAX`] of them.
    ///
    /// # Errors
    /// [`KernelError::System`] when the kernel can not run it, or the program gives what no build of it gives.
    pub fn read(&mut self, bytes: &[u8]) -> Result<HelloRead, KernelError> {
        let frame = [&[0; ETHERNET as usize], bytes].concat();
        let failed = |source| KernelError::System {
            action: "reading a hello by hand",
            source,
        };
        let mut flow = Flow::default();
        // The SYN takes the number before the first byte.
        flow.open(&Segment {
            sequence: u32::MAX,
            ..Segment::default()
        });
        let segment = Segment {
            payload: ETHERNET.into(),
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            ..Segment::default()
        };
        flow.note(&segment, 0, Address::default());
        self.flow.write(0, &[flow]);
        let (told, _) = sys::test_run(self.program.as_fd(), &frame, 1).map_err(failed)?;
        let flow = self.flow.read(0, 1).first().copied().unwrap_or_default();
        let name = flow.name.to_array()[..flow.name.length as usize & 0xff].to_vec();
        match told {
            hello::WHOLE => Ok(HelloRead::Whole(name)),
            hello::PART => Ok(HelloRead::Part((!name.is_empty()).then_some(name))),
            told => told
                .checked_sub(hello::WRONG)
                .and_then(|code| Reason::from_code(u8::try_from(code).ok()?))
                .map(HelloRead::Wrong)
                .ok_or_else(|| failed(std::io::ErrorKind::InvalidData.into())),
        }
    }
}
