use std::fs;

use super::*;
use crate::resolve::SavedAnswers;
use crate::state::answers::Save;
use crate::state::clock::tests::moment;
use crate::state::configuration;
use crate::state::file::ReadError;

const TEXT: &str = "[[registry]]\nendpoints = \"contoso.json\"\n";
const IMAGE: &[u8] = b"the words of a table";

/// What somebody does to a host, in words and in deed.
type Change = (&'static str, fn(&Host));

/// A configuration in force, and what is saved of it and of the answers.
struct Host {
    outer: tempfile::TempDir,
    folders: Folders,
}

impl Host {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let folders = Folders {
            state: outer.path().join("state"),
            runtime: outer.path().join("runtime"),
        };
        let host = Self { outer, folders };
        fs::write(host.config(), TEXT).unwrap();
        fs::write(host.config().with_file_name("contoso.json"), "{}").unwrap();
        let configuration = SavedConfiguration {
            path: host.config(),
            text: TEXT.to_owned(),
            files: [("contoso.json".into(), "{}".into())].into(),
        };
        configuration::save(&host.folders.state, &configuration).unwrap();
        host.answer(1);
        host
    }

    fn config(&self) -> PathBuf {
        self.outer.path().join("enforcer.toml")
    }

    fn table(&self) -> PathBuf {
        self.folders.state.join("table")
    }

    /// Saves answers in both folders.
    fn answer(&self, number: u64) {
        for folder in [&self.folders.state, &self.folders.runtime] {
            Self::answer_in(folder, number);
        }
    }

    fn answer_in(folder: &Path, number: u64) {
        let save = Save {
            number,
            moment: moment('a', 1),
            answers: SavedAnswers::default(),
        };
        answers::save(folder, &save).unwrap();
    }

    fn save(&self, left: Option<Duration>) -> Result<(), KeepError> {
        save(
            &self.folders,
            (&self.config(), TEXT),
            scope(),
            (Moment::now(), left),
            IMAGE,
        )
    }

    fn load_at(&self, now: &Moment) -> Result<Option<SavedTable>, Unusable> {
        load(&self.folders, &self.config(), now)
    }

    fn load(&self) -> Result<Option<SavedTable>, Unusable> {
        self.load_at(&Moment::now())
    }

    fn saved() -> Self {
        let host = Self::new();
        host.save(None).unwrap();
        host
    }
}

fn scope() -> Scope {
    Scope {
        ports: vec![443, 8443],
        cgroup: Some("/sys/fs/cgroup/build".into()),
    }
}

fn whole() -> Result<Option<SavedTable>, Unusable> {
    Ok(Some(SavedTable {
        scope: scope(),
        image: IMAGE.to_vec(),
    }))
}

#[test]
fn what_nothing_has_changed_about_is_put_back() {
    let host = Host::new();
    assert_eq!(host.load(), Ok(None), "nothing was saved");
    host.save(None).unwrap();
    assert_eq!(host.load(), whole());
    assert_eq!(host.load(), whole(), "reading it changes nothing");
    // After a reboot.
    fs::remove_dir_all(&host.folders.runtime).unwrap();
    assert_eq!(host.load(), whole());
    assert_eq!(host.load_at(&moment('b', 1)), whole());
    remove(&host.folders).unwrap();
    assert_eq!(host.load(), Ok(None));
}

#[test]
fn another_configuration_has_no_table() {
    let changes: [Change; 7] = [
        ("its text", |host| {
            fs::write(host.config(), format!("{TEXT}\n")).unwrap()
        }),
        ("a file of it", |host| {
            fs::write(host.config().with_file_name("contoso.json"), "{ }").unwrap();
        }),
        ("a file of it is gone", |host| {
            fs::remove_file(host.config().with_file_name("contoso.json")).unwrap();
        }),
        ("it is gone", |host| fs::remove_file(host.config()).unwrap()),
        ("it is a folder", |host| {
            fs::remove_file(host.config()).unwrap();
            fs::create_dir(host.config()).unwrap();
        }),
        ("a file of it is a folder", |host| {
            fs::remove_file(host.config().with_file_name("contoso.json")).unwrap();
            fs::create_dir(host.config().with_file_name("contoso.json")).unwrap();
        }),
        ("it is no text", |host| fs::write(host.config(), b"\xff").unwrap()),
    ];
    for (what, change) in changes {
        let host = Host::saved();
        change(&host);
        assert_eq!(host.load(), Err(Unusable::Configuration), "{what}");
    }
    // The same text under another name may refer to other files.
    let host = Host::saved();
    let other = host.config().with_file_name("other.toml");
    fs::copy(host.config(), &other).unwrap();
    assert_eq!(
        load(&host.folders, &other, &Moment::now()),
        Err(Unusable::Configuration)
    );
}

