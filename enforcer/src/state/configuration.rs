//! The last good configuration: its text and that of every file it referred to, as they were when they were read.
//!
//! A configuration that was mended badly, or an endpoints file that has gone, must not keep a host from being enforced
//! after a reboot. What is parsed then is the same text, so it comes to the same [`Config`](crate::config::Config).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Folders;
use super::file::{self, Defect, WriteError};
use super::form::Format;
use crate::config::{self, Files, Parsed};
use crate::config_file::{self, Folder, LoadError, Stamp, Stamps};

const FORMAT: Format = Format {
    name: "configuration",
    version: 1,
};

/// A configuration and what it referred to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SavedConfiguration {
    /// The path under which it was read.
    #[serde(serialize_with = "write_path", deserialize_with = "read_path")]
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// The text of each file that it referred to, by the path that it wrote.
    pub files: BTreeMap<PathBuf, Arc<str>>,
}

impl SavedConfiguration {
    /// What it comes to: as when it was read.
    #[must_use]
    pub fn parse(&self) -> Parsed {
        config::parse(&self.path, &self.text, self)
    }
}

impl Files for SavedConfiguration {
    fn read(&self, path: &Path, _: u64) -> Result<Arc<str>, String> {
        let text = self.files.get(path).cloned();
        text.ok_or_else(|| "it was not saved with the last good configuration".to_owned())
    }
}

/// Hands files on, and keeps what they said.
struct Recorder<'a> {
    files: &'a dyn Files,
    read: RefCell<BTreeMap<PathBuf, Arc<str>>>,
}

impl Files for Recorder<'_> {
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Arc<str>, String> {
        let text = self.files.read(path, bytes_max)?;
        self.read.borrow_mut().insert(path.to_owned(), Arc::clone(&text));
        Ok(text)
    }
}

/// Parses a configuration, and keeps what it was made of.
#[must_use]
pub fn record(path: &Path, text: String, files: &dyn Files) -> (Parsed, SavedConfiguration) {
    let recorder = Recorder {
        files,
        read: RefCell::default(),
    };
    let parsed = config::parse(path, &text, &recorder);
    let saved = SavedConfiguration {
        path: path.to_owned(),
        text,
        files: recorder.read.into_inner(),
    };
    (parsed, saved)
}

/// What a configuration in force was made of.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// To be saved.
    pub saved: SavedConfiguration,
    /// The files that it refers to, to be looked after.
    pub stamps: Stamps,
}

impl Recorded {
    /// Of a configuration that was saved: its files count as what they are now, whatever was saved of them.
    #[must_use]
    pub fn of_saved(saved: SavedConfiguration) -> Self {
        let folder = saved.path.parent().unwrap_or(Path::new(""));
        let paths = saved.files.keys().map(|path| folder.join(path));
        let stamps = paths.map(|path| (path.clone(), Stamp::of(&path))).collect();
        Self { saved, stamps }
    }
}

/// Reads the configuration at `path`, a regular file, and keeps what it was made of. To be saved when it has no errors.
///
/// # Errors
/// The file itself can not be read.
pub fn read(path: &Path) -> Result<(Parsed, Recorded), LoadError> {
    Ok(read_again(path, config_file::read_regular(path)?))
}

/// As [`read`], with the `text` that was read before: what it refers to is read as it is now.
#[must_use]
pub fn read_again(path: &Path, text: String) -> (Parsed, Recorded) {
    let folder = Folder::of(path);
    let (parsed, saved) = record(path, text, &folder);
    let stamps = folder.into_stamps();
    (parsed, Recorded { saved, stamps })
}

/// The last good configuration; `None` when none was ever saved.
///
/// # Errors
/// It is there and can not be used.
pub fn load(folders: &Folders) -> Result<Option<SavedConfiguration>, Defect> {
    file::load(&folders.state, FORMAT)
}

/// Saves a configuration that came into force.
///
/// # Errors
/// It can not be written; the one from before is as it was.
pub fn save(folder: &Path, configuration: &SavedConfiguration) -> Result<(), WriteError> {
    file::save(folder, FORMAT, configuration).map(drop)
}

