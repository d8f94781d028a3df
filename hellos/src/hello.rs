//! A ClientHello as fields, and as bytes with every length in its place (RFC 8446 sections 4.1.2 and 5.1).
//!
//! What is built from fields has lengths that agree; [`Built::with_length`] then makes one of them lie.

/// One extension: its type and its content, without the length between them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Extension {
    /// Its type, such as 0 for the server name.
    pub kind: u16,
    /// What follows its length.
    pub content: Vec<u8>,
}

impl Extension {
    /// An extension of any type.
    #[must_use]
    pub fn new(kind: u16, content: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            content: content.into(),
        }
    }

    /// A server name extension with one host name.
    #[must_use]
    pub fn server_name(name: impl AsRef<[u8]>) -> Self {
        Self::server_names(&[(0, name.as_ref())])
    }

    /// A server name extension with any entries: a name type (0 is a host name) and a name each.
    #[must_use]
    pub fn server_names(entries: &[(u8, &[u8])]) -> Self {
        let mut list = Vec::new();
        for (kind, name) in entries {
            list.push(*kind);
            list.extend(two(name.len()));
            list.extend_from_slice(name);
        }
        Self::new(kind::SERVER_NAME, [two(list.len()).as_slice(), &list].concat())
    }
}

/// The types of extensions that tests speak of.
pub mod kind {
    /// Server name (RFC 6066 section 3).
    pub const SERVER_NAME: u16 = 0;
    /// Supported groups (RFC 8422 section 5.1.1).
    pub const GROUPS: u16 = 10;
    /// Point formats (RFC 8422 section 5.1.2).
    pub const POINT_FORMATS: u16 = 11;
    /// Signature algorithms (RFC 8446 section 4.2.3).
    pub const SIGNATURES: u16 = 13;
    /// Application protocols (RFC 7301 section 3.1).
    pub const PROTOCOLS: u16 = 16;
    /// Padding (RFC 7685 section 3).
    pub const PADDING: u16 = 21;
    /// Extended master secret (RFC 7627 section 5.1).
    pub const EXTENDED_MASTER_SECRET: u16 = 23;
    /// Pre-shared keys, always the last one (RFC 8446 section 4.2.11).
    pub const PRE_SHARED_KEY: u16 = 41;
    /// Early data (RFC 8446 section 4.2.10).
    pub const EARLY_DATA: u16 = 42;
    /// Supported versions (RFC 8446 section 4.2.1).
    pub const VERSIONS: u16 = 43;
    /// Ways to exchange pre-shared keys (RFC 8446 section 4.2.9).
    pub const PSK_MODES: u16 = 45;
    /// Key shares (RFC 8446 section 4.2.8).
    pub const KEY_SHARE: u16 = 51;
    /// Encrypted ClientHello (RFC 9849 section 5).
    pub const ENCRYPTED_HELLO: u16 = 0xfe0d;
    /// Renegotiation (RFC 5746 section 3.2).
    pub const RENEGOTIATION: u16 = 0xff01;
}

/// A ClientHello.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// The version in the header of the record.
    pub record_version: [u8; 2],
    /// The version in the hello.
    pub version: [u8; 2],
    /// The client's random bytes.
    pub random: [u8; 32],
    /// The session identifier, at most 32 bytes in a good hello.
    pub session_id: Vec<u8>,
    /// The cipher suites.
    pub ciphers: Vec<u16>,
    /// The compression methods.
    pub compressions: Vec<u8>,
    /// The extensions; `None` leaves their whole block away, length and all.
    pub extensions: Option<Vec<Extension>>,
}

