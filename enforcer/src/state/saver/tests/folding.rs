//! All answers written beside the thread of the runtime folder.

use super::super::super::journal;
use super::*;
use crate::resolve::saved::SavedName;

/// A folder that tells what it is asked for. Its journal is full from the second record on, and what is written beside
/// the thread waits for a word on how it is to end.
struct Folding {
    asked: Sender<String>,
    ends: Arc<Mutex<Receiver<bool>>>,
    records: u32,
}

impl Folding {
    fn ask(&self, what: &str) {
        let _ = self.asked.send(what.to_owned());
    }
}

impl Target for Folding {
    fn answers(&mut self, stamped: &Stamped) -> Result<(), WriteError> {
        let saved = SavedAnswers::of(&stamped.snapshot, stamped.at);
        self.ask(&format!("whole {}", address(&saved)));
        Ok(())
    }

    fn fold(&mut self, stamped: &Stamped) -> Work {
        let saved = SavedAnswers::of(&stamped.snapshot, stamped.at);
        self.ask(&format!("fold {}", address(&saved)));
        let ends = Arc::clone(&self.ends);
        Box::new(move || {
            if ends.lock().unwrap().recv().unwrap_or(true) {
                Ok(7)
            } else {
                Err(WriteError::NotFolder("folder".into()))
            }
        })
    }

    fn folded(&mut self, bytes: usize) -> Result<(), WriteError> {
        self.ask(&format!("folded {bytes}"));
        Ok(())
    }

    fn begin_journal(&mut self) -> Result<(), WriteError> {
        self.ask("begin");
        Ok(())
    }

    fn journal(&mut self, record: &Record) -> Result<Added, WriteError> {
        self.ask(&format!("record {}", record.names[0].v4.addresses[0].address));
        self.records += 1;
        Ok(if self.records < 2 {
            Added::Yes
        } else {
            Added::AndFull
        })
    }

    fn configuration(&mut self, _: &SavedConfiguration) -> Result<(), WriteError> {
        Ok(())
    }
}

/// A saver whose runtime folder is [`Folding`] and has a journal, what that is asked for, and how it ends.
async fn folding(bench: &Bench) -> (Saver, Receiver<String>, Sender<bool>) {
    let target = || {
        let (asked, asks) = channel();
        let (end, ends) = channel();
        let ends = Arc::new(Mutex::new(ends));
        let target = Folding {
            asked,
            ends,
            records: 0,
        };
        (target, asks, end)
    };
    let (state, _, _) = target();
    let (runtime, asks, end) = target();
    let saver = Saver::start_with(&bench.folders, &bench.load(), bench.tell(), [state, runtime]).unwrap();
    saver.save(snapshot("198.51.100.1"));
    assert!(saver.keep(LIMIT).await);
    is_asked(&asks, &["whole 198.51.100.1", "begin"]);
    (saver, asks, end)
}

/// As [`folding`], with a journal that is full and being written anew.
async fn being_folded(bench: &Bench) -> (Saver, Receiver<String>, Sender<bool>) {
    let (saver, asks, end) = folding(bench).await;
    for number in 2..=3 {
        saver.save(snapshot(&format!("198.51.100.{number}")));
        assert!(saver.keep(LIMIT).await);
    }
    is_asked(
        &asks,
        &["record 198.51.100.2", "record 198.51.100.3", "fold 198.51.100.3"],
    );
    (saver, asks, end)
}

#[track_caller]
fn is_asked(asks: &Receiver<String>, expected: &[&str]) {
    for expected in expected {
        assert_eq!(asks.recv_timeout(LIMIT).unwrap(), *expected);
    }
}

#[tokio::test]
async fn nobody_waits_while_a_full_journal_is_folded() {
    let bench = Bench::new();
    let (saver, asks, end) = being_folded(&bench).await;
    // It is at it, and changes are kept all the same.
    for number in 4..50 {
        saver.save(snapshot(&format!("198.51.100.{number}")));
        assert!(saver.keep(LIMIT).await);
        is_asked(&asks, &[&format!("record 198.51.100.{number}")]);
    }
    saver.tell_slow(Instant::now() + worker::SLOW);
    assert_eq!(bench.told().len(), 1, "a disk that hangs is told");
    end.send(true).unwrap();
    is_asked(&asks, &["folded 7"]);
    // What came meanwhile is not in what was written.
    saver.flush(LIMIT).await.unwrap();
    is_asked(&asks, &["whole 198.51.100.49", "begin"]);
    assert_eq!(
        bench.told(),
        [(false, "writing to runtime has ended at last".to_owned())]
    );
    saver.flush(LIMIT).await.unwrap();
    assert_eq!(asks.try_recv().ok(), None);
}

