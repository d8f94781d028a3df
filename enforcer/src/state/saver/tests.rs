use std::fs;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::super::clock::tests::moment;
use super::news::Item;
use super::*;
use crate::names::ServerName;
use crate::resolve::{FamilyState, KnownAddress, LastGood, NameSnapshot, SavedAnswers, Standing};

mod folding;

/// Only a failing test waits for it.
const LIMIT: Duration = Duration::from_secs(60);

struct Bench {
    outer: tempfile::TempDir,
    folders: Folders,
    told: Arc<Mutex<Vec<News>>>,
}

impl Bench {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let folders = Folders {
            state: outer.path().join("state"),
            runtime: outer.path().join("runtime"),
        };
        Self {
            outer,
            folders,
            told: Arc::default(),
        }
    }

    fn tell(&self) -> Tell {
        let told = Arc::clone(&self.told);
        Arc::new(move |news| told.lock().unwrap().push(news))
    }

    fn start(&self) -> Saver {
        Saver::start(&self.folders, &self.load(), self.tell()).unwrap()
    }

    fn load(&self) -> Loaded {
        answers::load(&self.folders, &Moment::now())
    }

    /// What was told since this was called last, without the path of the folders around.
    fn told(&self) -> Vec<(bool, String)> {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        let outer = format!("{}/", self.outer.path().display());
        told.into_iter()
            .map(|news| (news.is_bad, news.text.replace(&outer, "")))
            .collect()
    }
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

fn address(save: &SavedAnswers) -> String {
    save.names[0].v4.addresses[0].address.to_string()
}

fn configuration(text: &str) -> SavedConfiguration {
    SavedConfiguration {
        path: "enforcer.toml".into(),
        text: text.to_owned(),
        files: Default::default(),
    }
}

#[tokio::test]
async fn what_is_saved_is_found_in_both_folders() {
    let bench = Bench::new();
    let saver = bench.start();
    for number in 0..100 {
        saver.save(snapshot(&format!("198.51.100.{number}")));
    }
    saver.save_configuration(configuration("old"));
    saver.save_configuration(configuration("new"));
    saver.flush(LIMIT).await.unwrap();
    let loaded = bench.load();
    assert_eq!(address(&loaded.answers()), "198.51.100.99");
    assert_eq!(loaded.number, 100);
    assert!(!loaded.found.unwrap().age.is_lower_bound);
    let states = fs::read(bench.folders.state.join("answers")).unwrap();
    assert_eq!(fs::read(bench.folders.runtime.join("answers")).unwrap(), states);
    let saved = super::configuration::load(&bench.folders).unwrap();
    assert_eq!(saved, Some(configuration("new")));
    assert!(!bench.folders.runtime.join("configuration").exists());
    assert_eq!(bench.told(), []);

    // The next process counts on.
    drop(saver);
    let saver = bench.start();
    saver.save(snapshot("198.51.100.200"));
    saver.flush(LIMIT).await.unwrap();
    assert_eq!(bench.load().number, 101);
    // With nothing new there is nothing to wait for.
    saver.flush(LIMIT).await.unwrap();
}

/// Whatever else is saved of a snapshot can say from when on its times count, as the answers do.
#[tokio::test]
async fn only_what_was_given_last_is_known_by_its_moment() {
    let bench = Bench::new();
    let saver = bench.start();
    let [old, new] = ["198.51.100.1", "198.51.100.2"].map(snapshot);
    assert_eq!(saver.given_at(&old), None);
    saver.save(Arc::clone(&old));
    saver.save(Arc::clone(&new));
    assert_eq!(saver.given_at(&old), None);
    let (_, moment) = saver.given_at(&new).unwrap();
    saver.flush(LIMIT).await.unwrap();
    let loaded = bench.load();
    assert_eq!(
        (loaded.state, loaded.runtime),
        (Some(moment.clone()), Some(moment))
    );
}

