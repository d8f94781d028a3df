//! A policy word by word, as the maps have it: taken out of them, and put back into maps that hold none.
//!
//! Nothing here knows what the words mean, so a table that has come back is the very one that was there. Whoever puts it
//! back sees to it that it is one of the same layout, and still the one that is wanted.

use enforcer_common::table::{PolicyWord, Settings as Bits};

use super::super::enforcement::Settings;
use super::super::error::KernelError;
use super::super::mapped::Windows;
use super::{Generation, Tables};
use crate::config::Capacity;

/// The maps that have two halves.
const TABLES: usize = 5;
/// So many words that are zero end a run: to say where the next one begins takes one.
const GAP: usize = 16;

/// One policy: the half of each table that counts, and the settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    capacity: Capacity,
    settings: Settings,
    /// In the order of [`Tables::words`].
    tables: [Vec<Run>; TABLES],
}

/// Words behind each other. Between runs all are zero.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Run {
    first: u32,
    words: Vec<u64>,
}

/// Bytes that are no image, or of an image that no tables can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("they are no table")]
pub struct ImageError;

impl Image {
    /// What the tables must hold that it is put into.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// What it says beside addresses and names.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// As bytes: numbers of four bytes (settings, the capacity of each family, and for each table how many runs it has and
    /// of each where it begins and how many words it has), and behind each of the last its words; little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let words: usize = self.tables.iter().flatten().map(|run| run.words.len()).sum();
        let mut bytes = Vec::with_capacity(words * 8 + 4096);
        let mut put = |number: u32| bytes.extend_from_slice(&number.to_le_bytes());
        put(self.settings.bits().0);
        put(self.capacity.ipv4());
        put(self.capacity.ipv6());
        for runs in &self.tables {
            bytes.extend_from_slice(&length(runs.len()).to_le_bytes());
            for run in runs {
                bytes.extend_from_slice(&run.first.to_le_bytes());
                bytes.extend_from_slice(&length(run.words.len()).to_le_bytes());
                bytes.extend(run.words.iter().flat_map(|word| word.to_le_bytes()));
            }
        }
        bytes
    }

    /// The reverse of [`Self::to_bytes`].
    ///
    /// # Errors
    /// [`ImageError`]
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ImageError> {
        let mut left = bytes;
        let mut take = || number(&mut left).ok_or(ImageError);
        let settings = Settings::from_bits(Bits(take()?));
        let capacity = Capacity::new(take()?, take()?).ok_or(ImageError)?;
        let mut tables: [Vec<Run>; TABLES] = Default::default();
        for runs in &mut tables {
            let count = number(&mut left).ok_or(ImageError)?;
            for _ in 0..count {
                runs.push(run(&mut left).ok_or(ImageError)?);
            }
        }
        if !left.is_empty() {
            return Err(ImageError);
        }
        Ok(Self {
            capacity,
            settings,
            tables,
        })
    }
}

/// No table has four thousand million of anything.
fn length(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*first))
}

fn run(bytes: &mut &[u8]) -> Option<Run> {
    let first = number(bytes)?;
    let count = number(bytes)? as usize;
    let (words, rest) = bytes.split_at_checked(count.checked_mul(8)?)?;
    *bytes = rest;
    let (words, _) = words.as_chunks();
    Some(Run {
        first,
        words: words.iter().map(|word| u64::from_le_bytes(*word)).collect(),
    })
}

/// The words that are not zero, with those between them where these are few.
fn runs(words: &[u64]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut at = 0;
    while let Some(skipped) = words[at..].iter().position(|word| *word != 0) {
        let first = at + skipped;
        let mut end = first + 1;
        while let Some(more) = words[end..].iter().take(GAP).position(|word| *word != 0) {
            end += more + 1;
        }
        runs.push(Run {
            first: length(first),
            words: words[first..end].to_vec(),
        });
        at = end;
    }
    runs
}

impl Tables {
    /// Both halves of each table.
    fn words(&self) -> Result<[Windows<u64>; TABLES], KernelError> {
        Ok([
            self.index_v4.words()?,
            self.table_v4.words()?,
            self.index_v6.words()?,
            self.table_v6.words()?,
            self.names.words()?,
        ])
    }