impl Hello {
    /// What a TLS 1.3 client sends for `name`: a small one, and good enough for any server.
    #[must_use]
    pub fn asking_for(name: impl AsRef<[u8]>) -> Self {
        let share = [&[0, 36, 0, 29, 0, 32][..], &[0x5a; 32]].concat();
        Self {
            record_version: [3, 1],
            version: [3, 3],
            random: [0xab; 32],
            session_id: vec![0xcd; 32],
            ciphers: vec![0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0x00ff],
            compressions: vec![0],
            extensions: Some(vec![
                Extension::new(kind::EXTENDED_MASTER_SECRET, []),
                Extension::server_name(name),
                Extension::new(kind::GROUPS, [0, 4, 0, 29, 0, 23]),
                Extension::new(kind::POINT_FORMATS, [1, 0]),
                Extension::new(kind::SIGNATURES, [0, 8, 4, 3, 8, 4, 8, 7, 4, 1]),
                Extension::new(kind::PROTOCOLS, *b"\x00\x0c\x02h2\x08http/1.1"),
                Extension::new(kind::VERSIONS, [4, 3, 4, 3, 3]),
                Extension::new(kind::PSK_MODES, [1, 1]),
                Extension::new(kind::KEY_SHARE, share),
            ]),
        }
    }

    /// The same with one more extension, at the end.
    #[must_use]
    pub fn and(mut self, extension: Extension) -> Self {
        self.extensions.get_or_insert_default().push(extension);
        self
    }

    /// The same with other extensions.
    #[must_use]
    pub fn with_extensions(self, extensions: impl Into<Vec<Extension>>) -> Self {
        Self {
            extensions: Some(extensions.into()),
            ..self
        }
    }

    /// The same with another content for its server name extension.
    #[must_use]
    pub fn with_server_name_content(mut self, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        for extension in self.extensions.iter_mut().flatten() {
            if extension.kind == kind::SERVER_NAME {
                extension.content.clone_from(&content);
            }
        }
        self
    }

    /// Its bytes, in one record.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.build().bytes
    }

    /// Its bytes, in one record, with the places of all lengths.
    #[must_use]
    pub fn build(&self) -> Built {
        let mut out = Built::default();
        out.bytes.push(22);
        out.bytes.extend(self.record_version);
        out.vector(Level::Record, 2, |out| {
            out.bytes.push(1);
            out.vector(Level::Handshake, 3, |out| self.body(out));
        });
        out
    }

    fn body(&self, out: &mut Built) {
        out.bytes.extend(self.version);
        out.bytes.extend(self.random);
        out.vector(Level::SessionId, 1, |out| out.bytes.extend(&self.session_id));
        out.vector(Level::Ciphers, 2, |out| {
            out.bytes
                .extend(self.ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()));
        });
        out.vector(Level::Compressions, 1, |out| {
            out.bytes.extend(&self.compressions);
        });
        let Some(extensions) = &self.extensions else {
            return;
        };
        out.vector(Level::Extensions, 2, |out| {
            for (index, extension) in extensions.iter().enumerate() {
                out.bytes.extend(extension.kind.to_be_bytes());
                let start = out.bytes.len() + 2;
                out.vector(Level::Extension(index), 2, |out| {
                    out.bytes.extend(&extension.content);
                });
                if extension.kind == kind::SERVER_NAME && extension.content.len() >= 5 {
                    out.lengths.push((Level::List, start, 2));
                    out.lengths.push((Level::Name, start + 3, 2));
                }
            }
        });
    }

    /// The fields of a hello that is in one record and in order: the reverse of [`Self::bytes`].
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let [22, major, minor] = *take::<3>(&mut rest)? else {
            return None;
        };
        let mut record = vector::<2>(&mut rest)?;
        let [1] = *take::<1>(&mut record)? else {
            return None;
        };
        let mut body = vector::<3>(&mut record)?;
        let mut hello = Self {
            record_version: [major, minor],
            version: *take(&mut body)?,
            random: *take(&mut body)?,
            session_id: vector::<1>(&mut body)?.to_vec(),
            ciphers: vector::<2>(&mut body)?
                .chunks_exact(2)
                .map(|cipher| u16::from_be_bytes([cipher[0], cipher[1]]))
                .collect(),
            compressions: vector::<1>(&mut body)?.to_vec(),
            extensions: None,
        };
        if !body.is_empty() {
            let mut block = vector::<2>(&mut body)?;
            let mut extensions = Vec::new();
            while !block.is_empty() {
                let kind = u16::from_be_bytes(*take(&mut block)?);
                extensions.push(Extension::new(kind, vector::<2>(&mut block)?));
            }
            hello.extensions = Some(extensions);
        }
        (rest.is_empty() && record.is_empty() && body.is_empty()).then_some(hello)
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(first)
}