#[tokio::test]
async fn what_is_kept_is_in_the_runtime_folder_each_time() {
    let bench = Bench::new();
    let saver = bench.start();
    // Faster than the pace at which changes are written otherwise.
    for number in 0..10 {
        let new = format!("198.51.100.{number}");
        saver.save(snapshot(&new));
        assert!(saver.keep(LIMIT).await);
        assert_eq!(address(&bench.load().answers()), new);
    }
    fs::remove_dir_all(&bench.folders.runtime).unwrap();
    fs::write(&bench.folders.runtime, "in its way").unwrap();
    saver.save(snapshot("198.51.100.99"));
    assert!(!saver.keep(LIMIT).await);
}

#[tokio::test]
async fn one_folder_is_enough_and_each_failure_is_told_once_until_it_is_over() {
    let bench = Bench::new();
    fs::write(&bench.folders.state, b"mine").unwrap();
    let saver = bench.start();
    for number in 1..4 {
        saver.save(snapshot(&format!("198.51.100.{number}")));
        saver.flush(LIMIT).await.unwrap();
    }
    assert_eq!(
        bench.told(),
        [(
            true,
            "answers can not be saved: state is no folder; enforcement and policy are unchanged; a restart would use \
             the copy in runtime, a reboot would start without saved answers: names are denied until they answer"
                .to_owned()
        )]
    );
    let found = bench.load().found.unwrap();
    assert_eq!(address(&found.answers), "198.51.100.3");
    assert!(found.path.starts_with(&bench.folders.runtime));

    fs::remove_file(&bench.folders.state).unwrap();
    saver.flush(LIMIT).await.unwrap();
    assert_eq!(
        bench.told(),
        [(false, "answers are saved in state again".to_owned())]
    );
    assert!(bench.folders.state.join("answers").exists());
    saver.save(snapshot("198.51.100.9"));
    saver.flush(LIMIT).await.unwrap();
    assert_eq!(bench.told(), []);
}

#[tokio::test]
async fn when_no_folder_can_be_written_a_flush_says_so() {
    let bench = Bench::new();
    fs::write(&bench.folders.state, b"mine").unwrap();
    fs::write(&bench.folders.runtime, b"mine").unwrap();
    let saver = bench.start();
    saver.save(snapshot("198.51.100.1"));
    saver.save_configuration(configuration("new"));
    let error = saver.flush(LIMIT).await.unwrap_err().to_string();
    assert!(
        error.starts_with("what was learnt last is not saved: "),
        "{error}"
    );
    assert!(error.contains("state is no folder"), "{error}");
    assert!(error.contains("runtime is no folder"), "{error}");
    let told = bench.told();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|(is_bad, _)| *is_bad));
    assert!(told.iter().any(|(_, text)| {
        text.starts_with("the last good configuration can not be saved: state is no folder")
    }));
}

#[tokio::test]
async fn a_folder_that_vanishes_is_made_again() {
    let bench = Bench::new();
    let saver = bench.start();
    saver.save(snapshot("198.51.100.1"));
    saver.flush(LIMIT).await.unwrap();
    fs::remove_dir_all(&bench.folders.state).unwrap();
    fs::remove_dir_all(&bench.folders.runtime).unwrap();
    saver.save(snapshot("198.51.100.2"));
    saver.flush(LIMIT).await.unwrap();
    assert_eq!(address(&bench.load().answers()), "198.51.100.2");
    assert_eq!(bench.told(), []);
}

/// A folder whose every write waits for a word, and tells when it begins.
struct Hanging {
    begins: Sender<String>,
    goes_on: Receiver<()>,
}

impl Target for Hanging {
    fn answers(&mut self, stamped: &Stamped) -> Result<(), WriteError> {
        let saved = SavedAnswers::of(&stamped.snapshot, stamped.at);
        let _ = self.begins.send(address(&saved));
        let _ = self.goes_on.recv();
        Ok(())
    }

    fn fold(&mut self, _: &Stamped) -> Work {
        Box::new(|| Ok(0))
    }

    fn folded(&mut self, _: usize) -> Result<(), WriteError> {
        Ok(())
    }

    fn begin_journal(&mut self) -> Result<(), WriteError> {
        Ok(())
    }

    fn journal(&mut self, _: &Record) -> Result<Added, WriteError> {
        Ok(Added::No)
    }

    fn configuration(&mut self, _: &SavedConfiguration) -> Result<(), WriteError> {
        Ok(())
    }
}