/// A path as JSON: a text, or its bytes where it is not UTF-8.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum PathForm {
    Text(String),
    Bytes(Vec<u8>),
}

pub(super) fn write_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    let form = match path.to_str() {
        Some(text) => PathForm::Text(text.to_owned()),
        None => PathForm::Bytes(path.as_os_str().as_bytes().to_vec()),
    };
    form.serialize(serializer)
}

pub(super) fn read_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Ok(match PathForm::deserialize(deserializer)? {
        PathForm::Text(text) => text.into(),
        PathForm::Bytes(bytes) => OsString::from_vec(bytes).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Severity;
    use crate::state::file::ReadError;
    use crate::state::form::FormError;

    const TEXT: &str = "[[registry]]\nendpoints = \"contoso.json\"\n[[allow]]\nname = \"a.example.com\"\n";
    const ENDPOINTS: &str = r#"{
        "loginServer": "contoso.azurecr.io",
        "dataEndpoints": [{"region": "eastus", "endpoint": "contoso.eastus.data.azurecr.io",}],
    }"#;

    fn folders(outer: &tempfile::TempDir) -> Folders {
        Folders {
            state: outer.path().join("state"),
            runtime: outer.path().join("runtime"),
        }
    }

    fn shown(parsed: &Parsed) -> String {
        assert_eq!(parsed.count(Severity::Error), 0, "{:?}", parsed.problems);
        format!("{:?}", parsed.config.as_ref().unwrap())
    }

    #[test]
    fn a_saved_configuration_comes_to_the_same_when_its_files_are_gone() {
        let outer = tempfile::tempdir().unwrap();
        let folders = folders(&outer);
        assert_eq!(load(&folders), Ok(None));
        let path = outer.path().join("enforcer.toml");
        std::fs::write(&path, TEXT).unwrap();
        std::fs::write(outer.path().join("contoso.json"), ENDPOINTS).unwrap();
        let (parsed, recorded) = read(&path).unwrap();
        let recorded = recorded.saved;
        save(&folders.state, &recorded).unwrap();
        std::fs::remove_file(outer.path().join("contoso.json")).unwrap();
        std::fs::write(&path, "garbage").unwrap();

        let saved = load(&folders).unwrap().unwrap();
        assert_eq!(saved, recorded);
        assert_eq!(saved.path, path);
        assert_eq!(saved.files.len(), 1);
        assert!(shown(&parsed).contains("contoso.eastus.data.azurecr.io"));
        assert_eq!(shown(&saved.parse()), shown(&parsed));
    }

    #[test]
    fn a_file_that_was_not_saved_is_an_error_and_not_empty() {
        let saved = SavedConfiguration {
            path: "enforcer.toml".into(),
            text: TEXT.to_owned(),
            files: BTreeMap::new(),
        };
        let parsed = saved.parse();
        assert!(parsed.config.is_none());
        assert!(
            parsed.problems[0].message.contains("was not saved"),
            "{:?}",
            parsed.problems
        );
    }

    #[test]
    fn any_path_is_kept_and_every_flipped_bit_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let folders = folders(&outer);
        let saved = SavedConfiguration {
            path: OsString::from_vec(b"/etc/\xff.toml".to_vec()).into(),
            text: "mode = \"audit\"\n".to_owned(),
            files: [("a \u{e9}.json".into(), "{}".into())].into(),
        };
        save(&folders.state, &saved).unwrap();
        assert_eq!(load(&folders), Ok(Some(saved)));
        let file = folders.state.join("configuration");
        let good = std::fs::read(&file).unwrap();
        for place in 0..good.len() {
            let mut bytes = good.clone();
            bytes[place] ^= 1 << (place % 8);
            std::fs::write(&file, &bytes).unwrap();
            assert!(load(&folders).is_err(), "byte {place}");
        }
        std::fs::write(&file, &good[..good.len() - 1]).unwrap();
        let why = load(&folders).unwrap_err().why;
        assert!(
            matches!(why, ReadError::Form(FormError::Length { .. })),
            "{why:?}"
        );
    }
}
