//! Sessions on the host: streams cut into segments in any way, sent again in any way, come to the same as when they arrive
//! whole, and no foreign name is ever let through to its end. No root.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use enforcer::config::RuleId;
use enforcer::endpoints::{Condition, GrantedName, Scopes};
use enforcer::names::{DomainPattern, NameRule, ServerName};
use enforcer::policy::table::{Grant, HostTables, Table};
use enforcer_common::Reason;
use enforcer_common::bytes::Bytes;
use enforcer_common::flow::{Flow, Stage};
use enforcer_common::greeting::{admit, is_first, take_hello};
use enforcer_common::names::look_up_named;
use enforcer_common::packet::{Address, Segment};
use enforcer_common::session::{Pieces, STEPS_MAX, Step, judge, read, read_pieces};
use enforcer_common::table::{Generation, GrantWord, PolicyWord, Settings, look_up};
use enforcer_common::verdict::Verdict;
use enforcer_lab::hellos::hello::{Extension, Hello};
use proptest::prelude::*;

const GRANTED: &str = "contoso.azurecr.io";
const FOREIGN: &str = "tailspin.azurecr.io";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
/// Change of cipher, and the first record that is encrypted.
const SECOND_FLIGHT: [u8; 17] = [20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 6, 1, 2, 3, 4, 5, 6];

fn grant() -> Grant {
    Grant {
        net: IpAddr::from(ADDRESS).into(),
        rule: RuleId(1),
        condition: Condition::POLICY,
    }
}

fn image() -> &'static Table {
    static IMAGE: LazyLock<Table> = LazyLock::new(|| {
        let granted = |name| GrantedName {
            name,
            scopes: Scopes::from_bits(1),
        };
        let names = [
            granted(NameRule::Name(ServerName::parse(GRANTED).unwrap())),
            granted(NameRule::Pattern(
                DomainPattern::parse("*.data.mcr.microsoft.com").unwrap(),
            )),
        ];
        Table::of(&[grant()], &names).unwrap()
    });
    &IMAGE
}

/// What the kernel keeps in socket storage.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    packet: Vec<u8>,
}

impl Bytes for Kept {
    fn length(&self) -> u32 {
        self.bytes.as_slice().length()
    }
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.bytes.as_slice().read(offset)
    }
}

impl Pieces for Kept {
    fn append(&mut self, have: u32, offset: u32, length: u32) -> bool {
        self.bytes.truncate(have as usize);
        let (start, end) = (offset as usize, (offset + length) as usize);
        match self.packet.get(start..end) {
            Some(more) => {
                self.bytes.extend_from_slice(more);
                true
            }
            None => false,
        }
    }
}

/// The policy in force.
const WORD: PolicyWord = PolicyWord::new(Generation(1), Settings(0));

/// A connection whose SYN has been seen.
struct Connection {
    flow: Flow,
    kept: Kept,
    first: u32,
}

impl Connection {
    fn open(syn: u32) -> Self {
        let mut flow = Flow::default();
        flow.open(&Segment {
            sequence: syn,
            ..Segment::default()
        });
        Self {
            flow,
            kept: Kept::default(),
            first: syn.wrapping_add(1),
        }
    }

    /// Sends the bytes of `stream` from `from` to `to`; the reason for which they are denied.
    fn send(&mut self, stream: &[u8], from: usize, to: usize) -> Option<Reason> {
        let tables = HostTables {
            table: image(),
            settings: WORD.settings(),
            generation: WORD.generation(),
        };
        if self.flow.judged == 1 {
            return None;
        }
        let payload = &stream[from..to];
        let segment = Segment {
            sequence: self.first.wrapping_add(u32::try_from(from).unwrap()),
            length: u32::try_from(payload.len()).unwrap(),
            ..Segment::default()
        };
        self.flow.note(&segment, 0, Address::V4(ADDRESS.to_bits()));
        payload.clone_into(&mut self.kept.packet);
        let found = look_up(&tables, Address::V4(ADDRESS.to_bits()));
        self.flow.note_grant(WORD, found.grant);
        let mut step = match admitted(payload, &self.flow, &tables) {
            Some((flow, step)) => {
                let read = read_and_judged(&self.flow, payload, &tables);
                assert_eq!((kept(&flow), step), (kept(&read.0), read.1));
                self.flow = flow;
                step
            }
            None => Step::Read,
        };
        for _ in 0..STEPS_MAX {
            step = match step {
                Step::Read => read(payload, &mut self.flow, WORD),
                Step::Gather => read_pieces(&mut self.kept, &mut self.flow, WORD),
                Step::Judge => {
                    let mut name = self.flow.name;
                    let answer = look_up_named(&tables, self.flow.destination(), &mut name);
                    let (judgement, next) = judge(&mut self.flow, &answer);
                    if let Verdict::Denied(reason) = judgement.verdict {
                        return Some(reason);
                    }
                    next
                }
                Step::Pass => return None,
            };
        }
        panic!("it takes more steps than the kernel does");
    }
}