fn hanging() -> (Hanging, Receiver<String>, Sender<()>) {
    let (begins, begun) = channel();
    let (go_on, goes_on) = channel();
    (Hanging { begins, goes_on }, begun, go_on)
}

#[tokio::test]
async fn a_disk_that_hangs_blocks_nobody_and_only_the_newest_waits() {
    let bench = Bench::new();
    let (state, state_begun, state_go_on) = hanging();
    let (runtime, runtime_begun, runtime_go_on) = hanging();
    let saver = Saver::start_with(&bench.folders, &bench.load(), bench.tell(), [state, runtime]).unwrap();
    saver.save(snapshot("198.51.100.1"));
    assert_eq!(state_begun.recv_timeout(LIMIT).unwrap(), "198.51.100.1");
    assert_eq!(runtime_begun.recv_timeout(LIMIT).unwrap(), "198.51.100.1");
    for number in 2..=200 {
        saver.save(snapshot(&format!("198.51.100.{number}")));
    }
    let error = saver.flush(Duration::from_millis(10)).await.unwrap_err();
    assert!(
        error.to_string().contains("state was not written within 0.01 s"),
        "{error}"
    );
    assert_eq!(bench.told(), []);
    let later = Instant::now() + worker::SLOW;
    saver.tell_slow(later);
    saver.tell_slow(later);
    let told = bench.told();
    assert_eq!(told.len(), 2, "each folder once: {told:?}");
    assert!(
        told[0]
            .1
            .starts_with("writing to state has not ended for 30 s, its disk may hang; enforcement"),
        "{told:?}"
    );
    // The runtime folder wakes up: one folder is enough.
    runtime_go_on.send(()).unwrap();
    runtime_go_on.send(()).unwrap();
    let flushing = saver.flush(LIMIT);
    state_go_on.send(()).unwrap();
    state_go_on.send(()).unwrap();
    flushing.await.unwrap();
    assert_eq!(state_begun.try_iter().collect::<Vec<_>>(), ["198.51.100.200"]);
    assert_eq!(runtime_begun.try_iter().collect::<Vec<_>>(), ["198.51.100.200"]);
    let told = bench.told();
    assert_eq!(told.len(), 2);
    assert!(told.contains(&(false, "writing to state has ended at last".to_owned())));
}

#[test]
fn news_say_what_a_start_would_use() {
    let folders = Folders {
        state: "S".into(),
        runtime: "R".into(),
    };
    let loaded = Loaded {
        state: Some(moment('a', 100)),
        ..Loaded::default()
    };
    let copies = Copies::new(&folders, &loaded);
    let (item, now) = (Item::Answers, moment('b', 120));
    let text = |news: Option<News>| news.map(|news| news.text);
    let tail = |news: Option<News>| Some(text(news)?.split("unchanged; ").nth(1)?.to_owned());
    assert_eq!(
        tail(copies.failed(Place::State, item, "full", &now)).unwrap(),
        "a restart would use the copy in R, a reboot would start from answers saved at least 2 min ago"
    );
    assert_eq!(copies.failed(Place::State, item, "full", &now), None);
    assert_eq!(
        tail(copies.failed(Place::Runtime, item, "full", &now)).unwrap(),
        "a restart would start from answers saved at least 2 min ago"
    );
    assert!(copies.failed(Place::State, item, "read-only", &now).is_some());
    assert_eq!(
        text(copies.written(Place::Runtime, item, Some(&moment('b', 110)))).unwrap(),
        "answers are saved in R again"
    );
    assert_eq!(
        copies.written(Place::Runtime, item, Some(&moment('b', 115))),
        None
    );
    assert!(copies.failed(Place::Runtime, item, "full", &now).is_some());
    assert_eq!(
        tail(copies.failed(Place::State, item, "gone", &now)).unwrap(),
        "a restart would start from answers saved 5 s ago"
    );
    copies.written(Place::State, item, Some(&moment('b', 118)));
    assert_eq!(
        tail(copies.failed(Place::Runtime, item, "other", &now)).unwrap(),
        "a restart would use the copy in S"
    );
}
