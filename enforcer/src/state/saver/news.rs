//! What is told of the saving: what is wrong, that enforcement goes on, and what a restart would start from.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Place;
use crate::state::{Folders, Loaded, Moment};

/// Something to tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct News {
    /// Whether it is for the worse.
    pub is_bad: bool,
    /// What happened, as a sentence.
    pub text: String,
}

/// What is written into a folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Item {
    Answers,
    Configuration,
    /// Of the answers that changed since.
    Journal,
}

const UNCHANGED: &str = "enforcement and policy are unchanged";
const NOTHING_SAVED: &str = "without saved answers: names are denied until they answer";

/// Where the copies of the answers are and how they are, for both threads.
pub(super) struct Copies([Mutex<Copy>; 2]);

#[derive(Clone)]
struct Copy {
    folder: PathBuf,
    /// When what it holds was saved.
    saved: Option<Moment>,
    /// Why it can not be written.
    answers: Option<String>,
    configuration: Option<String>,
    journal: Option<String>,
}

impl Copies {
    pub(super) fn new(folders: &Folders, loaded: &Loaded) -> Self {
        let copy = |folder: &Path, saved: &Option<Moment>| {
            Mutex::new(Copy {
                folder: folder.to_owned(),
                saved: saved.clone(),
                answers: None,
                configuration: None,
                journal: None,
            })
        };
        Self([
            copy(&folders.state, &loaded.state),
            copy(&folders.runtime, &loaded.runtime),
        ])
    }

    /// `item` was written to `place`, with what is known of `saved`.
    pub(super) fn written(&self, place: Place, item: Item, saved: Option<&Moment>) -> Option<News> {
        let mut copy = self.lock(place);
        if let Some(saved) = saved {
            copy.saved = Some(saved.clone());
        }
        let was_failing = copy.error(item).take().is_some();
        was_failing.then(|| {
            let what = match item {
                Item::Answers => "answers are",
                Item::Journal => "changes of answers are",
                Item::Configuration => "the last good configuration is",
            };
            News {
                is_bad: false,
                text: format!("{what} saved in {} again", copy.folder.display()),
            }
        })
    }

    /// `item` could not be written to `place`. News, unless it is the same failure as before.
    pub(super) fn failed(&self, place: Place, item: Item, error: &str, now: &Moment) -> Option<News> {
        let before = self.lock(place).error(item).replace(error.to_owned());
        if before.as_deref() == Some(error) {
            return None;
        }
        let text = match item {
            Item::Answers => format!(
                "answers can not be saved: {error}; {UNCHANGED}; {}",
                self.consequence(place, now)
            ),
            Item::Journal => format!(
                "a change of answers can not be saved by itself: {error}; {UNCHANGED}; all answers are written instead, which \
                 takes longer"
            ),
            Item::Configuration => format!(
                "the last good configuration can not be saved: {error}; {UNCHANGED}; a start that can not use the \
                 configuration would fall back to the one saved before, if any"
            ),
        };
        Some(News { is_bad: true, text })
    }

    /// Writing to `place` takes suspiciously long.
    pub(super) fn slow(&self, place: Place, now: &Moment) -> News {
        let folder = self.lock(place).folder.clone();
        News {
            is_bad: true,
            text: format!(
                "writing to {} has not ended for {} s, its disk may hang; {UNCHANGED}; {}",
                folder.display(),
                super::worker::SLOW.as_secs(),
                self.consequence(place, now)
            ),
        }
    }

    /// Writing to `place` ended after all.
    pub(super) fn quick_again(&self, place: Place) -> News {
        News {
            is_bad: false,
            text: format!(
                "writing to {} has ended at last",
                self.lock(place).folder.display()
            ),
        }
    }

    /// What starts would use, when `place` can not be written.
    fn consequence(&self, place: Place, now: &Moment) -> String {
        let [state, runtime] = Place::BOTH.map(|place| self.lock(place).clone());
        let newest = |copies: &[&Copy]| {
            let moments = copies.iter().filter_map(|copy| copy.saved.as_ref());
            match moments.max_by(|one, other| now.compare(one, other)) {
                Some(saved) => format!("from answers saved {} ago", now.since(saved)),
                None => NOTHING_SAVED.to_owned(),
            }
        };
        match place {
            Place::State if runtime.answers.is_none() => format!(
                "a restart would use the copy in {}, a reboot would start {}",
                runtime.folder.display(),
                newest(&[&state])
            ),
            Place::Runtime if state.answers.is_none() => {
                format!("a restart would use the copy in {}", state.folder.display())
            }
            Place::State | Place::Runtime => {
                format!("a restart would start {}", newest(&[&state, &runtime]))
            }
        }
    }

    fn lock(&self, place: Place) -> MutexGuard<'_, Copy> {
        let [state, runtime] = &self.0;
        let copy = match place {
            Place::State => state,
            Place::Runtime => runtime,
        };
        copy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Copy {
    fn error(&mut self, item: Item) -> &mut Option<String> {
        match item {
            Item::Answers => &mut self.answers,
            Item::Configuration => &mut self.configuration,
            Item::Journal => &mut self.journal,
        }
    }
}
