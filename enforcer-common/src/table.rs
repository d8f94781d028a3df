//! Address to grant: the flat, double-buffered table, and how to read it while it is being replaced.
//!
//! Per family there is an index by the first 16 bits of the address, and one array of intervals, sorted by their first
//! address, which never cross such a 16-bit block. A block is one [`Index`]: nothing granted, one grant over the whole
//! block, or a run of intervals that is searched by halving. Everything exists twice. The **generation** is one word
//! whose lowest bit selects the half that counts, for both families and the settings together, so that a whole policy
//! changes with one store.
//!
//! The reader takes the generation, looks up, and takes the generation again: when it has moved, the half it read may
//! have been in the writer's hands, and it starts over. The writer only ever writes to the half that the generation
//! does not select, and makes the store of the generation visible before it touches the other half again. A reader
//! thus sees one whole policy, or knows that it did not.

use crate::packet::Address;

/// Intervals of IPv4 that lie together: the run of a block never goes beyond a multiple of this. A program then looks a map
/// up once for a whole search, and a block of IPv4 can not have more.
pub const CHUNK: u32 = 1 << 17;
/// Blocks of an index: one for each value of an address's first 16 bits.
pub const BLOCKS: u32 = 1 << 16;
/// Lookups that may be overtaken by a new generation before the reader gives up.
pub const RETRIES: u32 = 3;
/// The most intervals that a block of IPv4 can have.
const INTERVALS_OF_BLOCK_V4: u32 = 1 << 16;
/// Halvings for IPv6, where a block may hold all of the table: [`INTERVALS_V6_MAX`].
const HALVINGS_V6: u32 = 17;
/// Most intervals that the IPv6 half of a table may have.
pub const INTERVALS_V6_MAX: u32 = 1 << 17;

/// [`Index::count`] of a block that one grant covers as a whole.
pub const WHOLE: u32 = u32::MAX;

/// One block of an index.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Index {
    /// Position of the block's first interval; with [`WHOLE`] the [`GrantWord`] instead.
    pub first: u32,
    /// Number of intervals, 0 when nothing is granted, or [`WHOLE`].
    pub count: u32,
}

/// Granted IPv4 addresses within one block.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct IntervalV4 {
    /// Last 16 bits of the first address.
    pub first: u16,
    /// Last 16 bits of the last address, inclusive.
    pub last: u16,
    /// What is granted.
    pub grant: GrantWord,
}

/// Granted IPv6 addresses within one block.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct IntervalV6 {
    /// First address: its first and its last 64 bits.
    pub first: [u64; 2],
    /// Last address, inclusive.
    pub last: [u64; 2],
    /// What is granted.
    pub grant: GrantWord,
    /// Always zero.
    pub padding: u32,
}

/// A rule and its condition in one word: what lies behind an interval.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(transparent)]
pub struct GrantWord(pub u32);

impl GrantWord {
    /// Highest rule number that fits.
    pub const RULE_MAX: u32 = (1 << 24) - 1;

    /// A grant of `rule`, which must not exceed [`Self::RULE_MAX`], under a condition: 0 for none, or the position of the
    /// scopes of which one must grant the server name (see [`crate::names`]).
    #[must_use]
    pub const fn new(rule: u32, condition: u8) -> Option<Self> {
        if rule > Self::RULE_MAX {
            return None;
        }
        Some(Self(rule | (condition as u32) << 24))
    }

    /// The rule's number.
    #[inline(always)]
    #[must_use]
    pub const fn rule(self) -> u32 {
        self.0 & Self::RULE_MAX
    }

    /// The condition's position; 0 when any server name will do, or none.
    #[inline(always)]
    #[must_use]
    pub const fn condition(self) -> u32 {
        self.0 >> 24
    }
}

/// Counts policies; the lowest bit is the half that is read. 0 means that no policy has been published yet.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The half of every double-buffered array that this generation selects.
    #[inline(always)]
    #[must_use]
    pub const fn half(self) -> Half {
        Half((self.0 & 1) as u32)
    }

    /// The generation after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The one word that puts a policy into force: its generation and its settings.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[repr(transparent)]
pub struct PolicyWord(pub u64);