    /// The policy in force; `None` before the first. For the process that publishes, and not while it does.
    ///
    /// # Errors
    /// [`KernelError::Map`] when the tables can not be mapped.
    pub(in super::super) fn image(&self) -> Result<Option<Image>, KernelError> {
        let word = self.header.word();
        if word.generation().0 == 0 {
            return Ok(None);
        }
        let half = word.generation().half().index() as usize;
        let mut tables: [Vec<Run>; TABLES] = Default::default();
        for (table, words) in tables.iter_mut().zip(self.words()?) {
            let count = words.count() / 2;
            *table = runs(&words.read(half * count, count)?);
        }
        Ok(Some(Image {
            capacity: self.capacity,
            settings: Settings::from_bits(word.settings()),
            tables,
        }))
    }

    /// Puts a policy into force that was taken out of tables of the same layout. What no publication has ever been in is
    /// zero, and stays so where the image says nothing.
    ///
    /// # Errors
    /// [`KernelError::Map`] when there is a policy already, when the image is for tables of another size, or when they can
    /// not be mapped; then no policy is in force by it.
    pub(in super::super) fn put_back(&mut self, image: &Image) -> Result<Generation, KernelError> {
        let refused = |why: &'static str| KernelError::Map {
            map: "HEADER",
            action: "filled with the policy that was saved",
            source: std::io::Error::other(why),
        };
        if self.generation() != Generation(0) {
            return Err(refused("a policy is in force already"));
        }
        if image.capacity != self.capacity {
            return Err(refused("it is one for tables of another size"));
        }
        let next = Generation(0).max(self.floor).next();
        let half = next.half().index() as usize;
        for (table, mut words) in image.tables.iter().zip(self.words()?) {
            let count = words.count() / 2;
            for run in table {
                let first = run.first as usize;
                if first.saturating_add(run.words.len()) > count {
                    return Err(refused("it is one for tables of another size"));
                }
                words.write(half * count + first, &run.words)?;
            }
        }
        self.header.publish(PolicyWord::new(next, image.settings.bits()));
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;

    fn image() -> Image {
        let mut tables: [Vec<Run>; TABLES] = Default::default();
        tables[0] = runs(&[0, 0, 1, 2, 0, 3]);
        tables[4] = runs(&[u64::MAX]);
        Image {
            capacity: Capacity::default(),
            settings: Settings {
                mode: Mode::Audit,
                ..Settings::default()
            },
            tables,
        }
    }

    #[test]
    fn runs_leave_out_long_rows_of_zeros_and_nothing_else() {
        let mut words = vec![0; 3 * GAP];
        assert_eq!(runs(&words), []);
        for at in [0, 2, 2 + GAP, 3 + 2 * GAP] {
            words[at] = at as u64 + 1;
        }
        let runs = runs(&words);
        let spans: Vec<_> = runs
            .iter()
            .map(|run| (run.first as usize, run.words.len()))
            .collect();
        assert_eq!(spans, [(0, 3 + GAP), (3 + 2 * GAP, 1)]);
        let mut again = vec![0; words.len()];
        for run in runs {
            again[run.first as usize..][..run.words.len()].copy_from_slice(&run.words);
        }
        assert_eq!(again, words);
    }

    #[test]
    fn bytes_say_the_same_and_those_that_are_cut_off_or_added_to_say_nothing() {
        let image = image();
        let bytes = image.to_bytes();
        assert_eq!(Image::from_bytes(&bytes), Ok(image));
        for length in 0..bytes.len() {
            assert_eq!(Image::from_bytes(&bytes[..length]), Err(ImageError), "{length}");
        }
        assert_eq!(Image::from_bytes(&[&bytes[..], &[0]].concat()), Err(ImageError));
        // A run that promises more than there can be.
        let mut bytes = bytes;
        bytes[20..24].fill(0xff);
        assert_eq!(Image::from_bytes(&bytes), Err(ImageError));
    }
}