fn vector<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take::<N>(rest)?
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    let (first, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(first)
}

/// Two bytes of length. A length that needs more is cut, as a client with a fault would do it.
#[expect(clippy::cast_possible_truncation, reason = "cut on purpose")]
const fn two(length: usize) -> [u8; 2] {
    (length as u16).to_be_bytes()
}

/// Whose length it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// The record's.
    Record,
    /// The handshake message's.
    Handshake,
    /// The session identifier's.
    SessionId,
    /// The cipher suites'.
    Ciphers,
    /// The compression methods'.
    Compressions,
    /// That of all extensions together.
    Extensions,
    /// That of the extension with this index.
    Extension(usize),
    /// That of the list in a server name extension.
    List,
    /// That of the first name in it.
    Name,
}

/// The bytes of a hello, and where its lengths are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Built {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Every length: whose it is, its offset, its number of bytes.
    pub lengths: Vec<(Level, usize, usize)>,
}

impl Built {
    /// A vector with a length of `width` bytes before it.
    fn vector(&mut self, level: Level, width: usize, content: impl FnOnce(&mut Self)) {
        let at = self.bytes.len();
        self.lengths.push((level, at, width));
        self.bytes.resize(at + width, 0);
        content(self);
        self.write(at, width, self.bytes.len() - at - width);
    }

    fn write(&mut self, at: usize, width: usize, length: usize) {
        let bytes = length.to_be_bytes();
        self.bytes[at..at + width].copy_from_slice(&bytes[bytes.len() - width..]);
    }

    fn read(&self, at: usize, width: usize) -> usize {
        self.bytes[at..at + width]
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte))
    }

    /// The first length of `level`; 0 when there is none.
    #[must_use]
    pub fn length(&self, level: Level) -> usize {
        self.lengths
            .iter()
            .find(|(of, ..)| *of == level)
            .map_or(0, |(_, at, width)| self.read(*at, *width))
    }

    /// The bytes with the first length of `level` changed; as they are when there is none.
    #[must_use]
    pub fn with_length(&self, level: Level, change: impl FnOnce(usize) -> usize) -> Vec<u8> {
        let mut changed = self.clone();
        if let Some(index) = self.lengths.iter().position(|(of, ..)| *of == level) {
            changed.change_length(index, change);
        }
        changed.bytes
    }

    /// Changes the length at `index` of [`Self::lengths`].
    pub(crate) fn change_length(&mut self, index: usize, change: impl FnOnce(usize) -> usize) {
        let (_, at, width) = self.lengths[index];
        self.write(at, width, change(self.read(at, width)));
    }
}

/// The records of `bytes`, one record, cut again so that each holds the number of content bytes that `sizes` says, and
/// the last one the rest.
#[must_use]
pub fn in_records(bytes: &[u8], sizes: &[usize]) -> Vec<u8> {
    let Some((header, mut content)) = bytes.split_first_chunk::<5>() else {
        return bytes.to_vec();
    };
    let mut out = Vec::new();
    let mut push = |part: &[u8]| {
        out.extend_from_slice(&header[..3]);
        out.extend(two(part.len()));
        out.extend_from_slice(part);
    };
    for size in sizes {
        let (part, rest) = content.split_at((*size).min(content.len()));
        push(part);
        content = rest;
    }
    push(content);
    out
}
