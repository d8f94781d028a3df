//! What is on disk, when the disk is full, read-only or gone, and when whoever writes is killed.

use std::fs;
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enforcer::names::ServerName;
use enforcer::resolve::{FamilyState, KnownAddress, LastGood, NameSnapshot, Snapshot, Standing};
use enforcer::state::saver::News;
use enforcer::state::{Folders, Loaded, Moment, Saver, answers, configuration};
use enforcer_lab::mounts::{mount_tiny, set_read_only, with_own_mounts};
use enforcer_lab::scribe;

/// Only a failing test waits for it.
const LIMIT: Duration = Duration::from_secs(60);

fn folders(outer: &Path) -> Folders {
    Folders {
        state: outer.join("state"),
        runtime: outer.join("runtime"),
    }
}

fn load(folders: &Folders) -> Loaded {
    answers::load(folders, &Moment::now())
}

/// A snapshot of `a.test` with this address.
fn snapshot(address: &str) -> Arc<Snapshot> {
    let now = Instant::now();
    let addresses: Arc<[_]> = Arc::new([KnownAddress {
        address: address.parse().unwrap(),
        expires: now,
        standing: Standing::Current,
    }]);
    Arc::new(Snapshot {
        names: vec![NameSnapshot {
            name: ServerName::parse("a.test").unwrap(),
            chain: vec![],
            addresses: addresses.clone(),
            refused: vec![],
            v4: FamilyState::Fresh,
            v6: FamilyState::Empty,
            good_v4: LastGood {
                answered: Some(now.into()),
                chain: vec![],
                addresses,
            },
            good_v6: LastGood::default(),
        }]
        .into(),
    })
}

/// The address in the copy that is found, and whether that is the one in `folder`.
fn found(folders: &Folders, folder: &Path) -> Option<(IpAddr, bool)> {
    let found = load(folders).found?;
    let address = found.answers.names[0].v4.addresses[0].address;
    Some((address, found.path.starts_with(folder)))
}

/// A daemon's saver, with what it tells.
struct Daemon {
    saver: Saver,
    told: Arc<Mutex<Vec<News>>>,
    runtime: tokio::runtime::Runtime,
}

impl Daemon {
    fn start(folders: &Folders) -> Result<Self> {
        let told: Arc<Mutex<Vec<News>>> = Arc::default();
        let tell = {
            let told = Arc::clone(&told);
            Arc::new(move |news| told.lock().unwrap().push(news))
        };
        Ok(Self {
            saver: Saver::start(folders, &load(folders), tell)?,
            told,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()?,
        })
    }

    fn save(&self, address: &str) -> Result<()> {
        self.saver.save(snapshot(address));
        self.runtime.block_on(self.saver.flush(LIMIT))?;
        Ok(())
    }

    /// What was told since this was called last.
    fn told(&self) -> Vec<String> {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        told.into_iter().map(|news| news.text).collect()
    }
}

/// What happens to the state folder, and what is said of it.
fn state_folder_fails(breaks: fn(&Path) -> Result<()>, mends: fn(&Path) -> Result<()>, words: &str) {
    let outer = tempfile::tempdir().unwrap();
    let body = || -> Result<()> {
        let folders = folders(outer.path());
        fs::create_dir(&folders.state)?;
        mount_tiny(&folders.state, 64)?;
        let daemon = Daemon::start(&folders)?;
        daemon.save("198.51.100.1")?;
        breaks(&folders.state)?;
        // The other folder is enough, and what the broken one holds is whole.
        for address in ["198.51.100.2", "198.51.100.3"] {
            daemon.save(address)?;
            ensure!(found(&folders, &folders.runtime) == Some((address.parse()?, true)));
        }
        let before = load(&Folders {
            state: folders.state.clone(),
            runtime: outer.path().join("nothing"),
        });
        ensure!(before.defects.is_empty(), "{:?}", before.defects);
        let first = before.answers().names[0].v4.addresses[0].address;
        ensure!(
            first == "198.51.100.1".parse::<IpAddr>()?,
            "the old content: {first}"
        );
        let told = daemon.told();
        ensure!(told.len() == 1, "told once: {told:?}");
        let wanted = [
            words,
            "enforcement and policy are unchanged; a restart would use the copy in",
            "a reboot would start from answers saved",
        ];
        for words in wanted {
            ensure!(told[0].contains(words), "{words}: {told:?}");
        }
        mends(&folders.state)?;
        daemon.save("198.51.100.4")?;
        let told = daemon.told();
        ensure!(
            told.len() == 1 && told[0].starts_with("answers are saved in"),
            "{told:?}"
        );
        let names: Vec<_> = fs::read_dir(&folders.state)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<Result<_>>()?;
        ensure!(names == ["answers"], "{names:?}");
        Ok(())
    };
    with_own_mounts(body).unwrap();
}