#[tokio::test]
async fn a_flush_waits_for_what_is_being_folded() {
    let bench = Bench::new();
    let (saver, asks, end) = being_folded(&bench).await;
    let (flushed, ()) = tokio::join!(saver.flush(LIMIT), async { end.send(true).unwrap() });
    flushed.unwrap();
    is_asked(&asks, &["folded 7"]);
    assert_eq!(asks.try_recv().ok(), None, "all of it was written");
}

#[tokio::test]
async fn a_fold_that_fails_is_told_and_costs_nothing() {
    let bench = Bench::new();
    let (saver, asks, end) = being_folded(&bench).await;
    end.send(false).unwrap();
    // A change that is kept after the end was seen.
    saver.save(snapshot("198.51.100.4"));
    assert!(saver.keep(LIMIT).await);
    is_asked(&asks, &["record 198.51.100.4"]);
    saver.flush(LIMIT).await.unwrap();
    is_asked(&asks, &["whole 198.51.100.4", "begin"]);
    let told = bench.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0]
            .1
            .starts_with("answers can not be saved: folder is no folder"),
        "{told:?}"
    );
    assert_eq!(told[1], (false, "answers are saved in runtime again".to_owned()));
}

/// Whenever the process is killed, the next one finds what was kept last.
#[test]
fn every_step_of_a_fold_leaves_all_that_was_kept() {
    let bench = Bench::new();
    let folder = bench.folders.runtime.clone();
    let mut target = FolderTarget {
        folder: folder.clone(),
        journal: None,
        fold_at: 0,
        folded: 0,
    };
    let boot = Moment::now();
    let stamped = |number: u64| Stamped {
        snapshot: snapshot(&format!("198.51.100.{number}")),
        at: Instant::now(),
        number,
        moment: boot.later(),
    };
    let record = |target: &mut FolderTarget, number: u64| {
        let stamped = stamped(number);
        let names = stamped.snapshot.names.iter();
        let record = Record {
            number,
            moment: stamped.moment.clone(),
            names: names.map(|known| SavedName::of(known, stamped.at)).collect(),
        };
        assert_eq!(target.journal(&record), Ok(Added::Yes));
    };
    let is_kept = |number: u64| {
        let loaded = bench.load();
        assert_eq!(loaded.defects, []);
        assert_eq!(address(&loaded.answers()), format!("198.51.100.{number}"));
        assert_eq!(loaded.number, number);
    };
    let journal = || {
        journal::load(&folder)
            .0
            .iter()
            .map(|record| record.number)
            .collect::<Vec<_>>()
    };
    target.answers(&stamped(1)).unwrap();
    target.begin_journal().unwrap();
    // Twice, once with records that come meanwhile and once without.
    for (first, more) in [(2, true), (7, false)] {
        record(&mut target, first);
        record(&mut target, first + 1);
        let work = target.fold(&stamped(first + 1));
        let mut newest = first + 1;
        is_kept(newest);
        if more {
            newest += 1;
            record(&mut target, newest);
            is_kept(newest);
        }
        let bytes = work().unwrap();
        is_kept(newest);
        if more {
            newest += 1;
            record(&mut target, newest);
            is_kept(newest);
        }
        // What a process leaves that is killed while it cuts the journal.
        fs::write(folder.join(".journal.1.new"), b"enforcer journal").unwrap();
        is_kept(newest);
        target.folded(bytes).unwrap();
        is_kept(newest);
        assert_eq!(journal(), (first + 2..=newest).collect::<Vec<_>>());
        record(&mut target, newest + 1);
        is_kept(newest + 1);
        assert_eq!(journal(), (first + 2..=newest + 1).collect::<Vec<_>>());
    }
}
