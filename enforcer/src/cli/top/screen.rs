//! The terminal: taken over, drawn on, and given back as it was, whatever happens.

use std::io::{self, BufWriter, Stdout};
use std::sync::Once;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::process::{Signal, getpid, getppid, getsid, kill_process};
use tokio::sync::mpsc;

use crate::cli::message::Failure;
use crate::control::history::Moment;
use crate::top::{Key, Model, Theme, draw};

/// Keys that wait to be answered.
const INPUTS_MAX: usize = 64;

/// Most frames are written in one go.
const FRAME_BYTES: usize = 1 << 15;

/// What the user does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input {
    Key(Key),
    /// Ctrl-Z.
    Stop,
    /// The terminal has another size.
    Resized,
    /// Ctrl-L.
    Redraw,
}

/// The terminal, as long as it is taken over.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    theme: Theme,
    /// Whether it is given back for a while.
    is_stopped: bool,
}

impl Screen {
    /// Takes the terminal over. A panic gives it back first, so that its message can be read.
    pub(super) fn open() -> anyhow::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        let take = || {
            let terminal = blank()?;
            take_over()?;
            Ok(terminal)
        };
        let has_colour = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        let terminal = take().inspect_err(|_| give_back()).map_err(failed)?;
        Ok(Self {
            terminal,
            theme: Theme { has_colour },
            is_stopped: false,
        })
    }

    /// Shows the model.
    pub(super) fn draw(&mut self, model: &Model, now: Moment) -> anyhow::Result<()> {
        if !self.is_stopped {
            let theme = self.theme;
            let drawn = self.terminal.draw(|frame| draw(frame, model, now, theme));
            drawn.map_err(failed)?;
        }
        Ok(())
    }

    /// Gives the terminal back and stops this process, as Ctrl-Z does; [`Self::resume`] follows on SIGCONT.
    ///
    /// Where nobody could let it go on, as in a window without a shell, nothing happens: the kernel does the same
    /// (`is_current_pgrp_orphaned` in kernel/exit.c), but only for programs that leave the signal to it.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        let shares_session = getppid().is_some_and(|parent| getsid(Some(parent)) == getsid(None));
        if shares_session {
            give_back();
            self.is_stopped = true;
            kill_process(getpid(), Signal::STOP).map_err(|error| failed(error.into()))?;
        }
        Ok(())
    }

    /// Takes the terminal over again, whoever has had it meanwhile.
    pub(super) fn resume(&mut self) -> anyhow::Result<()> {
        self.is_stopped = false;
        // A shell may have changed its modes although this process did not give it back.
        disable_raw_mode().map_err(failed)?;
        take_over().map_err(failed)?;
        self.forget()
    }

    /// The next frame is written in full, whatever is there.
    pub(super) fn forget(&mut self) -> anyhow::Result<()> {
        // `Terminal::clear` would ask the terminal where its cursor is, and the answer goes to who reads the keys.
        execute!(io::stdout(), Clear(ClearType::All)).map_err(failed)?;
        self.terminal = blank().map_err(failed)?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if !self.is_stopped {
            give_back();
        }
    }
}

fn failed(error: io::Error) -> anyhow::Error {
    Failure::new(
        "the terminal can not be used",
        "is it gone? `enforcer status` and `enforcer observe -f` need less of one",
        error,
    )
    .into()
}

/// A terminal on which nothing has been drawn.
fn blank() -> io::Result<Terminal<CrosstermBackend<BufWriter<Stdout>>>> {
    let out = BufWriter::with_capacity(FRAME_BYTES, io::stdout());
    Terminal::new(CrosstermBackend::new(out))
}

fn take_over() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, Hide)
}

fn give_back() {
    // There is nothing else to try.
    let _written = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _set = disable_raw_mode();
}

/// What the user does from now on, read by a thread that ends with the process.
pub(super) fn inputs() -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(INPUTS_MAX);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if let Some(input) = input(&event)
                && sender.blocking_send(input).is_err()
            {
                return;
            }
        }
    });
    receiver
}

fn input(event: &Event) -> Option<Input> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => input_of_key(*key),
        Event::Resize(..) => Some(Input::Resized),
        _ => None,
    }
}

fn input_of_key(key: KeyEvent) -> Option<Input> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Input::Key(Key::Interrupt)),
            KeyCode::Char('z') => Some(Input::Stop),
            // As a user expects who wants the screen drawn anew.
            KeyCode::Char('l') => Some(Input::Redraw),
            _ => None,
        };
    }
    let key = match key.code {
        KeyCode::Char(character) => Key::Char(character),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    };
    Some(Input::Key(key))
}