/// What becomes of the segment that is noted, by the way that is open to all of them.
fn read_and_judged(flow: &Flow, payload: &[u8], tables: &HostTables<'_>) -> (Flow, Step) {
    let mut flow = *flow;
    assert_eq!(read(payload, &mut flow, WORD), Step::Judge);
    let mut name = flow.name;
    let answer = look_up_named(tables, flow.destination(), &mut name);
    let (judgement, step) = judge(&mut flow, &answer);
    assert_eq!(judgement.verdict, Verdict::Granted);
    assert_eq!(judgement.grant, flow.grant, "it is told of under the same rule");
    (flow, step)
}

/// What becomes of a segment in the fewest steps; `None` where those say nothing.
fn admitted(payload: &[u8], flow: &Flow, tables: &HostTables<'_>) -> Option<(Flow, Step)> {
    let mut flow = *flow;
    if !is_first(&flow) || !take_hello(payload, &mut flow) {
        return None;
    }
    let step = admit(tables, &mut flow)?;
    Some((flow, step))
}

/// A flow without what is put aside on the way, which is nobody's.
fn kept(flow: &Flow) -> (Flow, Vec<u8>) {
    let name = flow.name.to_array()[..flow.name.length as usize].to_vec();
    let mut kept = *flow;
    (kept.name, kept.window) = Default::default();
    (kept, name)
}

/// A connection to [`ADDRESS`] whose first segment is a hello that asks for `name`, under a policy of one name.
fn is_admitted(granted: NameRule, name: &str, noted: PolicyWord, condition: u8) -> bool {
    let granted = GrantedName {
        name: granted,
        scopes: Scopes::from_bits(1),
    };
    let tables = HostTables {
        table: &Table::of(&[grant()], &[granted]).unwrap(),
        settings: WORD.settings(),
        generation: WORD.generation(),
    };
    let bytes = Hello::asking_for(name).bytes();
    let mut flow = Connection::open(7).flow;
    let segment = Segment {
        sequence: 8,
        length: bytes.as_slice().length(),
        ..Segment::default()
    };
    flow.note(&segment, 0, Address::V4(ADDRESS.to_bits()));
    flow.note_grant(noted, GrantWord::new(1, condition).unwrap());
    let admitted = admitted(&bytes, &flow, &tables);
    if let Some((admitted, step)) = &admitted {
        let read = read_and_judged(&flow, &bytes, &tables);
        assert_eq!((kept(admitted), *step), (kept(&read.0), read.1), "{name}");
    }
    admitted.is_some()
}

#[test]
fn a_name_is_admitted_at_once_under_the_policy_that_granted_its_address() {
    const OTHER: PolicyWord = PolicyWord::new(Generation(3), Settings(0));
    let granted = || NameRule::Name(ServerName::parse(GRANTED).unwrap());
    assert!(is_admitted(granted(), GRANTED, WORD, 1));
    assert!(is_admitted(granted(), "Contoso.AzureCR.io", WORD, 1));
    for (name, noted, condition) in [
        (FOREIGN, WORD, 1),
        ("a.contoso.azurecr.io", WORD, 1),
        ("contoso.azurecr.i", WORD, 1),
        (GRANTED, OTHER, 1),
        (GRANTED, PolicyWord(0), 1),
        // Nothing is asked for there, or in no scope that there is.
        (GRANTED, WORD, 0),
        (GRANTED, WORD, 2),
    ] {
        assert!(
            !is_admitted(granted(), name, noted, condition),
            "{name} {noted:?} {condition}"
        );
    }
}

/// A hello with something in front of the name and behind it.
fn hello(name: &str, in_front: usize, behind: usize) -> Vec<u8> {
    let hello = Hello::asking_for(name);
    let unknown = |kind, length| Extension::new(kind, vec![7; length]);
    let mut extensions = vec![unknown(0x1a1a, in_front)];
    extensions.push(Extension::server_name(name));
    extensions.push(unknown(0x2a2a, behind));
    hello.with_extensions(extensions).bytes()
}