#[test]
fn other_answers_have_no_table() {
    let changes: [Change; 7] = [
        ("newer ones", |host| host.answer(2)),
        ("newer ones in the state folder", |host| {
            Host::answer_in(&host.folders.state, 2);
        }),
        ("newer ones in the runtime folder", |host| {
            Host::answer_in(&host.folders.runtime, 2);
        }),
        ("none that last", |host| {
            fs::remove_file(host.folders.state.join("answers")).unwrap();
        }),
        ("those in the runtime folder are damaged", |host| {
            fs::write(host.folders.runtime.join("answers"), "").unwrap();
        }),
        ("those in the state folder are cut off", |host| {
            let path = host.folders.state.join("answers");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("something is in the journal", |host| {
            fs::write(host.folders.runtime.join("journal"), "x").unwrap();
        }),
    ];
    for (what, change) in changes {
        let host = Host::saved();
        change(&host);
        assert_eq!(host.load(), Err(Unusable::Answers), "{what}");
    }
    let host = Host::saved();
    fs::write(host.folders.runtime.join("journal"), "").unwrap();
    assert_eq!(host.load(), whole(), "nothing is in the journal");
}

#[test]
fn a_table_ends_with_the_first_address_that_was_granted_for_a_while() {
    let host = Host::new();
    host.save(Some(Duration::from_secs(3600))).unwrap();
    let saved = Moment::now();
    assert_eq!(host.load(), whole());
    let later = Moment {
        since_boot_ms: saved.since_boot_ms + 3_600_000,
        ..saved
    };
    assert_eq!(host.load_at(&later), Err(Unusable::Expired));
    // Another boot: so much has passed at least.
    assert_eq!(host.load_at(&moment('b', 3599)), whole());
    assert_eq!(host.load_at(&moment('b', 3600)), Err(Unusable::Expired));
    host.save(Some(Duration::ZERO)).unwrap();
    assert_eq!(host.load(), Err(Unusable::Expired), "it had passed already");
}

#[test]
fn another_program_has_no_table() {
    let host = Host::saved();
    let bytes = fs::read(host.table()).unwrap();
    let (head, image) = parts(&bytes).unwrap();
    let version = format!("{} ", env!("CARGO_PKG_VERSION"));
    for other in [
        head.program.replacen(&version, "99.0.0 ", 1),
        format!("{}0", head.program),
    ] {
        assert_ne!(other, head.program);
        let head = Head {
            program: other,
            ..head.clone()
        };
        let mut content = serde_json::to_vec(&head).unwrap();
        content.push(b'\n');
        content.extend_from_slice(image);
        file::save_bytes(&host.folders.state, FORMAT, &content).unwrap();
        assert_eq!(host.load(), Err(Unusable::Program));
    }
    let newer = Format {
        version: FORMAT.version + 1,
        ..FORMAT
    };
    file::save_bytes(&host.folders.state, newer, b"who knows").unwrap();
    assert!(matches!(
        host.load(),
        Err(Unusable::Defect(Defect {
            why: ReadError::Form(FormError::OtherVersion { .. }),
            ..
        }))
    ));
}

#[test]
fn every_flipped_bit_and_every_length_is_refused() {
    let host = Host::saved();
    let good = fs::read(host.table()).unwrap();
    for place in 0..good.len() {
        let mut bytes = good.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(host.table(), &bytes).unwrap();
        assert!(matches!(host.load(), Err(Unusable::Defect(_))), "byte {place}");
        fs::write(host.table(), &good[..place]).unwrap();
        assert!(matches!(host.load(), Err(Unusable::Defect(_))), "length {place}");
    }
    fs::write(host.table(), [&good[..], b"x"].concat()).unwrap();
    assert!(matches!(host.load(), Err(Unusable::Defect(_))));
    fs::write(host.table(), &good).unwrap();
    assert_eq!(host.load(), whole());
}

#[test]
fn a_table_whose_parts_are_not_saved_is_not_saved_and_takes_the_old_one_away() {
    let changes: [Change; 5] = [
        ("no answers that last", |host| {
            fs::remove_file(host.folders.state.join("answers")).unwrap();
        }),
        ("no answers for a restart", |host| {
            fs::remove_file(host.folders.runtime.join("answers")).unwrap();
        }),
        ("a journal that was not folded", |host| {
            fs::write(host.folders.runtime.join("journal"), "x").unwrap();
        }),
        ("no configuration", |host| {
            fs::remove_file(host.folders.state.join("configuration")).unwrap();
        }),
        ("another configuration", |host| {
            let other = SavedConfiguration {
                path: host.config(),
                text: "mode = \"audit\"\n".to_owned(),
                files: [].into(),
            };
            configuration::save(&host.folders.state, &other).unwrap();
        }),
    ];
    for (what, change) in changes {
        let host = Host::saved();
        change(&host);
        assert_eq!(host.save(None), Err(KeepError::Unsaved), "{what}");
        assert!(!host.table().exists(), "{what}");
    }
}

/// A file that changed on disk and is not in force yet is not what the table was made of.
#[test]
fn what_was_in_force_counts_and_not_what_lies_there_at_the_end() {
    let host = Host::new();
    let file = host.config().with_file_name("contoso.json");
    fs::write(&file, "[]").unwrap();
    host.save(None).unwrap();
    assert_eq!(host.load(), Err(Unusable::Configuration));
    fs::write(&file, "{}").unwrap();
    assert_eq!(host.load(), whole());
}
