//! ClientHellos and what must be read in each: good ones of every shape, and one for every way to be wrong.
//!
//! The parser is held against this list on the host, and the kernel's program on a real connection.

mod beginnings;
mod extensions;
mod good;
mod lengths;
mod names;
mod records;

use enforcer_common::Reason;
use enforcer_common::client_hello::{HELLO_MAX, RECORD_HEADER};

pub use self::good::post_quantum;
use crate::hello::{Extension, Hello, kind};

/// Most bytes of a record that are looked at.
const RECORD_MAX: u32 = HELLO_MAX - RECORD_HEADER;

/// The name that most of them ask for.
pub const NAME: &str = "contoso.azurecr.io";

/// What must be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Expected {
    /// A whole hello that asks for this name.
    Name(Vec<u8>),
    /// A whole hello that asks for this name, which is none that may be granted, for this reason.
    BadName(Vec<u8>, Reason),
    /// The beginning of a hello, with the name when that can be read already.
    Part(Option<Vec<u8>>),
    /// None that is let through under any name.
    Wrong(Reason),
}

/// Some first bytes of a connection, and what must be read in them.
#[derive(Clone, Debug)]
pub struct Vector {
    /// What it shows.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What must be read.
    pub expected: Expected,
}

/// The list while it is written.
struct List(Vec<Vector>);

impl List {
    fn add(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>, expected: Expected) {
        self.0.push(Vector {
            name: name.into(),
            bytes: bytes.into(),
            expected,
        });
    }

    fn reads(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.add(name, bytes, Expected::Name(NAME.into()));
    }

    fn wrong(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>, reason: Reason) {
        self.add(name, bytes, Expected::Wrong(reason));
    }
}

/// Every vector.
#[must_use]
pub fn vectors() -> Vec<Vector> {
    let mut list = List(Vec::new());
    good::vectors(&mut list);
    names::names(&mut list);
    names::extensions(&mut list);
    extensions::vectors(&mut list);
    lengths::lengths(&mut list);
    lengths::out_of_range(&mut list);
    records::records(&mut list);
    records::other_protocols(&mut list);
    beginnings::lies(&mut list);
    beginnings::parts(&mut list);
    list.0
}

fn hello() -> Hello {
    Hello::asking_for(NAME)
}

/// A hello with the server name alone.
fn bare() -> Hello {
    hello().with_extensions([Extension::server_name(NAME)])
}

/// A hello with this many extensions, the server name among them.
fn many(extensions: usize) -> Hello {
    let empty = (1..).map(|number: u16| Extension::new(0x4000 + number, []));
    let all: Vec<_> = [Extension::server_name(NAME)]
        .into_iter()
        .chain(empty)
        .take(extensions)
        .collect();
    hello().with_extensions(all)
}

/// A hello whose record has this many bytes of content.
fn long(content: usize) -> Hello {
    let padded = |length| hello().and(Extension::new(kind::PADDING, vec![0; length]));
    let without = padded(0).bytes().len() - 5;
    padded(content - without)
}