impl PolicyWord {
    const SETTINGS_BITS: u32 = 8;

    /// Joins a generation and its settings, of which the lowest 8 bits are kept.
    #[must_use]
    pub const fn new(generation: Generation, settings: Settings) -> Self {
        Self(generation.0 << Self::SETTINGS_BITS | settings.0 as u64 & ((1 << Self::SETTINGS_BITS) - 1))
    }

    /// The generation.
    #[inline(always)]
    #[must_use]
    pub const fn generation(self) -> Generation {
        Generation(self.0 >> Self::SETTINGS_BITS)
    }

    /// The same policy in audit mode.
    #[inline(always)]
    #[must_use]
    pub const fn audited(self) -> Self {
        Self(self.0 | Settings::AUDIT as u64)
    }

    /// The settings.
    #[inline(always)]
    #[must_use]
    pub const fn settings(self) -> Settings {
        Settings((self.0 & ((1 << Self::SETTINGS_BITS) - 1)) as u32)
    }
}

/// One of the two halves of a double-buffered array: 0 or 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Half(u32);

impl Half {
    /// The half of this number, of which the lowest bit counts.
    #[inline(always)]
    #[must_use]
    pub const fn of(number: u32) -> Self {
        Self(number & 1)
    }

    /// 0 or 1.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }
}

/// The settings that change together with the addresses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(transparent)]
pub struct Settings(pub u32);

impl Settings {
    /// Denials are reported and let through.
    pub const AUDIT: u32 = 1;
    /// UDP is judged by its address.
    pub const QUIC_ALLOWED: u32 = 2;

    /// Connections whose beginning was not seen are let be.
    pub const EXISTING_ALLOWED: u32 = 4;

    /// Whether denials are let through.
    #[inline(always)]
    #[must_use]
    pub const fn audit(self) -> bool {
        self.0 & Self::AUDIT != 0
    }

    /// Whether connections whose beginning was not seen are let be.
    #[inline(always)]
    #[must_use]
    pub const fn existing_allowed(self) -> bool {
        self.0 & Self::EXISTING_ALLOWED != 0
    }

    /// Whether UDP to a filtered port is judged by its address.
    #[inline(always)]
    #[must_use]
    pub const fn quic_allowed(self) -> bool {
        self.0 & Self::QUIC_ALLOWED != 0
    }
}

/// Access to the arrays, in the kernel through maps, on the host through slices.
pub trait Tables {
    /// Where the policy word is found.
    type Header: Copy;
    /// Where intervals of IPv4 are found.
    type Chunk: Copy;
    /// By how much the next interval there lies behind the one before: 1, or the bytes of one, which saves every turn of a
    /// search a step.
    const STRIDE: u32 = 1;

    /// Finds the policy word, once for a lookup.
    fn header(&self) -> Option<Self::Header>;
    /// Reads the policy word. `after` carries every value that was read before: an implementation makes this read
    /// depend on it, so that a weakly ordered machine (arm64) can not do it earlier. Must not be cached.
    fn word(&self, header: Self::Header, after: u64) -> PolicyWord;
    /// As [`Self::word`] in the fewest steps, whether or not enforcement has ended by itself: for what passes either way.
    #[inline(always)]
    fn word_as_written(&self, after: u64) -> PolicyWord {
        self.header()
            .map_or_else(PolicyWord::default, |header| self.word(header, after))
    }
    /// A block of the IPv4 index of a half.
    fn index_v4(&self, half: Half, block: u32) -> Option<Index>;
    /// Where the [`CHUNK`] of the IPv4 array of a half is found in which a position lies, and that position there.
    fn chunk_v4(&self, half: Half, at: u32) -> Option<(Self::Chunk, u32)>;
    /// The interval at a position there, times [`Self::STRIDE`]; what lies in another chunk is not looked for.
    fn interval_v4(&self, chunk: Self::Chunk, at: u32) -> Option<IntervalV4>;
    /// The first 16 bits of the interval at a position there, as above.
    #[inline(always)]
    fn first_v4(&self, chunk: Self::Chunk, at: u32) -> Option<u16> {
        self.interval_v4(chunk, at).map(|interval| interval.first)
    }
    /// A block of the IPv6 index of a half.
    fn index_v6(&self, half: Half, block: u32) -> Option<Index>;
    /// The first address of an interval of the IPv6 array of a half.
    fn first_v6(&self, half: Half, at: u32) -> Option<[u64; 2]>;
    /// An interval of the IPv6 array of a half.
    fn interval_v6(&self, half: Half, at: u32) -> Option<IntervalV6>;

