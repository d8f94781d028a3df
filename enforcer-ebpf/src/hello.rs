//! Reads a ClientHello by hand (`BPF_PROG_TEST_RUN`): the same code as for a connection, with nothing around it. It is not
//! attached anywhere, and only loaded by who wants to run it, who has noted the segment in the flow.

use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use enforcer_common::abi::hello;
use enforcer_common::flow::Finding;
use enforcer_common::session::{Step, read};
use enforcer_common::table::PolicyWord;

use crate::maps::BY_HAND;
use crate::skb::Skb;

#[classifier]
pub(crate) fn enforcer_hello(program: TcContext) -> i32 {
    let context = program.skb.skb;
    // SAFETY: the element is alive, and nothing else works with it but this program, which is run once at a time.
    let Some(flow) = BY_HAND.get_ptr_mut(0).and_then(|flow| unsafe { flow.as_mut() }) else {
        return -1;
    };
    let told = match read(&Skb { context }, flow, PolicyWord::default()) {
        Step::Gather => hello::PART,
        Step::Read | Step::Pass => return -1,
        Step::Judge => match flow.finding() {
            Finding::Hello => hello::WHOLE,
            Finding::Wrong => hello::WRONG + u32::from(flow.reason),
            Finding::Nothing | Finding::Part => return -1,
        },
    };
    told.cast_signed()
}