/// Sends a stream in segments that end at `cuts`; after some of them, something from before again. The reason of the denial
/// and how many bytes had passed by then.
fn play(
    stream: &[u8],
    syn: u32,
    cuts: &[prop::sample::Index],
    again: &[prop::sample::Index],
) -> (Option<Reason>, usize) {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    ends.dedup();
    let mut connection = Connection::open(syn);
    let mut passed = 0;
    for (number, end) in ends.into_iter().filter(|end| *end > 0).enumerate() {
        if let Some(reason) = connection.send(stream, passed, end) {
            // Sent again it is denied again, also when it is merged with what came before, and for the same reason.
            assert_eq!(connection.send(stream, passed, end), Some(reason));
            return (Some(reason), passed);
        }
        passed = end;
        if let Some(index) = again.get(number) {
            let from = index.index(passed);
            assert_eq!(
                connection.send(stream, from, passed),
                None,
                "what has passed passes again"
            );
        }
    }
    if stream.ends_with(&SECOND_FLIGHT) {
        assert_eq!(connection.flow.stage(), Stage::Settled);
    }
    (None, passed)
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..8)
}

/// What may stand in a policy, and what is not far from it.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c0-9.-]{1,12}",
        "[0-9]{1,3}(\\.[0-9]{1,3}){0,4}",
        "\\.?[a-b]{1,9}\\.[a-b1]{1,9}\\.?"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_admitted_at_once_is_granted(granted in names(), asked in names(), is_same: bool, is_pattern: bool) {
        let Ok(name) = ServerName::parse(&granted) else {
            return Ok(());
        };
        let asked = match (is_same, is_pattern) {
            (false, _) => asked,
            (true, false) => name.to_string(),
            (true, true) => format!(".{name}"),
        };
        let name = if is_pattern { NameRule::Pattern(DomainPattern::below(name)) } else { NameRule::Name(name) };
        let is_admitted = is_admitted(name.clone(), &asked, WORD, 1);
        // As it would be in the configuration: what is read as an address is not granted as a name.
        let is_granted = ServerName::parse(&asked).is_ok_and(|asked| name == NameRule::Name(asked));
        prop_assert!(is_granted || !is_admitted);
    }

    #[test]
    fn a_granted_session_passes_in_any_segments(
        front in 0_usize..300, behind in 0_usize..2_000, syn: u32, cuts in cuts(), again in cuts(), pattern: bool,
    ) {
        let name = if pattern { "eastus.data.mcr.microsoft.com" } else { GRANTED };
        let stream = [hello(name, front, behind), SECOND_FLIGHT.to_vec()].concat();
        prop_assert_eq!(play(&stream, syn, &cuts, &again), (None, stream.len()));
    }

    #[test]
    fn a_foreign_name_never_leaves_in_full(
        front in 0_usize..300, behind in 0_usize..2_000, syn: u32, cuts in cuts(), again in cuts(),
        name in prop::sample::select(vec![FOREIGN, "data.mcr.microsoft.com", "evildata.mcr.microsoft.com", "azurecr.io"]),
    ) {
        let bytes = hello(name, front, behind);
        let at = bytes.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
        let stream = [bytes, SECOND_FLIGHT.to_vec()].concat();
        let (reason, passed) = play(&stream, syn, &cuts, &again);
        prop_assert_eq!(reason, Some(Reason::NameNotGranted));
        prop_assert!(passed < at + name.len(), "{passed} bytes passed, the name ends at {}", at + name.len());
    }

    #[test]
    fn a_second_hello_is_judged_like_the_first(
        syn: u32, cuts in cuts(), again in cuts(), second_is_granted: bool, changes_cipher: bool,
    ) {
        let first = hello(GRANTED, 10, 100);
        let cipher = if changes_cipher { vec![20, 3, 3, 0, 1, 1] } else { Vec::new() };
        let name = if second_is_granted { GRANTED } else { FOREIGN };
        let before = first.len() + cipher.len();
        let second = hello(name, 10, 100);
        let at = before + second.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
        let stream = [first, cipher, second, SECOND_FLIGHT.to_vec()].concat();
        let (reason, passed) = play(&stream, syn, &cuts, &again);
        if second_is_granted {
            prop_assert_eq!((reason, passed), (None, stream.len()));
        } else {
            prop_assert_eq!(reason, Some(Reason::NameNotGranted));
            prop_assert!(passed < at + name.len());
        }
    }
}