    /// All ones when the uppermost bit is set, otherwise zero. An implementation may keep it from a compiler that would make
    /// a branch of it.
    #[inline(always)]
    fn spread(&self, value: u64) -> u64 {
        (value.cast_signed() >> 63).cast_unsigned()
    }

    /// The bits of both. An implementation may have it computed here, where a compiler would rather keep what it is computed
    /// from until it is needed.
    #[inline(always)]
    fn either(&self, a: u32, b: u32) -> u32 {
        a | b
    }

    /// Finds an address in a half. An implementation may do it elsewhere, by calling [`find`].
    #[inline(always)]
    fn find(&self, half: Half, address: Address, seen: &mut Seen) -> Lookup {
        find(self, half, address, seen)
    }

    /// As [`Self::find`], in the fewest steps.
    #[inline(always)]
    fn find_fast(&self, half: Half, address: Address, seen: &mut Seen) -> Lookup {
        self.find(half, address, seen)
    }
}

/// 1 when `a` is less than `b`, otherwise 0, without a branch: for the verifier a search then is one path, and the
/// processor has nothing to mispredict. The borrow of `a - b` (Hacker's Delight, section 2-12).
#[inline(always)]
pub(crate) const fn below(a: u64, b: u64) -> u64 {
    ((!a & b) | ((!a | b) & a.wrapping_sub(b))) >> 63
}

/// As [`below`] for numbers of 128 bits in two halves: the borrow out of the low half goes into the high one.
#[inline(always)]
const fn below_wide(a: [u64; 2], b: [u64; 2]) -> u64 {
    let [a_high, a_low] = a;
    let [b_high, b_low] = b;
    let difference = a_high.wrapping_sub(b_high).wrapping_sub(below(a_low, b_low));
    ((!a_high & b_high) | ((!a_high | b_high) & difference)) >> 63
}

/// `step` when `condition` is 1, 0 when it is 0.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "0 or all ones")]
pub(crate) const fn step_if(condition: u64, step: u32) -> u32 {
    step & (condition.wrapping_neg() as u32)
}

/// `step` where `mask` is all ones, 0 where it is zero.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "0 or all ones")]
const fn masked(step: u32, mask: u64) -> u32 {
    step & mask as u32
}

/// What one lookup found. Without a payload, here and below: on the way through the compiler a payload that is not there
/// becomes a register without a value, which the verifier does not let a program even move.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found {
    /// The address is granted.
    Granted,
    /// It is not.
    NotGranted,
    /// No policy has been published.
    NoPolicy,
    /// The policy changed during each of [`RETRIES`] lookups.
    Changing,
    /// A position that the table itself named does not exist.
    Damaged,
}

/// What a lookup found, and in which policy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer {
    /// What was found.
    pub found: Found,
    /// What grants the address; zero when nothing does.
    pub grant: GrantWord,
    /// The settings of that policy; of the last one that was seen with [`Found::Changing`].
    pub settings: Settings,
    /// That policy.
    pub generation: Generation,
}

/// Looks an address up in the policy that is in force.
///
/// Never answers from a mixture of two policies: see the head of this file.
#[inline(always)]
pub fn look_up<T: Tables>(tables: &T, address: Address) -> Answer {
    look_up_with(tables, address, |_, _, _| true).0
}

