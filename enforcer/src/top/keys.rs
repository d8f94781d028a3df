//! What a key does.

use super::model::{DenialOrder, FILTER_MAX, Model, NameOrder, Overlay, Pane};
use super::tally::Grouping;
use crate::control::history::Moment;

/// Rows that a page key goes.
const PAGE: usize = 10;

/// A key, whatever terminal it comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Key {
    /// One that writes.
    Char(char),
    /// Return.
    Enter,
    /// Escape.
    Esc,
    /// Tabulator.
    Tab,
    /// Tabulator with Shift.
    BackTab,
    /// Erases the character before.
    Backspace,
    /// An arrow.
    Up,
    /// An arrow.
    Down,
    /// An arrow.
    Left,
    /// An arrow.
    Right,
    /// A page back.
    PageUp,
    /// A page on.
    PageDown,
    /// To the first.
    Home,
    /// To the last.
    End,
    /// Ctrl-C.
    Interrupt,
}

/// What follows from a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// It goes on.
    Stay,
    /// The user has seen enough.
    Quit,
}

impl Model {
    /// Does what `key` is for.
    #[must_use]
    pub fn press(&mut self, now: Moment, key: Key) -> Step {
        if key == Key::Interrupt {
            return Step::Quit;
        }
        if self.view.is_typing {
            self.write(key);
        } else if self.view.overlay.is_some() {
            return self.read_on(key);
        } else {
            return self.command(now, key);
        }
        Step::Stay
    }

    /// A key of a filter that is being written.
    fn write(&mut self, key: Key) {
        let view = &mut self.view;
        match key {
            Key::Char(character) if !character.is_control() && view.filter.chars().count() < FILTER_MAX => {
                view.filter.push(character);
            }
            Key::Backspace => {
                view.filter.pop();
            }
            Key::Enter => view.is_typing = false,
            Key::Esc => {
                view.is_typing = false;
                view.filter.clear();
            }
            _ => {}
        }
    }

    /// A key while something lies over the panes.
    fn read_on(&mut self, key: Key) -> Step {
        let view = &mut self.view;
        let offset = view.overlay_offset;
        view.overlay_offset = match key {
            Key::Down | Key::Char('j') => offset.saturating_add(1),
            Key::Up | Key::Char('k') => offset.saturating_sub(1),
            Key::PageDown => offset.saturating_add(PAGE),
            Key::PageUp => offset.saturating_sub(PAGE),
            Key::Home => 0,
            Key::Char('q') => return Step::Quit,
            _ => {
                view.overlay = None;
                0
            }
        };
        Step::Stay
    }

    fn command(&mut self, now: Moment, key: Key) -> Step {
        match key {
            Key::Char('q') => return Step::Quit,
            // One thing at a time: what narrows the view goes first.
            Key::Esc if !self.view.filter.is_empty() => self.view.filter.clear(),
            Key::Esc => return Step::Quit,
            Key::Char(' ') => self.pause(now),
            Key::Char('/') => self.view.is_typing = true,
            Key::Char('?' | 'h') => self.lay_over(Overlay::Help),
            Key::Char('w') => self.lay_over(Overlay::Warnings),
            Key::Enter => self.lay_over(Overlay::Details),
            Key::Char('p') => self.group_by(Grouping::Process),
            Key::Char('n') => self.group_by(Grouping::Name),
            Key::Char('r') => self.group_by(Grouping::Reason),
            Key::Char('u') => self.group_by(Grouping::Unit),
            Key::Char('c') => self.group_by(Grouping::Container),
            Key::Tab => self.group_by(turn(&Grouping::ALL, self.view.grouping, 1)),
            Key::BackTab => self.group_by(turn(&Grouping::ALL, self.view.grouping, -1)),
            Key::Char('1') => self.view.pane = Pane::Denials,
            Key::Char('2') => self.view.pane = Pane::Names,
            Key::Char('3') => self.view.pane = Pane::Events,
            Key::Right => self.view.pane = turn(&Pane::ALL, self.view.pane, 1),
            Key::Left => self.view.pane = turn(&Pane::ALL, self.view.pane, -1),
            Key::Char('z') => self.view.is_zoomed = !self.view.is_zoomed,
            Key::Char('s') => self.sort(),
            Key::Char('S') => {
                let reversed = &mut self.view.is_reversed[self.view.pane as usize];
                *reversed = !*reversed;
            }
            _ => self.go(now, key),
        }
        Step::Stay
    }

    /// Moves in the list of the pane.
    fn go(&mut self, now: Moment, key: Key) {
        let pane = self.view.pane;
        let ids = self.ids(pane, now);
        let row = self.view.place(pane).row(&ids);
        let place = self.view.place_mut(pane);
        match (key, row) {
            // Before the first row is where new rows come in.
            (Key::Up | Key::Char('k') | Key::PageUp, None | Some(0)) | (Key::Home | Key::Char('g'), _) => {
                place.forget();
            }
            (Key::Up | Key::Char('k'), Some(row)) => place.choose(&ids, row - 1),
            (Key::PageUp, Some(row)) => place.choose(&ids, row.saturating_sub(PAGE)),
            (Key::Down | Key::Char('j'), _) => place.choose(&ids, row.map_or(0, |row| row + 1)),
            (Key::PageDown, _) => place.choose(&ids, row.unwrap_or(0) + PAGE),
            (Key::End | Key::Char('G'), _) => place.choose(&ids, usize::MAX),
            _ => {}
        }
    }

    fn group_by(&mut self, grouping: Grouping) {
        self.view.grouping = grouping;
        self.view.pane = Pane::Denials;
        // The rows of another kind are others.
        self.view.place_mut(Pane::Denials).forget();
    }

    fn lay_over(&mut self, overlay: Overlay) {
        self.view.overlay = Some(overlay);
        self.view.overlay_offset = 0;
    }

    fn sort(&mut self) {
        const DENIALS: [DenialOrder; 4] = [
            DenialOrder::Count,
            DenialOrder::Minute,
            DenialOrder::Last,
            DenialOrder::Key,
        ];
        const NAMES: [NameOrder; 5] = [
            NameOrder::State,
            NameOrder::Name,
            NameOrder::Age,
            NameOrder::Expiry,
            NameOrder::Addresses,
        ];
        let view = &mut self.view;
        match view.pane {
            Pane::Denials => view.denial_order = turn(&DENIALS, view.denial_order, 1),
            Pane::Names => view.name_order = turn(&NAMES, view.name_order, 1),
            // Events have one order.
            Pane::Events => {
                let reversed = &mut view.is_reversed[Pane::Events as usize];
                *reversed = !*reversed;
            }
        }
    }
}

/// What comes `by` places behind `now`, in a circle.
fn turn<T: Copy + PartialEq>(all: &[T], now: T, by: isize) -> T {
    let at = all.iter().position(|one| *one == now).unwrap_or(0);
    let next = at.checked_add_signed(by).unwrap_or(all.len() - 1);
    all[next % all.len()]
}