#[test]
fn disk_full() {
    let fill = |folder: &Path| {
        // As large as the whole file system; what fits of it is there, the rest fails.
        let written = fs::write(folder.join("filler"), vec![1_u8; 64 << 10]);
        ensure!(written.is_err(), "the disk is not full");
        Ok(())
    };
    let empty = |folder: &Path| Ok(fs::remove_file(folder.join("filler"))?);
    state_folder_fails(fill, empty, "answers can not be written: the disk is full");
}

#[test]
fn state_read_only() {
    state_folder_fails(
        |folder| set_read_only(folder, true),
        |folder| set_read_only(folder, false),
        "answers can not be written: the file system is read-only",
    );
}

#[test]
fn everything_read_only_from_the_start() {
    let outer = tempfile::tempdir().unwrap();
    let body = || -> Result<()> {
        mount_tiny(outer.path(), 64)?;
        set_read_only(outer.path(), true)?;
        let folders = folders(&outer.path().join("enforcer"));
        let daemon = Daemon::start(&folders)?;
        let error = daemon.save("198.51.100.1").unwrap_err().to_string();
        ensure!(error.contains("the file system is read-only"), "{error}");
        let told = daemon.told();
        ensure!(told.len() == 2, "{told:?}");
        let words = "without saved answers: names are denied until they answer";
        ensure!(told.iter().any(|text| text.ends_with(words)), "{told:?}");
        ensure!(load(&folders).found.is_none());
        Ok(())
    };
    with_own_mounts(body).unwrap();
}

/// Whatever moment the writer is killed at: what is there is one save, whole, and no older than one that was there.
#[test]
fn killed_while_it_writes() {
    const KILLS: u32 = 300;
    let outer = tempfile::tempdir().unwrap();
    let folders = folders(outer.path());
    let mut random = 0x9e37_79b9_u32;
    let (mut answers_last, mut configuration_last) = (0, 0);
    for kill in 0..KILLS {
        let first = answers_last.max(configuration_last) + 1;
        let mut scribe = Command::new(env!("CARGO_BIN_EXE_scribe"))
            .args([&folders.state, &folders.runtime])
            .arg(first.to_string())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + LIMIT;
        let check = |last: (u32, u32)| -> Result<(u32, u32)> {
            let loaded = load(&folders);
            ensure!(loaded.defects.is_empty(), "{:?}", loaded.defects);
            let number = match loaded.found {
                Some(found) => scribe::number(&found.answers)?,
                None => 0,
            };
            ensure!(number >= last.0, "save {number} came after {}", last.0);
            let configuration = match configuration::load(&folders)? {
                Some(saved) => {
                    let number = saved.files[Path::new("a.json")].parse().context("a number")?;
                    ensure!(saved == scribe::configuration(number), "mixed: {saved:?}");
                    number
                }
                None => 0,
            };
            ensure!(configuration >= last.1, "{configuration} came after {}", last.1);
            Ok((number, configuration))
        };
        // It is read while it is written, until it has got somewhere.
        let mut seen = (answers_last, configuration_last);
        while seen.1 < first {
            assert!(Instant::now() < deadline, "nothing is written");
            seen = check(seen).unwrap();
        }
        // Xorshift: up to 4 ms, in which a few files are written.
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        std::thread::sleep(Duration::from_micros(u64::from(random % 4000)));
        scribe.kill().unwrap();
        assert_eq!(scribe.wait().unwrap().signal(), Some(9), "it ended by itself");
        (answers_last, configuration_last) =
            check(seen).unwrap_or_else(|error| panic!("kill {kill}: {error:#}"));
    }
    // Each kill may have left a file behind, and each start takes those of its kind away.
    let left = fs::read_dir(&folders.state).unwrap().count();
    assert!(left <= 4, "{left} files");
    println!("{KILLS} kills, {answers_last} saves");
}