/// As [`look_up`], with what `more` finds out in the same policy when the address is granted; `false` when it is not.
/// `more` notes every value that it takes from a table.
#[inline(always)]
pub(crate) fn look_up_with<T: Tables>(
    tables: &T,
    address: Address,
    mut more: impl FnMut(Half, GrantWord, &mut Seen) -> bool,
) -> (Answer, bool) {
    let mut answer = Answer {
        found: Found::Damaged,
        grant: GrantWord::default(),
        settings: Settings::default(),
        generation: Generation::default(),
    };
    let Some(header) = tables.header() else {
        return (answer, false);
    };
    let mut word = tables.word(header, 0);
    for _ in 0..RETRIES {
        answer.generation = word.generation();
        answer.settings = word.settings();
        if answer.generation.0 == 0 {
            answer.found = Found::NoPolicy;
            return (answer, false);
        }
        let half = answer.generation.half();
        let mut seen = Seen(word.0);
        let lookup = tables.find(half, address, &mut seen);
        let and_more = lookup.is_granted() && more(half, lookup.grant(), &mut seen);
        let again = tables.word(header, seen.0);
        if again == word {
            answer.grant = lookup.grant();
            answer.found = if lookup.is_damaged() {
                Found::Damaged
            } else if lookup.is_granted() {
                Found::Granted
            } else {
                Found::NotGranted
            };
            return (answer, and_more);
        }
        word = again;
    }
    answer.found = Found::Changing;
    (answer, false)
}

/// What grants an address in the policy that is in force, and that policy's word.
/// `None` says nothing: it may be granted all the same, when a new policy has overtaken this look-up.
#[inline(always)]
pub(crate) fn find_once<T: Tables>(tables: &T, address: Address) -> Option<(PolicyWord, GrantWord)> {
    let word = tables.word_as_written(0);
    if word.generation().0 == 0 {
        return None;
    }
    let mut seen = Seen(word.0);
    let lookup = tables.find_fast(word.generation().half(), address, &mut seen);
    if !lookup.is_granted() || tables.word_as_written(seen.0) != word {
        return None;
    }
    Some((word, lookup.grant()))
}

/// What [`find`] found, in one word, as it comes out of a function of the kernel program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct Lookup(pub u64);

impl Lookup {
    const GRANTED: u64 = 1 << 32;
    const DAMAGED: u64 = 1 << 33;

    /// The address is not granted.
    pub const NOT_GRANTED: Self = Self(0);
    /// The table contradicts itself.
    pub const CONTRADICTION: Self = Self(Self::DAMAGED);

    /// The address is granted.
    #[inline(always)]
    #[must_use]
    pub const fn granted(grant: GrantWord) -> Self {
        Self(Self::GRANTED | grant.0 as u64)
    }

    /// Whether the address is granted.
    #[inline(always)]
    #[must_use]
    pub const fn is_granted(self) -> bool {
        self.0 & Self::GRANTED != 0
    }

    /// Whether the table contradicts itself.
    #[inline(always)]
    #[must_use]
    pub const fn is_damaged(self) -> bool {
        self.0 & Self::DAMAGED != 0
    }

    /// What grants the address; zero when nothing does.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the grant")]
    pub const fn grant(self) -> GrantWord {
        GrantWord(self.0 as u32)
    }
}

/// Finds an address in a half of the table.
#[inline(always)]
pub fn find<T: Tables + ?Sized>(tables: &T, half: Half, address: Address, seen: &mut Seen) -> Lookup {
    let found = match address {
        Address::V4(address) => return find_v4(tables, half, address, seen),
        Address::V6(high, low) => find_v6(tables, half, [high, low], seen),
    };
    match found {
        Some(Some(grant)) => Lookup::granted(grant),
        Some(None) => Lookup::NOT_GRANTED,
        None => Lookup::CONTRADICTION,
    }
}

/// Everything that a lookup has read, so that the read which must come last can depend on it.
#[derive(Default)]
pub struct Seen(pub u64);

impl Seen {
    /// One more value that was read.
    #[inline(always)]
    pub fn note(&mut self, value: u64) {
        self.0 |= value;
    }
}

#[inline(always)]
fn find_v4<T: Tables + ?Sized>(tables: &T, half: Half, address: u32, seen: &mut Seen) -> Lookup {
    find_v4_in(tables, half, address, seen, |at| tables.chunk_v4(half, at))
}

/// Finds an IPv4 address in a half of the table; `chunk` finds, as [`Tables::chunk_v4`] does, where the intervals of its
/// block are.
#[inline(always)]
pub fn find_v4_in<T: Tables + ?Sized>(
    tables: &T,
    half: Half,
    address: u32,
    seen: &mut Seen,
    chunk: impl FnOnce(u32) -> Option<(T::Chunk, u32)>,
) -> Lookup {
    let Some(Index { first, mut count }) = tables.index_v4(half, address >> 16) else {
        return Lookup::CONTRADICTION;
    };
    seen.note(u64::from(first | count));
    // Most blocks have one interval or few: the rest is asked for behind them.
    if count > 1 {
        if count > INTERVALS_OF_BLOCK_V4 {
            return if count == WHOLE {
                Lookup::granted(GrantWord(first))
            } else {
                Lookup::CONTRADICTION
            };
        }
    } else if count == 0 {
        return Lookup::NOT_GRANTED;
    }
    let Some((chunk, at)) = chunk(first) else {
        return Lookup::CONTRADICTION;
    };
    // Each turn waits for the one before: what has not to be done in it is done here.
    let mut base = at.wrapping_mul(T::STRIDE);
    let key = address & 0xffff;
    // The verifier sees that this ends: what is known of the most that there can be gets halved as well.
    while count > 1 {
        let step = (count >> 1).wrapping_mul(T::STRIDE);
        let Some(first) = tables.first_v4(chunk, base.wrapping_add(step)) else {
            return Lookup::CONTRADICTION;
        };
        seen.note(first.into());
        // Numbers of 16 bits: the difference is negative when it starts at the key or before.
        let starts = tables.spread(u64::from(first).wrapping_sub(u64::from(key) + 1));
        base = base.wrapping_add(masked(step, starts));
        count = (count + 1) >> 1;
    }
    let Some(last) = tables.interval_v4(chunk, base) else {
        return Lookup::CONTRADICTION;
    };
    seen.note(u64::from(last.grant.0));
    // Not below the first and not above the last, by one comparison.
    if key.wrapping_sub(last.first.into()) <= u32::from(last.last).wrapping_sub(last.first.into()) {
        Lookup::granted(last.grant)
    } else {
        Lookup::NOT_GRANTED
    }
}

/// `None`: the table is damaged. `Some(None)`: not granted.
#[inline(always)]
fn find_v6<T: Tables + ?Sized>(
    tables: &T,
    half: Half,
    address: [u64; 2],
    seen: &mut Seen,
) -> Option<Option<GrantWord>> {
    let index = tables.index_v6(half, (address[0] >> 48) as u32)?;
    seen.note(u64::from(index.first | index.count));
    if index.count == 0 {
        return Some(None);
    }
    if index.count == WHOLE {
        return Some(Some(GrantWord(index.first)));
    }
    let mut base = index.first;
    let mut count = index.count;
    for _ in 0..HALVINGS_V6 {
        if count <= 1 {
            break;
        }
        let step = count >> 1;
        let first = tables.first_v6(half, base.wrapping_add(step))?;
        seen.note(first[0] | first[1]);
        let starts = 1 ^ below_wide(address, first);
        base = base.wrapping_add(step_if(starts, step));
        count -= step;
    }
    let last = tables.interval_v6(half, base)?;
    // Five loads, each of which must come before the last read of the policy word.
    seen.note(last.first[0] | last.first[1] | last.last[0] | last.last[1] | u64::from(last.grant.0));
    let outside = below_wide(address, last.first) | below_wide(last.last, address);
    Some(if outside == 0 { Some(last.grant) } else { None })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn comparing_without_a_branch_is_comparing(a: u128, b: u128, same_high: bool) {
            let b = if same_high { (a >> 64 << 64) | (b & u128::from(u64::MAX)) } else { b };
            #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
            let halves = |wide: u128| [(wide >> 64) as u64, wide as u64];
            prop_assert_eq!(below_wide(halves(a), halves(b)), u64::from(a < b));
            prop_assert_eq!(below_wide(halves(a), halves(a)), 0);
            let (a, b) = (halves(a)[1], halves(b)[1]);
            prop_assert_eq!(below(a, b), u64::from(a < b));
            prop_assert_eq!(below(a, a), 0);
        }
    }
}
